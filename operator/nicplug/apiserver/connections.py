"""HTTP connections, with limits on their number, on the headers of a request, and on silence.

Uses aiohttp's low-level server: its router decodes paths, and its error pages quote the request.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from nicplug.apiserver import statuses
from nicplug.apiserver.handshakes import Handshakes, listen
from nicplug.apiserver.key_pairs import SwitchingContext
from nicplug.apiserver.rendering import response

log = structlog.get_logger(__name__)

# Go's client closes an idle connection after 90 s. It must close first: a request sent while we close fails.
_KEEP_ALIVE_SECONDS = 120.0
# For requests that did not end in time; 0 would wait without a limit.
_CANCEL_SECONDS = 0.5
# Lets a client that is still sending a rejected body read the answer.
_LINGER_SECONDS = 5.0
_LONGEST_LINE = 8190
# Each group of a user is a separate header.
_MOST_HEADERS = 512

# Not once per connection: any client that reaches the port could fill the log.
_WARNING_SECONDS = 10.0

OnRequest = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """One connection; input that is not HTTP is answered with a Status and not logged: any client can send it."""

    __slots__ = ("_admission",)

    def __init__(self, admission: "Admission", manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._admission = admission

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit or abort the connection after its handshake."""
        super().connection_made(transport)
        if not self._admission.admit(self, transport) and isinstance(transport, asyncio.WriteTransport):
            # No orderly shutdown, which takes seconds if the peer does not answer.
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget a connection that either side has closed."""
        self._admission.forget(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that cannot be parsed, and close the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has been sent in part")
        if isinstance(exc, LineTooLong):
            refusal = statuses.headers_too_large()
        elif status < 500:
            refusal = statuses.bad_request("the request is not valid HTTP")
        else:
            refusal = statuses.internal_error("see the log of nicplug api")
        answer = response(refusal)
        answer.force_close()
        return answer


@dataclass(slots=True, kw_only=True)
class Admission:
    """Limits the number of connections, excluding those in their handshake.

    Attributes:
        most: limit for all connections.
        anonymous: limit for those without a client certificate, so that they cannot lock out the front proxy.
        clock: monotonic seconds.
    """

    most: int
    anonymous: int
    clock: Callable[[], float] = time.monotonic
    _known: dict[web.RequestHandler, bool] = field(default_factory=dict)
    _strangers: int = 0
    _warned: float = -_WARNING_SECONDS

    def __len__(self) -> int:
        return len(self._known)

    def admit(self, connection: web.RequestHandler, transport: asyncio.BaseTransport) -> bool:
        """Count a connection; returns False if a limit is exceeded."""
        tls = transport.get_extra_info("ssl_object")
        is_stranger = tls is None or not tls.getpeercert()
        if len(self._known) >= self.most or (is_stranger and self._strangers >= self.anonymous):
            self._warn(connections=len(self._known), without_certificate=self._strangers)
            return False
        self._known[connection] = is_stranger
        self._strangers += is_stranger
        return True

    def forget(self, connection: web.RequestHandler) -> None:
        """Stop counting a closed connection."""
        self._strangers -= self._known.pop(connection, False)

    def _warn(self, **counts: int) -> None:
        now = self.clock()
        if now - self._warned >= _WARNING_SECONDS:
            self._warned = now
            log.warning("connections refused: there are too many", **counts)


@dataclass(slots=True)
class Silence:
    """Closes connections that send nothing after the handshake, or never complete a first request."""

    server: web.Server
    seconds: float
    clock: Callable[[], float]
    _since: dict[web.RequestHandler, float] = field(default_factory=dict)
    _heard: set[web.RequestHandler] = field(default_factory=set)

    def broken_by(self, request: web.BaseRequest) -> None:
        """Record that a request arrived on its connection."""
        self._heard.add(request.protocol)

    def sweep(self) -> None:
        """Close connections that have been silent for too long, and forget closed ones."""
        now, alive = self.clock(), set(self.server.connections)
        self._heard &= alive
        self._since = {connection: self._since.get(connection, now) for connection in alive - self._heard}
        for connection, since in self._since.items():
            if now - since >= self.seconds:
                connection.force_close()


class Listener:
    """Listens with TLS and passes requests on.

    Args:
        on_request: answers a request; raises nothing.
        silence_seconds: time limit for the first request of a connection.
        admission: limits the number of connections.
        handshakes: maximum number of concurrent handshakes.
    """

    def __init__(
        self,
        *,
        tls: SwitchingContext,
        on_request: OnRequest,
        silence_seconds: float,
        admission: Admission,
        handshakes: int,
    ) -> None:
        self._tls = tls
        self._handshakes = handshakes
        self._admission = admission
        self._on_request = on_request
        self._silence_seconds = silence_seconds
        self._server: web.Server | None = None
        self._listening: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._busy: set[web.RequestHandler] = set()
        self._idle = asyncio.Event()
        self._closings = 0

    async def start(self, *, address: str, port: int) -> int:
        """Listen; returns the port.

        Raises:
            OSError: the port is in use.
        """
        loop = asyncio.get_running_loop()
        server = self._server = web.Server(self._hear, handler_cancellation=False)
        self._silence = Silence(server, self._silence_seconds, loop.time)

        def connection() -> Connection:
            return Connection(
                self._admission,
                server,
                loop=loop,
                access_log=None,
                keepalive_timeout=_KEEP_ALIVE_SECONDS,
                lingering_time=_LINGER_SECONDS,
                max_line_size=_LONGEST_LINE,
                max_field_size=_LONGEST_LINE,
                max_headers=_MOST_HEADERS,
                auto_decompress=False,
            )

        listening = self._listening = await listen(address=address, port=port)
        handshakes = Handshakes(tls=self._tls, most=self._handshakes, connection=connection)
        self._tasks = [
            asyncio.create_task(handshakes.accept(listening), name="handshakes"),
            asyncio.create_task(self._sweep(), name="silent connections"),
        ]
        return int(listening.getsockname()[1])

    async def stop(self, *, grace_seconds: float) -> None:
        """Stop accepting connections, and wait for requests in flight."""
        if self._listening is None or self._server is None:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listening.close()
        self.close_idle()
        # Not aiohttp's own shutdown: it first stops reading the bodies that it waits for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self._busy:
                    self._idle.clear()
                    await self._idle.wait()
        await self._server.shutdown(_CANCEL_SECONDS)

    def close_idle(self) -> None:
        """Close each connection as soon as it has no request in flight; new connections are not affected."""
        self._closings += 1
        connections = self._server.connections if self._server is not None else []
        for connection in connections:
            if connection not in self._busy:
                connection.force_close()

    async def _hear(self, request: web.BaseRequest) -> web.StreamResponse:
        self._silence.broken_by(request)
        connection, closings = request.protocol, self._closings
        self._busy.add(connection)
        try:
            answer = await self._on_request(request)
        finally:
            self._busy.discard(connection)
            self._idle.set()
        if closings != self._closings:
            answer.force_close()
        return answer

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._silence_seconds / 4))
            self._silence.sweep()
