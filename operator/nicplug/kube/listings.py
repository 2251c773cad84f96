"""What a watch begins with: the objects of its LIST, which go straight to whoever keeps them, kind after kind.

Kopf starts a task for each listed object and asks every handler: among thousands, a third of a start. It gets the
list without its items, and from there on every line of the watch. The kinds have an order, since nothing that exists
may look missing: what an object refers to is listed after it, and so is no older. By the time a watch has opened, its
list has been taken in as a whole (docs/adr/0007).

While a page is read the next one is on its way: the API server takes as long to write it.
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
    """One that was asked for ahead."""

    token: str
    answer: asyncio.Task[aiohttp.ClientResponse | None]


@dataclass(slots=True)
class Listings:
    """The LISTs of one process's watches.

    Attributes:
        take: called with the kind of each listed object, and the object; None as long as nobody keeps anything.
        order: plurals; each is listed when the watches of those before it have been opened. Others wait for nothing.
        fetch: sends a GET to a URL as the session does; None: no page is asked for ahead.
        on_again: called when a collection that is kept is listed anew, after a broken list or watch. What is gone by
            then, the new list does not say, not even by an object if none is left.
    """

    take: Callable[[str, Json], None] | None = None
    order: Sequence[str] = ()
    fetch: _Fetch | None = None
    on_again: Callable[[], None] = lambda: None
    _opened: dict[str, asyncio.Event] = field(default_factory=dict)
    _asked: dict[str, str] = field(default_factory=dict)
    _ahead: dict[str, _Page] = field(default_factory=dict)

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

    def fetch_ahead(self, path: str, *, token: str) -> None:
        """Ask for the page after the one that has come.

        Args:
            token: the `continue` of that one; "" when it is the last.
        """
        if token and self.fetch is not None and (asked := self._asked.get(path)) is not None:
            url = f"{asked}{'&' if '?' in asked else '?'}{urlencode({'continue': token})}"
            self._ahead[path] = _Page(token, asyncio.create_task(_answer(self.fetch, url)))

    async def fetched(self, request: aiohttp.ClientRequest) -> aiohttp.ClientResponse | None:
        """The answer that was asked for ahead; None: it has to be asked for, as nobody has, or in vain."""
        path, token = request.url.path, request.url.query.get("continue")
        if token is None:
            if path in self._asked and path.rsplit("/", 1)[-1] in KINDS:
                self.on_again()
            self._asked[path] = str(request.url)
        page = self._ahead.pop(path, None)
        if page is None:
            return None
        if page.token != token:  # Kopf begins anew
            page.answer.cancel()
            return None
        return await page.answer

    def _event(self, resource: str) -> asyncio.Event:
        return self._opened.setdefault(resource, asyncio.Event())


async def _answer(fetch: _Fetch, url: str) -> aiohttp.ClientResponse | None:
    """None: there is none, or the session has been closed; whoever needs it asks again, and sees why."""
    try:
        return await fetch(url)
    except (aiohttp.ClientError, TimeoutError, RuntimeError):
        return None


def in_order(listings: Listings, plural_of: Callable[[str], str]) -> aiohttp.ClientMiddlewareType:
    """A middleware of the session that lets each LIST wait for its turn, and takes what was asked for ahead.

    Args:
        plural_of: the collection that a path names.
    """

    async def ask(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.method != hdrs.METH_GET or "watch" in request.url.query:
            return await handler(request)
        await listings.turn(plural_of(request.url.path))
        ahead = await listings.fetched(request)
        return ahead if ahead is not None else await handler(request)

    return ask
