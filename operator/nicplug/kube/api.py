"""The port through which nicplug talks to the API server: seven verbs, plain JSON in and out.

A Protocol, so that tests and tools can substitute it; `kube.aio` is the real implementation. `TextApi` is for objects
that are too large to parse. Kopf watches the kinds that every process needs; `WatchingApi` is for kinds that may not be
installed.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]
JsonPatch = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of the API: what is needed to build its URL paths."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` of the kind, for example `kubevirt.io/v1` or `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of the collection, an object or its subresource."""
        parts = ["", "apis", self.group, self.version] if self.group else ["", "api", self.version]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


class KubeApi(Protocol):
    """The verbs that nicplug uses. Every method raises only the classes of `kube.errors`."""

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        ...

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
        """Read one page of a collection; `metadata_only` requests a PartialObjectMetadataList."""
        ...

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """Create an object (POST).

        Raises:
            AlreadyExists: an object of that name exists.
        """
        ...

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
        ...

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        """Replace an object (PUT), guarded by the resourceVersion in `body`."""
        ...

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
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class TextApi(Protocol):
    """The verbs for objects that are handled as undecoded text because they are too large, with nothing elided."""

    async def read(self, resource: Resource, *, name: str, namespace: str | None = None) -> bytes:
        """Read one object as undecoded text."""
        ...

    async def create_text(self, resource: Resource, body: bytes, *, namespace: str | None = None) -> Json:
        """Create an object from encoded JSON.

        Raises:
            AlreadyExists: an object of that name exists.
        """
        ...

    async def patch_text(
        self,
        resource: Resource,
        patch: bytes,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> Json:
        """Apply a JSON patch (RFC 6902) given as encoded JSON.

        Raises:
            Stale: a `test` failed.
        """
        ...


class WatchingApi(KubeApi, Protocol):
    """`KubeApi` with watches."""

    def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[Json]:
        """Yield the events (`type`, `object`) of a watch, including bookmarks and ERRORs.

        Ends when the server ends the stream, which it does every few minutes.

        Raises:
            ApiError: the watch failed; `Unavailable` if the stream broke or no bookmark arrived in time.
        """
        ...


class ServerApi(WatchingApi, TextApi, Protocol):
    """All requests that nicplug sends to an API server."""

    def guarded(self, may_write: Callable[[], bool]) -> "ServerApi":
        """Return a client with the same connections whose writes raise `Unavailable` unless `may_write` returns True.

        It is asked at the last moment: when the request has its connection.
        """
        ...

    async def get_cached(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object from the API server's watch cache: cheaper than from etcd, but possibly stale."""
        ...

    async def patch_unread(
        self,
        resource: Resource,
        patch: JsonPatch,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> None:
        """Apply a JSON patch (RFC 6902) and discard the response.

        Raises:
            Stale: a `test` failed.
        """
        ...

    async def version(self) -> Json:
        """Read the version of Kubernetes from /version."""
        ...


class OnResponse(Protocol):
    """Called once per request, including those without an answer (`code` 0).

    `verb` is Kubernetes' (get, list, watch, create, patch, update, delete); `resource` is the plural with its
    subresource (`virtualmachineinstances/status`). `seconds` is the time until the body was read; for a watch, and the
    list before it, the time until the response began.
    """

    def __call__(self, *, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count one request."""
        ...


def count_nothing(*, verb: str, resource: str, code: int, seconds: float) -> None:
    """Ignore the request: the default `on_response`."""
