"""`healthz` of a version of the group: whether the API server answers nicplug api, as KubeVirt's virt-api says it.

Not a probe of this process: that is /healthz, which needs no certificate, and /readyz.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.kube.errors import ApiError

FRESH_SECONDS = 1.0
"""However many ask, the API server is asked no more often than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connectivity:
    """One look at the API server: 200 or 500 with JSON."""

    is_healthy: bool
    content: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class ServerHealth:
    """Asks the API server for its version, once at a time.

    Attributes:
        read_version: what the API server answers at /version.
        config_version: resourceVersion of the KubeVirt CR; "" when there is none.
        clock: seconds that never go back.

    Source: KubeVirt 1.0 `pkg/healthz/healthz.go`, which remembers the version until a watch breaks.
    """

    read_version: Callable[[], Awaitable[Mapping[str, Any]]]
    config_version: Callable[[], str]
    clock: Callable[[], float]
    _last: Mapping[str, Any] = field(default_factory=dict)
    _until: float = float("-inf")
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> Connectivity:
        """What is known for a second at the most."""
        async with self._turn:
            if self._until <= self.clock():
                self._last = await self._ask()
                # Counted from the answer: those who waited for a slow one do not ask again.
                self._until = self.clock() + FRESH_SECONDS
            server = self._last
        content = {"apiserver": server, "config-resource-version": self.config_version()}
        return Connectivity(is_healthy=server["connectivity"] == "ok", content=content)

    async def _ask(self) -> Mapping[str, Any]:
        try:
            return {"connectivity": "ok", "version": await self.read_version()}
        except ApiError as error:
            return {"connectivity": "failed", "error": str(error)}
