"""The gateway passes requests on, and misbehaves when it is told to; `tests/soak/test_proxy.py` has the wire."""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from tests.chaos.gateway import NO_ANSWER, Fault, Gateway, is_list
from yarl import URL

LIST, OBJECT = "/api/v1/pods", "/api/v1/namespaces/red/pods/a%3Ab"
WATCH = f"{LIST}?watch=true&resourceVersion=7"


@dataclass(slots=True)
class Behind:
    """An API server that remembers what reached it; a watch says one line and goes on."""

    seen: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.raw_path} {(await request.read()).decode()}")
        if "watch" not in request.query:
            return web.json_response({"kind": "Thing"}, status=201 if request.method == "POST" else 200)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "ADDED"}\n')
        await asyncio.sleep(60)
        return response


@dataclass(slots=True, kw_only=True)
class Wires:
    behind: Behind
    gateway: Gateway
    client: aiohttp.ClientSession

    async def send(self, method: str, path: str, data: str | None = None) -> tuple[int, dict[str, object]]:
        async with self.client.request(method, self.url(path), data=data) as answer:
            return answer.status, json.loads(await answer.read())

    def url(self, path: str) -> URL:
        return URL(f"https://127.0.0.1:{self.gateway.port}{path}", encoded=True)


@asynccontextmanager
async def running() -> AsyncIterator[Wires]:
    behind, authority = Behind(), trustme.CA()
    served, trusts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusts)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", behind.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=served).start()
    try:
        server = f"https://127.0.0.1:{runner.addresses[0][1]}"
        async with Gateway(server=server, authority=trusts, randomness=random.Random(1)) as gateway:
            mine = ssl.create_default_context(cadata=gateway.authority.decode())
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=mine)) as client:
                yield Wires(behind=behind, gateway=gateway, client=client)
    finally:
        await runner.cleanup()


async def test_a_request_passes_as_it_is_and_so_does_its_answer() -> None:
    async with running() as wires:
        assert await wires.send("POST", f"{OBJECT}?fieldValidation=Ignore", "body") == (201, {"kind": "Thing"})
        assert wires.behind.seen == [f"POST {OBJECT}?fieldValidation=Ignore body"]
        assert wires.gateway.answered == {201: 1}


async def test_a_refused_request_reaches_nobody_unless_it_is_carried_out_first() -> None:
    async with running() as wires:
        wires.gateway.fault = Fault(share=1.0, codes=(504,))
        code, status = await wires.send("PATCH", OBJECT)
        assert (code, status["kind"], status["code"], wires.behind.seen) == (504, "Status", 504, [])
        wires.gateway.fault = Fault(share=1.0, codes=(504,), carried_out=1.0)
        assert (await wires.send("PATCH", OBJECT, "x"))[0] == 504
        assert wires.behind.seen == [f"PATCH {OBJECT} x"]
        assert wires.gateway.refused == {504: 2}


async def test_429_says_when_to_try_again() -> None:
    async with running() as wires:
        wires.gateway.fault = Fault(share=1.0, codes=(429,))
        async with wires.client.get(wires.url(OBJECT)) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")


async def test_a_slow_gateway_loses_nothing() -> None:
    async with running() as wires:
        wires.gateway.fault = Fault(delay_seconds=0.2)
        began = asyncio.get_running_loop().time()
        assert (await wires.send("GET", OBJECT))[0] == 200
        assert asyncio.get_running_loop().time() - began >= 0.2


async def test_versions_expire_in_the_stream_of_a_watch_and_as_the_answer_to_a_list() -> None:
    async with running() as wires:
        wires.gateway.fault = Fault(share=1.0, expires=True)
        code, event = await wires.send("GET", WATCH)
        assert (code, event["type"]) == (200, "ERROR")
        assert event["object"]["reason"] == "Expired"  # type: ignore[index]
        assert (await wires.send("GET", LIST))[0] == 410
        assert (await wires.send("GET", OBJECT))[0] == 200


@pytest.mark.parametrize("cut", [Gateway.cut_watches, Gateway.cut_all])
async def test_a_watch_streams_until_it_is_cut(cut: Callable[[Gateway], int]) -> None:
    async with running() as wires, wires.client.get(wires.url(WATCH)) as answer:
        assert await answer.content.readline() == b'{"type": "ADDED"}\n'
        assert cut(wires.gateway) == 1
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(answer.content.readline(), timeout=5)
        assert wires.gateway.cut == 1


async def test_without_an_api_server_a_connection_breaks() -> None:
    async with running() as wires:
        wires.gateway._server = "https://127.0.0.1:1"
        with pytest.raises(aiohttp.ClientError):
            await wires.send("POST", OBJECT)
        assert wires.gateway.answered[NO_ANSWER] > 0


async def test_an_expired_certificate_is_seen_by_new_connections_until_it_is_renewed() -> None:
    async def send(wires: Wires) -> int:
        wires.gateway.cut_all()
        return (await wires.send("GET", OBJECT))[0]

    async with running() as wires:
        assert await send(wires) == 200
        wires.gateway.expire_certificate()
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="expired"):
            await send(wires)
        wires.gateway.renew_certificate()
        assert await send(wires) == 200


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (LIST, True),
        ("/api/v1/namespaces", True),
        ("/api/v1/namespaces/red", False),
        ("/api/v1/namespaces/red/pods", True),
        ("/api/v1/namespaces/red/pods/a", False),
        ("/api/v1/nodes/a", False),
        ("/apis/kubevirt.io/v1/virtualmachines", True),
        ("/apis/kubevirt.io/v1/namespaces/red/virtualmachines", True),
        ("/apis/kubevirt.io/v1/namespaces/red/virtualmachines/a/status", False),
        ("/version", False),
        ("/apis/kubevirt.io/v1", False),
    ],
)
def test_lists_are_told_from_other_reads(path: str, expected: bool) -> None:
    assert is_list(make_mocked_request("GET", path)) is expected
    assert not is_list(make_mocked_request("POST", path))
