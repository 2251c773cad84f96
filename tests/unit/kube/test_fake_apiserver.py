"""What the fake can do beside being an API server; its API facts are in tests/conformance."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import kopf
import pytest
from kubernetes.aio.client import Configuration
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.status import ApiFailure

from nicplug.kube.aio import AioApi
from nicplug.kube.api import Json
from nicplug.kube.errors import Unavailable
from nicplug.kube.resources import PODS


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as made:
        yield made


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[AioApi]:
    made = AioApi(Configuration(host=server.url))
    yield made
    await made.close()


class Operator:
    """Kopf with one handler that notes what it is told."""

    def __init__(self, server: FakeApiServer) -> None:
        self.seen: list[tuple[str | None, str]] = []
        self._stop = asyncio.Event()
        registry = kopf.OperatorRegistry()
        settings = kopf.OperatorSettings()
        settings.scanning.disabled = True
        settings.networking.error_backoffs = [0.1] * 50
        settings.queueing.idle_timeout = settings.queueing.exit_timeout = 0.1

        @kopf.on.login(registry=registry)
        async def login(**_: object) -> kopf.ConnectionInfo:
            return kopf.ConnectionInfo(server=server.url)

        @kopf.on.event("", "v1", "pods", registry=registry)
        async def on_pod(event: kopf.RawEvent, **_: object) -> None:
            self.seen.append((event["type"], event["object"]["metadata"]["name"]))

        self.task = asyncio.create_task(
            kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True, stop_flag=self._stop)
        )

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.wait_for(self.task, 10)


async def test_kopf_watches_it_through_an_outage_and_an_expired_watch(server: FakeApiServer) -> None:
    operator = Operator(server)
    await server.until(lambda: server.open_watches == ["pods"])
    server.create("pods", {"metadata": {"name": "a"}, "spec": {}})
    await _until(lambda: ("ADDED", "a") in operator.seen)
    await server.stop()
    server.create("pods", {"metadata": {"name": "b"}, "spec": {}})
    await server.start()
    await _until(lambda: ("ADDED", "b") in operator.seen)
    server.expire_watches()
    await _until(lambda: (None, "a") in operator.seen)
    await operator.stop()


async def test_kopf_is_not_told_what_was_deleted_while_its_watch_was_broken(server: FakeApiServer) -> None:
    """The reason for the reaper."""
    for name in "abc":
        server.create("pods", {"metadata": {"name": name}, "spec": {}})
    operator = Operator(server)
    await _until(lambda: len(operator.seen) == 3)
    await server.until(lambda: server.open_watches == ["pods"])

    def break_and_delete() -> None:
        server.cut_watches()
        server.delete("pods", "b")
        server.compact()

    server.atomically(break_and_delete)
    await _until(lambda: len(operator.seen) >= 5)
    assert operator.seen[3:] == [(None, "a"), (None, "c")]
    await operator.stop()


async def test_an_error_in_the_stream_ends_kopf(server: FakeApiServer) -> None:
    operator = Operator(server)
    await server.until(lambda: server.open_watches == ["pods"])
    server.break_watches(code=500)
    with pytest.raises(Exception, match="500"):
        await asyncio.wait_for(operator.task, 10)


async def test_the_end_of_kopf_leaves_the_fake_alone(server: FakeApiServer, api: AioApi) -> None:
    """Kopf cancels every task of its loop that began after it, the connections of a server there included."""
    operator = Operator(server)
    await server.until(lambda: server.open_watches == ["pods"])
    await api.create(PODS, {"metadata": {"name": "a"}, "spec": {}}, namespace="default")
    await operator.stop()
    for _ in range(5):
        await api.get(PODS, name="a", namespace="default")


async def test_objects_survive_an_outage_on_the_same_port(server: FakeApiServer, api: AioApi) -> None:
    server.create("pods", {"metadata": {"name": "a"}, "spec": {}})
    url = server.url
    await server.stop()
    with pytest.raises(Unavailable):
        await api.get(PODS, name="a", namespace="default")
    await server.start()
    assert server.url == url
    assert (await api.get(PODS, name="a", namespace="default"))["metadata"]["name"] == "a"


async def test_faults_are_used_up_and_can_be_healed(server: FakeApiServer, api: AioApi) -> None:
    fault = server.fail(verb="list", status=503, times=2)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await api.list(PODS)
    await api.list(PODS)
    assert fault.times == 0
    server.fail(verb="list", status=503, times=5)
    server.heal()
    await api.list(PODS)


async def test_faults_meet_only_whom_they_mean(server: FakeApiServer, api: AioApi) -> None:
    server.create("pods", {"metadata": {"name": "a"}, "spec": {}})
    server.create("pods", {"metadata": {"name": "b"}, "spec": {}})
    server.fail(status=503, verb="get", resource="pods", name="a")
    await api.get(PODS, name="b", namespace="default")
    with pytest.raises(Unavailable):
        await api.get(PODS, name="a", namespace="default")


async def test_until_gives_up(server: FakeApiServer) -> None:
    with pytest.raises(TimeoutError):
        await server.until(lambda: False, seconds=0.05)


async def test_graceful_pods_stay_until_their_node_lets_them_go() -> None:
    async with FakeApiServer(graceful_pods=True) as server:
        server.create("pods", {"metadata": {"name": "a"}, "spec": {"nodeName": "node01"}})
        server.delete("pods", "a")
        pod = server.get("pods", "a")
        assert pod is not None
        assert pod["metadata"]["deletionTimestamp"]
        assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
        server.delete("pods", "a", grace_seconds=0)
        assert server.get("pods", "a") is None


async def test_garbage_is_collected_when_asked_for() -> None:
    async with FakeApiServer(collects_garbage=True) as server:
        owner = server.create("virtualmachineinstances", {"metadata": {"name": "vmi"}})
        reference = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "name": "vmi",
            "uid": owner["metadata"]["uid"],
        }
        server.create("pods", {"metadata": {"name": "owned", "ownerReferences": [reference]}, "spec": {}})
        server.create("pods", {"metadata": {"name": "free"}, "spec": {}})
        server.delete("virtualmachineinstances", "vmi")
        assert [pod["metadata"]["name"] for pod in server.items("pods")] == ["free"]


async def test_playing_the_user_raises_what_http_would_answer(server: FakeApiServer) -> None:
    with pytest.raises(ApiFailure, match="not found"):
        server.modify("pods", "missing", lambda pod: pod)
    assert server.requests == []


async def test_a_bounded_history_expires_old_watches() -> None:
    async with FakeApiServer(history=10) as server:
        server.create("pods", {"metadata": {"name": "a", "annotations": {}}, "spec": {}})
        first = server.version
        for number in range(20):
            server.modify("pods", "a", partial(_annotate, value=str(number)))
        with pytest.raises(ApiFailure, match="too old resource version"):
            server._store.since(server._kinds["pods"], first)


async def test_a_thousand_writes_take_little_time(server: FakeApiServer, api: AioApi) -> None:
    """Else the fake, not the operator, is what a storm test measures. Measured about 1,100/s with its client."""
    for number in range(1000):
        server.create("pods", {"metadata": {"name": f"p{number}", "annotations": {"a": "x" * 3000}}, "spec": {}})
    patch = [{"op": "replace", "path": "/metadata/annotations/a", "value": "y"}]
    async with asyncio.timeout(30):  # far above what was measured, for machines that do other things as well
        await asyncio.gather(
            *(api.patch(PODS, patch, name=f"p{number}", namespace="default") for number in range(1000))
        )


def _annotate(pod: Json, *, value: str) -> None:
    pod["metadata"]["annotations"] = {"n": value}


async def _until(condition: Callable[[], object], *, seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)
