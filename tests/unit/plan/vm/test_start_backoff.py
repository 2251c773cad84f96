"""How long a VM waits whose guests do not come up, whatever anybody has written about it, by whatever clock."""

from datetime import timedelta
from typing import Any

import pytest
from tests.build import CREATED, NOW, VM_UID, VMI_UID, Json, a_vmi, later, vmi

from nicplug.model.times import parse_time
from nicplug.model.vm import RunStrategy
from nicplug.plan.vm.run_strategy import failed_starts, start_failure, start_not_before

ALWAYS = RunStrategy.ALWAYS


def _failed(*, came_up: bool = False) -> Json:
    raw = vmi(owner_uid=VM_UID, phase="Failed")
    if came_up:
        raw["status"]["phaseTransitionTimestamps"] = [{"phase": "Running", "phaseTransitionTimestamp": CREATED}]
    return raw


def _failure(known: Any, found: Json | None = None, *, strategy: RunStrategy = ALWAYS) -> dict[str, Any] | None:
    own = a_vmi(found) if found is not None else None
    return start_failure(status={"startFailure": known}, strategy=strategy, vmi=own, now=NOW)


@pytest.mark.parametrize(
    ("before", "seconds"),
    [(0, (10, 15)), (1, (40, 60)), (2, (90, 135)), (3, (160, 240)), (5, (300, 300)), (60, (300, 300))],
)
def test_ten_seconds_times_the_square_of_the_failures_and_up_to_half_more(
    before: int, seconds: tuple[int, int]
) -> None:
    failure = _failure({"consecutiveFailCount": before, "lastFailedVMIUID": "before"}, _failed())
    assert failure is not None
    assert (failure["consecutiveFailCount"], failure["lastFailedVMIUID"]) == (before + 1, VMI_UID)
    retry = parse_time(failure["retryAfterTimestamp"])
    assert retry is not None
    shortest, longest = (later(limit) for limit in seconds)
    assert shortest - timedelta(seconds=1) < retry <= longest, "whole seconds, rounded down"


def test_a_failure_is_counted_once() -> None:
    known = {"consecutiveFailCount": 2, "lastFailedVMIUID": VMI_UID, "retryAfterTimestamp": CREATED}
    assert _failure(known, _failed()) == known


def test_a_guest_that_came_up_ends_the_series() -> None:
    known = {"consecutiveFailCount": 2, "lastFailedVMIUID": "before"}
    assert _failure(known, _failed(came_up=True)) is None
    assert _failure(known, vmi(owner_uid=VM_UID)) is None


@pytest.mark.parametrize(
    ("strategy", "is_kept"),
    [
        (RunStrategy.ALWAYS, True),
        (RunStrategy.RERUN_ON_FAILURE, True),
        (RunStrategy.ONCE, True),
        (RunStrategy.MANUAL, False),
        (RunStrategy.HALTED, False),
    ],
)
def test_only_a_vm_that_is_started_without_being_asked_has_a_series(strategy: RunStrategy, is_kept: bool) -> None:
    assert (_failure({"consecutiveFailCount": 2}, strategy=strategy) is not None) is is_kept


class TestClocks:
    """A clock may be a minute ahead, or in another century: nothing waits longer than the longest back-off."""

    @pytest.mark.parametrize("ahead", [301, 360, 3600, 10**9])
    def test_a_retry_in_the_far_future(self, ahead: float) -> None:
        known = {"consecutiveFailCount": 1, "retryAfterTimestamp": later(ahead).isoformat()}
        assert start_not_before({"startFailure": known}, now=NOW) == later(300)
        corrected = _failure(known)
        assert corrected is not None
        retry = parse_time(corrected["retryAfterTimestamp"])
        assert retry == later(300).replace(microsecond=0), "else every look would move it on"
        assert start_failure(status={"startFailure": corrected}, strategy=ALWAYS, vmi=None, now=later(60)) == corrected

    def test_a_clock_a_minute_ahead_makes_it_a_minute_longer_at_most(self) -> None:
        known = {"consecutiveFailCount": 1, "retryAfterTimestamp": later(75).isoformat()}
        assert start_not_before({"startFailure": known}, now=NOW) == later(75)

    def test_a_clock_a_minute_behind_makes_it_a_minute_shorter(self) -> None:
        known = {"consecutiveFailCount": 1, "retryAfterTimestamp": later(-45).isoformat()}
        moment = start_not_before({"startFailure": known}, now=NOW)
        assert moment is not None
        assert moment < NOW


@pytest.mark.parametrize(
    "known", [None, [], "x", 7, {}, {"retryAfterTimestamp": None}, {"retryAfterTimestamp": "soon"}]
)
def test_what_says_nothing_holds_nothing_up(known: Any) -> None:
    assert start_not_before({"startFailure": known}, now=NOW) is None
    assert _failure(known, _failed()) is not None


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(3, 3), (0, 0), (-4, 0), (10**400, 1_000_000), (None, 0), ("3", 0), (2.5, 0), ([3], 0)],
    ids=lambda value: str(value)[:20],
)
def test_any_number_of_failures(count: Any, wanted: int) -> None:
    assert failed_starts({"consecutiveFailCount": count}) == wanted
    assert _failure({"consecutiveFailCount": count}, _failed()) is not None
