"""The client against an API server that misbehaves in every way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Fault

from nicplug.kube import transport
from nicplug.kube.aio import CONNECTIONS_PER_HOST, AioApi
from nicplug.kube.api import Json, Resource
from nicplug.kube.errors import ApiError, Denied, Gone, Rejected, Stale, Throttled, Unavailable
from nicplug.kube.resources import PODS, VIRTUAL_MACHINE_INSTANCES

Counted = list[tuple[str, str, int]]


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as made:
        made.create("pods", {"metadata": {"name": "p", "annotations": {"a": "1"}}, "spec": {}})
        yield made


@pytest.fixture
def counted() -> Counted:
    return []


@pytest.fixture
async def api(server: FakeApiServer, counted: Counted) -> AsyncIterator[AioApi]:
    def count(*, verb: str, resource: str, code: int, seconds: float) -> None:
        assert seconds >= 0
        counted.append((verb, resource, code))

    made = AioApi(Configuration(host=server.url), on_response=count, user_agent="nicplug/test")
    yield made
    await made.close()


async def annotate(api: AioApi, value: str = "2") -> Json:
    patch = [
        {"op": "test", "path": "/metadata/annotations/a", "value": "1"},
        {"op": "replace", "path": "/metadata/annotations/a", "value": value},
    ]
    return await api.patch(PODS, patch, name="p", namespace="default")


async def test_requests_are_counted_by_verb_resource_and_code(
    api: AioApi, server: FakeApiServer, counted: Counted
) -> None:
    await api.get(PODS, name="p", namespace="default")
    await api.list(PODS, namespace="default")
    await annotate(api)
    await api.patch(PODS, [], name="p", namespace="default", subresource="status")
    with pytest.raises(Stale):
        await annotate(api)
    await api.delete(PODS, name="p", namespace="default")
    with pytest.raises(Gone):
        await api.get(PODS, name="p", namespace="default")
    await server.stop()
    with pytest.raises(Unavailable):
        await api.get(PODS, name="p", namespace="default")
    assert counted == [
        ("get", "pods", 200),
        ("list", "pods", 200),
        ("patch", "pods", 200),
        ("patch", "pods/status", 200),
        ("patch", "pods", 422),
        ("delete", "pods", 200),
        ("get", "pods", 404),
        ("get", "pods", 0),
    ]


async def test_a_patch_says_what_it_is_and_who_sent_it(api: AioApi, server: FakeApiServer) -> None:
    await annotate(api)
    (request,) = server.writes()
    assert request.content_type == "application/json-patch+json"
    assert request.user_agent == "nicplug/test"
    assert request.committed


async def test_a_write_had_the_server_look_for_what_nobody_reads(api: AioApi, server: FakeApiServer) -> None:
    await annotate(api)
    found = await api.get(PODS, name="p", namespace="default")
    await api.replace(PODS, found, name="p", namespace="default")
    await api.create(PODS, {"metadata": {"name": "q"}}, namespace="default")
    await api.create_text(PODS, b'{"metadata": {"name": "r"}}', namespace="default")
    await api.patch_text(PODS, b"[]", name="p", namespace="default")
    await api.list(PODS)
    await api.delete(PODS, name="r", namespace="default")
    of_verb = {request.verb: dict(request.query) for request in server.requests}
    unchecked = {"fieldValidation": "Ignore"}
    assert of_verb == {
        "get": {},
        "list": {},
        "delete": {},
        "patch": unchecked,
        "update": unchecked,
        "create": unchecked,
    }
    assert all(dict(request.query) == unchecked for request in server.writes() if request.verb != "delete")


async def test_created_objects_get_their_kind_from_the_resource(api: AioApi) -> None:
    created = await api.create(VIRTUAL_MACHINE_INSTANCES, {"metadata": {"name": "v"}}, namespace="default")
    assert (created["apiVersion"], created["kind"]) == ("kubevirt.io/v1", "VirtualMachineInstance")


@pytest.mark.parametrize(
    ("status", "expected"), [(401, Denied), (403, Denied), (500, Unavailable), (503, Unavailable), (400, Rejected)]
)
async def test_refusals_before_the_commit(
    api: AioApi, server: FakeApiServer, status: int, expected: type[ApiError]
) -> None:
    server.fail(verb="patch", resource="pods", status=status)
    with pytest.raises(expected):
        await annotate(api)
    found = server.get("pods", "p")
    assert found is not None
    assert found["metadata"]["annotations"] == {"a": "1"}


async def test_being_throttled_tells_how_long(api: AioApi, server: FakeApiServer) -> None:
    server.fail(verb="patch", resource="pods", status=429, headers={"Retry-After": "7"})
    with pytest.raises(Throttled) as raised:
        await annotate(api)
    assert raised.value.after == 7.0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(verb="patch", when="after", status=504),
        Fault(verb="patch", when="after", drop=True),
    ],
    ids=["time-out", "connection lost"],
)
async def test_a_lost_answer_is_unavailable_and_sending_again_is_harmless(
    api: AioApi, server: FakeApiServer, fault: Fault
) -> None:
    server.inject(fault)
    with pytest.raises(Unavailable):
        await annotate(api)
    with pytest.raises(Stale):
        await annotate(api)
    found = server.get("pods", "p")
    assert found is not None
    assert found["metadata"]["annotations"] == {"a": "2"}


async def test_somebody_else_is_faster(api: AioApi, server: FakeApiServer) -> None:
    def rival() -> None:
        server.modify("pods", "p", lambda pod: pod["metadata"]["annotations"].update(a="theirs"))

    server.inject(Fault(verb="patch", then=rival))
    with pytest.raises(Stale):
        await annotate(api)


async def test_no_answer_in_time(api: AioApi, server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_TOTAL_SECONDS", 0.1)
    server.inject(Fault(verb="get", delay_seconds=2))
    with pytest.raises(Unavailable):
        await api.get(PODS, name="p", namespace="default")


@pytest.mark.parametrize("content", [b"<html>welcome</html>", b"[]", b""])
async def test_an_answer_that_is_no_object_is_unavailable(content: bytes) -> None:
    """Some other web server on that address, or an answer cut off."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))
        writer.close()

    other = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    api = AioApi(Configuration(host=f"http://127.0.0.1:{port}"))
    with pytest.raises(Unavailable):
        await api.get(PODS, name="p", namespace="default")
    await api.close()
    other.close()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../../../version", "a%2Fb"])
async def test_names_that_would_leave_their_path_are_refused_unsent(
    api: AioApi, server: FakeApiServer, name: str
) -> None:
    for call in (
        api.get(PODS, name=name, namespace="default"),
        api.get(PODS, name="p", namespace=name),
        api.delete(PODS, name=name, namespace="default"),
    ):
        with pytest.raises(Rejected):
            await call
    assert server.requests == []


async def test_other_characters_are_quoted(api: AioApi, server: FakeApiServer) -> None:
    with pytest.raises(Gone):
        await api.get(PODS, name="a?watch=true&x=#y z", namespace="default")
    (request,) = server.requests
    assert (request.verb, request.name, request.query) == ("get", "a?watch=true&x=#y z", {})


async def test_the_memory_of_the_api_server_is_asked_for_any_version(api: AioApi, server: FakeApiServer) -> None:
    found = await api.get_cached(PODS, name="p", namespace="default")
    assert found["metadata"]["name"] == "p"
    (request,) = server.requests
    assert (request.path, dict(request.query)) == ("/api/v1/namespaces/default/pods/p", {"resourceVersion": "0"})


async def test_a_closed_client_is_unavailable(api: AioApi) -> None:
    await api.get(PODS, name="p", namespace="default")
    await api.close()
    with pytest.raises(Unavailable):
        await api.get(PODS, name="p", namespace="default")


async def test_closing_while_requests_are_under_way(api: AioApi, server: FakeApiServer) -> None:
    server.inject(Fault(verb="get", delay_seconds=120, times=100))
    calls = [asyncio.create_task(api.get(PODS, name="p", namespace="default")) for _ in range(60)]
    await asyncio.sleep(0.2)
    async with asyncio.timeout(30):  # the answers are not waited for
        await api.close()
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, Unavailable)


async def test_connections_are_limited_and_reused(api: AioApi, server: FakeApiServer) -> None:
    peers: set[Any] = set()
    handle = server._http.handle

    async def noting(raw: Any) -> Any:
        peers.add(raw.transport.get_extra_info("peername"))
        return await handle(raw)

    server._http.handle = noting  # type: ignore[method-assign]
    await server.stop()
    await server.start()
    await asyncio.gather(*(api.get(PODS, name="p", namespace="default") for _ in range(300)))
    assert 1 < len(peers) <= CONNECTIONS_PER_HOST


async def test_an_unreadable_token_is_denied(server: FakeApiServer) -> None:
    configuration = Configuration(host=server.url)

    def refresh(_: Configuration) -> None:
        raise ConfigException("Service token file does not exist.")

    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
    api = AioApi(configuration)
    with pytest.raises(Denied):
        await api.get(PODS, name="p", namespace="default")
    await api.close()


@pytest.mark.parametrize(
    ("resource", "where", "path"),
    [
        (PODS, {"namespace": "a", "name": "b", "subresource": "status"}, "/api/v1/namespaces/a/pods/b/status"),
        (PODS, {}, "/api/v1/pods"),
        (
            VIRTUAL_MACHINE_INSTANCES,
            {"namespace": "a"},
            "/apis/kubevirt.io/v1/namespaces/a/virtualmachineinstances",
        ),
    ],
)
def test_paths(resource: Resource, where: dict[str, str], path: str) -> None:
    assert resource.path(**where) == path
