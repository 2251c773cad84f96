"""`KubeApi` straight on the fake's objects: no sockets, so that it works under virtual time."""

import asyncio
import json
from typing import Any

from tests.fakes import patches
from tests.fakes.kinds import KINDS
from tests.fakes.status import ApiFailure, not_found
from tests.fakes.store import Store, Stored
from tests.fakes.writes import Writer

from nicplug.kube.api import Json, JsonPatch, Resource
from nicplug.kube.classify import Answer, to_error
from nicplug.kube.errors import Unavailable
from nicplug.kube.object_text import ObjectText


class DirectWorld:
    """The objects that several `DirectApi` share."""

    def __init__(self) -> None:
        self.kinds = {kind.key: kind for kind in KINDS}
        self.store = Store(KINDS, history=1000)
        self.writer = Writer(store=self.store, kinds=self.kinds)
        for namespace in ("default", "nicplug-system"):
            self.writer.create(self.kinds["namespaces"], {"metadata": {"name": namespace}}, namespace="")

    def object(self, plural: str, name: str, *, namespace: str) -> Json | None:
        """A copy of one object."""
        stored = self.store.get(self.kinds[plural], (namespace, name))
        return stored.copy() if stored else None


class DirectApi:
    """One client.

    Attributes:
        latency_seconds: each request takes so long.
        is_up: False answers `Unavailable`.
        is_silent: requests never return.
        loses_answers: writes are stored, then answered `Unavailable`.
        calls: verb and plural of each request.
    """

    def __init__(self, world: DirectWorld) -> None:
        self._world = world
        self.latency_seconds = 0.0
        self.is_up = True
        self.is_silent = False
        self.loses_answers = False
        self.calls: list[tuple[str, str]] = []

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        await self._travel("get", resource)
        kind, key = self._world.kinds[resource.plural], (namespace or "", name)
        stored = self._world.store.get(kind, key)
        if stored is None:
            raise _error("GET", not_found(qualified=kind.qualified, name=name))
        return _read(resource, stored)

    async def read(self, resource: Resource, *, name: str, namespace: str | None = None) -> bytes:
        """Read one object as text."""
        await self.get(resource, name=name, namespace=namespace)
        stored = self._world.store.get(self._world.kinds[resource.plural], (namespace or "", name))
        assert stored is not None
        return stored.raw

    async def list(self, resource: Resource, *, namespace: str | None = None, **_: Any) -> Json:
        """Read all objects; selectors and pages are not supported here."""
        await self._travel("list", resource)
        found = self._world.store.items(self._world.kinds[resource.plural], namespace=namespace or "")
        metadata = {"resourceVersion": str(self._world.store.version)}
        return {"metadata": metadata, "items": [stored.copy() for _, stored in found]}

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """POST."""
        await self._travel("create", resource)
        kind = self._world.kinds[resource.plural]
        copied = json.loads(json.dumps(body))
        try:
            stored = self._world.writer.create(kind, copied, namespace=namespace or "")
        except ApiFailure as failure:
            raise _error("POST", failure) from failure
        return self._answer(resource, stored)

    async def create_text(self, resource: Resource, body: bytes, *, namespace: str | None = None) -> Json:
        """POST of a text."""
        return await self.create(resource, json.loads(body), namespace=namespace)

    async def patch_text(self, resource: Resource, patch: bytes, **where: Any) -> Json:
        """JSON patch that is a text."""
        return await self.patch(resource, json.loads(patch), **where)

    async def patch(
        self,
        resource: Resource,
        patch: JsonPatch,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> Json:
        """JSON patch."""
        await self._travel("patch", resource)
        kind, key = self._world.kinds[resource.plural], (namespace or "", name)
        content = json.dumps([dict(operation) for operation in patch]).encode()
        try:
            old = self._world.store.get(kind, key)
            if old is None:
                raise not_found(qualified=kind.qualified, name=name)
            body = patches.patched(old.copy(), content_type=patches.JSON_PATCH, content=content)
            stored = self._world.writer.update(kind, key, body, subresource=subresource or "", is_patch=True)
        except ApiFailure as failure:
            raise _error("PATCH", failure) from failure
        return self._answer(resource, stored)

    async def patch_unread(self, resource: Resource, patch: JsonPatch, **where: Any) -> None:
        """JSON patch of an object that is not asked back."""
        await self.patch(resource, patch, **where)

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        """PUT."""
        await self._travel("update", resource)
        kind, key = self._world.kinds[resource.plural], (namespace or "", name)
        try:
            stored = self._world.writer.update(kind, key, json.loads(json.dumps(body)))
        except ApiFailure as failure:
            raise _error("PUT", failure) from failure
        return self._answer(resource, stored)

    async def delete(
        self,
        resource: Resource,
        *,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        version: int | None = None,
    ) -> Json:
        """DELETE."""
        await self._travel("delete", resource)
        kind, key = self._world.kinds[resource.plural], (namespace or "", name)
        try:
            stored, _ = self._world.writer.delete(
                kind, key, uid=uid, version=str(version) if version is not None else None
            )
        except ApiFailure as failure:
            raise _error("DELETE", failure) from failure
        return self._answer(resource, stored)

    async def close(self) -> None:
        """Nothing to close."""

    async def _travel(self, verb: str, resource: Resource) -> None:
        self.calls.append((verb, resource.plural))
        if self.is_silent:
            await asyncio.Event().wait()
        await asyncio.sleep(self.latency_seconds)
        if not self.is_up:
            raise Unavailable("no answer: the fake is down")

    def _answer(self, resource: Resource, stored: Stored) -> Json:
        if self.loses_answers:
            raise Unavailable("no answer: the fake lost it")
        return _read(resource, stored)


def _read(resource: Resource, stored: Stored) -> Json:
    """As the real client reads an answer."""
    read: Json = ObjectText(resource.plural).read(stored.raw)
    return read


def _error(method: str, failure: ApiFailure) -> Exception:
    content = json.dumps(failure.body()).encode()
    return to_error(Answer(method=method, request=f"{method} (direct)", code=failure.code, content=content))
