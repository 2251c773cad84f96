"""An API server in memory, as small as roles need it: list, watch, get, patch, create, delete."""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Self

import jsonpatch

from nicplug_sandbox.node.api import JSON_PATCH, ApiError, Json, Resource
from nicplug_sandbox.node.mirror import Key, key_of


def refusal(status: HTTPStatus, *, message: str = "") -> ApiError:
    """An answer of an API server."""
    return ApiError(status=status, reason=status.phrase, message=message, request="TEST")


def merged(old: Any, new: Any) -> Any:
    """RFC 7386, and a strategic merge of `conditions` by type."""
    if not isinstance(new, dict):
        return new
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            result.pop(key, None)
        elif key == "conditions" and isinstance(value, list):
            by_type = {item["type"]: item for item in result.get(key) or ()}
            by_type.update({item["type"]: merged(by_type.get(item["type"]), item) for item in value})
            result[key] = list(by_type.values())
        else:
            result[key] = merged(result.get(key), value)
    return result


def _looked_up(obj: Json, path: str) -> Any:
    value: Any = obj
    for part in path.strip("/").split("/"):
        value = value.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(value, dict) else None
    return value


def json_patched(obj: Json, patch: list[Json]) -> Json:
    """Like the API server: a `test` with null passes on a missing path."""
    for operation in patch:
        if operation["op"] == "test" and _looked_up(obj, operation["path"]) != operation["value"]:
            raise refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message="testing path failed")
    changes = [operation for operation in patch if operation["op"] != "test"]
    result: Json = jsonpatch.apply_patch(obj, changes)
    return result


class MemoryApi:
    """Holds objects by kind; `requests` remembers writes as (verb, plural, name, body)."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, Any]] = []
        self.failures: list[ApiError] = []
        """Raised by the next writes, one each, instead of doing them."""
        self.changed = asyncio.Event()
        """Set at every request and every change."""
        self._objects: dict[str, dict[Key, Json]] = {}
        self._watches: dict[str, list[asyncio.Queue[Json | Exception]]] = {}
        self._version = 100

    def acting_as(self, user: str, *, groups: Sequence[str] = ()) -> Self:
        """Nobody is refused here; who asks for what is in `tests/integration/test_fences.py`."""
        return self

    def put(self, resource: Resource, obj: Json) -> Json:
        """Create or replace an object, and tell the watches."""
        self._version += 1
        obj = copy.deepcopy(obj)
        obj["metadata"]["resourceVersion"] = str(self._version)
        objects = self._objects.setdefault(resource.plural, {})
        kind = "MODIFIED" if key_of(obj) in objects else "ADDED"
        objects[key_of(obj)] = obj
        self._tell(resource, {"type": kind, "object": obj})
        return obj

    def remove(self, resource: Resource, obj: Json, *, silently: bool = False) -> None:
        """Delete an object; silently: while no watch looks."""
        gone = self._objects[resource.plural].pop(key_of(obj), None)
        if gone is not None and not silently:
            self._tell(resource, {"type": "DELETED", "object": gone})

    def break_watches(self, resource: Resource, error: Exception) -> None:
        """Let every watch of a kind fail."""
        for queue in self._watches.get(resource.plural, []):
            queue.put_nowait(error)

    def read(self, resource: Resource, name: str, namespace: str = "default") -> Json:
        """The object as it is stored."""
        return self._objects[resource.plural][Key(namespace, name)]

    def reasons(self) -> list[str]:
        """The reasons of all events posted, in order, repeats included."""
        names: dict[str, str] = {}
        found = []
        for verb, plural, name, body in self.requests:
            if plural == "events":
                names.setdefault(name, body.get("reason", "") if verb == "create" else "")
                found.append(names[name])
        return found

    def writes(self, plural: str) -> list[Any]:
        """The bodies of all patches of a kind."""
        return [body for verb, kind, _, body in self.requests if verb == "patch" and kind == plural]

    def _record(self, request: tuple[str, str, str, Any]) -> None:
        self.requests.append(request)
        self.changed.set()

    def _tell(self, resource: Resource, event: Json) -> None:
        self.changed.set()
        for queue in self._watches.get(resource.plural, []):
            queue.put_nowait(copy.deepcopy(event))

    async def list(self, resource: Resource, *, params: Mapping[str, str]) -> Json:
        """Everything, in one page."""
        items = [copy.deepcopy(obj) for obj in self._objects.get(resource.plural, {}).values()]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    async def watch(self, resource: Resource, *, params: Mapping[str, str]) -> AsyncIterator[Json]:
        """What is put from now on."""
        queue: asyncio.Queue[Json | Exception] = asyncio.Queue()
        queues = self._watches.setdefault(resource.plural, [])
        queues.append(queue)
        try:
            while True:
                event = await queue.get()
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            queues.remove(queue)

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """One object."""
        found = self._objects.get(resource.plural, {}).get(Key(namespace or "", name))
        if found is None:
            raise refusal(HTTPStatus.NOT_FOUND)
        return copy.deepcopy(found)

    async def patch(
        self,
        resource: Resource,
        body: Any,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
        content_type: str,
    ) -> Json:
        """JSON patch or merge; a wrong uid is a conflict."""
        self._record(("patch", resource.plural, name, body))
        if self.failures:
            raise self.failures.pop(0)
        present = await self.get(resource, name=name, namespace=namespace)
        if content_type == JSON_PATCH:
            return copy.deepcopy(self.put(resource, json_patched(present, body)))
        uid = body.get("metadata", {}).get("uid")
        if uid not in (None, present["metadata"]["uid"]):
            raise refusal(HTTPStatus.CONFLICT)
        return copy.deepcopy(self.put(resource, merged(present, body)))

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """POST."""
        self._record(("create", resource.plural, body["metadata"]["name"], body))
        key = Key(namespace or "", body["metadata"]["name"])
        if key in self._objects.get(resource.plural, {}):
            raise refusal(HTTPStatus.CONFLICT)
        metadata = {**body["metadata"], **({"namespace": namespace} if namespace else {}), "uid": str(key)}
        return self.put(resource, {**body, "metadata": metadata})

    async def apply(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """Server-side apply, as a merge."""
        name = body["metadata"]["name"]
        self._record(("apply", resource.plural, name, body))
        present = self._objects.get(resource.plural, {}).get(Key(namespace or "", name))
        metadata = {**({"namespace": namespace} if namespace else {}), "uid": name}
        return self.put(resource, merged(present or {"metadata": metadata}, body))

    async def delete(
        self, resource: Resource, *, name: str, namespace: str | None = None, uid: str | None = None
    ) -> None:
        """DELETE at once."""
        self._record(("delete", resource.plural, name, uid))
        found = await self.get(resource, name=name, namespace=namespace)
        if uid not in (None, found["metadata"]["uid"]):
            raise refusal(HTTPStatus.CONFLICT)
        self.remove(resource, found)
