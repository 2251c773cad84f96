"""The aggregated API behind a real kube-apiserver, asked byte for byte as KubeVirt's virtctl asks."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.integration.user import User
from tests.integration.waiting import until
from tests.unit.apiserver.played import Authority, Client, Recorder, Response

from nicplug import __version__
from nicplug.api_app import certificate_source
from nicplug.api_settings import ApiSettings
from nicplug.apiserver import statuses
from nicplug.apiserver.calls import GROUP, VERSIONS, Subresource
from nicplug.apiserver.certificates import CertificateSource
from nicplug.apiserver.key_pairs import KeyPair
from nicplug.apiserver.server import AggregatedApiServer, Binding
from nicplug.kube.api import ServerApi
from nicplug.kube.connect import connect
from nicplug.model.versions import served_version
from nicplug.obs.metrics import ApiMetrics
from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.kubectl import Kubectl

NAMESPACE, SERVICE = "nicplug-system", "nicplug-api"
PREFIX = f"/apis/{GROUP}/v1/namespaces/default"
HANDLED = [
    *(("virtualmachines", name) for name in ("addinterface", "removeinterface", "start", "stop", "restart", "migrate")),
    *(("virtualmachineinstances", name) for name in ("addinterface", "removeinterface")),
]
ADDED = b'{"networkAttachmentDefinitionName":"N","name":"I"}'
# What the binaries were seen to send, 1.0.0-rc.0 and 1.0.0.
VIRTCTL = [
    ("virtualmachineinstances/V/addinterface", ADDED),
    ("virtualmachines/V/addinterface", ADDED),
    ("virtualmachineinstances/V/removeinterface", b'{"name":"I"}'),
    ("virtualmachines/V/removeinterface", b'{"name":"I"}'),
    ("virtualmachines/V/start", b"{}"),
    ("virtualmachines/V/start", b'{"paused":true}'),
    ("virtualmachines/V/stop", b"{}"),
    ("virtualmachines/V/stop", b'{"gracePeriod":0}'),
    ("virtualmachines/V/restart", b"{}"),
    ("virtualmachines/V/migrate", b"{}"),
]


@dataclass(slots=True, kw_only=True)
class Aggregated:
    """A server behind the API server, and its admin."""

    plane: ControlPlane
    admin: User
    recorder: Recorder
    server: AggregatedApiServer
    server_port: int

    async def send(self, request: bytes) -> Response:
        """Bytes to the API server, as its admin."""
        pki, url = self.plane.directory / "pki", urlsplit(self.plane.server)
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        client = Client(*await asyncio.open_connection(url.hostname, url.port, ssl=context))
        try:
            await client.send(request)
            return await client.receive()
        finally:
            client.close()

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """GET as the admin."""
        return await asyncio.to_thread(self.admin.request, "GET", path)


def _objects(port: int, *, bundle: str = "") -> list[tuple[str, dict[str, Any]]]:
    service = {"namespace": NAMESPACE, "name": SERVICE, "port": port}
    spec: dict[str, Any] = {"group": GROUP, "service": service, "groupPriorityMinimum": 1000, "versionPriority": 15}
    spec |= {"caBundle": base64.b64encode(bundle.encode()).decode()} if bundle else {}
    registrations = [
        (
            "/apis/apiregistration.k8s.io/v1/apiservices",
            {"metadata": {"name": f"{version}.{GROUP}"}, "spec": {**spec, "version": version}},
        )
        for version in VERSIONS
    ]
    # Loopback addresses are not allowed in the endpoints of a Service.
    external = {"metadata": {"name": SERVICE}, "spec": {"type": "ExternalName", "externalName": "localhost"}}
    return [
        ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
        (f"/api/v1/namespaces/{NAMESPACE}/services", external),
        *registrations,
    ]


def _is_available(admin: User) -> bool:
    for version in VERSIONS:
        _, body = admin.request("GET", f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{GROUP}")
        conditions = body.get("status", {}).get("conditions", [])
        if not any(item["type"] == "Available" and item["status"] == "True" for item in conditions):
            return False
        # The proxy hears of the condition by a watch of its own, and says 503 until then.
        if admin.request("GET", f"/apis/{GROUP}/{version}")[0] == 503:
            return False
    return True


@pytest.fixture
async def aggregated(control_plane: ControlPlane) -> AsyncIterator[Aggregated]:
    """A server with a certificate of its own making, registered and available."""
    async with _registered(control_plane, _own_certificate) as found:
        yield found


@pytest.fixture
async def with_files(control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Aggregated]:
    """A server whose certificate is in files, and whose CA somebody else writes into the registrations."""
    _issue(AUTHORITY, tmp_path)
    files = ApiSettings(tls_cert_file=tmp_path / "tls.crt", tls_private_key_file=tmp_path / "tls.key")
    async with _registered(control_plane, lambda api: certificate_source(files, api), bundle=AUTHORITY.pem) as found:
        yield found


AUTHORITY = Authority()


def _issue(authority: Authority, folder: Path) -> KeyPair:
    """What cert-manager writes into the Secret that is mounted."""
    pair = authority.issue(host=f"{SERVICE}.{NAMESPACE}.svc")
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    return pair


def _own_certificate(api: ServerApi) -> CertificateSource:
    return certificate_source(ApiSettings(namespace=NAMESPACE, service=SERVICE), api)


@contextlib.asynccontextmanager
async def _registered(
    control_plane: ControlPlane, source: Callable[[ServerApi], CertificateSource], *, bundle: str = ""
) -> AsyncIterator[Aggregated]:
    admin = User(kubeconfig=control_plane.kubeconfig, namespace="default")
    connection = await connect(kubeconfig=control_plane.kubeconfig)
    recorder = Recorder()
    server = AggregatedApiServer(
        api=connection.api,
        source=source(connection.api),
        handlers={Subresource(resource=resource, name=name): recorder for resource, name in HANDLED},
        metrics=ApiMetrics(),
    )
    port = await server.start(Binding(address="127.0.0.1", port=0))
    objects = _objects(port, bundle=bundle)
    for path, body in objects:
        code, answer = await asyncio.to_thread(admin.request, "POST", path, body)
        assert code in (201, 409), answer
    keeping = asyncio.create_task(server.keep(every_seconds=0.2))
    await _until_available(admin)
    yield Aggregated(plane=control_plane, admin=admin, recorder=recorder, server=server, server_port=port)
    keeping.cancel()
    for path, body in reversed(objects[1:]):
        await asyncio.to_thread(admin.request, "DELETE", f"{path}/{body['metadata']['name']}")
    await server.stop()
    await connection.close()


async def _until_available(admin: User) -> None:
    await asyncio.to_thread(until, lambda: _is_available(admin), seconds=60)


def _virtctl(tail: str, body: bytes, *, version: str = "v1") -> bytes:
    """No Content-Type, no newline behind the body."""
    head = (
        f"PUT /apis/{GROUP}/{version}/namespaces/default/{tail} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: virtctl/v0.0.0 (linux/amd64) kubernetes/$Format\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Accept: application/json, */*\r\n"
        "\r\n"
    )
    return head.encode() + body


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_virtctl_sends_arrives_as_it_was_sent(aggregated: Aggregated, version: str) -> None:
    for tail, body in VIRTCTL:
        answer = await aggregated.send(_virtctl(tail.replace("/V/", "/testvm/"), body, version=version))
        assert (answer.code, answer.body) == (202, b""), tail
    seen = [(str(call.subresource).replace("/", "/V/"), call.body) for call in aggregated.recorder.calls]
    assert seen == VIRTCTL
    for call in aggregated.recorder.calls:
        assert (call.namespace, call.name, call.version) == ("default", "testvm", version)
        assert call.caller.name == "kubernetes-admin"
        assert "system:masters" in call.caller.groups


async def test_a_refusal_reaches_the_user_as_it_was_written(aggregated: Aggregated) -> None:
    aggregated.recorder.answer = statuses.bad_request("AddInterfaceOptions requires `name` to be set")
    answer = await aggregated.send(_virtctl("virtualmachines/testvm/addinterface", b"{}"))
    assert answer.code == 400
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "AddInterfaceOptions requires `name` to be set",
        "reason": "BadRequest",
        "code": 400,
    }


async def test_kubectl_sends_it_chunked_and_reads_discovery(aggregated: Aggregated, tmp_path: Path) -> None:
    kubectl = Kubectl(kubeconfig=aggregated.plane.kubeconfig, cache=tmp_path / "kubectl")
    path = f"{PREFIX}/virtualmachines/testvm/addinterface"
    done = await asyncio.to_thread(kubectl.run, "replace", "--raw", path, "-f", "-", stdin=ADDED.decode())
    assert done.returncode == 0, done.stderr
    assert aggregated.recorder.calls[0].body == ADDED
    done = await asyncio.to_thread(kubectl.run, "api-versions")
    assert {f"{GROUP}/{version}" for version in VERSIONS} <= set(done.stdout.split())


async def test_discovery_and_version_go_through_the_api_server(aggregated: Aggregated) -> None:
    for version in VERSIONS:
        code, body = await aggregated.get(f"/apis/{GROUP}/{version}")
        assert code == 200
        assert {resource["name"] for resource in body["resources"]} == {"/".join(pair) for pair in HANDLED}
        code, body = await aggregated.get(f"/apis/{GROUP}/{version}/version")
        assert (code, body["gitVersion"]) == (200, served_version(__version__))
        code, body = await aggregated.get(f"/apis/{GROUP}/{version}/healthz")
        assert (code, body["apiserver"]["connectivity"]) == (200, "ok")
        assert body["apiserver"]["version"] == (await aggregated.get("/version"))[1]
    answer = await aggregated.send(
        b"GET /apis HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json;g=apidiscovery.k8s.io;v=v2;"
        b"as=APIGroupDiscoveryList\r\nConnection: close\r\n\r\n"
    )
    assert answer.code == 200


async def test_a_user_without_the_right_is_refused_by_the_api_server(aggregated: Aggregated) -> None:
    alice = User(kubeconfig=aggregated.plane.kubeconfig, namespace="default", acts_as="alice")
    path = f"{PREFIX}/virtualmachines/testvm/addinterface"
    code, body = await asyncio.to_thread(alice.request, "PUT", path, {"name": "I"})
    assert (code, body["reason"]) == (403, "Forbidden")
    assert not aggregated.recorder.calls


async def test_a_user_that_names_itself_otherwise_is_still_itself(aggregated: Aggregated) -> None:
    request = _virtctl("virtualmachines/testvm/start", b"{}")
    forged = request.replace(b"\r\n\r\n", b"\r\nX-Remote-User: mallory\r\nX-Remote-Group: system:nodes\r\n\r\n")
    assert (await aggregated.send(forged)).code == 202
    [call] = aggregated.recorder.calls
    assert call.caller.name == "kubernetes-admin"
    assert "system:nodes" not in call.caller.groups


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        # With a slash it is the path of another resource, which there is not.
        ("..%2fsecrets", (404, "NotFound", "the server could not find the requested resource")),
        ("a%2Fb", (404, "NotFound", "the server could not find the requested resource")),
        ("a%00", (400, "BadRequest", 'invalid name "a\\x00" (2 characters): ')),
        ("a" * 300, (400, "BadRequest", f'invalid name "{"a" * 64}..." (300 characters): ')),
        ("%2e%2e", (400, "BadRequest", 'invalid name ".." (2 characters): ')),
    ],
    ids=["..%2fsecrets", "a%2Fb", "a%00", "300 characters", "%2e%2e"],
)
async def test_a_name_that_is_none_is_refused_with_a_status(
    aggregated: Aggregated, name: str, refusal: tuple[int, str, str]
) -> None:
    answer = await aggregated.send(_virtctl(f"virtualmachines/{name}/addinterface", b"{}"))
    code, reason, message = refusal
    assert (answer.code, answer.json()["code"], answer.json()["reason"]) == (code, code, reason)
    assert answer.json()["message"].startswith(message)
    assert not aggregated.recorder.calls


async def test_a_lost_certificate_is_made_and_made_known_again(aggregated: Aggregated) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets/nicplug-api-certificate"
    code, _ = await asyncio.to_thread(aggregated.admin.request, "DELETE", path)
    assert code == 200
    await asyncio.to_thread(until, lambda: aggregated.admin.request("GET", path)[0] == 200)
    # The API server checks an APIService again when its CA has changed; until then it answers 503.
    request = _virtctl("virtualmachines/testvm/start", b"{}")
    async with asyncio.timeout(60):
        while True:
            if (await aggregated.send(request)).code == 202:
                break
            await asyncio.sleep(0.1)


async def test_a_certificate_in_files_is_served_with_and_renewed(with_files: Aggregated, tmp_path: Path) -> None:
    """As with cert-manager, whose injector has written the CA of `with_files` into the registrations."""
    request = _virtctl("virtualmachines/testvm/start", b"{}")
    assert (await with_files.send(request)).code == 202
    renewed = _issue(AUTHORITY, tmp_path)
    port = with_files.server_port
    await asyncio.to_thread(until, lambda: _served(port) == renewed.certificate)
    assert (await with_files.send(request)).code == 202
    for version in VERSIONS:
        _, found = await with_files.get(f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{GROUP}")
        assert base64.b64decode(found["spec"]["caBundle"]).decode() == AUTHORITY.pem


def _served(port: int) -> bytes:
    """The certificate that new connections get."""
    return ssl.get_server_certificate(("127.0.0.1", port)).encode()
