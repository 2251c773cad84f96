"""The port through which nicplug talks to the API server: seven verbs, plain JSON in and out.

A Protocol, so that tests and tools can put anything behind it; `kube.aio` is the real one.
`TextApi` is for what is too large for that. The watches of what every process needs are Kopf's; `WatchingApi` is for
kinds that may be missing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]
JsonPatch = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of the API, enough to build its paths."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects, for example `kubevirt.io/v1` or `v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, the object or its subresource."""
        parts = ["", "apis", self.group, self.version] if self.group else ["", "api", self.version]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


class KubeApi(Protocol):
    """The verbs that nicplug uses. Every method raises the classes of `kube.errors` and nothing else."""

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
        """Read a page of a collection; `metadata_only` asks for a PartialObjectMetadataList."""
        ...

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """POST; raises `AlreadyExists` when the name is taken."""
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
        """JSON patch (RFC 6902); a failed `test` raises `Stale`."""
        ...

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        """PUT, guarded by the resourceVersion in `body`."""
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
        """DELETE; with `uid` only that very object, `Gone` when another has taken the name.

        With `version`, its resourceVersion, only while it is as it was seen, else `Stale`.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class TextApi(Protocol):
    """The verbs for objects that are too large to be anything but text, with all that their records have marks for."""

    async def read(self, resource: Resource, *, name: str, namespace: str | None = None) -> bytes:
        """Read one object."""
        ...

    async def create_text(self, resource: Resource, body: bytes, *, namespace: str | None = None) -> Json:
        """POST; raises `AlreadyExists` when the name is taken."""
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
        """JSON patch (RFC 6902); a failed `test` raises `Stale`."""
        ...


class WatchingApi(KubeApi, Protocol):
    """The verbs, and the one that streams."""

    def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[Json]:
        """The lines (`type`, `object`) of a watch, bookmarks and ERRORs among them.

        Ends when the server ends the stream, which it does every few minutes. Raises the classes of
        `kube.errors`: `Unavailable` when the stream breaks or has been silent for longer than bookmarks allow.
        """
        ...


class ServerApi(WatchingApi, TextApi, Protocol):
    """All that an API server is asked for."""

    async def get_cached(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object from the API server's memory: cheaper than from etcd, and at times a moment old."""
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
        """JSON patch (RFC 6902) of an object that is not asked back; a failed `test` raises `Stale`."""
        ...

    async def version(self) -> Json:
        """Read which Kubernetes it is, at /version."""
        ...


class OnResponse(Protocol):
    """Called once per request, also when no answer came (`code` 0).

    `verb` is Kubernetes' (get, list, watch, create, patch, update, delete), `resource` the plural with its
    subresource (`virtualmachineinstances/status`), `seconds` the time until the body was read; of a watch, and of
    the list before it, until it began.
    """

    def __call__(self, *, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count one request."""
        ...


def count_nothing(*, verb: str, resource: str, code: int, seconds: float) -> None:
    """Be the `on_response` of those who do not count."""
