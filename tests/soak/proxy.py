"""A wire between the operator and its API server that can be cut, or held still.

Forwards bytes and looks at none, so TLS stays between its two ends.
"""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 64 * 1024


class Proxy:
    """Listens on a free port of 127.0.0.1; a context manager that closes everything."""

    def __init__(self, *, server: str) -> None:
        """`server`: URL of the API server."""
        self._host, self._port = urlsplit(server).hostname or "", urlsplit(server).port or 443
        self._open: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """What to use instead of the API server's URL."""
        assert self._listener is not None
        return f"https://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, host="127.0.0.1", port=0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Break every connection without a goodbye, requests and watches alike; how many there were."""
        count = len(self._open) // 2
        for writer in self._open:
            writer.transport.abort()
        return count

    async def stall(self, *, seconds: float) -> None:
        """Let nothing through for a while; nothing is lost, and new connections wait as well."""
        self._flows.clear()
        await asyncio.sleep(seconds)
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:  # nobody listens: as the API server itself would look
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        try:
            # TLS has no use for half a connection: what ends one way has ended.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._open -= ends
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(chunk)
                await writer.drain()
