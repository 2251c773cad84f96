"""What requests may cost: bodies, headers, time, concurrency, and clients that hang."""

import asyncio
import contextlib
import gzip
import math

import pytest
from aiohttp.http_parser import DeflateBuffer
from structlog.testing import capture_logs
from tests.unit.apiserver.conftest import Start, World
from tests.unit.apiserver.played import BASE, Refused, put

from nicplug.apiserver import access, handshakes
from nicplug.apiserver.dispatch import Limits


def _without_body(size: int) -> bytes:
    return put(b"").replace(b"Content-Length: 0", f"Content-Length: {size}".encode())


@pytest.mark.parametrize("size", [3 * 1024 * 1024 + 1, 10 * 1024 * 1024])
async def test_a_body_that_says_it_is_too_large_is_413_at_once(world: World, size: int) -> None:
    answer = await world.ask(_without_body(size))
    assert (answer.code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")
    assert answer.json()["message"] == "Request entity too large: limit is 3145728"
    assert not world.recorder.calls


async def test_a_body_of_10_mib_is_413_although_it_is_sent(world: World) -> None:
    assert (await world.ask(put(b"x" * 10 * 1024 * 1024))).code == 413


async def test_a_chunked_body_that_grows_too_large_is_413(start: Start) -> None:
    world = await start(Limits(body_bytes=1000, bodies_bytes=1000))
    head = put(b"", more={"Transfer-Encoding": "chunked"}).replace(b"Content-Length: 0\r\n", b"")
    client = await world.client()
    await client.send(head + b"1f4\r\n" + b"x" * 500 + b"\r\n")
    # So that the first chunk has been counted before the second comes.
    await asyncio.sleep(0.1)
    await client.send(b"1f5\r\n" + b"x" * 501 + b"\r\n")
    assert (await client.receive()).code == 413
    assert not world.recorder.calls
    # What was counted of it has been given back.
    assert (await world.ask(put(b"x" * 1000))).code == 202


async def test_the_largest_body_is_taken(start: Start) -> None:
    world = await start(Limits(body_bytes=1000, bodies_bytes=1000))
    for _ in range(3):  # what a request held is given back
        assert (await world.ask(put(b"x" * 1000))).code == 202


async def test_bodies_that_together_are_too_large_are_429(start: Start) -> None:
    world = await start(Limits(body_bytes=1000, bodies_bytes=1500))
    world.recorder.gate = asyncio.Event()
    first = asyncio.create_task(world.ask(put(b"x" * 1000)))
    await world.recorder.heard()
    assert (await world.ask(put(b"x" * 1000))).code == 429
    world.recorder.gate.set()
    assert (await first).code == 202
    assert (await world.ask(put(b"x" * 1000))).code == 202


async def test_a_header_that_is_too_large_is_431(world: World) -> None:
    answer = await world.ask(put(more={"X-Large": "a" * 20_000}))
    assert (answer.code, answer.json()["kind"]) == (431, "Status")
    assert b"aaaa" not in answer.body
    assert not world.recorder.calls


async def test_a_request_line_that_is_too_long_is_431(world: World) -> None:
    answer = await world.ask(put(path=f"{BASE}?x={'a' * 9_000}"))
    assert (answer.code, answer.json()["kind"]) == (431, "Status")
    assert b"aaaa" not in answer.body
    assert not world.recorder.calls


async def test_a_long_request_line_is_served(world: World) -> None:
    assert (await world.ask(put(path=f"{BASE}?x={'a' * 7_000}"))).code == 202


async def test_too_many_headers_are_refused(world: World) -> None:
    answer = await world.ask(put(more={f"X-{number}": "a" for number in range(600)}))
    assert answer.code in (400, 431)
    assert not world.recorder.calls


async def test_a_user_of_many_groups_is_served(world: World) -> None:
    groups = b"".join(b"X-Remote-Group: group-%d\r\n" % number for number in range(400))
    assert (await world.ask(put().replace(b"\r\n\r\n", b"\r\n" + groups + b"\r\n"))).code == 202
    assert len(world.recorder.calls[0].caller.groups) == 400


async def test_more_than_may_be_under_way_are_429_with_retry_after(start: Start) -> None:
    world = await start(Limits(concurrent=2))
    world.recorder.gate = asyncio.Event()
    waiting = [asyncio.create_task(world.ask(put())) for _ in range(2)]
    await world.recorder.heard(2)
    refused = await world.ask(put())
    assert (refused.code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["details"] == {"retryAfterSeconds": 1}
    # Probes and discovery are served nevertheless.
    assert (await world.ask(put(b"", path="/readyz", method="GET"), pair=None)).code == 200
    world.recorder.gate.set()
    assert [answer.code for answer in await asyncio.gather(*waiting)] == [202, 202]
    assert (await world.ask(put())).code == 202


async def test_a_body_that_never_comes_is_504(start: Start) -> None:
    world = await start(Limits(request_seconds=0.3))
    client = await world.client()
    await client.send(_without_body(100) + b"{")
    answer = await client.receive()
    assert (answer.code, answer.json()["reason"]) == (504, "Timeout")
    assert not world.recorder.calls


async def test_a_handler_that_hangs_is_504_and_others_are_served(start: Start) -> None:
    world = await start(Limits(request_seconds=0.3))
    world.recorder.gate = asyncio.Event()
    assert (await world.ask(put())).code == 504
    world.recorder.gate = None
    assert (await world.ask(put())).code == 202


async def test_a_timeout_of_the_handlers_own_is_a_bug_of_it(world: World) -> None:
    world.recorder.fails = TimeoutError()
    assert (await world.ask(put())).code == 500


@pytest.mark.parametrize("said", [b"", b"PUT /apis HT", b"PUT /apis HTTP/1.1\r\nHost: a\r\n"])
async def test_a_client_that_hangs_before_its_first_request_is_cut_off(start: Start, said: bytes) -> None:
    world = await start(Limits(silence_seconds=0.3))
    for pair in (None, world.proxies.issue()):
        client = await world.client(pair)
        await client.send(said)
        assert await client.ended()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n"[:4]])
async def test_a_client_that_never_ends_its_handshake_is_cut_off(
    start: Start, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Such connections are not counted by `Admission`."""
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 0.3)
    world = await start(Limits())
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    try:
        writer.write(said)
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                await reader.read()
    finally:
        writer.close()
    assert (await world.ask(put())).code == 202


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_compressed_body_is_refused_before_it_is_unpacked(
    world: World, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """A few kilobytes may stand for gigabytes."""
    unpacked = []
    monkeypatch.setattr(DeflateBuffer, "feed_data", lambda *_: unpacked.append(encoding))
    body = gzip.compress(b" " * 1024 * 1024)
    assert (await world.ask(put(body, more={"Content-Encoding": encoding}), pair=None)).code == 401
    answer = await world.ask(put(body, more={"Content-Encoding": encoding}))
    assert (answer.code, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    assert not unpacked
    assert (await world.ask(put())).code == 202


async def test_a_connection_that_has_asked_may_be_silent(start: Start) -> None:
    world = await start(Limits(silence_seconds=0.3))
    client = await world.client()
    await client.send(put())
    assert (await client.receive()).code == 202
    await asyncio.sleep(0.8)
    await client.send(put())
    assert (await client.receive()).code == 202


async def test_a_client_that_goes_away_in_its_body_harms_nobody(world: World) -> None:
    client = await world.client()
    await client.send(_without_body(100) + b"{")
    client.close()
    assert (await world.ask(put())).code == 202
    assert len(world.recorder.calls) == 1


async def test_200_requests_at_once_are_each_answered(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes to open the connections: what is remembered for seconds elsewhere, is remembered here."""
    monkeypatch.setattr(access, "ALLOWED_SECONDS", math.inf)
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 600)
    world = await start(Limits(carried_out=200, request_seconds=600, silence_seconds=600))
    world.api.review_gate = asyncio.Event()
    world.recorder.gate = asyncio.Event()
    pair = world.proxies.issue()
    asking = [asyncio.create_task(world.ask(put(), pair=pair)) for _ in range(200)]
    async with asyncio.timeout(120):
        while world.registry.get_sample_value("nicplug_subresource_requests_under_way") != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    world.api.review_gate.set()
    await world.recorder.heard(200)
    world.recorder.gate.set()
    assert [answer.code for answer in await asyncio.gather(*asking)] == [202] * 200
    assert len(world.api.reviews) == 1, "one user with one question"


async def test_neither_bodies_nor_credentials_are_logged(world: World) -> None:
    with capture_logs() as logs:
        await world.ask(put(b'{"secret":"s3cr3t"}', more={"Authorization": "Bearer t0k3n"}))
        await world.ask(put(b'{"secret":"s3cr3t"}', more={"Authorization": "Bearer t0k3n"}), pair=None)
    assert [entry["event"] for entry in logs] == ["request answered", "request refused as unauthorized"]
    assert "s3cr3t" not in str(logs)
    assert "t0k3n" not in str(logs)


async def test_a_user_s_name_is_logged_up_to_256_characters(world: World) -> None:
    with capture_logs() as logs:
        assert (await world.ask(put(user="a" * 300))).code == 202
    assert world.recorder.calls[0].caller.name == "a" * 300
    assert [entry["user"] for entry in logs] == ["a" * 256]


async def test_refusals_do_not_fill_the_log(world: World) -> None:
    with capture_logs() as logs:
        for _ in range(5):
            await world.ask(put(), pair=None)
    assert len(logs) == 1


async def test_requests_under_way_end_before_the_server_does(world: World) -> None:
    world.recorder.gate = asyncio.Event()
    asking = asyncio.create_task(world.ask(put()))
    await world.recorder.heard()
    stopping = asyncio.create_task(world.server.stop())
    # Longer than aiohttp's own end would wait for them.
    await asyncio.sleep(1.5)
    with pytest.raises(Refused):
        await world.client()
    world.recorder.gate.set()
    assert (await asking).code == 202
    await stopping
