"""The typed status of a record: parsed on first use, shared by all who read the same text."""

from datetime import timedelta
from typing import Any

import pytest
from tests.build import NOW, Json, a_vmi, nic, operation, primary, row, vmi

from nicplug.model.conditions import READY, Condition, Status
from nicplug.model.per_pass import planning_pass
from nicplug.model.times import format_micro_time

_LARGE = {"type": "Large", "status": "True", "message": "x" * 20_000}


def status(**members: Any) -> Status:
    return Status(members)


def test_of_two_conditions_of_a_type_the_first_counts() -> None:
    rows = [{"type": READY, "status": "True"}, {"type": READY, "status": "False"}]
    assert status(conditions=rows).is_true(READY)


def test_a_condition_that_is_missing_has_no_status() -> None:
    assert status(conditions="none").condition(READY) == Condition(type=READY, status="")
    assert not status().is_true(READY)


def test_a_condition_keeps_the_members_that_others_do_not_have() -> None:
    written = {"type": READY, "status": "True", "observedGeneration": 3, "lastTransitionTime": "t", "pod": "uid"}
    found = status(conditions=[written]).condition(READY)
    assert (found.observed_generation, found.since, found.members) == (3, "t", {"pod": "uid"})


def test_of_two_timestamps_of_a_phase_the_first_counts() -> None:
    times = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z")
    rows = [{"phase": "Running", "phaseTransitionTimestamp": time} for time in times]
    found = status(phaseTransitionTimestamps=[*rows, {"phase": "Failed", "phaseTransitionTimestamp": 7}, None])
    assert found.phase_times["Failed"] is None
    assert found.phase_times["Running"] is not None
    assert found.phase_times["Running"].second == 5


def test_a_change_elsewhere_leaves_the_parsed_status() -> None:
    before, after = vmi(primary(), rows=[row("a", "domain")]), vmi(primary(), nic("b"), rows=[row("a", "domain")])
    assert a_vmi(before).status is a_vmi(after).status
    assert a_vmi(before).status is not a_vmi(vmi(primary(), rows=[])).status


def test_a_large_status_is_parsed_once_in_a_pass_and_not_kept() -> None:
    record = a_vmi(vmi(primary(), conditions=[_LARGE]))
    with planning_pass():
        assert record.status is record.status
    assert record.status is not record.status


@pytest.mark.parametrize("member", ["startTime", "lastTransitionTime", "lastAttemptTime", "waitingSince"])
def test_a_time_in_the_future_is_now(member: str) -> None:
    """A deadline that counts from it would be as far in the future."""
    written: Json = {**operation("blue"), member: format_micro_time(NOW + timedelta(days=1))}
    found = a_vmi(vmi(operations=[written])).status.records(now=NOW)["blue"]
    times = (found.start_time, found.last_transition_time, found.last_attempt_time, found.waiting_since)
    assert NOW in times
    assert all(time is None or time <= NOW for time in times)


def test_a_time_that_was_removed_is_now() -> None:
    written = {name: value for name, value in operation("blue").items() if name != "startTime"}
    assert a_vmi(vmi(operations=[written])).status.records(now=NOW)["blue"].start_time == NOW
