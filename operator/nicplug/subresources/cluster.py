"""Reads what a plan needs in addition to `Knowledge`, on request: nodes and dynamic networks controllers.

No watch: plans are rare, and the process that answers `addinterface` should not hold every node for them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nicplug.insight.evidence import Unknown
from nicplug.insight.reading import read_node_side
from nicplug.kube.api import WatchingApi
from nicplug.subresources.knowledge import Knowledge

FRESH_SECONDS = 5.0
"""Shortest time between two readings of the cluster, regardless of the number of questions."""


@dataclass(slots=True)
class NodeSide:
    """Reads into the caches of `knowledge`, one reading at a time.

    Attributes:
        clock: monotonic clock, in seconds.
    """

    api: WatchingApi
    knowledge: Knowledge
    clock: Callable[[], float]
    _until: float = float("-inf")
    _unknown: tuple[Unknown, ...] = ()
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> tuple[Unknown, ...]:
        """Read again if the last reading is older than `FRESH_SECONDS`; return what cannot be read.

        Raises:
            ApiError: the API server does not answer.
        """
        async with self._turn:
            if self._until <= self.clock():
                cluster = self.knowledge.caches
                unknown = await read_node_side(self.api, cluster=cluster, clock=lambda: datetime.now(UTC))
                # Counted from the end of the reading: a slow API server is not asked all the time.
                self._unknown, self._until = tuple(unknown), self.clock() + FRESH_SECONDS
            return self._unknown
