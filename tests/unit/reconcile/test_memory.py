"""What a process remembers between two looks at a key; of plans that repeat: test_plan_repeats.py."""

from datetime import datetime, timedelta

import pytest
from tests.build import NAME, NAMESPACE, NOW

from nicplug.model.keys import VmiKey
from nicplug.plan.actions import Delete, Kind
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal
from nicplug.reconcile.memory import Attempt, Memory

KEY = VmiKey(NAMESPACE, NAME)
REFUSAL = Refusal(reason="FailedCreate", message="quota")
PLAN = Plan(actions=(Delete(kind=Kind.VMI, key=KEY, uid="a"),))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    return Memory(clock=clock)


def test_a_refusal_holds_until_the_time_has_passed(memory: Memory, clock: Clock) -> None:
    memory.refuse(KEY, REFUSAL, generation=1, seconds=5)
    assert memory.refusal(KEY, generation=1) == REFUSAL
    assert memory.refused_until(KEY) == NOW + timedelta(seconds=5)
    clock.pass_time(5)
    assert memory.refusal(KEY, generation=1) is None
    assert memory.refused_until(KEY) is None


def test_a_refusal_holds_for_one_generation(memory: Memory) -> None:
    memory.refuse(KEY, REFUSAL, generation=1, seconds=600)
    assert memory.refusal(KEY, generation=2) is None


def test_a_withheld_report_counts_from_its_first_notice(memory: Memory, clock: Clock) -> None:
    memory.planned(KEY, Plan(withholds_report=True), now=memory.clock())
    clock.pass_time(0.2)
    memory.planned(KEY, Plan(withholds_report=True), now=memory.clock())
    assert memory.pending_since(KEY) == NOW
    memory.planned(KEY, Plan(), now=memory.clock())
    assert memory.pending_since(KEY) == NOW, "its write may fail"
    memory.carried_out(KEY, Plan())
    assert memory.pending_since(KEY) is None


def test_a_key_that_is_gone_leaves_nothing(memory: Memory) -> None:
    memory.refuse(KEY, REFUSAL, generation=1, seconds=600)
    memory.planned(KEY, Plan(actions=PLAN.actions, withholds_report=True), now=memory.clock())
    memory.failed(KEY, Attempt(generation=4, what="creating pod"))
    memory.forget(KEY)
    assert memory.refusal(KEY, generation=1) is None
    assert memory.refused_until(KEY) is None
    assert memory.pending_since(KEY) is None
    with pytest.raises(KeyError):
        memory.attempt(KEY)
