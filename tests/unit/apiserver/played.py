"""The surroundings of an aggregated API server: the API server that it asks, a front proxy, and a client of bytes."""

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import trustme

from nicplug.apiserver.calls import READ, Accepted, Answer, Call, Subresource
from nicplug.apiserver.identity import TRUST_CONFIG_MAP
from nicplug.apiserver.key_pairs import KeyPair
from nicplug.kube.api import Resource, ServerApi
from nicplug.kube.errors import AlreadyExists, ApiError, Gone, Stale

Json = dict[str, Any]
ADD = Subresource(resource="virtualmachines", name="addinterface")
STORY = Subresource(resource="virtualmachines", name="nicstory", verb=READ)
REMOVE = Subresource(resource="virtualmachineinstances", name="removeinterface")
BASE = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/vm/addinterface"
SERVER = "nicplug-api.nicplug-system.svc"
PROXY = "front-proxy-client"


class Authority:
    """A CA of this test alone."""

    def __init__(self, ca: trustme.CA | None = None) -> None:
        self.ca = ca or trustme.CA()

    def intermediate(self) -> "Authority":
        """A CA whose certificate this one has signed."""
        return Authority(self.ca.create_child_ca())

    @property
    def pem(self) -> str:
        return self.ca.cert_pem.bytes().decode()

    def issue(self, name: str = PROXY, *, not_after: datetime | None = None, host: str = "client.invalid") -> KeyPair:
        """A certificate for a client or a server."""
        made = self.ca.issue_cert(
            host, common_name=name, not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=not_after
        )
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        return KeyPair(certificate=chain, key=made.private_key_pem.bytes())


def trust_data(authority: str, *, allowed: Iterable[str] = (PROXY,)) -> Json:
    """What kube-apiserver writes into the ConfigMap."""
    return {
        "requestheader-client-ca-file": authority,
        "requestheader-allowed-names": json.dumps(list(allowed)),
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
    }


@dataclass(slots=True)
class PlayedApi:
    """Objects by plural and name; access reviews by `allows`.

    Attributes:
        allows: the `status` of a review by its `spec`.
        fails: raised instead of an answer, by plural.
        before_write: called once before the next write, as another client would come in between.
    """

    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    allows: Callable[[Json], Json] = lambda _: {"allowed": True}
    fails: dict[str, ApiError] = field(default_factory=dict)
    reviews: list[Json] = field(default_factory=list)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    before_write: Callable[[], None] | None = None
    review_gate: asyncio.Event | None = None
    version_gate: asyncio.Event | None = None

    @property
    def api(self) -> ServerApi:
        """As the type that is asked for; what is not used is not here."""
        return cast(ServerApi, self)

    def trust(self, data: Json) -> None:
        """Describe the front proxy."""
        self.objects["configmaps", TRUST_CONFIG_MAP] = {"data": data}

    async def read(self, resource: Resource, *, name: str, namespace: str | None = None) -> bytes:
        self._note("get", resource, name)
        if (resource.plural, name) not in self.objects:
            raise Gone(f'{resource.plural} "{name}" not found', status=404)
        return json.dumps(self.objects[resource.plural, name]).encode()

    async def version(self) -> Json:
        self.requests.append(("get", "version", ""))
        if self.version_gate is not None:
            await self.version_gate.wait()
        if failure := self.fails.get("version"):
            raise failure
        return {"gitVersion": "v1.37.2"}

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        if resource.plural == "subjectaccessreviews":
            return await self._review(body)
        name = body["metadata"]["name"]
        self._about_to_write()
        self._note("create", resource, name)
        if (resource.plural, name) in self.objects:
            raise AlreadyExists("it exists", status=409)
        self.objects[resource.plural, name] = {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}
        return body

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        self._about_to_write()
        self._note("update", resource, name)
        known = self.objects[resource.plural, name]["metadata"].get("resourceVersion")
        if known != body["metadata"].get("resourceVersion"):
            raise Stale("changed", status=409)
        version = str(int(known or "0") + 1)
        self.objects[resource.plural, name] = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        return body

    async def patch(
        self,
        resource: Resource,
        patch: Any,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> Json:
        self._about_to_write()
        self._note("patch", resource, patch)
        for operation in (item for item in patch if item["op"] == "add"):
            *parents, member = operation["path"].strip("/").split("/")
            target: Any = self.objects[resource.plural, name]
            for parent in parents:
                target = target[int(parent) if isinstance(target, list) else parent]
            target[member] = operation["value"]
        return self.objects[resource.plural, name]

    def _about_to_write(self) -> None:
        before, self.before_write = self.before_write, None
        if before is not None:
            before()

    def _note(self, verb: str, resource: Resource, what: Any) -> None:
        self.requests.append((verb, resource.plural, what))
        if failure := self.fails.get(resource.plural):
            raise failure

    async def _review(self, body: Json) -> Json:
        self.reviews.append(body["spec"])
        if self.review_gate is not None:
            await self.review_gate.wait()
        if failure := self.fails.get("subjectaccessreviews"):
            raise failure
        return {"status": self.allows(body["spec"])}


@dataclass(slots=True)
class Recorder:
    """A handler that keeps the calls, and gives the answers that the test sets."""

    calls: list[Call] = field(default_factory=list)
    answer: Answer = field(default_factory=Accepted)
    fails: Exception | None = None
    gate: asyncio.Event | None = None
    _arrivals: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def heard(self, count: int = 1) -> None:
        """Wait for so many more calls."""
        for _ in range(count):
            await self._arrivals.acquire()

    async def __call__(self, call: Call, /) -> Answer:
        self.calls.append(call)
        self._arrivals.release()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return self.answer


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, as the bytes said it."""

    code: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Refused(Exception):
    """No HTTP answer: the handshake failed, or the connection was closed."""


class Client:
    """A connection to the server, by bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def receive(self, *, has_body: bool = True) -> Response:
        """Read one answer."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            size = int(headers.get("content-length", "0")) if has_body else 0
            return Response(int(lines[0].split()[1]), headers, await self.reader.readexactly(size))
        except (asyncio.IncompleteReadError, ssl.SSLError, ConnectionError) as error:
            raise Refused(type(error).__name__) from error

    async def ended(self) -> bool:
        """Wait for the other side to close, but not without a limit."""
        try:
            async with asyncio.timeout(20):
                return await self.reader.read(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True

    def close(self) -> None:
        self.writer.close()


async def connect(port: int, pair: KeyPair | None, *, directory: Path, authority: str) -> Client:
    """Open a connection as the owner of the key pair."""
    context = ssl.create_default_context(cadata=authority)
    if pair is not None:
        path = directory / "client.pem"
        path.write_bytes(pair.key + pair.certificate)
        context.load_cert_chain(path)
    try:
        return Client(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=SERVER))
    except (ssl.SSLError, ConnectionError) as error:
        raise Refused(type(error).__name__) from error


def put(
    body: bytes = b'{"name":"blue"}',
    *,
    path: str = BASE,
    user: str | None = "alice",
    method: str = "PUT",
    more: Mapping[str, str] | None = None,
) -> bytes:
    """A request as the front proxy sends it; no Content-Type, as virtctl has none."""
    headers: dict[str, str] = {"Host": SERVER, "Accept": "application/json, */*", "Content-Length": str(len(body))}
    if user is not None:
        headers["X-Remote-User"] = user
    headers |= more or {}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body
