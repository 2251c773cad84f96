"""How often a pod was asked for a NIC, when it is asked again, and with which others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from nicplug.model.attachments import AttachmentDefinition
from nicplug.model.networks_annotation import Element
from nicplug.model.operations import InterfaceOperation, OperationType
from nicplug.model.pod_failures import PodFailure
from nicplug.plan.outcome import write_pause

# How often a pod was asked for one change, and when it is asked again.
#
# The dynamic networks controller tries four times within 35 ms and then falls silent until the annotation's text
# changes (docs/node-simulator.md), so whoever wants a NIC has to ask again. Everything here is counted from the NIC's
# record in the object: a restarted operator and a second leader come to the same moment.

_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 8, 30, 120))
_LAST_PAUSE = timedelta(minutes=10)
# A controller that has said nothing has not given up: it is busy, or not there. Asking it sooner only makes
# its queue longer.
_SILENT_PAUSE = timedelta(seconds=8)
# A NIC that was not attached by so many attempts may be what holds up the others, even if no event says so.
_SUSPECT_AFTER = 3

Failures = Mapping[str, PodFailure]
"""What was last said to have failed, by pod interface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """The attempts at one change.

    Attributes:
        count: how often the pod was asked; 0: not yet, or everything was begun anew.
        last_at: when last.
        generation: of the VMI, then.
        error: what the controller said since then, or before when nothing has changed.
        is_reset: something has changed since the last attempt, so the pod is to be asked at once.
        is_heard: a controller may be there that hears of another attempt. One that comes later looks at every pod.
    """

    count: int = 0
    last_at: datetime | None = None
    generation: int = 0
    error: str = ""
    is_reset: bool = False
    is_heard: bool = True

    @property
    def is_suspect(self) -> bool:
        """It failed, or might be failing: others must not be asked for together with it."""
        return bool(self.error) or self.count >= _SUSPECT_AFTER

    @property
    def due_at(self) -> datetime | None:
        """When the pod is to be asked again; None before the first time, or while nobody would hear."""
        if self.last_at is None or not self.is_heard:
            return None
        pause = _PAUSES[self.count - 1] if 0 < self.count <= len(_PAUSES) else _LAST_PAUSE
        return self.last_at + (pause if self.error else max(pause, _SILENT_PAUSE))

    def is_due(self, now: datetime) -> bool:
        """It is time to ask again; never before the first time."""
        return self.is_reset or (self.due_at is not None and self.due_at <= now)

    def again(self, *, generation: int, now: datetime) -> "Attempts":
        """One attempt more, made now."""
        return replace(self, count=self.count + 1, last_at=now, generation=generation, is_reset=False)


def attempts_of(
    record: InterfaceOperation | None,
    *,
    operation: OperationType,
    generation: int,
    definition: AttachmentDefinition | None,
    failure: PodFailure | None,
    seen_at: datetime,
    is_heard: bool = True,
) -> Attempts:
    """The attempts so far, by record and events.

    Begun anew when the VMI's spec or the network's configuration has changed since the last attempt.

    Args:
        seen_at: when the present spec was first seen; older failures are about something else.
        is_heard: a controller may be there.
    """
    if record is not None and record.operation == operation and record.is_suspect and record.last_attempt_time is None:
        return Attempts(count=record.attempts, is_reset=True)
    if record is None or record.operation != operation or record.last_attempt_time is None:
        known = failure if failure is not None and failure.heard_at >= seen_at else None
        return Attempts(error=known.message if known is not None else "", is_heard=is_heard)
    last_at = record.last_attempt_time
    changed_at = definition.changed_at if definition is not None else None
    if record.observed_generation != generation or (changed_at is not None and changed_at > last_at):
        return Attempts(is_reset=True, is_heard=is_heard)
    is_current = failure is not None and failure.heard_at >= last_at
    error = failure.message if is_current and failure is not None else record.last_error
    return Attempts(count=record.attempts, last_at=last_at, generation=generation, error=error, is_heard=is_heard)


# Which of the NICs that a pod lacks it is asked for together.
#
# The dynamic networks controller stops at the first element that fails, and Multus then takes back what the same pass
# had added while network-status keeps it (a phantom: docs/node-simulator.md). So a NIC that fails, or is suspected
# to, never travels with others: it waits until the healthy ones have arrived, and several of them take turns, each
# alone.
#
# Each turn is a write of the pod and one of the VMI. Where the VMI is large, turns are longer (`plan.outcome`):
# whatever becomes due meanwhile is then asked for in one write.

# As long as the controller may need to look at a text before it is replaced by another.
_SHORTEST_TURN = timedelta(seconds=2)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingNic:
    """A NIC that is wanted and not attached.

    Attributes:
        element: what to ask for.
        is_asked: the annotation has just this element.
        is_lost: the guest has the NIC already, so that nobody could tell whether network-status lists it rightly.
    """

    name: str
    element: Element
    is_asked: bool
    attempts: Attempts
    is_lost: bool = False

    @property
    def is_retried_alone(self) -> bool:
        """It does not travel with others; the element of a NIC in the guest is not taken out for that alone."""
        return self.attempts.is_suspect or (self.is_lost and not self.is_asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The NICs that the pod is asked for in this pass.

    Attributes:
        admitted: whose element is in the annotation.
        asked: those of them for whom the text has to change, even if their element is there already.
        again_at: when somebody else's turn comes, or the same one's again.
    """

    admitted: tuple[WaitingNic, ...]
    asked: frozenset[str]
    again_at: datetime | None


def select_nics_to_ask(waiting: Sequence[WaitingNic], *, removing: bool, stored_bytes: int, now: datetime) -> Turn:
    """Select the NICs that the pod is asked for now.

    Args:
        removing: an attached interface is to go: the controller removes nothing before all additions succeed.
        stored_bytes: the size of the VMI, where that is large.
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
    """Until when the pod of a large VMI is asked for nothing else; None where somebody new, or changed, comes first.

    One NIC after the other turns out to fail, and each would be taken out by a write of its own.
    """
    is_changed = any(
        item.attempts.is_reset or (item.attempts.last_at is None and not (item.is_asked or item.is_retried_alone))
        for item in waiting
    )
    if is_changed or not any(item.is_asked for item in waiting):
        return None
    return max(map(_last, waiting)) + pause


def _may_enter(item: WaitingNic, now: datetime) -> bool:
    """True if its turn may begin: never at full speed, which would fight anyone who removes elements."""
    return item.attempts.is_reset or now >= _last(item) + _SHORTEST_TURN


def _whose_turn(suspects: Sequence[WaitingNic], now: datetime) -> WaitingNic:
    """The one whose turn it is: who has waited longest among those that are due, else who sits there."""
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
    """When it is to be asked again."""
    is_noticed = item.attempts.count == 0
    attempts = item.attempts.again(generation=0, now=now) if is_asked_now or is_noticed else item.attempts
    return attempts.due_at
