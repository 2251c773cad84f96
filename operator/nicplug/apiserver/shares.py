"""Fairness between users: a limit on each user's requests in flight, and round-robin between users who wait."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class UnderWay:
    """Counts requests in flight, in total and per user.

    Attributes:
        most: limit in total.
        of_one: limit per user.
    """

    most: int
    of_one: int
    total: int = 0
    _by_user: Counter[str] = field(default_factory=Counter)

    def has_room(self, user: str) -> bool:
        """Report whether another request of the user may begin."""
        return self.total < self.most and self._by_user[user] < self.of_one

    @contextmanager
    def count(self, user: str) -> Iterator[None]:
        """Count a request until it is answered."""
        self.total += 1
        self._by_user[user] += 1
        try:
            yield
        finally:
            self.total -= 1
            self._by_user[user] -= 1
            if not self._by_user[user]:
                del self._by_user[user]


class RoundRobin:
    """Limits concurrent execution. A free slot goes to the next user, not to the next request.

    A user who sends two hundred requests delays only their own.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, user: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        await self._enter(user)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, user: str) -> None:
        if self._free:
            self._free -= 1
            return
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(given)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():
                self._leave()
            else:
                self._forget(user, given)
            raise

    def _leave(self) -> None:
        """Pass the slot on; skips requests that are cancelled but have not noticed yet."""
        while self._waiting:
            user, queue = self._waiting.popitem(last=False)
            given = queue.popleft()
            if queue:
                self._waiting[user] = queue
            if not given.cancelled():
                given.set_result(None)
                return
        self._free += 1

    def _forget(self, user: str, given: asyncio.Future[None]) -> None:
        queue = self._waiting.get(user, deque())
        if given in queue:
            queue.remove(given)
            if not queue:
                del self._waiting[user]
