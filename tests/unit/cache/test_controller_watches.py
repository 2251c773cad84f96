"""The watches for the dynamic networks controller, on a real socket: bounded, and never a tenant's to open."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from kubernetes.aio.client import Configuration
from structlog.testing import capture_logs
from tests.fakes.apiserver import FakeApiServer
from tests.unit.model.controllers import daemon_set

from nicplug.cache.controller_watches import ControllerWatches
from nicplug.cache.dynamic_controllers import MOST_FOLLOWED, DynamicControllers
from nicplug.kube.aio import AioApi
from nicplug.kube.connect import WATCH_CONNECTIONS
from nicplug.model.dynamic_controller import ControllerFinder
from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES

DAEMON_SETS, PODS = "daemonsets", "pods"


class Following:
    """The store and its watches, on the fake."""

    def __init__(self, server: FakeApiServer, api: AioApi) -> None:
        self.server = server
        self.tasks: set[asyncio.Task[None]] = set()
        self.controllers = DynamicControllers()
        self.watches = ControllerWatches(api=api, controllers=self.controllers, spawn=self._spawn)
        self.controllers.on_found = self.watches.adjust

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def deploy(self, name: str, *, namespace: str = "kube-system") -> None:
        body = daemon_set(name, namespace=namespace)
        for assigned in ("uid", "resourceVersion"):
            del body["metadata"][assigned]
        self.server.create(DAEMON_SETS, body)

    async def open(self, plural: str, count: int) -> None:
        """Wait until so many watches of a kind are open."""
        await self.server.until(lambda: self.server.open_watches.count(plural) == count, seconds=10)


@pytest.fixture
async def following() -> AsyncIterator[Following]:
    async with FakeApiServer() as server:
        server.serve(DAEMON_SETS)
        for name in ("tenant", "nets"):
            server.create("namespaces", {"metadata": {"name": name}})
        api = AioApi(Configuration(host=server.url), connections=WATCH_CONNECTIONS)
        made = Following(server, api)
        yield made
        for task in list(made.tasks):
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
        await api.close()


async def test_sixty_daemon_sets_of_a_tenant_open_no_watch(following: Following) -> None:
    """Each opened one, in the connections that Lease and writes shared: with 42 of them leadership was lost."""
    for number in range(60):
        following.deploy(f"dynamic-networks-controller-{number}", namespace="tenant")
    following.deploy("dynamic-networks-controller-ds")
    following.watches.adjust()
    await following.open(PODS, 1)
    await following.open(DAEMON_SETS, len(DEFAULT_TRUSTED_NAMESPACES))
    assert len(following.watches) == len(DEFAULT_TRUSTED_NAMESPACES) + 1
    asked = {(item.resource, item.namespace) for item in following.server.requests}
    assert asked == {(DAEMON_SETS, name) for name in DEFAULT_TRUSTED_NAMESPACES} | {(PODS, "kube-system")}


async def test_many_controllers_in_a_trusted_namespace_open_so_many_watches_and_no_more(following: Following) -> None:
    for number in range(MOST_FOLLOWED + 5):
        following.deploy(f"dynamic-networks-controller-{number}")
    with capture_logs() as lines:
        following.watches.adjust()
        await following.open(PODS, MOST_FOLLOWED)
        await following.watches.settle()
        following.deploy("kube-proxy")
        following.watches.adjust()
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert (line["followed"], line["found"]) == (MOST_FOLLOWED, MOST_FOLLOWED + 5)
    assert "dynamicController" in line["remedy"]


async def test_the_watch_of_a_controller_that_is_gone_ends(following: Following) -> None:
    following.deploy("dynamic-networks-controller-a")
    following.watches.adjust()
    await following.open(PODS, 1)
    before = len(following.tasks)
    for _ in range(5):
        following.deploy("dynamic-networks-controller-b")
        await following.open(PODS, 2)
        following.server.delete(DAEMON_SETS, "dynamic-networks-controller-b", namespace="kube-system")
        await following.open(PODS, 1)
    assert len(following.tasks) == before


async def test_namespaces_that_are_trusted_from_now_on_are_watched_and_the_others_no_more(
    following: Following,
) -> None:
    following.deploy("dynamic-networks-controller-a")
    following.deploy("dynamic-networks-controller-b", namespace="nets")
    following.watches.adjust()
    await following.open(PODS, 1)
    following.controllers.look_for(ControllerFinder(), namespaces=["nets"])
    await following.open(DAEMON_SETS, 1)
    await following.open(PODS, 1)
    await following.server.until(lambda: _asked_for(following, "nets"), seconds=10)
    assert [str(item.key) for item in following.controllers.controllers()] == ["nets/dynamic-networks-controller-b"]


def _asked_for(following: Following, namespace: str) -> bool:
    return any((item.resource, item.namespace) == (PODS, namespace) for item in following.server.requests)


@pytest.mark.parametrize("finder", [ControllerFinder(), ControllerFinder(name="nets")], ids=["usual", "by policy"])
async def test_that_none_is_found_is_said_once_with_a_remedy(following: Following, finder: ControllerFinder) -> None:
    following.deploy("nets", namespace="tenant")
    following.controllers.look_for(finder, namespaces=["kube-system"])
    with capture_logs() as lines:
        following.watches.adjust()
        await following.watches.settle()
        following.watches.adjust()
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("no dynamic networks controller found", "warning")
    assert line["trusted_namespaces"] == ["kube-system"]
    assert "spec.configuration.network.hotplug.trustedNamespaces" in line["remedy"]


async def test_a_controller_counted_in_a_namespace_that_no_admin_had_named_and_that_was_not_reported(
    following: Following,
) -> None:
    """A cluster without OpenShift may let anyone create a namespace of that name."""
    following.server.create("namespaces", {"metadata": {"name": "openshift-multus"}})
    following.deploy("dynamic-networks-controller-ds")
    following.deploy("dynamic-networks-controller-ds", namespace="openshift-multus")
    with capture_logs() as lines:
        following.watches.adjust()
        await following.open(PODS, 2)
        following.watches.adjust()
        named = [*DEFAULT_TRUSTED_NAMESPACES[:1], "openshift-multus"]
        following.controllers.look_for(ControllerFinder(), namespaces=named)
        await following.open(DAEMON_SETS, 2)
        following.deploy("dynamic-networks-controller-b", namespace="openshift-multus")
        await following.open(PODS, 3)
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert line["namespaces"] == ("openshift-multus",)
    assert "trustedNamespaces" in line["remedy"]


async def test_the_default_list_written_by_an_admin_was_reported_as_unset(
    following: Following,
) -> None:
    following.server.create("namespaces", {"metadata": {"name": "openshift-multus"}})
    following.deploy("dynamic-networks-controller-ds", namespace="openshift-multus")
    following.controllers.look_for(ControllerFinder(), namespaces=DEFAULT_TRUSTED_NAMESPACES, by_default=False)
    with capture_logs() as lines:
        following.watches.adjust()
        await following.open(PODS, 1)
        following.watches.adjust()
    assert [line["log_level"] for line in lines] == ["info"]
