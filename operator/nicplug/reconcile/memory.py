"""What a process remembers about a key between two reconciles; losing it costs at most a repetition.

Refusals of the API server, since when a report is withheld, and the last plan, so that a write that
changes nothing cannot be sent for ever. No deadline of a NIC is kept here: those are in the objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nicplug.cache.caches import WorkKey
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal

# The third identical plan in a row means that its writes do not bring about what it wants.
_MAXIMUM_REPEATS = 3


class PlanRepeats(Exception):
    """The same actions were wanted again after they had succeeded: somebody undoes them, or a bug."""


@dataclass(slots=True)
class _Refused:
    refusal: Refusal
    generation: int
    until: datetime


@dataclass(slots=True)
class Memory:
    """Per-key memory of one process."""

    clock: Callable[[], datetime]
    _refused: dict[WorkKey, _Refused] = field(default_factory=dict)
    _pending_since: dict[WorkKey, datetime] = field(default_factory=dict)
    _last: dict[WorkKey, tuple[Plan, int]] = field(default_factory=dict)

    def refuse(self, key: WorkKey, refusal: Refusal, *, generation: int, seconds: float) -> None:
        """Keep what the API server refused, until the spec changes or the time has passed."""
        self._refused[key] = _Refused(refusal, generation, self.clock() + timedelta(seconds=seconds))

    def refusal(self, key: WorkKey, *, generation: int) -> Refusal | None:
        """What was last refused for this generation of the object."""
        known = self._refused.get(key)
        if known is None:
            return None
        if known.generation != generation or self.clock() >= known.until:
            del self._refused[key]
            return None
        return known.refusal

    def refused_until(self, key: WorkKey) -> datetime | None:
        """When the API server is to be asked again."""
        known = self._refused.get(key)
        return known.until if known else None

    def pending_since(self, key: WorkKey) -> datetime | None:
        """Since when a report is withheld."""
        return self._pending_since.get(key)

    def planned(self, key: WorkKey, plan: Plan) -> None:
        """Note a plan before it is carried out.

        Raises:
            PlanRepeats: it is the third in a row with the same actions.
        """
        if plan.withholds_report:
            self._pending_since.setdefault(key, self.clock())
        else:
            self._pending_since.pop(key, None)
        last, times = self._last.get(key, (None, 0))
        times = times + 1 if last is not None and last.actions == plan.actions and plan.actions else 1
        if not plan.actions:
            self._last.pop(key, None)
            return
        self._last[key] = (plan, times)
        if times > _MAXIMUM_REPEATS:
            raise PlanRepeats(f"{key}: the same {len(plan.actions)} actions for the {times}th time in a row")

    def failed(self, key: WorkKey) -> None:
        """The plan was not carried out, so wanting it again proves nothing."""
        self._last.pop(key, None)

    def forget(self, key: WorkKey) -> None:
        """The object is gone."""
        self._refused.pop(key, None)
        self._pending_since.pop(key, None)
        self._last.pop(key, None)
