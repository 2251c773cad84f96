"""What the metrics count of the NICs, once the records of a plan are written.

Pure, and only asked for when records change: a pass that writes nothing measures nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase, OperationType
from nicplug.plan.nic.transitions import Transitions, seconds_of, took_back
from nicplug.plan.outcome import Completion, Measure, PathTaken, PhaseLeft
from nicplug.plan.reasons import Reason

_Reasons = Mapping[tuple[str, OperationType, OperationPath], Reason]


def measure_nics(
    told: Transitions,
    *,
    before: Mapping[str, InterfaceOperation],
    after: Sequence[InterfaceOperation],
    reasons: _Reasons,
    now: datetime,
) -> tuple[Measure, ...]:
    """Everything that is counted of one VMI in one plan.

    Args:
        told: the operations that end with this plan.
        reasons: by which the paths were chosen in this pass.
    """
    return (
        *_completions(told, now=now),
        *(_phase_left(item, "", now=now) for item in told.unplugged),
        *(item for record in after for item in _moves(record, before.get(record.name), reasons=reasons, now=now)),
    )


def _completions(told: Transitions, *, now: datetime) -> Iterator[Completion]:
    for item in (*told.plugged, *told.linked, *told.unplugged):
        yield Completion(operation=item.operation, path=item.path, seconds=seconds_of(item, now))


def _moves(
    record: InterfaceOperation, old: InterfaceOperation | None, *, reasons: _Reasons, now: datetime
) -> Iterator[Measure]:
    if took_back(record, old):
        return
    if old is not None and old.operation != record.operation:
        old = None  # another operation on the same NIC, with times of its own
    if old is None and record.path == OperationPath.NONE and record.phase == OperationPhase.READY:
        return  # a record about a NIC that is there already: nobody has waited for it
    if old is None or old.path != record.path:
        known = reasons.get((record.name, OperationType(record.operation), OperationPath(record.path)))
        yield PathTaken(path=record.path, reason=known or record.reason)
    if old is None and record.phase in _UNDER_WAY:
        # The first record that is written may be of a NIC that is in its pod already.
        seconds = (record.last_transition_time - record.start_time).total_seconds()
        yield PhaseLeft(path=record.path, phase=OperationPhase.PENDING, seconds=max(0.0, seconds))
    if old is not None and old.phase not in (record.phase, OperationPhase.READY):
        yield _phase_left(old, record.path, now=now)


_UNDER_WAY = frozenset({OperationPhase.IN_POD, OperationPhase.MIGRATING, OperationPhase.IN_GUEST, OperationPhase.READY})


def _phase_left(old: InterfaceOperation, path: str, *, now: datetime) -> PhaseLeft:
    """What waited without a path counts for the one that it takes."""
    taken = path if old.path == OperationPath.NONE and path else old.path
    seconds = (now - old.last_transition_time).total_seconds()
    return PhaseLeft(path=taken, phase=old.phase, seconds=max(0.0, seconds))
