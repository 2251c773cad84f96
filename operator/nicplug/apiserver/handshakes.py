"""Accepts connections and performs their TLS handshakes, a bounded number at a time.

Replaces asyncio's own server, which starts a handshake for the whole backlog; each holds a file descriptor until its
timeout.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

HANDSHAKE_SECONDS = 10.0
_SHUTDOWN_SECONDS = 5.0
_BACKLOG = 1024
# As in asyncio's own server when no file descriptors are left.
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshakes:
    """Turns accepted sockets into connections.

    One handshake too many aborts the oldest: the front proxy's takes milliseconds, that of a silent client sooner or
    later becomes the oldest.

    Attributes:
        most: maximum number of concurrent handshakes.
        connection: creates the protocol of a connection.
    """

    tls: ssl.SSLContext
    most: int
    connection: Callable[[], asyncio.Protocol]
    _under_way: dict[asyncio.Task[None], None] = field(default_factory=dict)

    async def accept(self, listening: socket.socket) -> None:
        """Accept connections until cancelled, which aborts handshakes in progress."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    accepted, _ = await loop.sock_accept(listening)
                except OSError as error:
                    log.warning("a connection cannot be accepted", error=str(error))
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                self._begin(accepted)
                # `sock_accept` does not yield while there is a backlog.
                await asyncio.sleep(0)
        finally:
            for task in self._under_way:
                task.cancel()

    def _begin(self, accepted: socket.socket) -> None:
        if len(self._under_way) >= self.most:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
        task = asyncio.create_task(self._shake_hands(accepted))
        self._under_way[task] = None
        task.add_done_callback(lambda done: self._under_way.pop(done, None))

    async def _shake_hands(self, accepted: socket.socket) -> None:
        # Failures are not logged: any client that reaches the port could fill the log.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self.connection,
                accepted,
                ssl=self.tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )


async def listen(*, address: str, port: int) -> socket.socket:
    """Return a listening socket for `Handshakes.accept`.

    Raises:
        OSError: the port is in use, or the address does not belong to this machine.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, where = found[0]
    listening = socket.create_server((where[0], where[1]), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening
