"""One request at a time for each VM: of many at once all but one would meet a change, and read and write again."""

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
    """Hands out turns in the order in which they are asked for. Keeps nothing of objects that nobody waits for.

    Other replicas and the VM controller write as well: what is written is guarded all the same.
    """

    def __init__(self) -> None:
        self._turns: dict[ObjectKey, _Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    @asynccontextmanager
    async def turn(self, key: ObjectKey) -> AsyncIterator[None]:
        """Wait for a turn, and hold it."""
        turn = self._turns.setdefault(key, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[key]
