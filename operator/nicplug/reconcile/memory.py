"""What a process remembers about a key between reconciliations; losing it costs at most a repetition.

Holds refusals of the API server, the start of a withheld report, writes that a plan leaves for afterwards, and the
last plan, so that a write without effect is not repeated indefinitely. Holds no deadline of a NIC: those are in the
objects.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nicplug.model.keys import WorkKey
from nicplug.plan.actions import Action
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal

# A plan repeated more often than this does not achieve its goal: its writes are then delayed with exponential back-off,
# until the plan has not recurred for a while.
_FREE_REPEATS = 3
_REPEAT_CAP_SECONDS = 30.0
_REPEATS_FORGOTTEN_AFTER = timedelta(minutes=2)
# Until the earlier writes have been observed, with the writes that they trigger: the API server handles one write after
# the other faster than two at once (docs/performance.md).
_AFTERWARDS = timedelta(milliseconds=10)
# If the process has lost its leadership in the meantime.
_AFTERWARDS_FORGOTTEN_AFTER = timedelta(seconds=1)


class PlanRepeats(Exception):
    """The planner repeats actions that have succeeded: another client reverts them, or there is a bug.

    Attributes:
        after: seconds until they may be executed again.
    """

    def __init__(self, message: str, *, after: float) -> None:
        super().__init__(message)
        self.after = after


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A plan that failed.

    Attributes:
        generation: generation of the object that it was made for.
        what: the failed action, for messages: "creating pod".
        requests: the requests for NICs that were permanently refused, as JSON; "" for none.
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
        """Return how long the same actions must wait, in seconds."""
        if self.times < _FREE_REPEATS:
            return 0.0
        pause = min(2.0 ** min(self.times - _FREE_REPEATS, 30), _REPEAT_CAP_SECONDS)
        return pause - (now - self.last_at).total_seconds()


@dataclass(slots=True)
class Memory:
    """Per-key memory of one process."""

    clock: Callable[[], datetime]
    _refused: dict[WorkKey, _Refused] = field(default_factory=dict)
    _announced: dict[WorkKey, tuple[Refusal, int]] = field(default_factory=dict)
    _pending_since: dict[WorkKey, datetime] = field(default_factory=dict)
    _last: dict[WorkKey, _Planned] = field(default_factory=dict)
    _attempts: dict[WorkKey, Attempt] = field(default_factory=dict)
    _afterwards: dict[WorkKey, tuple[Plan, datetime]] = field(default_factory=dict)

    def refuse(self, key: WorkKey, refusal: Refusal, *, generation: int, seconds: float) -> None:
        """Keep a refusal until the spec changes or the time has passed."""
        self._refused[key] = _Refused(refusal, generation, self.clock() + timedelta(seconds=seconds))

    def refusal(self, key: WorkKey, *, generation: int) -> Refusal | None:
        """Return the current refusal for this generation of the object."""
        known = self._refused.get(key)
        if known is None:
            return None
        if known.generation != generation or self.clock() >= known.until:
            del self._refused[key]
            return None
        return known.refusal

    def announces(self, key: WorkKey, refusal: Refusal, *, generation: int) -> bool:
        """Report whether a refusal is to be announced, and remember that it is: once, however often it is retried."""
        is_news = self._announced.get(key) != (refusal, generation)
        self._announced[key] = (refusal, generation)
        return is_news

    def refused_until(self, key: WorkKey) -> datetime | None:
        """Return when to retry what the API server refused."""
        known = self._refused.get(key)
        return known.until if known else None

    def forget_refusal(self, key: WorkKey) -> None:
        """Forget a refusal: it may no longer apply."""
        self._refused.pop(key, None)

    def pending_since(self, key: WorkKey) -> datetime | None:
        """Return since when a report has been withheld."""
        return self._pending_since.get(key)

    def planned(self, key: WorkKey, plan: Plan, *, now: datetime) -> None:
        """Record a plan before its execution.

        Args:
            now: the time it was planned for; the delay of a withheld report counts from then.

        Raises:
            PlanRepeats: its actions were executed repeatedly in the last minutes, and must wait.
        """
        if plan.withholds_report:
            self._pending_since.setdefault(key, now)
        if not plan.actions:
            # Keep the last plan: if another client reverts its writes, the object looks done in between.
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
        """Return when the writes that a plan left for afterwards are due; None if there are none."""
        owed = self._afterwards.get(key)
        if owed is not None and self.clock() > owed[1] + _AFTERWARDS_FORGOTTEN_AFTER:
            del self._afterwards[key]
            return None
        return owed[1] if owed is not None else None

    def take_owed(self, key: WorkKey) -> Plan | None:
        """Remove and return these writes, for the caller to send; None if there are none."""
        owed = self._afterwards.pop(key, None)
        return owed[0] if owed is not None else None

    def carried_out(self, key: WorkKey, plan: Plan) -> None:
        """Record a successful plan, with its report; a report whose write fails stays due."""
        if key not in self._refused:
            self._announced.pop(key, None)
        if plan.afterwards:
            self._afterwards[key] = (Plan(actions=plan.afterwards), self.clock() + _AFTERWARDS)
        if not plan.withholds_report:
            self._pending_since.pop(key, None)

    def failed(self, key: WorkKey, attempt: Attempt) -> None:
        """Record a failed plan: if it recurs, that is no repetition."""
        self._last.pop(key, None)
        self._attempts[key] = attempt

    def put_off(self, key: WorkKey) -> None:
        """Record that the plan waits for its turn: if it recurs then, that is no repetition."""
        last = self._last.get(key)
        if last is not None:
            last.times -= 1
            if not last.times:
                del self._last[key]

    def attempt(self, key: WorkKey) -> Attempt:
        """Return the last failed plan."""
        return self._attempts[key]

    def forget(self, key: WorkKey) -> None:
        """Forget a deleted object."""
        self._afterwards.pop(key, None)
        self._attempts.pop(key, None)
        self._refused.pop(key, None)
        self._announced.pop(key, None)
        self._pending_since.pop(key, None)
        self._last.pop(key, None)
