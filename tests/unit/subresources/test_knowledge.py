"""What the process knows of the cluster, followed on a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes.aio.client import Configuration
from tests.build import Json, kubevirt, nad
from tests.fakes.apiserver import FakeApiServer

from nicplug.kube.aio import AioApi
from nicplug.model.attachments import attachment_key
from nicplug.model.keys import AttachmentKey
from nicplug.model.networks import Network, parse_network
from nicplug.subresources.knowledge import Knowledge

KUBEVIRTS, NADS = "kubevirts", "network-attachment-definitions"
FILE = '{"namespaceIsolation": true, "globalNamespaces": "shared"}'
MULTUS: Json = {
    "metadata": {"name": "multus-daemon-config"},
    "data": {"daemon-config.json": FILE},
}


@dataclass(slots=True)
class World:
    server: FakeApiServer
    known: Knowledge
    following: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        self.following = asyncio.create_task(self.known.run())
        await self.until(lambda: not self.known.problem)

    async def until(self, check: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not check():
                assert self.following is None or not self.following.done()
                await asyncio.sleep(0.01)

    def gate(self) -> bool:
        return self.known.config is not None and self.known.config.hotplug_enabled

    def allows(self, reference: str) -> bool:
        network = _network(reference)
        known = self.known.known([network], namespace="default")
        return known.access.allows(_key(reference), namespace="default")

    def create(self, plural: str, body: Json, *, namespace: str) -> None:
        name = body["metadata"]["name"]
        self.server.create(plural, {**body, "metadata": {"name": name, "namespace": namespace}})


def _network(reference: str) -> Network:
    return parse_network({"name": "n", "multus": {"networkName": reference}})


def _key(reference: str) -> AttachmentKey:
    return attachment_key(_network(reference), namespace="default")


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for name in (
        "_FIRST_PAUSE_SECONDS",
        "_NOT_SERVED_PAUSE_SECONDS",
        "_DENIED_PAUSE_SECONDS",
        "_DOUBTED_PAUSE_SECONDS",
    ):
        monkeypatch.setattr(f"nicplug.cache.optional_watch.{name}", 0.02)
    namespaces = ("default", "kubevirt", "kube-system", "another", "shared")
    async with FakeApiServer(namespaces=namespaces) as server:
        api = AioApi(Configuration(host=server.url))
        made = World(server, Knowledge(api, kubevirt_namespace="kubevirt"))
        yield made
        if made.following is not None:
            made.following.cancel()
            await asyncio.gather(made.following, return_exceptions=True)
        await api.close()


async def test_before_everything_has_been_read_there_is_a_problem(world: World) -> None:
    assert "has not been read yet" in world.known.problem
    await world.follow()
    assert world.known.problem == ""


async def test_the_gate_follows_the_kubevirt_object(world: World) -> None:
    world.create(KUBEVIRTS, kubevirt(), namespace="kubevirt")
    await world.follow()
    assert world.gate()
    world.server.modify(KUBEVIRTS, "kubevirt", lambda body: body["spec"].clear(), namespace="kubevirt")
    await world.until(lambda: not world.gate())
    assert world.known.config is not None
    world.server.delete(KUBEVIRTS, "kubevirt", namespace="kubevirt")
    await world.until(lambda: world.known.config is None)


async def test_a_kubevirt_object_of_another_namespace_has_no_effect(world: World) -> None:
    world.create(KUBEVIRTS, kubevirt(), namespace="another")
    await world.follow()
    assert world.known.config is None


async def test_what_multus_enforces_decides_with_the_default_policy(world: World) -> None:
    world.create(KUBEVIRTS, kubevirt(), namespace="kubevirt")
    world.create("configmaps", MULTUS, namespace="kube-system")
    await world.follow()
    await world.until(lambda: world.allows("shared/lan"))
    assert not world.allows("another/lan")


async def test_of_a_network_that_may_not_be_used_nothing_is_known(world: World) -> None:
    for namespace in ("default", "another"):
        world.create(NADS, nad("lan"), namespace=namespace)
    await world.follow()
    known = world.known.known([_network("lan"), _network("another/lan")], namespace="default")
    assert set(known.definitions) == {_key("lan")}


async def test_an_api_server_that_denies_for_a_moment_does_not_turn_the_gate_off(world: World) -> None:
    """One that has just started denies everything: it has not read its roles yet."""
    world.create(KUBEVIRTS, kubevirt(), namespace="kubevirt")
    world.create("configmaps", MULTUS, namespace="kube-system")
    await world.follow()
    await world.until(lambda: world.allows("shared/lan"))
    for resource in (KUBEVIRTS, "configmaps"):
        world.server.fail(verb="watch", resource=resource, status=403, times=3)
    world.server.cut_watches()
    await world.until(lambda: len([item for item in world.server.requests if item.code == 403]) >= 6)
    assert world.gate()
    assert world.allows("shared/lan")


async def test_what_must_not_be_read_any_more_stays_as_it_was_read(world: World) -> None:
    """A right that is lost by mistake turns no feature gate off."""
    world.create(KUBEVIRTS, kubevirt(), namespace="kubevirt")
    await world.follow()
    world.server.fail(verb="watch", resource=KUBEVIRTS, status=403, times=1000)
    world.server.fail(verb="list", resource=KUBEVIRTS, status=403, times=1000)
    world.server.cut_watches(KUBEVIRTS)
    await world.until(lambda: any(item.verb == "list" and item.code == 403 for item in world.server.requests))
    assert world.gate()
