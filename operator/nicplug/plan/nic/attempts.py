"""How often a pod was asked for one change, and when it is asked again.

The dynamic networks controller tries four times within 35 ms and then falls silent until the annotation's
text changes (docs/node-simulator.md), so whoever wants a NIC has to ask again. Everything here is counted from
the NIC's record in the object: a restarted operator and a second leader come to the same moment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from nicplug.model.attachments import AttachmentDefinition
from nicplug.model.operations import InterfaceOperation, OperationType
from nicplug.model.pod_failures import PodFailure

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
        is_anew: something has changed since the last attempt, so the pod is to be asked at once.
        is_heard: a controller may be there that hears of another attempt. One that comes later looks at every pod.
    """

    count: int = 0
    last_at: datetime | None = None
    generation: int = 0
    error: str = ""
    is_anew: bool = False
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
        return self.is_anew or (self.due_at is not None and self.due_at <= now)

    def again(self, *, generation: int, now: datetime) -> "Attempts":
        """One attempt more, made now."""
        return replace(self, count=self.count + 1, last_at=now, generation=generation, is_anew=False)


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
    """What the record and the events tell.

    Begun anew when the VMI's spec or the network's configuration has changed since the last attempt.

    Args:
        seen_at: when the present spec was first seen; older failures are about something else.
        is_heard: a controller may be there.
    """
    if record is not None and record.operation == operation and record.is_suspect and record.last_attempt_time is None:
        return Attempts(count=record.attempts, is_anew=True)
    if record is None or record.operation != operation or record.last_attempt_time is None:
        known = failure if failure is not None and failure.heard_at >= seen_at else None
        return Attempts(error=known.message if known is not None else "", is_heard=is_heard)
    last_at = record.last_attempt_time
    changed_at = definition.changed_at if definition is not None else None
    if record.observed_generation != generation or (changed_at is not None and changed_at > last_at):
        return Attempts(is_anew=True, is_heard=is_heard)
    heard = failure is not None and failure.heard_at >= last_at
    error = failure.message if heard and failure is not None else record.last_error
    return Attempts(count=record.attempts, last_at=last_at, generation=generation, error=error, is_heard=is_heard)
