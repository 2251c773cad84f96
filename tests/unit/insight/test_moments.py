"""The order of causes."""

from dataclasses import fields

import pytest
from tests.build import NOW, operation

from nicplug.insight.moments import RECORDED, place_of_event
from nicplug.model.operations import parse_operations
from nicplug.plan.nic.transitions import Transitions, announce
from nicplug.plan.outcome import Severity


@pytest.mark.parametrize("transition", [item.name for item in fields(Transitions)])
def test_each_event_about_progress_of_a_nic_has_a_place(transition: str) -> None:
    """The planner's reasons and the places are in two lists."""
    [record] = parse_operations([operation("blue")]).values()
    [event] = announce(Transitions(**{transition: (record,)}), why_moved={}, now=NOW)
    is_progress = event.severity is Severity.NORMAL
    assert is_progress is (transition != "stuck")
    place = place_of_event(str(event.reason))
    assert (place is not None) is is_progress
    assert (place == RECORDED) is (transition == "moved")
