"""One error class, one way of trying again."""

import random

import pytest
from tests.build import NAME, NAMESPACE

from nicplug.kube.errors import (
    AlreadyExists,
    ApiError,
    Denied,
    Gone,
    Rejected,
    RejectedForNow,
    Stale,
    Throttled,
    Unavailable,
)
from nicplug.model.keys import VmKey
from nicplug.plan.reasons import Reason
from nicplug.reconcile.delays import MAXIMUM_STALE_IN_A_ROW, RESYNC_SECONDS, RetryPolicy
from nicplug.reconcile.memory import PlanRepeats

KEY = VmKey(NAMESPACE, NAME)


class Longest(random.Random):
    """No luck: the jitter is always the whole of it."""

    def uniform(self, a: float, b: float) -> float:
        return b


def _delays(error: Exception, times: int) -> list[float]:
    policy = RetryPolicy(randomness=Longest())
    return [policy.delay_seconds(KEY, error) for _ in range(times)]


@pytest.mark.parametrize("error", [Stale("x"), AlreadyExists("x"), Gone("x")], ids=lambda error: type(error).__name__)
def test_what_has_changed_is_looked_at_almost_at_once_and_then_backs_off(error: ApiError) -> None:
    delays = _delays(error, MAXIMUM_STALE_IN_A_ROW + 20)
    assert delays[:MAXIMUM_STALE_IN_A_ROW] == [0.01, 0.02, 0.04, 0.08, 0.16]
    assert delays[MAXIMUM_STALE_IN_A_ROW] == 0.05 * 2**MAXIMUM_STALE_IN_A_ROW
    assert max(delays) == 30.0


def test_a_throttled_request_waits_as_long_as_the_server_says() -> None:
    assert _delays(Throttled("x").with_after(7.0), 3) == [7.0, 7.0, 7.0]


def test_repeated_plans_wait_as_long_as_the_memory_says() -> None:
    assert _delays(PlanRepeats("x", after=4.0), 2) == [4.0, 4.0]


def test_an_outage_backs_off_to_half_a_minute() -> None:
    assert _delays(Unavailable("x"), 12) == [0.05 * 2**n for n in range(10)] + [30.0, 30.0]


def test_a_long_outage_does_not_overflow() -> None:
    assert _delays(Unavailable("x"), 3000)[-1] == 30.0


def test_what_only_a_person_can_mend_is_tried_slowly() -> None:
    assert _delays(Denied("x"), 9) == [0.5, 5.0, 10.0, 20.0, 30.0, 30.0, 30.0, 30.0, 30.0]


def test_what_was_rejected_waits_for_a_change() -> None:
    assert _delays(Rejected("x"), 2) == [RESYNC_SECONDS, RESYNC_SECONDS]


def test_a_refusal_that_passes_is_retried_soon() -> None:
    """Not before it can be in the status, whatever the jitter."""
    error = RejectedForNow("x", remedy="y")
    assert _delays(error, 12) == [0.05 * 2**n for n in range(10)] + [30.0, 30.0]
    policy = RetryPolicy(randomness=random.Random(1))
    assert all(policy.delay_seconds(KEY, error) >= 0.04 * 2**count for count in range(9))
    assert policy.must_be_reported(KEY, error)


def test_a_name_that_somebody_has_is_asked_for_again_soon() -> None:
    """Nothing tells when somebody else's pod is gone."""
    assert _delays(Rejected("x", reason=Reason.NAME_TAKEN), 3) == [10.0, 10.0, 10.0]


def test_a_bug_backs_off() -> None:
    assert _delays(ValueError("x"), 7) == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_success_starts_again() -> None:
    policy = RetryPolicy(randomness=Longest())
    for _ in range(5):
        policy.delay_seconds(KEY, Unavailable("x"))
    policy.succeeded(KEY)
    assert policy.delay_seconds(KEY, Unavailable("x")) == 0.05


def test_each_key_counts_for_itself() -> None:
    policy = RetryPolicy(randomness=Longest())
    policy.delay_seconds(KEY, Unavailable("x"))
    assert policy.delay_seconds(VmKey("other", NAME), Unavailable("x")) == 0.05


def test_the_jitter_spreads_over_the_whole_delay() -> None:
    """A thousand keys must not come back together."""
    policy = RetryPolicy(randomness=random.Random(1))
    delays = []
    for index in range(300):
        key = VmKey(NAMESPACE, str(index))
        for _ in range(8):
            policy.delay_seconds(key, Unavailable("x"))
        delays.append(policy.delay_seconds(key, Unavailable("x")))
    assert min(delays) < 1.3
    assert max(delays) > 11.5
