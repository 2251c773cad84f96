"""Initial LISTs of Kopf's watches: routes the objects straight to the caches, one kind after the other.

Kopf starts a task for each listed object and calls every handler: with thousands of objects, a third of the start time.
Kopf gets the list without its items, and then every line of the watch. The kinds are listed in a fixed order, so that
no existing object looks missing: an object's references are listed after it, and so are no older. When a watch opens,
its list has been taken in completely (docs/adr/0007).

The next page is fetched while the current one is read: the API server takes as long to write it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import hdrs

from nicplug.kube.direct_lines import KINDS

Json = dict[str, Any]
_Fetch = Callable[[str], Awaitable[aiohttp.ClientResponse]]


@dataclass(frozen=True, slots=True)
class _Page:
    """A page that was fetched ahead."""

    token: str
    answer: asyncio.Task[aiohttp.ClientResponse | None]


@dataclass(slots=True)
class Listings:
    """The LISTs of all watches of one process.

    Attributes:
        take: called with the kind and each listed object; None while there are no caches.
        order: plurals; each is listed after the watches of all before it have opened. Other kinds do not wait.
        fetch: sends a GET to a URL through the session; None: no page is fetched ahead.
        on_again: called when a cached collection is listed again, after a broken list or watch. The new list does not
            show which objects have been deleted, and an empty list has no object at all.
    """

    take: Callable[[str, Json], None] | None = None
    order: Sequence[str] = ()
    fetch: _Fetch | None = None
    on_again: Callable[[], None] = lambda: None
    _opened: dict[str, asyncio.Event] = field(default_factory=dict)
    _asked: dict[str, str] = field(default_factory=dict)
    _ahead: dict[str, _Page] = field(default_factory=dict)

    def taker(self, resource: str) -> Callable[[Json], None] | None:
        """Return the function that receives the objects of a collection; None if they stay in the answer."""
        kind, take = KINDS.get(resource), self.take
        if kind is None or take is None:
            return None
        return lambda item: take(kind, item)

    def opened(self, resource: str) -> None:
        """Note that the watch of a collection has opened; later LISTs no longer wait for it."""
        self._event(resource).set()

    async def turn(self, resource: str) -> None:
        """Wait until a collection may be listed."""
        if resource in self.order:
            for earlier in self.order[: self.order.index(resource)]:
                await self._event(earlier).wait()

    def fetch_ahead(self, path: str, *, token: str) -> None:
        """Request the next page in the background.

        Args:
            token: `continue` token of the current page; "" if it is the last.
        """
        if token and self.fetch is not None and (asked := self._asked.get(path)) is not None:
            url = f"{asked}{'&' if '?' in asked else '?'}{urlencode({'continue': token})}"
            self._ahead[path] = _Page(token, asyncio.create_task(_answer(self.fetch, url)))

    async def fetched(self, request: aiohttp.ClientRequest) -> aiohttp.ClientResponse | None:
        """Return the page that was fetched ahead; None if it must be requested, also because fetching failed."""
        path, token = request.url.path, request.url.query.get("continue")
        if token is None:
            if path in self._asked and path.rsplit("/", 1)[-1] in KINDS:
                self.on_again()
            self._asked[path] = str(request.url)
        page = self._ahead.pop(path, None)
        if page is None:
            return None
        if page.token != token:  # Kopf lists again from the start
            page.answer.cancel()
            return None
        return await page.answer

    def _event(self, resource: str) -> asyncio.Event:
        return self._opened.setdefault(resource, asyncio.Event())


async def _answer(fetch: _Fetch, url: str) -> aiohttp.ClientResponse | None:
    """Fetch a page; None if that fails or the session is closed: the caller then requests it and sees the error."""
    try:
        return await fetch(url)
    except (aiohttp.ClientError, TimeoutError, RuntimeError):
        return None


def in_order(listings: Listings, plural_of: Callable[[str], str]) -> aiohttp.ClientMiddlewareType:
    """Return a session middleware that makes each LIST wait for its turn, and serves pages that were fetched ahead.

    Args:
        plural_of: returns the collection that a path refers to.
    """

    async def ask(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.method != hdrs.METH_GET or "watch" in request.url.query:
            return await handler(request)
        await listings.turn(plural_of(request.url.path))
        ahead = await listings.fetched(request)
        return ahead if ahead is not None else await handler(request)

    return ask
