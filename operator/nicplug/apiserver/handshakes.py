"""Accepts connections and has them go through the TLS handshake, a bounded number of them at a time.

Not asyncio's own server: it begins a handshake for whatever is in the backlog, and each holds a file descriptor until
its time is up.
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
# As asyncio's own server does when there are no file descriptors left.
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshakes:
    """Turns what a listening socket accepts into connections of `connection`.

    One handshake too many ends the oldest: that of the front proxy takes milliseconds, that of a client which says
    nothing is sooner or later the oldest.

    Attributes:
        most: at the same time.
        connection: makes the protocol of a connection.
    """

    tls: ssl.SSLContext
    most: int
    connection: Callable[[], asyncio.Protocol]
    _under_way: dict[asyncio.Task[None], None] = field(default_factory=dict)

    async def accept(self, listening: socket.socket) -> None:
        """Accept connections until cancelled; handshakes under way end then."""
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
                # `sock_accept` does not wait while there is a backlog.
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
        # A failure is the client's to hear: anybody who reaches the port could fill the log.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self.connection,
                accepted,
                ssl=self.tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )


async def listen(*, address: str, port: int) -> socket.socket:
    """A socket for `Handshakes.accept`.

    Raises:
        OSError: the port is taken, or the address does not belong to this machine.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, where = found[0]
    listening = socket.create_server((where[0], where[1]), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening
