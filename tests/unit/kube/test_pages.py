"""Lists of objects of any size come in pages that can be held."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from nicplug.kube import pages
from nicplug.kube.aio import AioApi
from nicplug.kube.api import Json
from nicplug.kube.errors import Stale
from nicplug.kube.pages import PageSizes, in_pages
from nicplug.kube.resources import VIRTUAL_MACHINES
from nicplug.kube.watch_health import WatchHealth
from nicplug.kube.watch_session import response_class

PATH = "/apis/kubevirt.io/v1/virtualmachines"
KIB = 1024


@dataclass
class Server:
    """Objects of these sizes; `asked` tells limits and positions of the requests."""

    sizes: list[int]
    asked: list[tuple[int, int]] = field(default_factory=list)
    sent: int = 0
    expires_at: int | None = None

    async def on_get(self, request: web.Request) -> web.StreamResponse:
        limit, start = int(request.query["limit"]), int(request.query.get("continue") or 0)
        self.asked.append((start, limit))
        if self.expires_at is not None and start >= self.expires_at:
            self.expires_at = None
            return web.json_response({"kind": "Status", "code": 410, "message": "too old"}, status=410)
        assert request.headers["Accept-Encoding"] == "identity"
        end = min(start + limit, len(self.sizes))
        token = str(end) if end < len(self.sizes) else ""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(json.dumps({"metadata": {"continue": token}})[:-1].encode() + b', "items": [')
        for number in range(start, end):
            item = {"metadata": {"name": f"v{number}"}, "spec": {"x": "x" * self.sizes[number]}}
            text = json.dumps(item).encode()
            self.sent += len(text)
            await response.write((b"," if number > start else b"") + text)
        await response.write(b"]}")
        return response


@pytest.fixture
def server() -> Server:
    return Server([])


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get(PATH, server.on_get)
    async with TestServer(app) as running:
        yield str(running.make_url("/")).rstrip("/")


async def kopf_names(url: str) -> list[str]:
    """As Kopf reads a collection."""
    sizes = PageSizes()
    names, token = [], ""
    options = {"response_class": response_class(WatchHealth(), sizes=sizes), "middlewares": (in_pages(sizes),)}
    async with aiohttp.ClientSession(**options) as session:  # type: ignore[arg-type]
        while True:
            query = {"limit": "500"} | ({"continue": token} if token else {})
            async with session.get(url + PATH, params=query) as response:
                page: Json = await response.json()
            names += [item["metadata"]["name"] for item in page["items"]]
            token = page["metadata"]["continue"]
            if not token:
                return names


async def our_names(url: str) -> list[str]:
    """As the reaper and the optional watches do."""
    api = AioApi(Configuration(host=url))
    names, token = [], None
    try:
        while True:
            page = await api.list(VIRTUAL_MACHINES, limit=500, continue_token=token)
            names += [item["metadata"]["name"] for item in page["items"]]
            token = page["metadata"]["continue"] or None
            if token is None:
                return names
    finally:
        await api.close()


@pytest.mark.parametrize("read", [kopf_names, our_names])
async def test_a_list_of_large_objects_is_read_a_few_at_a_time(server: Server, url: str, read: object) -> None:
    """13 VMs of 1.2 MB in one page ended both replicas by memory."""
    server.sizes = [1_400 * KIB] * 30
    assert callable(read)
    assert await read(url) == [f"v{number}" for number in range(30)]
    steady = [limit for start, limit in server.asked if start > 1]
    assert max(steady) * 1_400 * KIB <= pages._PAGE_BYTES_OF_LARGE
    # What was broken off is bounded too.
    assert server.sent < sum(server.sizes) + 3 * pages._MOST_BYTES


@pytest.mark.parametrize("read", [kopf_names, our_names])
async def test_a_list_of_ordinary_objects_needs_one_page_more(server: Server, url: str, read: object) -> None:
    server.sizes = [18 * KIB] * 1_600
    assert callable(read)
    assert len(await read(url)) == 1_600
    assert [limit for _, limit in server.asked] == [100, 500, 500, 500]


async def test_large_objects_among_small_ones_cost_no_page_that_cannot_be_held(server: Server, url: str) -> None:
    server.sizes = [10] * 600 + [1_400 * KIB] * 20 + [10] * 600
    assert await kopf_names(url) == [f"v{number}" for number in range(1_220)]
    assert len(server.asked) < 30


async def test_an_object_larger_than_any_page_is_read_alone(
    server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_MOST_BYTES", 1_000 * KIB)
    server.sizes = [1_400 * KIB, 10]
    assert await kopf_names(url) == ["v0", "v1"]


async def test_a_token_that_expires_while_a_page_is_asked_for_again_is_told(server: Server, url: str) -> None:
    server.sizes = [10] * 600 + [1_400 * KIB] * 20
    server.expires_at = 600
    with pytest.raises(Stale):
        await our_names(url)
    server.expires_at = 600
    with pytest.raises(aiohttp.ClientPayloadError, match="has expired"):
        await kopf_names(url)
    assert len(await kopf_names(url)) == 620
