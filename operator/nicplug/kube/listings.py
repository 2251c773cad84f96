"""What a watch begins with: the objects of its LIST, which go straight to whoever keeps them, kind after kind.

Kopf starts a task for each listed object and asks every handler: among thousands, a third of a start. It gets the
list without its items, and from there on every line of the watch. The kinds have an order, since nothing that exists
may look missing: what an object refers to is listed after it, and so is no older. By the time a watch has opened, its
list has been taken in as a whole (docs/adr/0007).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import hdrs

from nicplug.kube.echoes import KINDS

Json = dict[str, Any]


@dataclass(slots=True)
class Listings:
    """The LISTs of one process's watches.

    Attributes:
        take: called with the kind of each listed object, and the object; None as long as nobody keeps anything.
        order: plurals; each is listed when the watches of those before it have been opened. Others wait for nothing.
    """

    take: Callable[[str, Json], None] | None = None
    order: Sequence[str] = ()
    _opened: dict[str, asyncio.Event] = field(default_factory=dict)

    def taker(self, resource: str) -> Callable[[Json], None] | None:
        """Who takes the objects of that collection; None: they belong into the answer."""
        kind, take = KINDS.get(resource), self.take
        if kind is None or take is None:
            return None
        return lambda item: take(kind, item)

    def opened(self, resource: str) -> None:
        """The watch of that collection is open, and will not be waited for again."""
        self._event(resource).set()

    async def turn(self, resource: str) -> None:
        """Wait until that collection may be listed."""
        if resource in self.order:
            for earlier in self.order[: self.order.index(resource)]:
                await self._event(earlier).wait()

    def _event(self, resource: str) -> asyncio.Event:
        return self._opened.setdefault(resource, asyncio.Event())


def in_order(listings: Listings, plural_of: Callable[[str], str]) -> aiohttp.ClientMiddlewareType:
    """A middleware of the session that lets each LIST wait for its turn.

    Args:
        plural_of: the collection that a path names.
    """

    async def ask(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.method == hdrs.METH_GET and "watch" not in request.url.query:
            await listings.turn(plural_of(request.url.path))
        return await handler(request)

    return ask
