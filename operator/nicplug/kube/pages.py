"""Limits the number of objects per LIST page, so that every page fits into memory (docs/adr/0018).

`limit` counts objects, and one object may have 1.5 MB: a page of 500 could exceed any memory. The limit follows from
the size of previous pages; a page that turns out too large is not read to its end.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import hdrs

_FIRST_LIMIT = 100
# 500 objects of 18 KB, the size of a VMI, are 9 MB; no caller requests more than 500.
_PAGE_BYTES = 10 * 1024 * 1024
# Objects this large are rarely read by other clients, and several kinds are listed at the same time.
_LARGE_OBJECT = 32 * 1024
_PAGE_BYTES_OF_LARGE = 4 * 1024 * 1024
_MOST_BYTES = 12 * 1024 * 1024
_GROWTH = 8
_UNBOUNDED = 1 << 40

_Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


@dataclass(slots=True)
class PageSizes:
    """Limits per collection, learned from the sizes of previous pages."""

    _limits: dict[str, int] = field(default_factory=dict)

    def limit(self, collection: str, *, asked: int) -> int:
        """Return how many objects to request, at most `asked`."""
        return min(asked, self._limits.get(collection, _FIRST_LIMIT))

    def learn(self, collection: str, *, count: int, size: int) -> None:
        """Record that a page of `count` objects had `size` bytes."""
        if not count:
            return
        mean = max(1, size // count)
        fitting = (_PAGE_BYTES if mean <= _LARGE_OBJECT else _PAGE_BYTES_OF_LARGE) // mean
        known = self._limits.get(collection, _FIRST_LIMIT)
        self._limits[collection] = max(1, min(fitting, max(known, count) * _GROWTH))

    def note_too_large(self, collection: str, *, limit: int) -> None:
        """Record that a page of `limit` objects was too large to be read to its end."""
        self._limits[collection] = max(1, limit // _GROWTH)


class BoundedResponse(aiohttp.ClientResponse):
    """A response whose body can be read up to a maximum size."""

    _taken: bytes | None = None

    async def take(self, most: int) -> bool:
        """Read a body of at most `most` bytes; returns False and closes the connection if it is larger."""
        parts, size = [], 0
        async for part in self.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > most:
                self.close()
                return False
        self._taken = b"".join(parts)
        return True

    async def read(self) -> bytes:
        """Return the body."""
        return self._taken if self._taken is not None else await super().read()


def collection_of(request: aiohttp.ClientRequest | aiohttp.ClientResponse) -> str:
    """Identify what is listed, full objects or metadata only: the size of a page depends on both."""
    headers: Any = request.headers if isinstance(request, aiohttp.ClientRequest) else request.request_info.headers
    return f"{request.url.path} {headers.get(hdrs.ACCEPT, '')}"


def in_pages(sizes: PageSizes) -> Callable[[aiohttp.ClientRequest, _Handler], Awaitable[aiohttp.ClientResponse]]:
    """Return a middleware that limits the page size of LISTs with a limit; its session needs `BoundedResponse`."""

    async def ask(request: aiohttp.ClientRequest, handler: _Handler) -> aiohttp.ClientResponse:
        # Compressed, a page of a thousand times its size is a few packets, and is decompressed before its size can be
        # checked.
        request.headers[hdrs.ACCEPT_ENCODING] = "identity"
        asked = request.url.query.get("limit", "")
        if request.method != hdrs.METH_GET or not asked.isdecimal() or not int(asked):
            return await handler(request)
        collection = collection_of(request)
        while True:
            limit = sizes.limit(collection, asked=int(asked))
            request.url = request.url.update_query(limit=limit)
            response = await handler(request)
            if response.status != 200 or not isinstance(response, BoundedResponse):
                return response
            if await response.take(_MOST_BYTES if limit > 1 else _UNBOUNDED):
                return response
            sizes.note_too_large(collection, limit=limit)

    return ask
