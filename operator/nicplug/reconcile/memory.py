"""What a process remembers about a key between two reconciles; losing it costs at most a repetition.

Refusals of the API server, since when a report is withheld, what a plan has left for afterwards, and the last plan, so
that a write that changes nothing cannot be sent indefinitely. No deadline of a NIC is kept here: those are in the
objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nicplug.model.keys import WorkKey
from nicplug.plan.actions import Action
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal

# A plan that is wanted once more after so many times does not bring about what it wants: from then on its
# writes wait for each other, twice as long every time, until it has not been wanted for a while.
_FREE_REPEATS = 3
_REPEAT_CAP_SECONDS = 30.0
_REPEATS_FORGOTTEN_AFTER = timedelta(minutes=2)
# Until the writes before have been seen, and what they set off has been written: the API server serves one at a time
# sooner than two (docs/performance.md).
_AFTERWARDS = timedelta(milliseconds=10)
# Of a process that has lost its lead meanwhile.
_AFTERWARDS_FORGOTTEN_AFTER = timedelta(seconds=1)


class PlanRepeats(Exception):
    """The same actions were wanted again after they had succeeded: somebody undoes them, or a bug.

    Attributes:
        after: seconds after which they may be carried out once more.
    """

    def __init__(self, message: str, *, after: float) -> None:
        super().__init__(message)
        self.after = after


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A plan that was not carried out.

    Attributes:
        generation: of the object that it was made for.
        what: the action that failed, for people: "creating pod".
        requests: the requests for NICs that were refused for good, as JSON; "" where none were.
    """

    generation: int
    what: str
    requests: str = ""


@dataclass(slots=True)
class _Refused:
    refusal: Refusal
    generation: int
    until: datetime


@dataclass(slots=True)
class _Planned:
    actions: tuple[Action, ...]
    times: int
    last_at: datetime

    def pause_seconds(self, now: datetime) -> float:
        """How long the same actions have to wait for their turn."""
        if self.times < _FREE_REPEATS:
            return 0.0
        pause = min(2.0 ** min(self.times - _FREE_REPEATS, 30), _REPEAT_CAP_SECONDS)
        return pause - (now - self.last_at).total_seconds()


@dataclass(slots=True)
class Memory:
    """Per-key memory of one process."""

    clock: Callable[[], datetime]
    _refused: dict[WorkKey, _Refused] = field(default_factory=dict)
    _pending_since: dict[WorkKey, datetime] = field(default_factory=dict)
    _last: dict[WorkKey, _Planned] = field(default_factory=dict)
    _attempts: dict[WorkKey, Attempt] = field(default_factory=dict)
    _afterwards: dict[WorkKey, tuple[Plan, datetime]] = field(default_factory=dict)

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

    def forget_refusal(self, key: WorkKey) -> None:
        """What was refused may be allowed by now."""
        self._refused.pop(key, None)

    def pending_since(self, key: WorkKey) -> datetime | None:
        """Since when a report is withheld."""
        return self._pending_since.get(key)

    def planned(self, key: WorkKey, plan: Plan, *, now: datetime) -> None:
        """Note a plan before it is carried out.

        Args:
            now: as it was planned for: a report that it withholds is due so long after this moment, and not later.

        Raises:
            PlanRepeats: its actions were carried out again and again of late, and have to wait.
        """
        if plan.withholds_report:
            self._pending_since.setdefault(key, now)
        if not plan.actions:
            # Not forgotten: what somebody undoes looks done in between.
            return
        last = self._last.get(key)
        if last is None or last.actions != plan.actions or now - last.last_at > _REPEATS_FORGOTTEN_AFTER:
            self._last[key] = _Planned(plan.actions, 1, now)
            return
        if (pause := last.pause_seconds(now)) > 0:
            actions = f"{len(plan.actions)} actions"
            raise PlanRepeats(f"{key}: the same {actions} are wanted again after {last.times} times", after=pause)
        last.times, last.last_at = last.times + 1, now

    def owed_at(self, key: WorkKey) -> datetime | None:
        """When the writes are due that a plan has left for afterwards; None when there are none."""
        owed = self._afterwards.get(key)
        if owed is not None and self.clock() > owed[1] + _AFTERWARDS_FORGOTTEN_AFTER:
            del self._afterwards[key]
            return None
        return owed[1] if owed is not None else None

    def take_owed(self, key: WorkKey) -> Plan | None:
        """These writes, for the caller to send; None when there are none."""
        owed = self._afterwards.pop(key, None)
        return owed[0] if owed is not None else None

    def carried_out(self, key: WorkKey, plan: Plan) -> None:
        """What it had to report has been written; a report whose write fails stays due."""
        if plan.afterwards:
            self._afterwards[key] = (Plan(actions=plan.afterwards), self.clock() + _AFTERWARDS)
        if not plan.withholds_report:
            self._pending_since.pop(key, None)

    def failed(self, key: WorkKey, attempt: Attempt) -> None:
        """The plan was not carried out, so wanting it again proves nothing."""
        self._last.pop(key, None)
        self._attempts[key] = attempt

    def put_off(self, key: WorkKey) -> None:
        """The plan waits for its turn: wanting it again then is no repetition."""
        last = self._last.get(key)
        if last is not None:
            last.times -= 1
            if not last.times:
                del self._last[key]

    def attempt(self, key: WorkKey) -> Attempt:
        """What failed last."""
        return self._attempts[key]

    def forget(self, key: WorkKey) -> None:
        """The object is gone."""
        self._afterwards.pop(key, None)
        self._attempts.pop(key, None)
        self._refused.pop(key, None)
        self._pending_since.pop(key, None)
        self._last.pop(key, None)
