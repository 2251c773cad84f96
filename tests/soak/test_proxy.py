"""The wire that a soak cuts: bytes pass, a cut is felt on both sides, a stall loses nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from tests.soak.proxy import Proxy


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    """A server that sends back what it gets; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1024):
                writer.write(chunk)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host="127.0.0.1", port=0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", urlsplit(url).port)


async def test_bytes_pass_and_a_cut_ends_the_connection() -> None:
    async with echo() as server, Proxy(server=server) as proxy:
        reader, writer = await connect(proxy.url)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert proxy.cut() == 1
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await connect(proxy.url)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        writer.close()


async def test_a_stall_holds_bytes_back_and_lets_them_go_later() -> None:
    async with echo() as server, Proxy(server=server) as proxy:
        reader, writer = await connect(proxy.url)
        stall = asyncio.create_task(proxy.stall(seconds=0.2))
        await asyncio.sleep(0)
        writer.write(b"hello")
        answer = asyncio.create_task(reader.readexactly(5))
        await stall
        assert await answer == b"hello"
        writer.close()


async def test_without_a_server_a_connection_ends_at_once() -> None:
    async with echo() as server:
        gone = server
    async with Proxy(server=gone) as proxy:
        reader, writer = await connect(proxy.url)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
