"""Forecasts the NICs of a running guest from the records of its next pass. Pure except for the evidence."""

from collections.abc import Iterable
from datetime import datetime

from nicplug.insight.evidence import Evidence
from nicplug.insight.known import networks_of
from nicplug.insight.next_pass import Foreseen
from nicplug.insight.outcome import NicForecast, Otherwise, Outcome
from nicplug.insight.slots import with_doubt
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase
from nicplug.plan.nic.pci_slots import PciSlots

_CANNOT = frozenset({OperationPhase.BLOCKED, OperationPhase.FAILED})


def running_nics(
    evidence: Evidence,
    before: Foreseen,
    after: Foreseen,
    later: tuple[datetime, Foreseen] | None,
    *,
    unchanged: Foreseen,
    slots: PciSlots,
    now: datetime,
) -> Iterable[NicForecast]:
    """Yield those that something would happen to: new records, changed ones, and those that are already requested."""
    known = {item.name: item for item in before.operations}
    requested = {item.name: (item.operation, item.reason) for item in unchanged.operations}
    networks = networks_of(evidence)
    for item in after.operations:
        old = known.get(item.name)
        if item.phase == OperationPhase.READY and old is not None and old.phase == OperationPhase.READY:
            continue
        network, binding = networks.get(item.name, ("", ""))
        yield NicForecast(
            name=item.name,
            operation=str(item.operation),
            network=network,
            binding=binding,
            outcome=_outcome(item),
            path=str(item.path),
            phase=str(item.phase),
            reason=str(item.reason),
            message=with_doubt(item, slots),
            remedy=item.remedy,
            evidence=after.evidence.get(item.name),
            otherwise=_otherwise(item, later, now=now),
            is_affected=requested.get(item.name) != (item.operation, item.reason),
        )


def _outcome(item: InterfaceOperation) -> Outcome:
    if item.phase == OperationPhase.READY:
        return Outcome.READY
    if item.path == OperationPath.RESTART:
        return Outcome.NEEDS_RESTART
    if item.phase in _CANNOT or item.path == OperationPath.NONE:
        return Outcome.STUCK
    return Outcome.IN_PLACE if item.path == OperationPath.DYNAMIC else Outcome.BY_MIGRATION


def _otherwise(item: InterfaceOperation, later: tuple[datetime, Foreseen] | None, *, now: datetime) -> Otherwise | None:
    if later is None or item.path != OperationPath.DYNAMIC or item.is_settled:
        return None
    deadline, foreseen = later
    then = next((other for other in foreseen.operations if other.name == item.name), None)
    if then is None or (then.path, then.reason) == (item.path, item.reason):
        return None
    return Otherwise(
        after=deadline - now,
        outcome=_outcome(then),
        reason=str(then.reason),
        message=then.message,
        remedy=then.remedy,
    )
