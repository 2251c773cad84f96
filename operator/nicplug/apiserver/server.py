"""The aggregated API server as a whole: wires listener, identity, access and dispatch."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from nicplug import __version__
from nicplug.apiserver.access import AccessReviews
from nicplug.apiserver.calls import Handlers
from nicplug.apiserver.certificates import CertificateSource
from nicplug.apiserver.connections import Admission, Listener
from nicplug.apiserver.dispatch import Dispatcher, Limits
from nicplug.apiserver.documents import Documents
from nicplug.apiserver.health import ServerHealth
from nicplug.apiserver.identity import Identity
from nicplug.apiserver.metrics import RequestMetrics
from nicplug.apiserver.reviews import Reviewer
from nicplug.kube.api import ServerApi

_STOP_SECONDS = 10.0


def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Address to listen on; port 0 selects any free port."""

    address: str
    port: int


class AggregatedApiServer:
    """Serves exactly the subresources that it has handlers for.

    Args:
        api: client to read the front proxy's description and to create access reviews.
        source: provides the serving certificate.
        handlers_problem: returns why the handlers cannot answer; "" if they can.
        config_version: returns the resourceVersion of the KubeVirt CR, for `healthz`; "" if there is none.
        reviewer: answers the eviction webhook; None disables it.
    """

    def __init__(
        self,
        *,
        api: ServerApi,
        source: CertificateSource,
        handlers: Handlers,
        metrics: RequestMetrics,
        limits: Limits | None = None,
        handlers_problem: Callable[[], str] = _nothing,
        config_version: Callable[[], str] = _nothing,
        reviewer: Reviewer | None = None,
    ) -> None:
        self._handlers_problem = handlers_problem
        limits = limits or Limits()
        self.identity = Identity(api=api, source=source)
        self._reviews = AccessReviews(api, clock=time.monotonic)
        self._dispatcher = Dispatcher(
            identity=self.identity,
            reviews=self._reviews,
            handlers=handlers,
            documents=Documents(handlers, version=__version__),
            health=ServerHealth(read_version=api.version, config_version=config_version, clock=time.monotonic),
            limits=limits,
            metrics=metrics,
            problem=self.problem,
            reviewer=reviewer,
        )
        self._listener = Listener(
            tls=self.identity.tls,
            on_request=self._dispatcher.answer,
            silence_seconds=limits.silence_seconds,
            admission=Admission(most=limits.connections, anonymous=limits.anonymous_connections),
            handshakes=limits.handshakes,
        )
        # Their next requests would be rejected, so make the front proxy reconnect.
        self.identity.on_switch = self._listener.close_idle
        metrics.watch(under_way=lambda: self._dispatcher.under_way, remembered=lambda: len(self._reviews))
        metrics.export_expiry("aggregated-api", lambda: self.identity.expires)

    def problem(self) -> str:
        """Return why the server cannot serve; "" if it can."""
        return self.identity.problem or self._handlers_problem()

    async def start(self, binding: Binding) -> int:
        """Read certificate and trust, and listen; returns the port. `keep` retries what cannot be read yet.

        Raises:
            OSError: the port is in use.
        """
        await self.identity.refresh()
        return await self._listener.start(address=binding.address, port=binding.port)

    async def keep(self, *, every_seconds: float) -> None:
        """Follow changes of certificate and front proxy until cancelled."""
        await self.identity.keep(every_seconds=every_seconds)

    async def stop(self) -> None:
        """Stop accepting requests, and let those in flight finish."""
        await self._listener.stop(grace_seconds=_STOP_SECONDS)
