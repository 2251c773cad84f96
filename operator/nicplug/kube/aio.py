"""Implements `KubeApi` on `kubernetes.aio`, with plain dictionaries for requests and responses.

Uses the library's generic request path (connections, TLS, credentials) and none of its response models: they would cost
more than the request (docs/adr/0002). Knows nothing of metrics: the caller counts requests with `on_response`.
"""

import asyncio
import copy
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config import ConfigException

from nicplug.kube.api import Json, JsonPatch, OnResponse, Resource, count_nothing
from nicplug.kube.bodies import JSON_PATCH, encode_as_go, sending
from nicplug.kube.classify import Answer, to_error
from nicplug.kube.errors import Denied, Rejected, Unavailable
from nicplug.kube.lines import lines_of
from nicplug.kube.object_text import ObjectText
from nicplug.kube.pages import BoundedResponse, PageSizes, in_pages

CONNECTIONS_PER_HOST = 48
USER_AGENT = "nicplug"

# Includes waiting for a free connection, so that a caller never waits longer than this.
_TOTAL_SECONDS = 10.0
_CONNECT_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3)
# The server ends a watch after this. A stream that dies silently is detected by a missing bookmark: kube-apiserver
# sends one about every minute.
_WATCH_SECONDS = 300
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=150)

# Sent with every write. The default, Warn, makes the server look for unknown and duplicate fields and report them in a
# header that nicplug does not read: 4 % of what it allocates for a status patch (docs/performance.md).
_UNCHECKED = "?fieldValidation=Ignore"

_JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class AioApi:
    """Client of the API server with one connection pool; `kube.connect` creates one client per class of requests.

    Must be created and used in one event loop. Every verb raises only the classes of `kube.errors`.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        on_response: OnResponse = count_nothing,
        user_agent: str = USER_AGENT,
        connections: int = CONNECTIONS_PER_HOST,
        middlewares: Sequence[aiohttp.ClientMiddlewareType] = (),
    ) -> None:
        # A copy, because the library reads the limits from it later. Refreshed credentials stay shared.
        configuration = copy.copy(configuration)
        configuration.connection_pool_maxsize = connections
        configuration.tcp_connector_limit_per_host = connections
        # The queue decides when to retry; a second layer of retries would only hide failures from it.
        configuration.retries = None
        # The library looks for proxies in the environment and for ~/.netrc on every request, which doubled its cost.
        # `connect` does so once.
        self._sizes = PageSizes()
        configuration.client_session_kwargs = {
            "trust_env": False,
            "middlewares": (encode_as_go, in_pages(self._sizes), *middlewares),
            "response_class": BoundedResponse,
            # Every request sets its own, or none, as virtctl does.
            "skip_auto_headers": ("Content-Type",),
        }
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._on_response = on_response
        self._user_agent = user_agent
        self._closed = False
        self._under_way: set[asyncio.Timeout] = set()
        self._ended = asyncio.Event()

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        path = _path(resource, namespace=namespace, name=name)
        return await self._send(_Call(method="GET", verb="get", target=resource.plural, path=path))

    async def get_cached(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object from the API server's watch cache: cheaper than from etcd, but possibly stale."""
        path = f"{_path(resource, namespace=namespace, name=name)}?resourceVersion=0"
        return await self._send(_Call(method="GET", verb="get", target=resource.plural, path=path))

    async def read(self, resource: Resource, *, name: str, namespace: str | None = None) -> bytes:
        """Read one object as undecoded text, including everything that its cached record elides."""
        path = _path(resource, namespace=namespace, name=name)
        answer = await self._ask(_Call(method="GET", verb="get", target=resource.plural, path=path))
        return answer.content

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        metadata_only: bool = False,
        limit: int | None = None,
        continue_token: str | None = None,
    ) -> Json:
        """Read one page of a collection.

        Raises:
            Stale: `continue_token` has expired; list again from the start.
        """
        options = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": limit,
            "continue": continue_token,
        }
        query = urlencode({key: value for key, value in options.items() if value is not None})
        path = _path(resource, namespace=namespace)
        accept = _METADATA_LIST if metadata_only else _JSON
        target = f"{path}?{query}" if query else path
        answer = await self._ask(_Call(method="GET", verb="list", target=resource.plural, path=target, accept=accept))
        with _json_expected(answer):
            page = await ObjectText(resource.plural).read_list(answer.content)
        self._sizes.learn(f"{path} {accept}", count=len(page.get("items") or ()), size=len(answer.content))
        return page

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """Create an object (POST).

        `apiVersion` and `kind` are taken from `resource` unless `body` sets them.

        Raises:
            AlreadyExists: an object of that name exists.
        """
        path = _path(resource, namespace=namespace)
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self._send(
            _Call(method="POST", verb="create", target=resource.plural, path=path, query=_UNCHECKED, body=body)
        )

    async def create_text(self, resource: Resource, body: bytes, *, namespace: str | None = None) -> Json:
        """Create an object from encoded JSON, sent unchanged.

        Raises:
            AlreadyExists: an object of that name exists.
        """
        path = _path(resource, namespace=namespace)
        return await self._send(
            _Call(method="POST", verb="create", target=resource.plural, path=path, query=_UNCHECKED, body=body)
        )

    async def patch(
        self,
        resource: Resource,
        patch: JsonPatch,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> Json:
        """Apply a JSON patch (RFC 6902).

        Raises:
            Stale: a `test` failed.
        """
        body = [dict(operation) for operation in patch]
        return await self._patch(resource, body, name=name, namespace=namespace, subresource=subresource)

    async def patch_text(
        self,
        resource: Resource,
        patch: bytes,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> Json:
        """Apply a JSON patch given as encoded JSON, sent unchanged.

        Raises:
            Stale: a `test` failed.
        """
        return await self._patch(resource, patch, name=name, namespace=namespace, subresource=subresource)

    async def patch_unread(
        self,
        resource: Resource,
        patch: JsonPatch,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> None:
        """Apply a JSON patch and discard the response: the API server returns only metadata, which is not parsed."""
        body = [dict(operation) for operation in patch]
        call = _patch_call(resource, body, name=name, namespace=namespace, subresource=subresource, accept=_METADATA)
        await self._ask(call)

    async def _patch(
        self, resource: Resource, body: Any, *, name: str, namespace: str | None, subresource: str | None
    ) -> Json:
        return await self._send(_patch_call(resource, body, name=name, namespace=namespace, subresource=subresource))

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        """Replace an object (PUT), guarded by the resourceVersion in `body`.

        aiohttp resends the request when a kept-alive connection breaks. If the first was stored, the second fails with
        `Stale`: read the object to find out.
        """
        path = _path(resource, namespace=namespace, name=name)
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self._send(
            _Call(method="PUT", verb="update", target=resource.plural, path=path, query=_UNCHECKED, body=body)
        )

    async def delete(
        self,
        resource: Resource,
        *,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        version: int | None = None,
    ) -> Json:
        """Delete an object.

        Args:
            uid: precondition; if another object has taken the name, raises `Gone`.
            version: resourceVersion as a precondition; if the object has changed since, raises `Stale`.

        Returns:
            The object, marked for deletion, or a Status if it no longer exists.
        """
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = {"uid": uid, "resourceVersion": str(version) if version is not None else None}
        if given := {name: value for name, value in preconditions.items() if value is not None}:
            body["preconditions"] = given
        path = _path(resource, namespace=namespace, name=name)
        return await self._send(_Call(method="DELETE", verb="delete", target=resource.plural, path=path, body=body))

    async def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[Json]:
        """Yield the events of a watch until the server ends it.

        Not subject to the time-out of other requests: close the iterator, or cancel the task that reads it.
        """
        options = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(_WATCH_SECONDS),
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        query = urlencode({key: value for key, value in options.items() if value is not None})
        path = _path(resource, namespace=namespace)
        call = _Call(method="GET", verb="watch", target=resource.plural, path=f"{path}?{query}")
        request = f"{call.method} {path}"
        if self._closed:
            raise Unavailable("the connection to the API server is closed", request=request)
        headers = await self._headers(call, request=request)
        try:
            response = await self._open(call, headers)
            if response.status != 200:
                content = await response.read()  # type: ignore[no-untyped-call]
                after = response.headers.get("Retry-After", "")
                raise to_error(
                    Answer(
                        method=call.method, request=request, code=response.status, content=content, retry_after=after
                    )
                )
            stream: aiohttp.ClientResponse = response.response
            try:
                async for line in lines_of(stream.content, request=request):
                    answer = Answer(method=call.method, request=request, code=200, content=line)
                    with _json_expected(answer):
                        event = ObjectText(resource.plural).read_line(line)
                    yield _mapping(event, answer)
            finally:
                # Not `release`, which would read an endless stream to its end.
                stream.close()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            cause = str(error) or type(error).__name__
            raise Unavailable(f"the watch broke: {cause}", request=request) from error

    async def _open(self, call: "_Call", headers: dict[str, str]) -> RESTResponse:
        started, code = time.monotonic(), 0
        try:
            response = await self._client.call_api(
                call.method,
                self._configuration.host + call.path,
                header_params=headers,
                _request_timeout=_WATCH_TIMEOUT,
            )
            code = response.status
            return response
        finally:
            seconds = time.monotonic() - started
            self._on_response(verb=call.verb, resource=call.target, code=code, seconds=seconds)

    async def request(
        self, method: str, path: str, *, body: Any = None, content_type: str = _JSON, accept: str = _JSON
    ) -> bytes:
        """Send any other request, for commands. `path` includes the query; a body of bytes is sent unchanged."""
        call = _Call(
            method=method,
            verb=method.lower(),
            target="other",
            path=path,
            body=body,
            content_type=content_type,
            accept=accept,
        )
        return (await self._ask(call)).content

    async def version(self) -> Json:
        """Read the version of Kubernetes from /version."""
        return await self._send(_Call(method="GET", verb="get", target="version", path="/version"))

    async def close(self) -> None:
        """Close the connections; pending and later requests raise `Unavailable`."""
        self._closed = True
        # aiohttp leaves pending requests hanging until their time-out, and cancels those that wait for a connection;
        # their callers would take that for a cancellation of their own.
        for limit in self._under_way:
            limit.reschedule(asyncio.get_running_loop().time())
        while self._under_way:
            self._ended.clear()
            await self._ended.wait()
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _send(self, call: "_Call") -> Json:
        answer = await self._ask(call)
        with _json_expected(answer):
            value = ObjectText(call.target.partition("/")[0]).read(answer.content)
        return _mapping(value, answer)

    async def _ask(self, call: "_Call") -> Answer:
        """Send a request and return the answer.

        Raises:
            ApiError: the request failed.
        """
        request = f"{call.method} {call.path}"
        if self._closed:
            raise Unavailable("the connection to the API server is closed", request=request)
        headers = await self._headers(call, request=request)
        started = time.monotonic()
        code = 0
        try:
            response, content = await self._exchange(call, headers)
            code = response.status
        # RuntimeError: the session was closed in between.
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            cause = _cause(error)
            raise Unavailable(f"no answer from {self._configuration.host}: {cause}", request=request) from error
        finally:
            seconds = time.monotonic() - started
            self._on_response(verb=call.verb, resource=call.target, code=code, seconds=seconds)
        retry_after = response.headers.get("Retry-After", "")
        answer = Answer(method=call.method, request=request, code=code, content=content, retry_after=retry_after)
        if not 200 <= code < 300:
            raise to_error(answer)
        return answer

    async def _exchange(self, call: "_Call", headers: dict[str, str]) -> tuple[RESTResponse, bytes]:
        """Send a request and read its response, within a time limit that `close` can shorten."""
        async with asyncio.timeout(_TOTAL_SECONDS) as limit:
            self._under_way.add(limit)
            try:
                with sending(call.body) as body:
                    response = await self._client.call_api(
                        call.method,
                        self._configuration.host + call.path + call.query,
                        header_params=headers,
                        body=body,
                        _request_timeout=_CONNECT_TIMEOUT,
                    )
                return response, await response.read()  # type: ignore[no-untyped-call]
            finally:
                self._under_way.discard(limit)
                self._ended.set()

    async def _headers(self, call: "_Call", *, request: str) -> dict[str, str]:
        # Always set the content type: the library turns a dictionary sent as a JSON patch into a strategic merge patch,
        # which custom resources refuse.
        headers = {"Content-Type": call.content_type, "Accept": call.accept, "User-Agent": self._user_agent}
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken")
        except (OSError, ConfigException) as error:
            raise Denied(f"the service account token cannot be read: {error}", request=request) from error
        if token:
            headers["Authorization"] = token
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request.

    Attributes:
        target: name of the resource in metrics.
        query: part of the URL that error messages omit.
    """

    method: str
    verb: str
    target: str
    path: str
    query: str = ""
    body: Any = None
    content_type: str = _JSON
    accept: str = _JSON


def _patch_call(
    resource: Resource, body: Any, *, name: str, namespace: str | None, subresource: str | None, accept: str = _JSON
) -> _Call:
    return _Call(
        method="PATCH",
        verb="patch",
        target=f"{resource.plural}/{subresource}" if subresource else resource.plural,
        path=_path(resource, namespace=namespace, name=name, subresource=subresource),
        query=_UNCHECKED,
        body=body,
        content_type=JSON_PATCH,
        accept=accept,
    )


@contextmanager
def _json_expected(answer: Answer) -> Iterator[None]:
    """Convert a parse error of an answer into `Unavailable`."""
    try:
        yield
    except ValueError as error:
        raise Unavailable(
            f"the answer is not JSON: {answer.content[:80]!r}", status=answer.code, request=answer.request
        ) from error


def _cause(error: Exception) -> str:
    """Return why there is no answer, as the operating system words it: aiohttp's messages name its own objects."""
    found = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    if found is None or isinstance(found, ssl.SSLError):
        return str(error) or type(error).__name__
    if isinstance(found, socket.gaierror):
        return found.strerror or "its name is not known"
    return os.strerror(found.errno) if found.errno else "none of its addresses can be connected to"


def _mapping(value: Any, answer: Answer) -> Json:
    if not isinstance(value, dict):
        raise Unavailable(f"the answer is a {type(value).__name__}, not an object", request=answer.request)
    return value


def _path(
    resource: Resource,
    *,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
) -> str:
    return resource.path(namespace=_segment(namespace), name=_segment(name), subresource=subresource)


def _segment(value: str | None) -> str | None:
    """Quote a name for a URL path; refuse names that would point to another path.

    Names may come from user input, and HTTP clients resolve `..` before they send a request. Applies Kubernetes' rule
    for path segment names: not empty, not `.` or `..`, no `/`, no `%`.
    """
    if value is None:
        return None
    if value in {"", ".", ".."} or "/" in value or "%" in value:
        raise Rejected(f'"{value}" cannot be the name of an object: use a DNS name', reason="InvalidName")
    return quote(value, safe="")
