"""Lease, writes and watches have connections of their own: what hangs in one of them keeps no other from working."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.fakes.kubeconfig import write_kubeconfig

from nicplug.kube.aio import CONNECTIONS_PER_HOST
from nicplug.kube.api import Json
from nicplug.kube.connect import WATCH_CONNECTIONS, Connection, connect
from nicplug.kube.lease import LeaderElector, LeaseTiming
from nicplug.kube.resources import LEASES, PODS

# Many times faster than in a cluster; an attempt has the time that a busy machine may need.
TIMING = LeaseTiming(duration=8.0, renew_deadline=5.0, retry=0.02, standby_poll=0.02, attempt=4.0, skew=1.0)


class HangingServer:
    """An API server that stores one Lease, and never answers what concerns pods."""

    def __init__(self) -> None:
        self.hanging: dict[str, int] = {"GET": 0, "PATCH": 0}
        self.renewals = 0
        self.changed = asyncio.Condition()
        self.released = asyncio.Event()
        self._lease: Json | None = None

    async def until(self, count: int, *, renewals: int = 0, method: str = "GET") -> None:
        """Wait for so many requests that hang, and so many renewals."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: self.hanging[method] >= count and self.renewals >= renewals)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "/leases" in request.path:
            return await self._answer_lease(request)
        await self._note(request.method)
        await self.released.wait()
        raise web.HTTPGatewayTimeout

    async def _note(self, method: str) -> None:
        async with self.changed:
            self.hanging[method] = self.hanging.get(method, 0) + 1
            self.changed.notify_all()

    async def _answer_lease(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(self._lease or {}, status=200 if self._lease else 404)
        self.renewals += 1
        lease: Json = await request.json()
        lease["metadata"] |= {"resourceVersion": str(self.renewals)}
        self._lease = lease
        async with self.changed:
            self.changed.notify_all()
        return web.json_response(lease)


@pytest.fixture
async def server() -> HangingServer:
    return HangingServer()


@pytest.fixture
async def connection(server: HangingServer, tmp_path: Path) -> AsyncIterator[Connection]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    path = write_kubeconfig(tmp_path / "config", server=f"http://127.0.0.1:{runner.addresses[0][1]}")
    made = await connect(kubeconfig=path)
    yield made
    server.released.set()
    await made.close()
    await runner.cleanup()


class Crowd:
    """Requests that nobody waits for."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def add(self, work: Coroutine[Any, Any, Any]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def has_lost_one(self) -> bool:
        """One was given up, and has left its connection to others."""
        return any(task.done() for task in self._tasks)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    made = Crowd()
    yield made
    await made.end()


async def follow(connection: Connection) -> None:
    """A watch that never gets an answer."""
    async for _ in connection.watching.watch(PODS, resource_version="1"):
        pass


def write(connection: Connection) -> Coroutine[Any, Any, Json]:
    """A write that never gets one."""
    return connection.api.patch(PODS, [], name="p", namespace="default")


async def test_the_lease_is_renewed_while_all_watches_and_twice_as_many_writes_as_connections_hang(
    server: HangingServer, connection: Connection, crowd: Crowd
) -> None:
    """Watches, writes and the Lease shared 48 connections: every request timed out, and leadership was lost."""
    for _ in range(2 * WATCH_CONNECTIONS):
        crowd.add(follow(connection))
    for _ in range(2 * CONNECTIONS_PER_HOST):
        crowd.add(write(connection))
    await server.until(WATCH_CONNECTIONS, method="GET")
    await server.until(CONNECTIONS_PER_HOST, method="PATCH")
    lost: list[str] = []
    elector = LeaderElector(
        connection.lease,
        namespace="nicplug-system",
        name="lease",
        identity="me",
        on_gain=lambda: None,
        on_lose=lambda: lost.append("lost"),
        timing=TIMING,
    )
    crowd.add(elector.run())
    await server.until(0, renewals=5)
    assert not crowd.has_lost_one()
    assert elector.is_leader()
    assert lost == []


async def test_writes_are_sent_while_all_watches_hang(
    server: HangingServer, connection: Connection, crowd: Crowd
) -> None:
    for _ in range(2 * WATCH_CONNECTIONS):
        crowd.add(follow(connection))
    await server.until(WATCH_CONNECTIONS, method="GET")
    crowd.add(write(connection))
    await server.until(1, method="PATCH")
    assert not crowd.has_lost_one()


async def test_watches_are_opened_while_all_writes_hang(
    server: HangingServer, connection: Connection, crowd: Crowd
) -> None:
    for _ in range(2 * CONNECTIONS_PER_HOST):
        crowd.add(write(connection))
    await server.until(CONNECTIONS_PER_HOST, method="PATCH")
    crowd.add(follow(connection))
    await server.until(1, method="GET")
    assert not crowd.has_lost_one()


async def test_a_renewal_goes_out_beside_one_that_hangs(
    server: HangingServer, connection: Connection, crowd: Crowd
) -> None:
    crowd.add(connection.lease.get(PODS, name="hangs", namespace="default"))
    await server.until(1, method="GET")
    async with asyncio.timeout(10):
        await connection.lease.create(LEASES, {"metadata": {"name": "lease"}}, namespace="nicplug-system")


async def test_tokens_that_are_renewed_are_renewed_for_all(connection: Connection) -> None:
    """The pools have limits of their own, and credentials in common."""
    configurations = [api._transport.configuration for api in (connection.api, connection.lease, connection.watching)]  # type: ignore[attr-defined]
    configurations[0].api_key["BearerToken"] = "fresh"
    assert [item.api_key["BearerToken"] for item in configurations] == ["fresh"] * 3
    assert len({item.tcp_connector_limit_per_host for item in configurations}) == 3
