"""A keyed work queue: one key is worked on once at a time, and a change during the work repeats it."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

import aiohttp

from nicplug_sandbox.node.api import ApiError
from nicplug_sandbox.node.mirror import Key

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.01
LONGEST_BACKOFF_SECONDS = 5.0
# Being refused is usual where several write one object; so often in a row it is not, and somebody should hear of it.
MANY_REFUSALS = 8

Work = Callable[[Key], Awaitable[float | None]]
"""Works on a key; returns after how many seconds to look again, or None."""


class WorkQueue:
    """Coalesces by key, bounds the concurrency, repeats with back-off what failed."""

    def __init__(
        self,
        *,
        name: str,
        work: Work,
        concurrency: int,
        first_backoff: float = FIRST_BACKOFF_SECONDS,
        longest_backoff: float = LONGEST_BACKOFF_SECONDS,
        is_patient: bool = True,
    ) -> None:
        """`is_patient`: a change that arrives during a failed attempt waits for the back-off, too."""
        self._is_patient = is_patient
        self._first_backoff, self._longest_backoff = first_backoff, longest_backoff
        self._name = name
        self._work = work
        self._free = concurrency
        self._waiting: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._dirty: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._is_closed = False

    def add(self, key: Key, *, after: float = 0.0) -> None:
        """Work on `key` now, or in `after` seconds; an earlier appointment of the same key stays."""
        if self._is_closed:
            return
        if after > 0:
            self._add_later(key, after=after)
        elif key in self._running:
            self._dirty.add(key)
        elif key not in self._queued:
            self._forget_timer(key)
            self._queued.add(key)
            self._waiting.append(key)
            self._start()

    async def close(self) -> None:
        """Cancel everything; nothing begins any more, whatever is added."""
        self._is_closed = True
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._running.values())
        self._waiting.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _add_later(self, key: Key, *, after: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + after
        if (timer := self._timers.get(key)) is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._on_timer, key)

    def _on_timer(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _forget_timer(self, key: Key) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()

    def _start(self) -> None:
        while self._free and self._waiting:
            key = self._waiting.popleft()
            self._queued.discard(key)
            self._free -= 1
            self._running[key] = asyncio.get_running_loop().create_task(self._run(key))

    async def _run(self, key: Key) -> None:
        again: float | None = None
        # What came between the decision to start and the start is covered by this very run.
        self._dirty.discard(key)
        try:
            again = await self._work(key)
            self._failures.pop(key, None)
        except ApiError as error:
            if error.is_gone:
                self._failures.pop(key, None)
            else:
                again = self._back_off(key)
                count = self._failures[key]
                loudness = logging.WARNING if count % MANY_REFUSALS == 0 else logging.DEBUG
                log.log(loudness, "%s: %s: %s; refusal %d in a row, again in %.2f s",
                        self._name, key, error, count, again)  # fmt: skip
        except (aiohttp.ClientError, TimeoutError) as error:
            again = self._back_off(key)
            log.info("%s: %s: no answer (%r), again in %.2f s", self._name, key, error, again)
        except Exception:
            again = self._back_off(key)
            log.exception("%s: %s failed, again in %.2f s", self._name, key, again)
        finally:
            del self._running[key]
            self._free += 1
            if key in self._dirty:
                self._dirty.discard(key)
                # What arrived during a failed attempt must not cut the back-off short for ever.
                waits = self._is_patient and key in self._failures and again
                self.add(key, after=again if waits and again else 0.0)
            elif again is not None:
                self.add(key, after=max(again, 0.001))
            self._start()

    def _back_off(self, key: Key) -> float:
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        return float(min(self._first_backoff * 2 ** min(count, 32), self._longest_backoff))
