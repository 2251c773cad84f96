"""A write is sent only while its process leads: it may have been stopped while the write waited for a connection."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.fakes.kubeconfig import write_kubeconfig

from nicplug.kube.connect import Connection, connect
from nicplug.kube.errors import Unavailable
from nicplug.kube.resources import PODS


@dataclass
class Election:
    """Leadership that ends while a connection is being made."""

    leads: bool = True
    sent: list[str] = field(default_factory=list)
    connections: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.sent.append(request.method)
        return web.json_response({"kind": "Pod"})


@pytest.fixture
def election(monkeypatch: pytest.MonkeyPatch) -> Election:
    made = Election()
    connected = aiohttp.TCPConnector.connect

    async def stand_still(self: aiohttp.TCPConnector, *args: object, **options: object) -> object:
        connection = await connected(self, *args, **options)  # type: ignore[arg-type]
        made.connections += 1
        made.leads = False
        return connection

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", stand_still)
    return made


@pytest.fixture
async def connection(election: Election, tmp_path: Path) -> AsyncIterator[Connection]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", election.answer)
    async with TestServer(app) as server:
        made = await connect(kubeconfig=write_kubeconfig(tmp_path / "config", server=str(server.make_url(""))))
        yield made
        await made.close()


async def test_a_write_that_got_its_connection_too_late_is_not_sent(connection: Connection, election: Election) -> None:
    api = connection.api.guarded(lambda: election.leads)
    for write in (
        api.patch(PODS, [], name="p", namespace="default"),
        api.patch_unread(PODS, [], name="p", namespace="default"),
        api.patch_text(PODS, b"[]", name="p", namespace="default"),
        api.create(PODS, {}, namespace="default"),
        api.create_text(PODS, b"{}", namespace="default"),
        api.replace(PODS, {}, name="p", namespace="default"),
        api.delete(PODS, name="p", namespace="default"),
    ):
        election.leads = True
        with pytest.raises(Unavailable, match="leadership ended before the request was sent"):
            await write
    assert election.connections == 7, "each had a connection, and was sent once at most"
    assert election.sent == []


async def test_reads_and_other_clients_are_not_concerned(connection: Connection, election: Election) -> None:
    api = connection.api.guarded(lambda: election.leads)
    await api.get(PODS, name="p", namespace="default")
    await connection.api.patch(PODS, [], name="p", namespace="default")
    assert election.sent == ["GET", "PATCH"]


async def test_a_leader_writes(connection: Connection, election: Election) -> None:
    api = connection.api.guarded(lambda: True)
    await api.patch(PODS, [], name="p", namespace="default")
    assert election.sent == ["PATCH"]
