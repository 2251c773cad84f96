"""Serves /metrics, /healthz and /readyz on one port; /metrics may be protected, the probes never are."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from nicplug.obs.guard import MetricsGuard
from nicplug.obs.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Probes:
    """Checks behind the probes; each returns "" if it passes, else the problem."""

    healthy: Callable[[], str]
    ready: Callable[[], str]


class ObservabilityServer:
    """HTTP server of one process.

    Args:
        guard: decides who may read the metrics; None lets every client read them.
        tls: TLS context to serve with; None serves plain HTTP.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        probes: Probes,
        guard: MetricsGuard | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._metrics = metrics
        self._probes = probes
        self._guard = guard
        self._tls = tls
        self._runner: web.AppRunner | None = None

    async def start(self, *, address: str, port: int) -> int:
        """Listen, and return the port (the chosen one if `port` is 0)."""
        app = web.Application()
        app.router.add_get("/metrics", self._on_metrics)
        app.router.add_get("/healthz", self._on_healthz)
        app.router.add_get("/readyz", self._on_readyz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port, ssl_context=self._tls)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _on_metrics(self, request: web.Request) -> web.Response:
        if self._guard is not None and (refusal := await self._guard.refuse(request.headers.get("Authorization", ""))):
            headers = {"WWW-Authenticate": 'Bearer realm="nicplug"'} if refusal.status == 401 else {}
            return web.Response(text=refusal.text, status=refusal.status, headers=headers)
        return web.Response(body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _on_healthz(self, _request: web.Request) -> web.Response:
        return _answer(self._probes.healthy())

    async def _on_readyz(self, _request: web.Request) -> web.Response:
        return _answer(self._probes.ready())


def _answer(problem: str) -> web.Response:
    return web.Response(text=problem or "ok", status=503 if problem else 200)
