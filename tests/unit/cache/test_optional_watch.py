"""A kind that may be missing, forbidden, installed later or taken away, on a real socket."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from weakref import WeakSet

import pytest
from kubernetes.aio.client import Configuration
from structlog.testing import capture_logs
from tests.fakes.apiserver import FakeApiServer

from nicplug.cache import optional_watch
from nicplug.cache.attachments import Attachments
from nicplug.cache.dynamic_controllers import ControllerPods, NamespaceDaemonSets
from nicplug.cache.multus_configs import MultusConfigOf, MultusConfigs
from nicplug.cache.nodes import Nodes
from nicplug.cache.optional_watch import Absence, OptionalWatch
from nicplug.cache.pod_failures import PodFailures
from nicplug.kube.aio import AioApi
from nicplug.kube.errors import MANIFESTS, Stale
from nicplug.kube.resources import CORE_EVENTS, NETWORK_ATTACHMENT_DEFINITIONS, PODS

NADS = "network-attachment-definitions"
REMEDY: dict[str, Any] = {"not_served": "install it", "missing_right": "right to read it"}


@dataclass(slots=True)
class Kept:
    """A sink: what is there by name, and what was heard."""

    objects: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    lists: int = 0
    absence: Absence | None = None

    def project(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        return item

    def replace(self, items: Iterable[Mapping[str, Any]]) -> None:
        self.objects = {item["metadata"]["name"]: item for item in items}
        self.lists, self.absence = self.lists + 1, None

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        name = item["metadata"]["name"]
        if type_ == "DELETED":
            del self.objects[name]
        else:
            self.objects[name] = item

    def lose(self, absence: Absence) -> None:
        self.objects, self.absence = {}, absence


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST_PAUSE_SECONDS", "_NOT_SERVED_PAUSE_SECONDS", "_DENIED_PAUSE_SECONDS"):
        monkeypatch.setattr(optional_watch, name, 0.01)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as made:
        yield made


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[AioApi]:
    made = AioApi(Configuration(host=server.url))
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def watching(api: AioApi, **options: Any) -> AsyncIterator[tuple[OptionalWatch, Kept]]:
    kept = Kept()
    resource = options.pop("resource", NETWORK_ATTACHMENT_DEFINITIONS)
    watch = OptionalWatch(api=api, resource=resource, sink=kept, **REMEDY, **options)
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(5):
            await watch.settled.wait()
        yield watch, kept
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def nad(name: str, config: str = "{}") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"config": config}}


async def until(condition: Any) -> None:
    """Of what the watch has taken in, no event tells."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_what_exists_comes_first_then_what_changes(server: FakeApiServer, api: AioApi) -> None:
    server.create(NADS, nad("a"))
    async with watching(api) as (_, kept):
        assert list(kept.objects) == ["a"]
        server.create(NADS, nad("b"))
        await until(lambda: "b" in kept.objects)
        server.delete(NADS, "a")
        await until(lambda: "a" not in kept.objects)
        assert kept.lists == 1


async def test_a_list_comes_in_pages(server: FakeApiServer, api: AioApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional_watch, "_PAGE", 2)
    for name in "abcde":
        server.create(NADS, nad(name))
    async with watching(api) as (_, kept):
        assert list(kept.objects) == list("abcde")


async def test_an_object_larger_than_any_buffer_arrives_without_what_is_too_large(
    server: FakeApiServer, api: AioApi
) -> None:
    async with watching(api) as (_, kept):
        server.create(NADS, nad("huge", "x" * 3_000_000))
        server.create(NADS, nad("next"))
        await until(lambda: "next" in kept.objects)
        (mark,) = kept.objects["huge"]["spec"]["config"].values()
        assert mark.endswith("/3000002")


class Raw(dict[str, Any]):
    """An object as the API server has it, which can be told to be alive or not."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Pages:
    """An API server that has a page of objects for each number in `pages`; counts those that are still in memory."""

    def __init__(self, *pages: int, fails: Mapping[int, Exception] | None = None) -> None:
        self.pages, self.fails = pages, dict(fails or {})
        self.alive: WeakSet[Raw] = WeakSet()
        self.most, self.lists = 0, 0

    async def list(self, _resource: Any, *, continue_token: str | None = None, **_: Any) -> dict[str, Any]:
        number = int(continue_token or 0)
        self.lists += number == 0
        self.most = max(self.most, len(self.alive))
        if (error := self.fails.pop(number, None)) is not None:
            raise error
        items = [self.item(f"{number}-{index}") for index in range(self.pages[number])]
        token = str(number + 1) if number + 1 < len(self.pages) else ""
        return {"items": items, "metadata": {"continue": token, "resourceVersion": "9"}}

    def item(self, name: str) -> Raw:
        involved = {"kind": "Pod", "name": name, "namespace": "default", "uid": name}
        ready: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
        item = Raw(
            metadata={"name": name, "namespace": "default", "uid": name, "resourceVersion": "1"},
            involvedObject=involved,
            reason="FailedCreatePodSandBox",
            message=f"of {name}",
            spec={"config": "{}", "template": {"spec": {"affinity": {"nodeAffinity": ready}}}},
        )
        item["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "uid": "owner", "controller": True}]
        self.alive.add(item)
        return item

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        self.most = max(self.most, len(self.alive))
        await asyncio.Event().wait()
        yield {}


@contextlib.asynccontextmanager
async def listed(pages: Pages, sink: Any) -> AsyncIterator[None]:
    watch = OptionalWatch(api=cast(Any, pages), resource=CORE_EVENTS, sink=sink, **REMEDY)
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(5):
            await watch.settled.wait()
        await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


SINKS: dict[str, Callable[[], Any]] = {
    "events of nobody's pods": lambda: PodFailures(clock=_now, is_ours=lambda _key, _uid: False),
    "events of launcher pods": lambda: PodFailures(clock=_now, is_ours=lambda _key, _uid: True),
    "NADs": lambda: Attachments(clock=_now),
    "nodes": Nodes,
    "DaemonSets": lambda: NamespaceDaemonSets("default", lambda _is_news: None),
    "pods of a controller": lambda: ControllerPods("owner", lambda _nodes: None),
    "Multus": lambda: MultusConfigOf(namespace="kube-system", configs=MultusConfigs(clock=_now)),
}


@pytest.mark.parametrize("name", SINKS)
async def test_a_long_list_is_not_in_memory_as_a_whole(name: str) -> None:
    """1,000 events of 250 KB in a tenant's namespace took 252 MB at every start."""
    pages, sink = Pages(*[3] * 20), SINKS[name]()
    async with listed(pages, sink):
        gc.collect()
        assert pages.most <= 3, "one page at a time"
        assert len(pages.alive) == 0, "what is kept holds no object"


async def test_a_list_that_breaks_off_loses_nothing_and_what_is_gone_is_gone_after_the_next() -> None:
    sink = Attachments(clock=_now)
    async with listed(Pages(2, 2), sink):
        assert len(sink) == 4
    changed: list[Any] = []
    sink.on_change = changed.append
    pages = Pages(1, 1, fails={1: Stale("expired", status=410)})
    before: list[int] = []
    lists = pages.list

    async def watched(*arguments: Any, **options: Any) -> dict[str, Any]:
        before.append(len(sink))
        return await lists(*arguments, **options)

    pages.list = watched  # type: ignore[method-assign]
    async with listed(pages, sink):
        assert before == [4, 4, 4, 4]
        assert (pages.lists, len(sink)) == (2, 2)
        assert [sorted(key.name for key in keys) for keys in changed] == [["0-1", "1-1"]]


def test_an_event_whose_pod_goes_while_the_list_is_read_is_not_kept() -> None:
    """Nobody would forget it again."""
    pods = {"a"}
    sink = PodFailures(clock=_now, is_ours=lambda _key, uid: uid in pods)
    kept = sink.project(Pages().item("a"))
    assert kept is not None
    pods.clear()
    sink.replace([kept])
    assert sink.to_start("a") is None


def _now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_cut_stream_goes_on_without_a_list(server: FakeApiServer, api: AioApi) -> None:
    async with watching(api) as (_, kept):
        server.create(NADS, nad("a"))
        await until(lambda: "a" in kept.objects)
        server.cut_watches(NADS)
        server.create(NADS, nad("b"))
        await until(lambda: "b" in kept.objects)
        assert kept.lists == 1


async def test_a_deletion_that_the_watch_missed_is_found_by_the_list_after_a_410(
    server: FakeApiServer, api: AioApi
) -> None:
    server.create(NADS, nad("a"))
    async with watching(api) as (_, kept):

        def lose_the_deletion() -> None:
            server.cut_watches(NADS)
            server.delete(NADS, "a")
            server.compact()

        server.atomically(lose_the_deletion)
        await until(lambda: kept.objects == {})
        assert kept.lists == 2


async def test_a_server_that_ends_every_stream_at_once_is_not_asked_in_a_tight_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages, paused, done = Pages(1), [0], asyncio.Event()
    pause = OptionalWatch._pause

    def counted(watch: OptionalWatch) -> float:
        paused[0] += 1
        return pause(watch)

    async def ended(*_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        assert paused[0] == watches[0], "before it is asked again"
        watches[0] += 1
        if watches[0] == 5:
            done.set()
            await asyncio.Event().wait()
        if not watches[0]:
            yield {}

    watches = [0]
    monkeypatch.setattr(OptionalWatch, "_pause", counted)
    pages.watch = ended  # type: ignore[method-assign]
    async with listed(pages, Attachments(clock=_now)), asyncio.timeout(5):
        await done.wait()
    assert (watches[0], paused[0], pages.lists) == (5, 4, 1)


async def test_an_error_in_the_stream_is_survived(server: FakeApiServer, api: AioApi) -> None:
    async with watching(api) as (_, kept):
        await until(lambda: server.open_watches == [NADS])
        server.break_watches(code=500, resource=NADS)
        server.create(NADS, nad("a"))
        await until(lambda: "a" in kept.objects)


async def test_a_bookmark_is_where_to_go_on_from(server: FakeApiServer, api: AioApi) -> None:
    async with watching(api) as (_, kept):
        await until(lambda: server.open_watches == [NADS])
        for number in range(5):
            server.create("pods", {"metadata": {"name": f"p{number}"}, "spec": {}})
        server.bookmark(NADS)
        version = server.version
        server.clear_requests()
        await asyncio.sleep(0.05)
        server.cut_watches(NADS)
        await until(lambda: any(request.verb == "watch" for request in server.requests))
        [again] = [request for request in server.requests if request.verb == "watch"]
        assert again.query["resourceVersion"] == str(version)
        assert kept.lists == 1


async def test_an_api_server_that_was_away_is_followed_again(server: FakeApiServer, api: AioApi) -> None:
    server.create(NADS, nad("a"))
    async with watching(api) as (_, kept):
        await server.stop()
        await asyncio.sleep(0.05)
        assert list(kept.objects) == ["a"], "silence is no news"
        await server.start()
        server.create(NADS, nad("b"))
        await until(lambda: "b" in kept.objects)


async def test_a_kind_that_is_installed_later_is_noticed_and_said_once(server: FakeApiServer, api: AioApi) -> None:
    server.stop_serving(NADS)
    with capture_logs() as logs:
        async with watching(api) as (_, kept):
            assert kept.absence is Absence.NOT_SERVED
            await until(lambda: len([request for request in server.requests if request.code == 404]) > 2)
            server.serve(NADS)
            server.create(NADS, nad("a"))
            await until(lambda: "a" in kept.objects)
            assert kept.absence is None
    assert [line["remedy"] for line in logs if line["log_level"] == "warning"] == ["install it"]


async def test_a_kind_that_is_taken_away_is_lost_and_found_again(server: FakeApiServer, api: AioApi) -> None:
    server.create(NADS, nad("a"))
    async with watching(api) as (_, kept):
        server.stop_serving(NADS)
        await until(lambda: kept.absence is Absence.NOT_SERVED)
        server.serve(NADS)
        await until(lambda: kept.absence is None)


async def test_a_missing_right_is_said_once_with_its_remedy(server: FakeApiServer, api: AioApi) -> None:
    server.create(NADS, nad("a"))
    server.fail(status=403, verb="list", resource=NADS, times=3)
    with capture_logs() as logs:
        async with watching(api) as (_, kept):
            assert kept.absence is Absence.DENIED
            await until(lambda: "a" in kept.objects)
    remedy = f"{MANIFESTS} give the right to read it"
    assert [line["remedy"] for line in logs if line["log_level"] == "warning"] == [remedy]


async def test_being_throttled_is_obeyed(server: FakeApiServer, api: AioApi) -> None:
    server.create(NADS, nad("a"))
    server.fail(status=429, verb="list", resource=NADS, times=2, headers={"Retry-After": "0"})
    async with watching(api) as (_, kept):
        assert list(kept.objects) == ["a"]


async def test_the_server_selects_by_field(server: FakeApiServer, api: AioApi) -> None:
    def event(name: str, reason: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "reason": reason, "involvedObject": {"kind": "Pod"}}

    server.create("core/events", event("a", "FailedAddingInterface"))
    server.create("core/events", event("b", "Scheduled"))
    selector = "involvedObject.kind=Pod,reason=FailedAddingInterface"
    async with watching(api, resource=CORE_EVENTS, field_selector=selector) as (_, kept):
        server.create("core/events", event("c", "Pulled"))
        server.create("core/events", event("d", "FailedAddingInterface"))
        await until(lambda: list(kept.objects) == ["a", "d"])


async def test_only_what_is_selected_in_one_namespace(server: FakeApiServer, api: AioApi) -> None:
    def labelled(name: str, value: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "labels": {"app": value}}, "spec": {"containers": []}}

    server.create("namespaces", {"metadata": {"name": "other"}})
    for namespace in ("default", "other"):
        server.create("pods", labelled("a", "x"), namespace=namespace)
    async with watching(api, resource=PODS, namespace="other", label_selector="app=x") as (_, kept):
        assert [item["metadata"]["namespace"] for item in kept.objects.values()] == ["other"]
        server.create("pods", labelled("c", "y"), namespace="other")
        server.create("pods", labelled("d", "x"))
        server.create("pods", labelled("e", "x"), namespace="other")
        await until(lambda: "e" in kept.objects)
        assert set(kept.objects) == {"a", "e"}
