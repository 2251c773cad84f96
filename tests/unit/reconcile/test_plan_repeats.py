"""The same plan again and again: free three times, then slower and slower, then forgiven."""

from datetime import UTC, datetime, timedelta

import pytest

from nicplug.model.keys import VmiKey
from nicplug.plan.actions import Delete, Kind
from nicplug.plan.outcome import Plan
from nicplug.reconcile.delays import RetryPolicy
from nicplug.reconcile.memory import Attempt, Memory, PlanRepeats

KEY = VmiKey("default", "a")
PLAN = Plan(actions=(Delete(kind=Kind.VMI, key=KEY, uid="1"),))
OTHER = Plan(actions=(Delete(kind=Kind.VMI, key=KEY, uid="2"),))


class Clock:
    """Stands still unless told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def test_the_fourth_time_waits_a_second_and_every_further_time_twice_as_long() -> None:
    clock = Clock()
    memory = Memory(clock=clock)
    for _ in range(3):
        memory.planned(KEY, PLAN, now=memory.clock())
    for pause in (1, 2, 4, 8, 16, 30, 30):
        with pytest.raises(PlanRepeats, match="default/a") as caught:
            memory.planned(KEY, PLAN, now=memory.clock())
        assert caught.value.after == pytest.approx(pause)
        assert RetryPolicy().delay_seconds(KEY, caught.value) == pytest.approx(pause)
        clock.sleep(pause)
        memory.planned(KEY, PLAN, now=memory.clock())


def test_asking_in_vain_does_not_make_the_wait_longer() -> None:
    clock = Clock()
    memory = Memory(clock=clock)
    for _ in range(3):
        memory.planned(KEY, PLAN, now=memory.clock())
    for _ in range(10):
        with pytest.raises(PlanRepeats):
            memory.planned(KEY, PLAN, now=memory.clock())
    clock.sleep(1)
    memory.planned(KEY, PLAN, now=memory.clock())


def test_looking_done_in_between_is_no_excuse() -> None:
    """Somebody undoes the write: right after it there is nothing to do."""
    memory = Memory(clock=Clock())
    for _ in range(3):
        memory.planned(KEY, PLAN, now=memory.clock())
        memory.planned(KEY, Plan(), now=memory.clock())
    with pytest.raises(PlanRepeats):
        memory.planned(KEY, PLAN, now=memory.clock())


def test_another_plan_begins_to_count_again() -> None:
    memory = Memory(clock=Clock())
    for _ in range(10):
        memory.planned(KEY, PLAN, now=memory.clock())
        memory.planned(KEY, OTHER, now=memory.clock())


def test_what_was_not_carried_out_does_not_count() -> None:
    memory = Memory(clock=Clock())
    for _ in range(10):
        memory.planned(KEY, PLAN, now=memory.clock())
        memory.failed(KEY, Attempt(generation=1, what="creating pod"))


def test_it_is_forgiven_after_two_quiet_minutes() -> None:
    clock = Clock()
    memory = Memory(clock=clock)
    for _ in range(3):
        memory.planned(KEY, PLAN, now=memory.clock())
    clock.sleep(121)
    for _ in range(3):
        memory.planned(KEY, PLAN, now=memory.clock())
