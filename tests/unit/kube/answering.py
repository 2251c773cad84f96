"""A session of Kopf's watches, with a server that answers as a test wants."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from nicplug.kube.api import OnResponse, count_nothing
from nicplug.kube.direct_lines import DirectLines
from nicplug.kube.listings import Listings, in_order
from nicplug.kube.watch_health import WatchHealth
from nicplug.kube.watch_session import counted, resource_of, response_class

PATH = "/apis/kubevirt.io/v1/virtualmachines"


@asynccontextmanager
async def answering(
    answer: web.Response,
    *,
    health: WatchHealth,
    path: str = PATH,
    on_response: OnResponse = count_nothing,
    direct: DirectLines | None = None,
    listings: Listings | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session whose server has one answer to everything."""

    async def on_get(_: web.Request) -> web.Response:
        return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)

    async with serving(
        on_get, health=health, path=path, on_response=on_response, direct=direct, listings=listings
    ) as session:
        yield session


@asynccontextmanager
async def serving(
    on_get: Callable[[web.Request], Awaitable[web.Response]],
    *,
    health: WatchHealth,
    path: str = PATH,
    on_response: OnResponse = count_nothing,
    direct: DirectLines | None = None,
    listings: Listings | None = None,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a server of its own."""
    app = web.Application()
    app.router.add_get(path, on_get)
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        listings = listings or Listings()
        inner = (counted(on_response),)
        middlewares = (in_order(listings, resource_of), *inner)
        async with aiohttp.ClientSession(
            url, response_class=response_class(health, direct=direct, listings=listings), middlewares=middlewares
        ) as session:
            listings.fetch = lambda url: session.get(url, middlewares=inner)
            yield session
