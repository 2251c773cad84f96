"""How long a report in a VMI's status may wait, and what may not wait (docs/adr/0006, docs/adr/0024)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from nicplug.model.operations import InterfaceOperation, OperationPhase
from nicplug.plan.nic.transitions import Transitions
from nicplug.plan.pace import write_pause
from nicplug.plan.views import PlanSettings


def report_delay(
    *,
    before: Mapping[str, InterfaceOperation],
    after: Sequence[InterfaceOperation],
    stored_bytes: int,
    settings: PlanSettings,
) -> timedelta:
    """How long a report waits for company; the first one about an operation is never late, however much there is to do.

    Args:
        before: the records as they are.
        after: the records as they shall be.
        stored_bytes: the size of the VMI, where that is large.
    """
    known = {(item.name, item.operation) for item in before.values()}
    unsettled = sum(item.phase != OperationPhase.READY for item in after)
    pause = write_pause(stored_bytes, nics=unsettled)
    if any((item.name, item.operation) not in known for item in after):
        # The next turn of several NICs of a large VMI is counted from their records (`plan.nic.turns`).
        return timedelta(0) if pause and unsettled > 1 else settings.first_report_delay
    return max(settings.report_delay, pause)


def is_awaited(transitions: Transitions, *, stored_bytes: int) -> bool:
    """Somebody waits to hear of it. Where each write is dear, a NIC that fails waits for others that do."""
    is_dear = bool(write_pause(stored_bytes, nics=1))
    return bool(replace(transitions, stuck=()) if is_dear else transitions)
