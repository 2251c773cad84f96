"""One request at a time for each VM: all but one of several concurrent ones would conflict and start again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nicplug.model.keys import ObjectKey


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class OneAtATime:
    """Grants turns in the order of the requests; keeps nothing for objects that no request waits for.

    Other replicas and the VM controller write as well, so writes are guarded in any case.
    """

    def __init__(self) -> None:
        self._turns: dict[ObjectKey, _Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    @asynccontextmanager
    async def turn(self, key: ObjectKey) -> AsyncIterator[None]:
        """Wait for a turn, and hold it inside the block."""
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]
