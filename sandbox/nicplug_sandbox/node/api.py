"""Raw HTTP to the API server: plain JSON in and out, and nothing that a simulator does not need.

aiohttp directly, because the simulator shares two cores with the control plane it loads: a PATCH costs
about half the CPU of `kubernetes.aio`, whose loader still reads the kubeconfig (docs/adr/0004).
"""

import copy
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config

from nicplug_sandbox.node import go_json
from nicplug_sandbox.node.settings import FIELD_MANAGER

Json = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

CONNECT_SECONDS = 3.0
REQUEST_SECONDS = 15.0
# Bookmarks come about once a minute; a stream that is silent for longer is dead.
WATCH_SILENCE_SECONDS = 100.0


class ConfigurationError(Exception):
    """The kubeconfig cannot be used; the text says why and what to do."""


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, *, status: int, reason: str, message: str, request: str) -> None:
        super().__init__(f"{request}: {status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def is_gone(self) -> bool:
        """The object is not there (any more)."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_stale(self) -> bool:
        """The object changed under us: a precondition or a `test` of a JSON patch failed."""
        return self.status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)

    @property
    def is_expired(self) -> bool:
        """The resourceVersion or the continue token is too old."""
        return self.status == HTTPStatus.GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of the API, enough to build its paths."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        parts = [self.prefix]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


NODES = Resource(prefix="/api/v1", plural="nodes", namespaced=False)
PODS = Resource(prefix="/api/v1", plural="pods")
CONFIG_MAPS = Resource(prefix="/api/v1", plural="configmaps")
EVENTS = Resource(prefix="/api/v1", plural="events")
LEASES = Resource(prefix="/apis/coordination.k8s.io/v1", plural="leases")
DAEMON_SETS = Resource(prefix="/apis/apps/v1", plural="daemonsets")
NETWORK_ATTACHMENT_DEFINITIONS = Resource(prefix="/apis/k8s.cni.cncf.io/v1", plural="network-attachment-definitions")
VIRTUAL_MACHINE_INSTANCES = Resource(prefix="/apis/kubevirt.io/v1", plural="virtualmachineinstances")


async def load_configuration(kubeconfig: Path) -> Configuration:
    """Read server, CA and credentials of the current context.

    Raises:
        ConfigurationError: the file is missing, unreadable or names no cluster.
    """
    configuration = Configuration()
    try:
        load: Any = load_kube_config  # ships without annotations
        await load(config_file=str(kubeconfig), client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise ConfigurationError(
            f'kubeconfig "{kubeconfig}" cannot be used: {error}. Give one with --kubeconfig; '
            "`nicplug sandbox up` writes one."
        ) from error
    return configuration


def _ssl_context(configuration: Configuration) -> ssl.SSLContext | bool:
    if not configuration.host.startswith("https"):
        return False
    authority = configuration.ssl_ca_cert or None
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(str(configuration.cert_file), str(configuration.key_file))
    return context


class Api:
    """The verbs that the simulator uses, on one pool of connections."""

    def __init__(self, *, configuration: Configuration, connections: int, user_agent: str = FIELD_MANAGER) -> None:
        """`user_agent` tells in the audit log who asked."""
        headers = {"User-Agent": user_agent}
        for key in ("BearerToken", "authorization"):
            if token := configuration.api_key.get(key):
                headers["Authorization"] = token
        self._base = configuration.host.rstrip("/")
        self._session = aiohttp.ClientSession(
            # Watches hold a connection each, beside those of the writes.
            connector=aiohttp.TCPConnector(limit=connections + 8, ssl=_ssl_context(configuration)),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS),
        )
        self._identity: list[tuple[str, str]] = []

    def acting_as(self, user: str, *, groups: Sequence[str] = ()) -> Self:
        """The same connections as another user, by impersonation; it is closed with the original."""
        other = copy.copy(self)
        other._identity = [("Impersonate-User", user), *(("Impersonate-Group", group) for group in groups)]
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Json:
        """Send one request and return the JSON body of the answer.

        Raises:
            ApiError: the server answered with an error.
            aiohttp.ClientError, TimeoutError: it did not answer.
        """
        payload = None if body is None else go_json.encode(body)
        headers = [*self._identity, *([] if payload is None else [("Content-Type", content_type)])]
        async with self._session.request(
            method, self._base + path, params=params, data=payload, headers=headers
        ) as answer:
            raw = await answer.read()
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise _error(status=answer.status, raw=raw, request=f"{method} {path}")
        result: Json = json.loads(raw)
        return result

    async def text(self, path: str) -> bytes:
        """GET what is not JSON, such as metrics.

        Raises:
            aiohttp.ClientError, TimeoutError: there was no good answer.
        """
        async with self._session.get(self._base + path, headers=self._identity, raise_for_status=True) as answer:
            return await answer.read()

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        return await self.request("GET", resource.path(namespace=namespace, name=name))

    async def list(self, resource: Resource, *, params: Mapping[str, str]) -> Json:
        """Read one page of a collection in all namespaces."""
        return await self.request("GET", resource.path(), params=params)

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """POST one object."""
        return await self.request("POST", resource.path(namespace=namespace), body=body)

    async def patch(
        self,
        resource: Resource,
        body: Json | Sequence[Json],
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
        content_type: str,
    ) -> Json:
        """PATCH one object; the caller names the patch type."""
        path = resource.path(namespace=namespace, name=name, subresource=subresource)
        return await self.request("PATCH", path, body=body, content_type=content_type)

    async def apply(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """Server-side apply: make the object say what `body` says, creating it when it is missing."""
        path = resource.path(namespace=namespace, name=body["metadata"]["name"])
        params = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self.request("PATCH", path, params=params, body=body, content_type=APPLY_PATCH)

    async def delete(
        self, resource: Resource, *, name: str, namespace: str | None = None, uid: str | None = None
    ) -> None:
        """DELETE at once, without grace; with `uid` only that very object."""
        options: Json = {"gracePeriodSeconds": 0}
        if uid:
            options["preconditions"] = {"uid": uid}
        await self.request("DELETE", resource.path(namespace=namespace, name=name), body=options)

    async def watch(self, resource: Resource, *, params: Mapping[str, str]) -> AsyncIterator[Json]:
        """The events of a watch, until the server ends the stream.

        Raises:
            ApiError: also for an ERROR line inside the stream.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=WATCH_SILENCE_SECONDS)
        request = f"WATCH {resource.path()}"
        async with self._session.get(
            self._base + resource.path(),
            params={**params, "watch": "true"},
            headers=self._identity,
            timeout=timeout,
        ) as answer:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise _error(status=answer.status, raw=await answer.read(), request=request)
            rest = b""
            # Not readline(): aiohttp refuses lines above its buffer, and a VMI can be longer.
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event: Json = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise ApiError(
                            status=int(status.get("code") or 0),
                            reason=status.get("reason", ""),
                            message=status.get("message", ""),
                            request=request,
                        )
                    yield event


def _error(*, status: int, raw: bytes, request: str) -> ApiError:
    try:
        body = json.loads(raw)
        reason, message = body.get("reason", ""), body.get("message", "")
    except (ValueError, AttributeError):
        reason, message = "", raw[:200].decode(errors="replace")
    return ApiError(status=status, reason=reason, message=message, request=request)
