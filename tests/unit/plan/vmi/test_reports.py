"""What of a VMI's status may wait, and how long: an ordinary VMI as ever, a large one in proportion."""

from datetime import timedelta

import pytest
from tests.build import operation

from nicplug.model.operations import parse_operations
from nicplug.plan.nic.transitions import Transitions
from nicplug.plan.outcome import write_pause
from nicplug.plan.views import PlanSettings
from nicplug.plan.vmi.vmi_status import is_awaited, report_delay

LARGE = 1_300_000
SETTINGS = PlanSettings()
BLUE = tuple(parse_operations([operation("blue")]).values())
READY = tuple(parse_operations([operation("blue", phase="Ready", reason="Attached")]).values())
MANY = tuple(parse_operations([operation(f"nic-{number}") for number in range(20)]).values())


def _delay(stored_bytes: int, *, before: tuple[str, ...], after: tuple[object, ...]) -> timedelta:
    known = parse_operations([operation(name) for name in before])
    return report_delay(before=known, after=after, stored_bytes=stored_bytes, settings=SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stored_bytes", "before", "after", "delay"),
    [
        pytest.param(0, (), BLUE, SETTINGS.first_report_delay, id="the first word, ordinary"),
        pytest.param(0, ("blue",), BLUE, SETTINGS.report_delay, id="progress, ordinary"),
        pytest.param(LARGE, (), BLUE, SETTINGS.first_report_delay, id="the first word of one NIC, large"),
        pytest.param(LARGE, (), MANY, timedelta(0), id="of many NICs, large: their turns are counted from it"),
        pytest.param(LARGE, ("blue",), BLUE, write_pause(LARGE, nics=1), id="progress of one NIC, large"),
        pytest.param(
            LARGE, tuple(item.name for item in MANY), MANY, write_pause(LARGE, nics=20), id="of many NICs, large"
        ),
        pytest.param(LARGE, ("blue",), READY, SETTINGS.report_delay, id="nothing is under way, large"),
    ],
)
def test_how_long_a_report_waits(
    stored_bytes: int, before: tuple[str, ...], after: tuple[object, ...], delay: timedelta
) -> None:
    assert _delay(stored_bytes, before=before, after=after) == delay


@pytest.mark.parametrize("stored_bytes", [0, LARGE])
@pytest.mark.parametrize("kind", ["moved", "plugged", "restored", "linked", "unplugged"])
def test_an_end_that_is_awaited_is_reported_at_once_however_large_the_vmi(kind: str, stored_bytes: int) -> None:
    assert is_awaited(Transitions(**{kind: BLUE}), stored_bytes=stored_bytes)


def test_a_failure_is_reported_at_once_where_the_vmi_is_ordinary() -> None:
    assert is_awaited(Transitions(stuck=BLUE), stored_bytes=0)


def test_a_failure_waits_for_others_where_the_vmi_is_large() -> None:
    """Of 255 NICs each wrote a megabyte of its own."""
    assert not is_awaited(Transitions(stuck=BLUE), stored_bytes=LARGE)
    assert not is_awaited(Transitions(), stored_bytes=0)
