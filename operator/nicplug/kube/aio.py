"""Implements `KubeApi` on `kubernetes.aio`, with plain dictionaries for requests and responses.

One method per verb: builds the request, and parses the answer. Knows nothing of metrics: the caller counts requests
with `on_response`.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from copy import copy
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import Configuration

from nicplug.kube.api import Json, JsonPatch, OnResponse, Resource, count_nothing
from nicplug.kube.bodies import JSON_PATCH
from nicplug.kube.classify import Answer
from nicplug.kube.errors import Rejected, Unavailable
from nicplug.kube.object_text import ObjectText
from nicplug.kube.transport import JSON, Call, Transport

CONNECTIONS_PER_HOST = 48
USER_AGENT = "nicplug"

# The server ends a watch after this.
_WATCH_SECONDS = 300

_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}
# Sent with every write. The default, Warn, makes the server look for unknown and duplicate fields and report them in a
# header that nicplug does not read: 4 % of what it allocates for a status patch (docs/performance.md).
_UNCHECKED = "?fieldValidation=Ignore"
_VALIDATED_VERBS = frozenset({"create", "update", "patch"})


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
        self._transport = Transport(
            configuration,
            on_response=on_response,
            user_agent=user_agent,
            connections=connections,
            middlewares=middlewares,
        )
        self._may_write: Callable[[], bool] = lambda: True

    def guarded(self, may_write: Callable[[], bool]) -> "AioApi":
        """Return a client with the same connections whose writes are sent only while they may be.

        Args:
            may_write: asked when a write has its connection, since the process may be stopped while it waits for one.
                A write that must not be sent any more raises `Unavailable`.
        """
        client = copy(self)
        client._may_write = may_write
        return client

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        return await self._send(_call("get", resource, namespace=namespace, name=name))

    async def get_cached(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object from the API server's watch cache: cheaper than from etcd, but possibly stale."""
        call = _call("get", resource, namespace=namespace, name=name)
        return await self._send(_with_options(call, {"resourceVersion": "0"}))

    async def read(self, resource: Resource, *, name: str, namespace: str | None = None) -> bytes:
        """Read one object as undecoded text, including everything that its cached record elides."""
        return (await self._transport.ask(_call("get", resource, namespace=namespace, name=name))).content

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
        collection = replace(
            _call("list", resource, namespace=namespace), accept=_METADATA_LIST if metadata_only else JSON
        )
        answer = await self._transport.ask(_with_options(collection, options))
        with _json_expected(answer):
            page = await ObjectText(resource.plural).read_list(answer.content)
        shape = f"{collection.path} {collection.accept}"
        self._transport.sizes.learn(shape, count=len(page.get("items") or ()), size=len(answer.content))
        return page

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """Create an object (POST).

        `apiVersion` and `kind` are taken from `resource` unless `body` sets them.

        Raises:
            AlreadyExists: an object of that name exists.
        """
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self._send(_call("create", resource, namespace=namespace, body=body))

    async def create_text(self, resource: Resource, body: bytes, *, namespace: str | None = None) -> Json:
        """Create an object from encoded JSON, sent unchanged.

        Raises:
            AlreadyExists: an object of that name exists.
        """
        return await self._send(_call("create", resource, namespace=namespace, body=body))

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
        call = _call("patch", resource, namespace=namespace, name=name, subresource=subresource, body=body)
        return await self._send(call)

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
        call = _call("patch", resource, namespace=namespace, name=name, subresource=subresource, body=patch)
        return await self._send(call)

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
        call = _call("patch", resource, namespace=namespace, name=name, subresource=subresource, body=body)
        await self._transport.ask(replace(call, accept=_METADATA), may_send=self._may_write)

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        """Replace an object (PUT), guarded by the resourceVersion in `body`.

        aiohttp resends the request when a kept-alive connection breaks. If the first was stored, the second fails with
        `Stale`: read the object to find out.
        """
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self._send(_call("update", resource, namespace=namespace, name=name, body=body))

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
        return await self._send(_call("delete", resource, namespace=namespace, name=name, body=body))

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
        call = _with_options(_call("watch", resource, namespace=namespace), options, is_shown=False)
        # Closes the stream together with this iterator.
        async with aclosing(self._transport.stream(call)) as lines:
            async for answer in lines:
                with _json_expected(answer):
                    event = ObjectText(resource.plural).read_line(answer.content)
                yield _mapping(event, answer)

    async def request(
        self, method: str, path: str, *, body: Any = None, content_type: str = JSON, accept: str = JSON
    ) -> bytes:
        """Send any other request, for commands. `path` includes the query; a body of bytes is sent unchanged."""
        call = Call(
            method=method,
            verb=method.lower(),
            target="other",
            path=path,
            body=body,
            content_type=content_type,
            accept=accept,
        )
        return (await self._transport.ask(call)).content

    async def version(self) -> Json:
        """Read the version of Kubernetes from /version."""
        return await self._send(Call(method="GET", verb="get", target="version", path="/version"))

    async def close(self) -> None:
        """Close the connections; pending and later requests raise `Unavailable`."""
        await self._transport.close()

    async def _send(self, call: Call) -> Json:
        if call.method == "GET":
            answer = await self._transport.ask(call)
        else:
            answer = await self._transport.ask(call, may_send=self._may_write)
        with _json_expected(answer):
            value = ObjectText(call.target.partition("/")[0]).read(answer.content)
        return _mapping(value, answer)


def _call(
    verb: str,
    resource: Resource,
    *,
    namespace: str | None,
    name: str | None = None,
    subresource: str | None = None,
    body: Any = None,
) -> Call:
    return Call(
        method=_METHODS[verb],
        verb=verb,
        target=f"{resource.plural}/{subresource}" if subresource else resource.plural,
        path=resource.path(namespace=_segment(namespace), name=_segment(name), subresource=subresource),
        query=_UNCHECKED if verb in _VALIDATED_VERBS else "",
        body=body,
        content_type=JSON_PATCH if verb == "patch" else JSON,
    )


def _with_options(call: Call, options: Mapping[str, Any], *, is_shown: bool = True) -> Call:
    """Add URL parameters, except those that are None; `is_shown` adds them to error messages too."""
    given = {name: value for name, value in options.items() if value is not None}
    query = f"?{urlencode(given)}" if given else ""
    return replace(call, path=call.path + query) if is_shown else replace(call, query=query)


@contextmanager
def _json_expected(answer: Answer) -> Iterator[None]:
    """Convert a parse error of an answer into `Unavailable`."""
    try:
        yield
    except ValueError as error:
        raise Unavailable(
            f"the answer is not JSON: {answer.content[:80]!r}", status=answer.code, request=answer.request
        ) from error


def _mapping(value: Any, answer: Answer) -> Json:
    if not isinstance(value, dict):
        raise Unavailable(f"the answer is a {type(value).__name__}, not an object", request=answer.request)
    return value


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
