"""Which of the NICs that a pod lacks it is asked for together.

The dynamic networks controller stops at the first element that fails, and Multus then takes back what the
same pass had added while network-status keeps it (a phantom: docs/node-simulator.md). So a NIC that fails, or
is suspected to, never travels with others: it waits until the healthy ones have arrived, and several of
them take turns, each alone.

Each turn is a write of the pod and one of the VMI. Where the VMI is large, turns are longer (`plan.pace`): whatever
becomes due meanwhile is then asked for in one write.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nicplug.model.networks_annotation import Element
from nicplug.plan.nic.attempts import Attempts
from nicplug.plan.pace import write_pause

# As long as the controller may need to look at a text before it is replaced by another.
_SHORTEST_TURN = timedelta(seconds=2)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
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
    def is_apart(self) -> bool:
        """It does not travel with others; the element of a NIC in the guest is not taken out for that alone."""
        return self.attempts.is_suspect or (self.is_lost and not self.is_asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Who is asked for.

    Attributes:
        admitted: whose element is in the annotation.
        asked: those of them for whom the text has to change, even if their element is there already.
        again_at: when somebody else's turn comes, or the same one's again.
    """

    admitted: tuple[Waiting, ...]
    asked: frozenset[str]
    again_at: datetime | None


def take_turns(waiting: Sequence[Waiting], *, removing: bool, stored_bytes: int, now: datetime) -> Turn:
    """Decide who is asked for now.

    Args:
        removing: an attached interface is to go: the controller removes nothing before all additions succeed.
        stored_bytes: the size of the VMI, where that is large.
    """
    suspects = [item for item in waiting if item.is_apart]
    pause = write_pause(stored_bytes, nics=len(suspects))
    if not removing and (kept_until := _kept_until(waiting, pause)) is not None and now < kept_until:
        asked_for = tuple(item for item in waiting if item.is_asked)
        return Turn(admitted=asked_for, asked=frozenset(), again_at=kept_until)
    healthy = [item for item in waiting if not item.is_apart]
    seated = [] if healthy or removing or not suspects else [_seated(suspects, now)]
    admitted = [item for item in (*healthy, *seated) if item.is_asked or _may_enter(item, now)]
    within = {item.name for item in admitted}
    asked = {item.name for item in admitted if not item.is_asked or item.attempts.is_due(now)}
    moments = [moment for item in waiting if (moment := _next(item, item.name in asked, now)) is not None]
    moments += [_last(item) + _SHORTEST_TURN for item in waiting if item.name not in within or len(suspects) > 1]
    return Turn(
        admitted=tuple(admitted),
        asked=frozenset(asked),
        again_at=min((moment for moment in moments if moment > now), default=None),
    )


def _kept_until(waiting: Sequence[Waiting], pause: timedelta) -> datetime | None:
    """Until when the pod of a large VMI is asked for nothing else; None where somebody new, or changed, comes first.

    One NIC after the other turns out to fail, and each would be taken out by a write of its own.
    """
    is_changed = any(
        item.attempts.is_anew or (item.attempts.last_at is None and not (item.is_asked or item.is_apart))
        for item in waiting
    )
    if is_changed or not any(item.is_asked for item in waiting):
        return None
    return max(map(_last, waiting)) + pause


def _may_enter(item: Waiting, now: datetime) -> bool:
    """Not sooner than it may be seated again: whoever takes elements out is not fought at full speed."""
    return item.attempts.is_anew or now >= _last(item) + _SHORTEST_TURN


def _seated(suspects: Sequence[Waiting], now: datetime) -> Waiting:
    """The one whose turn it is: who has waited longest among those that are due, else who sits there."""
    occupant = next((item for item in suspects if item.is_asked), None)
    if occupant is None:
        return min(suspects, key=_last)
    if now < _last(occupant) + _SHORTEST_TURN:
        return occupant
    return min((item for item in suspects if _is_in_line(item, now)), key=_last, default=occupant)


def _is_in_line(item: Waiting, now: datetime) -> bool:
    return item.attempts.last_at is None or item.attempts.is_due(now)


def _last(item: Waiting) -> datetime:
    return item.attempts.last_at or _LONG_AGO


def _next(item: Waiting, is_asked_now: bool, now: datetime) -> datetime | None:
    """When it is to be asked again."""
    is_noticed = item.attempts.count == 0
    attempts = item.attempts.again(generation=0, now=now) if is_asked_now or is_noticed else item.attempts
    return attempts.due_at
