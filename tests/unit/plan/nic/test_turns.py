"""How often the pod of a large VMI is asked for something else: every write costs in proportion to its size."""

from datetime import datetime
from typing import Any

import pytest
from tests.build import NOW, later

from nicplug.plan.nic.attempts import Attempts, Turn, WaitingNic, select_nics_to_ask
from nicplug.plan.outcome import write_pause

LARGE = 1_300_000
MANY = 20
PAUSE = write_pause(LARGE, nics=MANY).total_seconds()


def failing(name: str, *, at: float, asked: bool = False, count: int = 2) -> WaitingNic:
    """Has failed; asked for the last time then."""
    attempts = Attempts(count=count, last_at=later(at), error="no such bridge")
    return WaitingNic(name=name, element={"interface": name}, is_asked=asked, attempts=attempts)


def hopeful(name: str, *, at: float | None, asked: bool = True, **members: Any) -> WaitingNic:
    """Has not failed; asked for then, or not yet."""
    last_at = later(at) if at is not None else None
    attempts = Attempts(count=int(at is not None), last_at=last_at, **members)
    return WaitingNic(name=name, element={"interface": name}, is_asked=asked, attempts=attempts)


def turn(*waiting: WaitingNic, size: int = LARGE, removing: bool = False, now: datetime = NOW) -> Turn:
    """Whose turn it is."""
    return select_nics_to_ask(waiting, removing=removing, stored_bytes=size, now=now)


def admitted(found: Turn) -> list[str]:
    """The NICs in the annotation."""
    return [item.name for item in found.admitted]


CROWD = [failing(f"f{number}", at=0, asked=True, count=1) for number in range(MANY)]
"""Asked for together, and each said to have failed."""


def test_nics_that_fail_stay_in_the_annotation_of_a_large_vmi_until_its_pause_is_over() -> None:
    """Each that turned out to fail was taken out by a write of its own."""
    early = turn(*CROWD, hopeful("h", at=0), now=later(PAUSE - 1))
    assert admitted(early) == [*(item.name for item in CROWD), "h"]
    assert early.asked == frozenset()
    assert early.again_at == later(PAUSE)
    assert admitted(turn(*CROWD, hopeful("h", at=0), now=later(PAUSE))) == ["h"]


def test_they_make_room_at_once_where_the_vmi_is_ordinary() -> None:
    assert admitted(turn(*CROWD, hopeful("h", at=0), size=0, now=later(0.1))) == ["h"]


def test_a_few_that_fail_make_room_sooner() -> None:
    found = turn(failing("f", at=0, asked=True), hopeful("h", at=0), now=later(0.1))
    assert found.again_at == NOW + write_pause(LARGE, nics=1)


@pytest.mark.parametrize(
    "newcomer",
    [hopeful("new", at=None, asked=False), hopeful("new", at=-1, asked=False, is_reset=True)],
    ids=["new", "changed"],
)
def test_a_nic_that_is_new_or_has_changed_waits_for_none_of_them(newcomer: WaitingNic) -> None:
    found = turn(*CROWD, newcomer, now=later(1))
    assert admitted(found) == ["new"]
    assert found.asked == {"new"}


def test_one_that_is_known_to_fail_and_was_never_asked_for_is_not_new() -> None:
    unasked = WaitingNic(
        name="f", element={"interface": "f"}, is_asked=False, attempts=Attempts(error="no such bridge")
    )
    found = turn(*CROWD, unasked, now=later(3))
    assert admitted(found) == [item.name for item in CROWD]
    assert found.asked == frozenset()


def test_a_removal_does_not_wait_for_them_either() -> None:
    """The controller removes nothing before all additions succeed."""
    assert admitted(turn(*CROWD, removing=True, now=later(1))) == []


def test_what_becomes_due_in_one_turn_is_asked_for_in_one_write() -> None:
    waiting = [hopeful(f"h{number}", at=-9 + number / 10) for number in range(5)]
    found = turn(*CROWD, *waiting, now=later(PAUSE))
    assert found.asked == {item.name for item in waiting}


@pytest.mark.parametrize(("size", "seconds"), [(0, 2.0), (LARGE, PAUSE)])
def test_turns_of_those_that_fail_are_longer_where_the_vmi_is_large(size: int, seconds: float) -> None:
    waiting = [failing(f"f{number}", at=-1000 + number) for number in range(MANY - 1)]
    occupant = failing("occupant", at=0, asked=True)
    early = turn(*waiting, occupant, size=size, now=later(seconds - 0.1))
    assert admitted(early) == ["occupant"]
    assert early.again_at == later(seconds)
    assert admitted(turn(*waiting, occupant, size=size, now=later(seconds))) == ["f0"]
