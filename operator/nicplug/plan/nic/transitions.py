"""Transitions of the NICs of a VM: for events, for metrics, and for the summary."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.model.interface_status import has_go_ahead, rows_by_name
from nicplug.model.metadata import mapping, text
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase, OperationType
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.observed import is_of_stray_interface
from nicplug.plan.nic.records import unsettled
from nicplug.plan.outcome import Announcement, Completion, Measure, PathTaken, PhaseLeft, Subject, normal, warning
from nicplug.plan.reasons import Reason

# One event per transition that users need to know: migration started, plugged, unplugged, or stuck.


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions:
    """The records of operations that have ended, successfully or not, or that a migration continues.

    Attributes:
        moved: newly assigned to a migration.
        plugged: new in the guest.
        restored: in the guest, and again in the pod that had lost them.
        linked: their links have been set.
        unplugged: removed from guest and pod; their last records.
        stuck: newly blocked or failed.
    """

    moved: tuple[InterfaceOperation, ...] = ()
    plugged: tuple[InterfaceOperation, ...] = ()
    restored: tuple[InterfaceOperation, ...] = ()
    linked: tuple[InterfaceOperation, ...] = ()
    unplugged: tuple[InterfaceOperation, ...] = ()
    stuck: tuple[InterfaceOperation, ...] = ()


def find_transitions(
    *,
    before: Mapping[str, InterfaceOperation],
    after: Sequence[InterfaceOperation],
    staying: Collection[str],
    is_running: bool,
) -> Transitions:
    """Compare the records.

    Args:
        staying: NICs that are still there: a cancelled unplug leaves no record either.
        is_running: the guest runs; once it has ended, a missing NIC was not unplugged.
    """
    news = [operation for operation in after if operation.is_settled and _is_news(operation, before)]
    ready = [item for item in news if item.phase == OperationPhase.READY and not _was_ready(item, before)]
    restored = tuple(item for item in ready if item.reason == Reason.POD_INTERFACE_RESTORED)
    back = {item.name for item in restored}
    # Their records are not about an arrival.
    born = {item.name for item in ready if item.path == OperationPath.NONE or took_back(item, before.get(item.name))}
    present = {operation.name for operation in after} | set(staying)
    return Transitions(
        moved=tuple(item for item in after if _is_newly_moved(item, before.get(item.name))),
        plugged=tuple(
            item for item in ready if item.operation != OperationType.SET_LINK and item.name not in back | born
        ),
        restored=restored,
        linked=tuple(item for item in ready if item.operation == OperationType.SET_LINK),
        stuck=tuple(item for item in news if item.phase != OperationPhase.READY),
        unplugged=tuple(
            item
            for item in before.values()
            if is_running and item.operation == OperationType.UNPLUG and item.name not in present
        ),
    )


def staying_nics(
    vmi: VirtualMachineInstance, *, rows: Sequence[Mapping[str, Any]], records: Iterable[str]
) -> frozenset[str]:
    """NICs of the spec that guest or pod has. The row of one that has left the spec may be outdated.

    A stray interface was not unplugged from a guest, and may still exist when its record is deleted.
    """
    named = rows_by_name(rows)
    staying = frozenset(item.name for item in vmi.interfaces if has_go_ahead(named.get(item.name)))
    return staying | {name for name in records if is_of_stray_interface(name, vmi)}


def announce(transitions: Transitions, *, why_moved: Mapping[str, str], now: datetime) -> tuple[Announcement, ...]:
    """Return the events, for the VMI and its VM.

    Args:
        why_moved: by NIC, why the VM is migrated for it, if its message says more than that: the migration's obstacle
            may be over by now.
    """
    done = (
        _event(reason, item, f"{item.message}, {seconds_of(item, now):.2f} s after it was asked for")
        for reason, items in (("InterfacePlugged", transitions.plugged), ("InterfaceLinkSet", transitions.linked))
        for item in items
    )
    moved = (_event("InterfaceMigrating", item, why_moved.get(item.name, item.message)) for item in transitions.moved)
    restored = (_event("InterfaceRestored", item, item.sentence) for item in transitions.restored)
    unplugged = (
        normal(Subject.VMI, "InterfaceUnplugged", f'NIC "{item.name}" has left the guest and the pod')
        for item in transitions.unplugged
    )
    stuck = (
        warning(
            Subject.VMI,
            f"Interface{item.phase}",
            f'NIC "{item.name}": {item.sentence}',
            is_urgent=item.reason == Reason.ROLLED_BACK,
        )
        for item in transitions.stuck
    )
    return (*moved, *done, *restored, *unplugged, *stuck)


def _event(reason: str, item: InterfaceOperation, message: str) -> Announcement:
    return normal(Subject.VMI, reason, f'NIC "{item.name}": {message}')


def _is_newly_moved(operation: InterfaceOperation, old: InterfaceOperation | None) -> bool:
    if operation.phase != OperationPhase.MIGRATING:
        return False
    return old is None or old.phase != OperationPhase.MIGRATING or old.migration != operation.migration


def _is_news(operation: InterfaceOperation, before: Mapping[str, InterfaceOperation]) -> bool:
    old = before.get(operation.name)
    new = operation.operation, operation.phase, operation.reason
    return old is None or (old.operation, old.phase, old.reason) != new


def took_back(operation: InterfaceOperation, old: InterfaceOperation | None) -> bool:
    """True if the NIC has the record of its plug again, after another operation on it was abandoned."""
    if old is None or operation.operation != OperationType.PLUG or operation.phase != OperationPhase.READY:
        return False
    return old.operation != operation.operation and old.attached is not None and old.attached == operation.attached


def _was_ready(operation: InterfaceOperation, before: Mapping[str, InterfaceOperation]) -> bool:
    """True if it was Ready before, for another reason: it has not just arrived."""
    old = before.get(operation.name)
    return old is not None and (old.operation, old.phase) == (operation.operation, OperationPhase.READY)


def seconds_of(operation: InterfaceOperation, now: datetime) -> float:
    """Seconds since the operator first observed the request."""
    return max(0.0, (now - operation.start_time).total_seconds())


# Metrics of the NICs, counted once the records of a plan are written.
#
# Only computed when records change: a pass that writes nothing measures nothing.

_Reasons = Mapping[tuple[str, OperationType, OperationPath], Reason]


def measure_nics(
    ended: Transitions,
    *,
    before: Mapping[str, InterfaceOperation],
    after: Sequence[InterfaceOperation],
    reasons: _Reasons,
    now: datetime,
) -> tuple[Measure, ...]:
    """Return all measures of one VMI in one plan."""
    return (
        *(
            Completion(operation=item.operation, path=item.path, seconds=seconds_of(item, now))
            for item in (*ended.plugged, *ended.linked, *ended.unplugged)
        ),
        *(_phase_left(item, "", now=now) for item in ended.unplugged),
        *(item for record in after for item in _moves(record, before.get(record.name), reasons=reasons, now=now)),
    )


def _moves(
    record: InterfaceOperation, old: InterfaceOperation | None, *, reasons: _Reasons, now: datetime
) -> Iterator[Measure]:
    if took_back(record, old):
        return
    if old is not None and old.operation != record.operation:
        old = None  # another operation on this NIC, with times of its own
    if old is None and record.path == OperationPath.NONE and record.phase == OperationPhase.READY:
        return  # a record about a NIC that is already plugged: no wait to measure
    if old is None or old.path != record.path:
        known = reasons.get((record.name, OperationType(record.operation), OperationPath(record.path)))
        yield PathTaken(path=record.path, reason=known or record.reason)
    if old is None and record.phase in _UNDER_WAY:
        # The first written record may be of a NIC that is already in its pod.
        seconds = (record.last_transition_time - record.start_time).total_seconds()
        yield PhaseLeft(path=record.path, phase=OperationPhase.PENDING, seconds=max(0.0, seconds))
    if old is not None and old.phase not in (record.phase, OperationPhase.READY):
        yield _phase_left(old, record.path, now=now)


_UNDER_WAY = frozenset({OperationPhase.IN_POD, OperationPhase.MIGRATING, OperationPhase.IN_GUEST, OperationPhase.READY})


def _phase_left(old: InterfaceOperation, path: str, *, now: datetime) -> PhaseLeft:
    """The phase that a NIC leaves; time without a path counts for the path that is then chosen."""
    taken = path if old.path == OperationPath.NONE and path else old.path
    seconds = (now - old.last_transition_time).total_seconds()
    return PhaseLeft(path=taken, phase=old.phase, seconds=max(0.0, seconds))


# Summary of a VM's NICs for `kubectl get -o wide`: the JSONPath of a column can neither count nor choose.
#
# Not worth a write of its own: it changes with the records, or with the spec that `InterfacesReady` describes.

SUMMARY_MEMBER = "interfaceSummary"
ALL = "all"


def summarise(vmi: VirtualMachineInstance, operations: Sequence[InterfaceOperation]) -> dict[str, str]:
    """Return the numbers of ready and of all NICs, as "3/4", and the first reason why one is not ready.

    Counts the NICs of the spec, and any other with a record: a NIC being unplugged, one of the template alone.

    Args:
        operations: the records of a running guest; it started with a NIC without one, which is ready.
    """
    named = {item.name for item in vmi.interfaces if not item.is_absent} | {item.name for item in operations}
    waiting = unsettled(operations)
    row = {"ready": f"{len(named) - len(waiting)}/{len(named)}"}
    return {**row, "reason": str(waiting[0].reason)} if waiting else row


def mirror_summary(vmi: VirtualMachineInstance) -> dict[str, str] | None:
    """Return the summary for the VM: "all" instead of a number, so that a quick plug causes no write of the VM."""
    row = mapping(vmi.status.members.get(SUMMARY_MEMBER))
    if not (ready := text(row.get("ready"))):
        return None
    reason = text(row.get("reason"))
    return {"ready": ready, "reason": reason} if reason else {"ready": ALL}
