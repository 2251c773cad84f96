"""A real TLS server on loopback, with real certificates, and everything around it."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.unit.apiserver.played import (
    ADD,
    REMOVE,
    SERVER,
    STORY,
    Authority,
    Client,
    PlayedApi,
    Recorder,
    Response,
    connect,
    trust_data,
)

from nicplug.apiserver.dispatch import Limits
from nicplug.apiserver.key_pairs import KeyPair
from nicplug.apiserver.reviews import Review
from nicplug.apiserver.server import AggregatedApiServer, Binding
from nicplug.obs.metrics import ApiMetrics


@dataclass(slots=True)
class Given:
    """A certificate that a test may exchange."""

    pair: KeyPair

    async def current(self) -> KeyPair:
        return self.pair

    def review_token(self, pair: KeyPair) -> str:
        return "secret-token"


@dataclass(slots=True, kw_only=True)
class World:
    """One server and who may talk to it."""

    directory: Path
    api: PlayedApi = field(default_factory=PlayedApi)
    recorder: Recorder = field(default_factory=Recorder)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    authority: Authority = field(default_factory=Authority)
    proxies: Authority = field(default_factory=Authority)
    source: Given
    server: AggregatedApiServer
    reviews: list[Review] = field(default_factory=list)
    port: int = 0
    _clients: list[Client] = field(default_factory=list)

    async def client(self, pair: KeyPair | str | None = "proxy") -> Client:
        """A connection; by default the front proxy's."""
        chosen = self.proxies.issue() if isinstance(pair, str) else pair
        client = await connect(self.port, chosen, directory=self.directory, authority=self.authority.pem)
        self._clients.append(client)
        return client

    async def ask(self, request: bytes, *, pair: KeyPair | str | None = "proxy") -> Response:
        """One request on a connection of its own."""
        client = await self.client(pair)
        await client.send(request)
        return await client.receive(has_body=not request.startswith(b"HEAD"))

    def count(self, code: int, subresource: str = "virtualmachines/addinterface") -> float:
        """The metric of requests."""
        labels = {"code": str(code), "subresource": subresource}
        return self.registry.get_sample_value("nicplug_subresource_requests_total", labels) or 0.0

    def close(self) -> None:
        for client in self._clients:
            client.close()


Start = Callable[[Limits], Awaitable[World]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a server with limits of the test's own."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(limits: Limits) -> World:
            api, recorder, metrics = PlayedApi(), Recorder(), ApiMetrics()
            authority, proxies = Authority(), Authority()
            source = Given(authority.issue("server", host=SERVER))
            reviews: list[Review] = []

            async def review(asked: Review) -> str:
                reviews.append(asked)
                return f"reviewed {asked.namespace}/{asked.name}"

            api.trust(trust_data(proxies.pem))
            server = AggregatedApiServer(
                api=api.api,
                source=source,
                handlers={ADD: recorder, REMOVE: recorder, STORY: recorder},
                metrics=metrics,
                limits=limits,
                reviewer=review,
            )
            world = World(
                directory=tmp_path,
                api=api,
                recorder=recorder,
                registry=metrics.registry,
                authority=authority,
                proxies=proxies,
                source=source,
                server=server,
                reviews=reviews,
            )
            world.port = await server.start(Binding(address="127.0.0.1", port=0))
            stack.push_async_callback(server.stop)
            stack.callback(world.close)
            return world

        yield make


@pytest.fixture
async def world(start: Start) -> World:
    """A server with the limits of a deployment."""
    return await start(Limits())
