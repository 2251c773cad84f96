"""How many objects a LIST asks for at a time, so that no page is too large to be held (docs/adr/0018).

`limit` counts objects, and one object may have 1.5 MB: a page of 500 would not fit into any memory. So a page is asked
for as large as the last ones make safe, and is not read to its end where they were wrong.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import hdrs

_FIRST_LIMIT = 100
# Of 18 KB, as VMIs have them, 500 are 9 MB, which is as many as anybody asks for.
_PAGE_BYTES = 10 * 1024 * 1024
# Objects that large are rarely read by anybody but us, and several kinds are listed at once.
_LARGE_OBJECT = 32 * 1024
_PAGE_BYTES_OF_LARGE = 4 * 1024 * 1024
_MOST_BYTES = 12 * 1024 * 1024
_GROWTH = 8
_UNBOUNDED = 1 << 40

_Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


@dataclass(slots=True)
class PageSizes:
    """What was learnt of the objects of each collection."""

    _limits: dict[str, int] = field(default_factory=dict)

    def limit(self, collection: str, *, asked: int) -> int:
        """How many objects to ask for where the caller can bear `asked`."""
        return min(asked, self._limits.get(collection, _FIRST_LIMIT))

    def learn(self, collection: str, *, count: int, size: int) -> None:
        """A page of `count` objects had `size` bytes."""
        if not count:
            return
        mean = max(1, size // count)
        fitting = (_PAGE_BYTES if mean <= _LARGE_OBJECT else _PAGE_BYTES_OF_LARGE) // mean
        known = self._limits.get(collection, _FIRST_LIMIT)
        self._limits[collection] = max(1, min(fitting, max(known, count) * _GROWTH))

    def note_too_large(self, collection: str, *, limit: int) -> None:
        """A page of `limit` objects was not read to its end."""
        self._limits[collection] = max(1, limit // _GROWTH)


class BoundedResponse(aiohttp.ClientResponse):
    """An answer whose body can be taken in up to a size."""

    _taken: bytes | None = None

    async def take(self, most: int) -> bool:
        """Read the body; False when it is larger than that, and then the connection is closed."""
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
        """The body."""
        return self._taken if self._taken is not None else await super().read()


def collection_of(request: aiohttp.ClientRequest | aiohttp.ClientResponse) -> str:
    """What is listed, and whether as a whole or its metadata: how large a page is depends on both."""
    headers: Any = request.headers if isinstance(request, aiohttp.ClientRequest) else request.request_info.headers
    return f"{request.url.path} {headers.get(hdrs.ACCEPT, '')}"


def in_pages(sizes: PageSizes) -> Callable[[aiohttp.ClientRequest, _Handler], Awaitable[aiohttp.ClientResponse]]:
    """A middleware of a session with `BoundedResponse`: LISTs with a limit get pages that can be held."""

    async def ask(request: aiohttp.ClientRequest, handler: _Handler) -> aiohttp.ClientResponse:
        # Compressed, a page of a thousand times its size is a few packets, unpacked before anybody can look.
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
