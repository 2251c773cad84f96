"""What happens to a request of a caller who is known: routes, methods, bodies, access, answers."""

import json

import pytest
from tests.unit.apiserver.conftest import World
from tests.unit.apiserver.played import ADD, BASE, REMOVE, SERVER, STORY, put

from nicplug import __version__
from nicplug.apiserver import statuses
from nicplug.apiserver.calls import GROUP, Found
from nicplug.kube.errors import Denied, Throttled, Unavailable


async def test_success_is_202_with_an_empty_body(world: World) -> None:
    answer = await world.ask(put(b'{"networkAttachmentDefinitionName":"lan","name":"blue"}'))
    assert (answer.code, answer.body) == (202, b"")
    assert "content-type" not in answer.headers
    [call] = world.recorder.calls
    assert call.body == b'{"networkAttachmentDefinitionName":"lan","name":"blue"}'
    assert (call.verb, call.version, call.kind) == ("update", "v1", "VirtualMachine")
    assert (call.namespace, call.name, str(call.subresource)) == ("default", "vm", "virtualmachines/addinterface")


async def test_the_older_version_and_a_query_are_served_too(world: World) -> None:
    path = f"/apis/{GROUP}/v1alpha3/namespaces/ns/virtualmachineinstances/vmi.1/removeinterface?timeout=30s"
    assert (await world.ask(put(path=path))).code == 202
    [call] = world.recorder.calls
    assert (call.version, call.namespace, call.name, call.kind) == ("v1alpha3", "ns", "vmi.1", "VirtualMachineInstance")


async def test_a_request_without_a_body_has_an_empty_one(world: World) -> None:
    """As in Go's server: the handler decides what an empty body means."""
    for request in (put(b""), put(b"").replace(b"Content-Length: 0\r\n", b"")):
        assert (await world.ask(request)).code == 202
    assert [call.body for call in world.recorder.calls] == [b"", b""]


async def test_a_chunked_body_is_taken(world: World) -> None:
    head = put(b"", more={"Transfer-Encoding": "chunked"}).replace(b"Content-Length: 0\r\n", b"")
    assert (await world.ask(head + b'8\r\n{"name":\r\n4\r\n"a"}\r\n0\r\n\r\n')).code == 202
    assert world.recorder.calls[0].body == b'{"name":"a"}'


async def test_a_client_that_asks_whether_to_go_on_is_told_so(world: World) -> None:
    client = await world.client()
    request = put(more={"Expect": "100-continue"})
    head, _, body = request.partition(b"\r\n\r\n")
    await client.send(head + b"\r\n\r\n")
    assert (await client.receive()).code == 100
    await client.send(body)
    assert (await client.receive()).code == 202


@pytest.mark.parametrize("type_", ["", "application/json", "application/json; charset=utf-8", "application/yaml"])
async def test_json_and_yaml_are_taken_with_and_without_content_type(world: World, type_: str) -> None:
    request = put(more={"Content-Type": type_}) if type_ else put()
    assert (await world.ask(request)).code == 202


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Encoding": "gzip"}]
)
async def test_another_type_is_415(world: World, headers: dict[str, str]) -> None:
    answer = await world.ask(put(more=headers))
    assert (answer.code, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    assert not world.recorder.calls


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "OPTIONS"])
async def test_only_put_is_served(world: World, method: str) -> None:
    answer = await world.ask(put(method=method))
    assert answer.code == 405
    assert answer.headers["allow"] == "PUT"
    kind = "virtualmachines.subresources.kubevirt.io"
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'{method.lower()} is not supported on resources of kind "{kind}"',
        "reason": "MethodNotAllowed",
        "details": {"group": "subresources.kubevirt.io", "kind": "virtualmachines"},
        "code": 405,
    }


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (BASE.replace("addinterface", "start"), 404),
        (BASE.replace("virtualmachines", "pods"), 404),
        (BASE.replace("/v1/", "/v2/"), 404),
        (f"{BASE}/more", 404),
        (BASE.removesuffix("/addinterface"), 404),
        ("/", 404),
        ("/api/v1/secrets", 404),
        (BASE.replace("/vm/", "//"), 400),
        (BASE.replace("/vm/", "/../"), 400),
        (BASE.replace("/vm/", "/%2e%2e/"), 400),
        (BASE.replace("/vm/", "/a%2Fb/"), 400),
        (BASE.replace("/vm/", "/a%00/"), 400),
        (BASE.replace("/vm/", "/%ff/"), 400),
        (BASE.replace("/vm/", "/VM/"), 400),
        (BASE.replace("/vm/", "/vm%0a/"), 400),
        (BASE.replace("/vm/", f"/{'a' * 300}/"), 400),
        (BASE.replace("/default/", "/a.b/"), 400),
        (BASE.replace("/default/", f"/{'a' * 64}/"), 400),
    ],
)
async def test_a_path_that_is_none_is_refused_with_a_status(world: World, path: str, code: int) -> None:
    answer = await world.ask(put(path=path))
    status = answer.json()
    assert (answer.code, status["kind"], status["code"]) == (code, "Status", code)
    assert "Traceback" not in status["message"]
    assert len(status["message"]) < 300
    assert not world.recorder.calls
    assert not world.api.reviews


async def test_a_long_name_is_quoted_in_part(world: World) -> None:
    answer = await world.ask(put(path=BASE.replace("/vm/", f"/{'a' * 300}/")))
    assert answer.json()["message"] == (
        f'invalid name "{"a" * 64}..." (300 characters): '
        "it must be a lowercase RFC 1123 subdomain of at most 253 characters"
    )


async def test_what_is_no_http_is_answered_with_a_status(world: World) -> None:
    answer = await world.ask(b"PUT / HTTP/1.1\r\nno header\r\n\r\n")
    assert (answer.code, answer.json()["reason"]) == (400, "BadRequest")
    assert b"no header" not in answer.body


async def test_a_status_of_the_handler_is_the_answer(world: World) -> None:
    world.recorder.answer = statuses.bad_request('no <VM> "a"')
    answer = await world.ask(put())
    assert answer.code == 400
    assert answer.body == (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"no \\u003cVM\\u003e \\"a\\"","reason":"BadRequest","code":400}\n'
    )


async def test_a_handler_that_fails_is_500_without_its_error(world: World) -> None:
    world.recorder.fails = RuntimeError("the password is 1234")
    answer = await world.ask(put())
    assert (answer.code, answer.json()["reason"]) == (500, "InternalError")
    assert b"1234" not in answer.body
    world.recorder.fails = None
    assert (await world.ask(put())).code == 202


async def test_who_may_not_is_told_as_the_api_server_tells_it(world: World) -> None:
    world.api.allows = lambda _: {"allowed": False, "reason": "no RBAC policy matched"}
    answer = await world.ask(put())
    assert answer.code == 403
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'virtualmachines.subresources.kubevirt.io "vm" is forbidden: User "alice" cannot update resource '
        '"virtualmachines/addinterface" in API group "subresources.kubevirt.io" in the namespace "default": '
        "no RBAC policy matched",
        "reason": "Forbidden",
        "details": {"name": "vm", "group": "subresources.kubevirt.io", "kind": "virtualmachines"},
        "code": 403,
    }
    assert not world.recorder.calls


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Unavailable("no answer"), 503, "does not answer"),
        (Throttled("slow down"), 503, "does not answer"),
        (Denied("cannot create"), 500, "may not ask"),
    ],
)
async def test_without_an_answer_about_access_nobody_may(
    world: World, error: Exception, code: int, message: str
) -> None:
    world.api.fails["subjectaccessreviews"] = error  # type: ignore[assignment]
    answer = await world.ask(put())
    assert (answer.code, answer.json()["code"]) == (code, code)
    assert message in answer.json()["message"]
    assert ("retry-after" in answer.headers) == (code == 503)
    assert not world.recorder.calls


async def test_a_body_is_not_read_before_its_sender_may_send_it(world: World) -> None:
    world.api.allows = lambda _: {"allowed": False}
    client = await world.client()
    await client.send(put().replace(b"Content-Length: 15", b"Content-Length: 1000000").removesuffix(b'{"name":"blue"}'))
    assert (await client.receive()).code == 403


async def test_requests_are_counted_by_code_and_subresource(world: World) -> None:
    await world.ask(put())
    await world.ask(put(method="GET"))
    await world.ask(put(path="/made/up/by/a/client"))
    await world.ask(put(path=BASE.replace("addinterface", "made-up")))
    await world.ask(put(), pair=None)
    assert (world.count(202), world.count(405), world.count(401)) == (1, 1, 1)
    assert world.count(404, subresource="") == 2


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
async def test_probes_need_no_certificate(world: World, path: str) -> None:
    answer = await world.ask(put(b"", path=path, method="GET", user=None), pair=None)
    assert (answer.code, answer.body) == (200, b"ok")


async def test_documents_need_the_front_proxy(world: World) -> None:
    request = put(b"", path=f"/apis/{GROUP}/v1", method="GET")
    assert (await world.ask(request, pair=None)).code == 401
    answer = await world.ask(request)
    names = [resource["name"] for resource in answer.json()["resources"]]
    assert (answer.code, names) == (200, [str(REMOVE), str(ADD), str(STORY)])


async def test_a_document_that_is_known_is_not_sent_again(world: World) -> None:
    first = await world.ask(put(b"", path="/openapi/v2", method="GET"))
    again = await world.ask(put(b"", path="/openapi/v2", method="GET", more={"If-None-Match": first.headers["etag"]}))
    assert (first.code, again.code, again.body) == (200, 304, b"")
    assert json.loads(first.body)["swagger"] == "2.0"


async def test_what_virtctl_reads_after_a_failed_command(world: World) -> None:
    """Byte for byte as virtctl 1.0 sends it: no Content-Length, no body, and a Go client's encoding."""
    head = f"GET /apis/{GROUP}/v1/version HTTP/1.1\r\nHost: {SERVER}\r\n"
    agent = "User-Agent: virtctl/v0.0.0 (linux/amd64) kubernetes/$Format\r\n"
    rest = "Accept: application/json, */*\r\nX-Remote-User: alice\r\nAccept-Encoding: gzip\r\n\r\n"
    answer = await world.ask(f"{head}{agent}{rest}".encode())
    assert (answer.code, answer.headers["content-type"]) == (200, "application/json")
    assert "content-encoding" not in answer.headers
    assert answer.json() == {
        "major": "1",
        "minor": "0",
        "gitVersion": f"v1.0.0+nicplug.{__version__}",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }
    assert not world.recorder.calls
    assert not world.api.reviews, "as the API server: who may discover may read it"


@pytest.mark.parametrize("path", ["/apis", f"/apis/{GROUP}/v1", "/openapi/v2", "/openapi/v3", "/version"])
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
async def test_no_document_can_be_written(world: World, path: str, method: str) -> None:
    answer = await world.ask(put(path=path, method=method))
    assert (answer.code, answer.json()["reason"]) == (405, "MethodNotAllowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/apis", f"/apis/{GROUP}", f"/apis/{GROUP}/v1", f"/apis/{GROUP}/v1/version"])
async def test_who_does_not_come_through_the_front_proxy_discovers_nothing(world: World, path: str) -> None:
    request = put(b"", path=path, method="GET")
    for pair in (None, world.proxies.issue("somebody-else")):
        answer = await world.ask(request, pair=pair)
        assert (answer.code, answer.json()["message"]) == (401, "Unauthorized")


async def test_documents_are_for_reading(world: World) -> None:
    answer = await world.ask(put(path="/apis"))
    assert (answer.code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert (await world.ask(put(b"", path="/apis", method="HEAD"))).code == 200


class TestReading:
    """A subresource that is served by GET."""

    PATH = BASE.replace("addinterface", "nicstory")

    async def test_the_query_reaches_the_handler_and_what_it_found_is_sent(self, world: World) -> None:
        world.recorder.answer = Found({"kind": "NicStoryList", "items": ["<blue>"]})
        answer = await world.ask(put(b"", path=f"{self.PATH}?nic=a%20b&nic=", method="GET"))
        assert (answer.code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json() == {"kind": "NicStoryList", "items": ["<blue>"]}
        [call] = world.recorder.calls
        assert (call.verb, call.query, call.body) == ("get", (("nic", "a b"), ("nic", "")), b"")

    async def test_the_right_to_get_is_asked_for(self, world: World) -> None:
        world.api.allows = lambda _: {"allowed": False}
        answer = await world.ask(put(b"", path=self.PATH, method="GET"))
        assert answer.code == 403
        *_, review = world.api.reviews
        attributes = review["resourceAttributes"]
        assert (attributes["verb"], attributes["subresource"]) == ("get", "nicstory")
        assert not world.recorder.calls

    @pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
    async def test_nothing_else_is_served(self, world: World, method: str) -> None:
        answer = await world.ask(put(path=self.PATH, method=method))
        assert (answer.code, answer.headers["allow"]) == (405, "GET")

    @pytest.mark.parametrize("query", ["nic=%ff", "&".join(f"nic={number}" for number in range(17))])
    async def test_a_query_that_cannot_be_read(self, world: World, query: str) -> None:
        answer = await world.ask(put(b"", path=f"{self.PATH}?{query}", method="GET"))
        assert (answer.code, answer.json()["reason"]) == (400, "BadRequest")
        assert not world.recorder.calls

    async def test_the_query_of_a_put_is_nobody_s(self, world: World) -> None:
        assert (await world.ask(put(path=f"{BASE}?timeout=%ff"))).code == 202
