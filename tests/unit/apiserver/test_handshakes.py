"""Clients that connect and never speak TLS: how many of them are kept, and what the front proxy notices."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from types import SimpleNamespace

import pytest
from tests.unit.apiserver.conftest import Start
from tests.unit.apiserver.played import put

from nicplug.apiserver import handshakes
from nicplug.apiserver.dispatch import Limits
from nicplug.apiserver.handshakes import Handshakes, listen
from nicplug.apiserver.key_pairs import SwitchingContext
from nicplug.descriptors import raise_descriptor_limit

MOST, MANY = 8, 500


class Silent:
    """A client that has connected, and says nothing until it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ended(self) -> None:
        """Wait until the server closes the connection."""
        with contextlib.suppress(ConnectionError):
            await self.reader.read()

    @property
    def is_open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None


Connect = Callable[[int], Awaitable[Silent]]


@pytest.fixture
async def silent() -> AsyncIterator[Connect]:
    made: list[Silent] = []

    async def connect(port: int) -> Silent:
        made.append(Silent(*await asyncio.open_connection("127.0.0.1", port)))
        return made[-1]

    yield connect
    for client in made:
        client.writer.close()


async def _all_ended(clients: Sequence[Silent]) -> None:
    async with asyncio.timeout(30):
        await asyncio.gather(*(client.ended() for client in clients))


async def test_of_many_silent_clients_a_few_are_kept_and_the_front_proxy_is_served(
    start: Start, silent: Connect
) -> None:
    world = await start(Limits(handshakes=MOST))
    before = await world.client()
    clients = [await silent(world.port) for _ in range(MANY)]
    await _all_ended(clients[:-MOST])
    assert all(client.is_open for client in clients[-MOST:])
    await before.send(put())
    assert (await before.receive()).code == 202
    assert (await world.ask(put())).code == 202, "on a new connection"
    assert [client.is_open for client in clients[-MOST:]] == [False] + [True] * (MOST - 1), "instead of the oldest"


async def test_a_handshake_that_is_over_gives_its_place_back(start: Start, silent: Connect) -> None:
    world = await start(Limits(handshakes=2))
    waiting = await silent(world.port)
    for _ in range(3):
        assert (await world.ask(put())).code == 202
        failing = await silent(world.port)
        failing.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await _all_ended([failing])
    assert waiting.is_open
    await silent(world.port)
    await silent(world.port)
    await _all_ended([waiting])


async def test_handshakes_end_with_the_server(start: Start, silent: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 600)
    world = await start(Limits())
    clients = [await silent(world.port) for _ in range(3)]
    assert (await world.ask(put())).code == 202
    await world.server.stop()
    await _all_ended(clients)


class TestDescriptors:
    """The process has few file descriptors."""

    @pytest.fixture(autouse=True)
    def _restored(self) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    async def test_accepting_goes_on_when_there_are_some_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(handshakes, "_PAUSE_SECONDS", 0.01)
        refused, arrived = asyncio.Semaphore(0), asyncio.Event()
        monkeypatch.setattr(handshakes, "log", SimpleNamespace(warning=lambda _, **__: refused.release()))

        def connection() -> asyncio.Protocol:
            arrived.set()
            return asyncio.Protocol()

        listening = await listen(address="127.0.0.1", port=0)
        client = socket.create_connection(listening.getsockname())
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_lowest_free(), before[1]))
        accepting = asyncio.create_task(
            Handshakes(tls=SwitchingContext(), most=MOST, connection=connection).accept(listening)
        )
        async with asyncio.timeout(20):
            for _ in range(3):
                await refused.acquire()
            assert not arrived.is_set()
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            await arrived.wait()
        client.close()
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        listening.close()

    def test_the_soft_limit_is_raised_to_the_hard_one(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def _lowest_free() -> int:
    found = os.dup(0)
    os.close(found)
    return found
