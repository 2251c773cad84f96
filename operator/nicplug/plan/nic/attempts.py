"""Attempts to attach a NIC to a pod: how many there were, when the next one is due, and with which other NICs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from nicplug.model.attachments import AttachmentDefinition
from nicplug.model.networks_annotation import Element
from nicplug.model.operations import InterfaceOperation, OperationType
from nicplug.model.pod_failures import PodFailure
from nicplug.plan.outcome import write_pause
from nicplug.plan.views import VmiView

# The dynamic networks controller tries four times within 35 ms and then falls silent until the annotation's text
# changes (docs/node-simulator.md), so a NIC has to be requested again. Everything here is counted from the NIC's
# record in the object: a restarted operator and a second leader compute the same time.

_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 8, 30, 120))
_LAST_PAUSE = timedelta(minutes=10)
# A controller that has reported nothing has not given up: it is busy, or missing. An earlier retry would only
# lengthen its queue.
_SILENT_PAUSE = timedelta(seconds=8)
# After this many failed attempts, a NIC is suspected of blocking the others, even if no event says so.
_SUSPECT_AFTER = 3

Failures = Mapping[str, PodFailure]
"""The last reported failure, by pod interface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """The attempts at one change.

    Attributes:
        count: number of attempts; 0 before the first one, and after a reset.
        last_at: time of the last attempt.
        generation: the VMI's generation at that time.
        error: the controller's report since then, or an earlier one if nothing has changed.
        is_reset: something has changed since the last attempt, so the next one is due at once.
        is_heard: a controller may be present that observes another attempt. One that starts later lists all pods.
    """

    count: int = 0
    last_at: datetime | None = None
    generation: int = 0
    error: str = ""
    is_reset: bool = False
    is_heard: bool = True

    @property
    def is_suspect(self) -> bool:
        """True if it failed, or might be failing: other NICs must not be requested together with it."""
        return bool(self.error) or self.count >= _SUSPECT_AFTER

    @property
    def due_at(self) -> datetime | None:
        """When the next attempt is due; None before the first one, or while no controller would observe it."""
        if self.last_at is None or not self.is_heard:
            return None
        pause = _PAUSES[self.count - 1] if 0 < self.count <= len(_PAUSES) else _LAST_PAUSE
        return self.last_at + (pause if self.error else max(pause, _SILENT_PAUSE))

    def is_due(self, now: datetime) -> bool:
        """True if the next attempt is due; False before the first one."""
        return self.is_reset or (self.due_at is not None and self.due_at <= now)

    def again(self, *, generation: int, now: datetime) -> "Attempts":
        """Return the attempts with another one, made now."""
        return replace(self, count=self.count + 1, last_at=now, generation=generation, is_reset=False)


def attempts_of(
    record: InterfaceOperation | None,
    *,
    view: VmiView,
    operation: OperationType,
    definition: AttachmentDefinition | None,
    failure: PodFailure | None,
    is_heard: bool = True,
) -> Attempts:
    """Derive the previous attempts from record and events.

    They are reset if the VMI's spec or the network's configuration has changed since the last attempt.

    Args:
        failure: the last one; if it is older than the present spec, it concerns an earlier one.
        is_heard: a controller may be present.
    """
    if record is not None and record.operation == operation and record.is_suspect and record.last_attempt_time is None:
        return Attempts(count=record.attempts, is_reset=True)
    if record is None or record.operation != operation or record.last_attempt_time is None:
        known = failure if failure is not None and failure.heard_at >= view.spec_seen_at else None
        return Attempts(error=known.message if known is not None else "", is_heard=is_heard)
    last_at, generation = record.last_attempt_time, view.vmi.generation
    changed_at = definition.changed_at if definition is not None else None
    if record.observed_generation != generation or (changed_at is not None and changed_at > last_at):
        return Attempts(is_reset=True, is_heard=is_heard)
    is_current = failure is not None and failure.heard_at >= last_at
    error = failure.message if is_current and failure is not None else record.last_error
    return Attempts(count=record.attempts, last_at=last_at, generation=generation, error=error, is_heard=is_heard)


# Selects which of the missing NICs are requested from a pod together.
#
# The dynamic networks controller stops at the first element that fails, and Multus then reverts what the same pass
# had added while network-status keeps it (a phantom: docs/node-simulator.md). So a NIC that fails, or is suspected
# to, is never requested together with others: it waits until the healthy ones have arrived, and several of them take
# turns, each alone.
#
# Each turn is a write of the pod and one of the VMI. If the VMI is large, turns are longer (`plan.outcome`):
# whatever becomes due meanwhile is then requested in one write.

# The controller needs this long to process an annotation before it may be replaced.
_SHORTEST_TURN = timedelta(seconds=2)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingNic:
    """A requested NIC that is not attached.

    Attributes:
        element: its element of the annotation.
        is_asked: the annotation has exactly this element.
        is_lost: the guest has the NIC already, so network-status cannot be verified by its arrival there.
    """

    name: str
    element: Element
    is_asked: bool
    attempts: Attempts
    is_lost: bool = False

    @property
    def is_retried_alone(self) -> bool:
        """True if it must be requested alone; the element of a NIC in the guest is not removed just for that."""
        return self.attempts.is_suspect or (self.is_lost and not self.is_asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The NICs that are requested from the pod in this pass.

    Attributes:
        admitted: the NICs whose element is in the annotation.
        asked: those of them that need a new text, even if their element is there already.
        again_at: when the next turn is due.
    """

    admitted: tuple[WaitingNic, ...]
    asked: frozenset[str]
    again_at: datetime | None


def select_nics_to_ask(waiting: Sequence[WaitingNic], *, removing: bool, stored_bytes: int, now: datetime) -> Turn:
    """Select the NICs that are requested from the pod now.

    Args:
        removing: an attached interface is to be removed, which the controller does only after all additions succeed.
        stored_bytes: the size of a large VMI.
    """
    suspects = [item for item in waiting if item.is_retried_alone]
    pause = write_pause(stored_bytes, nics=len(suspects))
    if not removing and (kept_until := _kept_until(waiting, pause)) is not None and now < kept_until:
        kept = tuple(item for item in waiting if item.is_asked)
        return Turn(admitted=kept, asked=frozenset(), again_at=kept_until)
    healthy = [item for item in waiting if not item.is_retried_alone]
    selected = [] if healthy or removing or not suspects else [_whose_turn(suspects, now)]
    admitted = [item for item in (*healthy, *selected) if item.is_asked or _may_enter(item, now)]
    within = {item.name for item in admitted}
    asked = {item.name for item in admitted if not item.is_asked or item.attempts.is_due(now)}
    moments = [moment for item in waiting if (moment := _next(item, item.name in asked, now)) is not None]
    moments += [_last(item) + _SHORTEST_TURN for item in waiting if item.name not in within or len(suspects) > 1]
    return Turn(
        admitted=tuple(admitted),
        asked=frozenset(asked),
        again_at=min((moment for moment in moments if moment > now), default=None),
    )


def _kept_until(waiting: Sequence[WaitingNic], pause: timedelta) -> datetime | None:
    """Until when the annotation of a large VMI's pod stays unchanged; None if a new or changed NIC takes precedence.

    If NICs fail one after the other, each would otherwise be removed by a write of its own.
    """
    is_changed = any(
        item.attempts.is_reset or (item.attempts.last_at is None and not (item.is_asked or item.is_retried_alone))
        for item in waiting
    )
    if is_changed or not any(item.is_asked for item in waiting):
        return None
    return max(map(_last, waiting)) + pause


def _may_enter(item: WaitingNic, now: datetime) -> bool:
    """True if its turn may begin: rate-limited, so as not to fight another writer that removes elements."""
    return item.attempts.is_reset or now >= _last(item) + _SHORTEST_TURN


def _whose_turn(suspects: Sequence[WaitingNic], now: datetime) -> WaitingNic:
    """The NIC whose turn it is: the longest-waiting one that is due, else the current one."""
    current = next((item for item in suspects if item.is_asked), None)
    if current is None:
        return min(suspects, key=_last)
    if now < _last(current) + _SHORTEST_TURN:
        return current
    return min((item for item in suspects if _may_be_next(item, now)), key=_last, default=current)


def _may_be_next(item: WaitingNic, now: datetime) -> bool:
    return item.attempts.last_at is None or item.attempts.is_due(now)


def _last(item: WaitingNic) -> datetime:
    return item.attempts.last_at or _LONG_AGO


def _next(item: WaitingNic, is_asked_now: bool, now: datetime) -> datetime | None:
    """When its next attempt is due."""
    is_noticed = item.attempts.count == 0
    attempts = item.attempts.again(generation=0, now=now) if is_asked_now or is_noticed else item.attempts
    return attempts.due_at
