"""One API server to hold facts against, reached as nicplug does and by plain HTTP."""

import asyncio
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from nicplug.kube.aio import AioApi
from nicplug.kube.api import Json, Resource
from nicplug.kube.resources import EVENTS, LEASES, PODS, VIRTUAL_MACHINE_INSTANCES

NAMESPACE = "conformance"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came over the wire."""

    code: int
    text: str

    @property
    def body(self) -> Json:
        """The JSON object."""
        parsed: Json = json.loads(self.text)
        return parsed

    @property
    def error(self) -> tuple[int, str, str]:
        """Code, reason and message of a Status."""
        return self.code, self.body.get("reason", ""), self.body["message"]

    @property
    def causes(self) -> set[tuple[str, str]]:
        """Reason and field of each cause of a Status."""
        causes = self.body.get("details", {}).get("causes", [])
        # A server with rules says that it has not asked them; the fake has none.
        return {(cause["reason"], cause["field"]) for cause in causes if cause["field"] != "<nil>"}


class Target:
    """The fake or a real kube-apiserver.

    Attributes:
        name: `fake` or `real`.
        api: nicplug's client.
    """

    def __init__(
        self,
        *,
        name: str,
        server: str,
        api: AioApi,
        session: aiohttp.ClientSession,
        forget_history: Callable[[], None],
    ) -> None:
        self.name = name
        self.api = api
        self.forget_history = forget_history
        self._server = server
        self._session = session

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        raw: bytes | None = None,
    ) -> Answer:
        """One request as it is."""
        content = raw if raw is not None else (json.dumps(body) if body is not None else None)
        headers = {"Content-Type": content_type, "Accept": accept}
        async with self._session.request(method, self._server + path, data=content, headers=headers) as got:
            return Answer(code=got.status, text=await got.text())

    async def patch(
        self, path: str, operations: Any, *, content_type: str = JSON_PATCH, raw: bytes | None = None
    ) -> Answer:
        """PATCH."""
        return await self.send("PATCH", path, operations, content_type=content_type, raw=raw)

    @asynccontextmanager
    async def watch(self, resource: Resource, **query: str) -> AsyncIterator["Stream"]:
        """Open a watch of the test namespace."""
        path = resource.path(namespace=NAMESPACE)
        url = f"{self._server}{path}?{urlencode({'watch': 'true', 'timeoutSeconds': '20', **query})}"
        async with self._session.get(url) as response:
            yield Stream(response)

    async def vmi(self, **metadata: Any) -> Json:
        """A new VirtualMachineInstance."""
        body = {"metadata": {"name": unique("vmi"), **metadata}, "spec": vmi_spec()}
        return await self.api.create(VIRTUAL_MACHINE_INSTANCES, body, namespace=NAMESPACE)

    async def pod(self, **metadata: Any) -> Json:
        """A new pod that no node runs."""
        return await self.api.create(PODS, pod_body(**metadata), namespace=NAMESPACE)


class Stream:
    """The events of a watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> tuple[str, Json]:
        """Type and object of the next event, within 5 s."""
        async with asyncio.timeout(5):
            line = await self._response.content.readline()
        event = json.loads(line)
        return event["type"], event["object"]

    async def ends(self) -> bool:
        """Whether the server closes the stream within 5 s, with nothing more in it."""
        async with asyncio.timeout(5):
            return await self._response.content.read() == b""


def unique(prefix: str) -> str:
    """A name that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def vmi_spec() -> Json:
    """The least that the CRD accepts."""
    return {"domain": {"devices": {}}}


def pod_body(**metadata: Any) -> Json:
    """A pod that no scheduler looks at: nobody but the test writes its status."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": unique("pod"), **metadata},
        "spec": {
            "containers": [{"name": "compute", "image": "none"}],
            "schedulerName": "nobody",
            "terminationGracePeriodSeconds": 30,
        },
    }


def event_body() -> Json:
    """An Event that passes validation."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": unique("event")},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "nicplug.io/operator",
        "reportingInstance": "host",
        "action": "Reconcile",
        "reason": "InterfacePlugged",
        "type": "Normal",
        "note": "plugged",
        "regarding": {"kind": "Pod", "namespace": NAMESPACE, "name": "pod", "uid": "u-1"},
    }


def lease_body(**metadata: Any) -> Json:
    """A Lease with a holder."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": unique("lease"), **metadata},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 8, "leaseTransitions": 0},
    }


def path_of(resource: Resource, body: Mapping[str, Any], *, subresource: str | None = None) -> str:
    """URL path of an object of the test namespace."""
    return resource.path(namespace=NAMESPACE, name=body["metadata"]["name"], subresource=subresource)


VMIS = VIRTUAL_MACHINE_INSTANCES.path(namespace=NAMESPACE)
EVENTS_PATH = EVENTS.path(namespace=NAMESPACE)
LEASES_PATH = LEASES.path(namespace=NAMESPACE)
PODS_PATH = PODS.path(namespace=NAMESPACE)


def tls_of(*, ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """Client certificate authentication."""
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(certificate, key)
    return context
