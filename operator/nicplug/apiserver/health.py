"""`healthz` of a version of the group: reports, as KubeVirt's virt-api does, whether the API server answers nicplug.

Not a probe of this process: those are /healthz and /readyz, which need no certificate.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.kube.errors import ApiError

FRESH_SECONDS = 1.0
"""Minimum interval between requests to the API server, however many clients ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connectivity:
    """One result of the check: 200 or 500 with JSON."""

    is_healthy: bool
    content: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class ServerHealth:
    """Requests the API server's version, at most one request at a time.

    Attributes:
        read_version: returns the API server's answer at /version.
        config_version: returns the resourceVersion of the KubeVirt CR; "" if there is none.
        clock: monotonic seconds.

    Source: KubeVirt 1.0 `pkg/healthz/healthz.go`, which remembers the version until a watch breaks.
    """

    read_version: Callable[[], Awaitable[Mapping[str, Any]]]
    config_version: Callable[[], str]
    clock: Callable[[], float]
    _last: Mapping[str, Any] = field(default_factory=dict)
    _until: float = float("-inf")
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> Connectivity:
        """Return a result that is at most one second old."""
        async with self._turn:
            if self._until <= self.clock():
                self._last = await self._ask()
                # Counted from the answer: requests that waited for a slow one do not repeat it.
                self._until = self.clock() + FRESH_SECONDS
            server = self._last
        content = {"apiserver": server, "config-resource-version": self.config_version()}
        return Connectivity(is_healthy=server["connectivity"] == "ok", content=content)

    async def _ask(self) -> Mapping[str, Any]:
        try:
            return {"connectivity": "ok", "version": await self.read_version()}
        except ApiError as error:
            return {"connectivity": "failed", "error": str(error)}
