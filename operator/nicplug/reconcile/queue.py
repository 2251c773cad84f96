"""The work queue: keyed, coalescing, with priorities, delays and one worker per key.

A key that is added while a worker holds it is handed out again when that worker is done, so no event is lost and no
object is reconciled twice at the same time. Source of the semantics: client-go's workqueue and controller-runtime's
priority queue.
"""

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable, Hashable
from enum import IntEnum
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_LONGEST_REST_SECONDS = 300.0
# Rest that a key may owe: a hot-plug is over after a dozen passes, and whatever continues longer is no hot-plug.
_OWED_SECONDS = 4.0


class Priority(IntEnum):
    """Live changes precede the sweep over listed objects: after a restart users do not wait for the sweep."""

    LIVE = 0
    SWEEP = 1


class WorkQueue(Generic[K]):
    """Keys to reconcile; belongs to one event loop.

    Args:
        clock: monotonic seconds; by default the event loop's.
        group_of: returns the group of a key. Resting keys share time with keys of their group, and groups with groups.
    """

    def __init__(
        self, *, clock: Callable[[], float] | None = None, group_of: Callable[[K], Hashable] = lambda _key: None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._ready: dict[Priority, deque[K]] = {priority: deque() for priority in Priority}
        self._queued: dict[K, tuple[Priority, float]] = {}
        self._active: set[K] = set()
        self._again: dict[K, tuple[Priority, float]] = {}
        self._delayed: list[tuple[float, int, K, Priority]] = []
        self._due: dict[K, float] = {}
        self._group_of = group_of
        self._resting: dict[K, float] = {}
        self._order = count()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()
        self._drained.set()
        self._has_swept = False

    def add(self, key: K, *, priority: Priority = Priority.LIVE, delay_seconds: float = 0.0) -> None:
        """Request that the key is handed out, now or after a delay; of several requests the earliest counts."""
        since = self._clock()
        rested_at = self._resting.get(key, since) - _OWED_SECONDS
        if delay_seconds > 0 or rested_at > since:
            self._add_later(key, priority=priority, at=max(since + delay_seconds, rested_at))
            return
        if key in self._active:
            known = self._again.get(key, (priority, since))
            self._again[key] = (min(known[0], priority), known[1])
        else:
            self._push(key, priority=priority, since=since)

    async def get(self) -> K:
        """Return the next key; waits until there is one. Every key must be returned by `done`.

        Hands out one key of the sweep per iteration of the event loop: handling the response to a live change then
        waits for one pass, not for one of each worker.
        """
        while True:
            key = self._pop(Priority.LIVE)
            if key is None and not self._has_swept:
                key = self._pop(Priority.SWEEP)
                if key is not None:
                    self._has_swept = True
                    self._loop.call_soon(self._sweep_on)
            if key is not None:
                self._active.add(key)
                self._drained.clear()
                return key
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _pop(self, priority: Priority) -> K | None:
        keys = self._ready[priority]
        while keys:
            key = keys.popleft()
            # A raised priority leaves a stale entry in the other lane.
            if self._queued.pop(key, None) is not None:
                return key
        return None

    def _sweep_on(self) -> None:
        self._has_swept = False
        if self._ready[Priority.SWEEP]:
            self._wake()

    def done(self, key: K, *, rest_seconds: float = 0.0) -> None:
        """Return a key; it is handed out again if it was added in the meantime.

        Args:
            rest_seconds: rest that the key owes for this pass. It rests once it owes more than a little, and longer if
                other keys rest too: all of them share one part of the time, split equally between their groups.
        """
        self._active.discard(key)
        if not self._active:
            self._drained.set()
        if rest_seconds > 0:
            self._rest(key, rest_seconds)
        if key in self._again:
            priority, since = self._again.pop(key)
            if key in self._resting:
                self.add(key, priority=priority)
            else:
                self._push(key, priority=priority, since=since)

    def depth(self, priority: Priority) -> int:
        """Return the number of keys of that priority that wait for a worker."""
        # A copy: metrics may be read in another thread.
        return sum(1 for known, _ in tuple(self._queued.values()) if known is priority)

    def waiting(self) -> int:
        """Return the number of keys of all priorities that wait for a worker."""
        return len(self._queued)

    def oldest_age_seconds(self) -> float:
        """Return how long the longest-waiting key has waited; 0 if none waits."""
        now = self._clock()
        return max((now - since for _, since in self._queued.values()), default=0.0)

    async def drained(self) -> None:
        """Wait until no worker holds a key."""
        await self._drained.wait()

    def _rest(self, key: K, seconds: float) -> None:
        now = self._clock()
        self._resting = {other: until for other, until in self._resting.items() if until > now}
        begins = self._resting.pop(key, now)
        resting = Counter(self._group_of(other) for other in self._resting)
        own = self._group_of(key)
        resting[own] += 1
        share = resting[own] * len(resting)
        self._resting[key] = begins + min(seconds * share, _LONGEST_REST_SECONDS)

    def _push(self, key: K, *, priority: Priority, since: float) -> None:
        self._due.pop(key, None)
        known = self._queued.get(key)
        if known is not None and known[0] <= priority:
            return
        self._queued[key] = (priority, known[1] if known else since)
        self._ready[priority].append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    def _add_later(self, key: K, *, priority: Priority, at: float) -> None:
        if key in self._queued or self._due.get(key, at + 1) <= at:
            return
        self._due[key] = at
        heapq.heappush(self._delayed, (at, next(self._order), key, priority))
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            self._timer = self._loop.call_later(max(0.0, self._delayed[0][0] - self._clock()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            at, _, key, priority = heapq.heappop(self._delayed)
            # An earlier request has overtaken a later one, or the key has been handed out since.
            if self._due.get(key) == at:
                del self._due[key]
                self.add(key, priority=priority)
        self._arm()
