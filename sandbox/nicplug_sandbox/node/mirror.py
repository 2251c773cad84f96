"""A mirror of one kind: list, then watch for ever, with indexes and listeners.

It survives what happens to a watch: an expired resourceVersion (list again, and report what vanished
meanwhile), a restarted API server, a CRD that is not there yet, a stream that went silent.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import aiohttp

from nicplug_sandbox.node.api import Api, ApiError, Json, Resource

log = logging.getLogger(__name__)

PAGE_SIZE = "500"
WATCH_SECONDS = "290"
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0


class Key(NamedTuple):
    """Namespace (empty for cluster-scoped kinds) and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


IndexFunction = Callable[[Json], Iterable[str]]
Listener = Callable[[Json | None, Json | None], None]
"""Called with the old and the new object: (None, new) added, (old, new) changed, (old, None) gone."""


def key_of(obj: Json) -> Key:
    """The key of an object."""
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def _version(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


class Mirror:
    """The present objects of one kind, by key and by index."""

    def __init__(
        self,
        *,
        api: Api,
        resource: Resource,
        selector: Mapping[str, str] | None = None,
        indexes: Mapping[str, IndexFunction] | None = None,
    ) -> None:
        """`selector`: labelSelector and fieldSelector as query parameters."""
        self.resource = resource
        self.synced = asyncio.Event()
        self.tried = asyncio.Event()
        """Set after the first LIST, even when it failed: an optional CRD may not be there."""
        self._last_version = ""
        self._api = api
        self._selector = dict(selector or {})
        self._functions = dict(indexes or {})
        self._objects: dict[Key, Json] = {}
        self._indexes: dict[str, dict[str, dict[Key, Json]]] = {name: {} for name in self._functions}
        self._listeners: list[Listener] = []

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Json | None:
        """The object, or None."""
        return self._objects.get(key)

    def all(self) -> list[Json]:
        """Every object."""
        return list(self._objects.values())

    def by_index(self, index: str, value: str) -> list[Json]:
        """The objects for which the index function gave `value`."""
        return list(self._indexes[index].get(value, {}).values())

    def listen(self, listener: Listener) -> None:
        """Call `listener` at every change, in the order of the watch; it must not block."""
        self._listeners.append(listener)

    def apply_response(self, obj: Json) -> None:
        """Take in the body of our own write at once, so that the next decision does not repeat it.

        An object that has gone meanwhile is not brought back.
        """
        present = self._objects.get(key_of(obj))
        if present is not None and present["metadata"]["uid"] == obj["metadata"]["uid"]:
            self._put(obj)

    async def run(self) -> None:
        """Mirror until cancelled."""
        pause = FIRST_PAUSE_SECONDS
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                    self.synced.set()
                    self.tried.set()
                    pause = FIRST_PAUSE_SECONDS
                version = await self._watch(version)
                pause = FIRST_PAUSE_SECONDS
            except ApiError as error:
                version = None
                self.tried.set()
                if not error.is_expired:
                    log.warning("%s cannot be watched, trying again: %s", self.resource.plural, error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                # The stream broke. The last version is still good unless the server says otherwise (410).
                log.info("watch of %s broke, trying again: %r", self.resource.plural, error)
                version = self._last_version or None
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _list(self) -> str:
        fresh: dict[Key, Json] = {}
        params = {**self._selector, "limit": PAGE_SIZE}
        while True:
            page = await self._api.list(self.resource, params=params)
            fresh.update((key_of(item), item) for item in page["items"])
            token = page["metadata"].get("continue")
            if not token:
                break
            params["continue"] = token
        for key in [key for key in self._objects if key not in fresh]:
            self._remove(key)
        for obj in fresh.values():
            self._put(obj)
        version: str = page["metadata"]["resourceVersion"]
        self._last_version = version
        return version

    async def _watch(self, version: str) -> str:
        params = {
            **self._selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": WATCH_SECONDS,
        }
        async for event in self._api.watch(self.resource, params=params):
            obj = event["object"]
            self._last_version = obj["metadata"]["resourceVersion"]
            match event["type"]:
                case "ADDED" | "MODIFIED":
                    self._put(obj)
                case "DELETED":
                    self._remove(key_of(obj))
        return self._last_version

    def _put(self, obj: Json) -> None:
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None:
            if old["metadata"]["uid"] != obj["metadata"]["uid"]:
                self._remove(key)
                old = None
            elif _version(obj) <= _version(old):
                return
        obj["metadata"].pop("managedFields", None)
        self._objects[key] = obj
        self._reindex(key, old=old, new=obj)
        self._tell(old, obj)

    def _remove(self, key: Key) -> None:
        old = self._objects.pop(key, None)
        if old is not None:
            self._reindex(key, old=old, new=None)
            self._tell(old, None)

    def _reindex(self, key: Key, *, old: Json | None, new: Json | None) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for value in function(old) if old is not None else ():
                if entries := index.get(value):
                    entries.pop(key, None)
                    if not entries:
                        del index[value]
            for value in function(new) if new is not None else ():
                index.setdefault(value, {})[key] = new  # type: ignore[assignment]

    def _tell(self, old: Json | None, new: Json | None) -> None:
        for listener in self._listeners:
            try:
                listener(old, new)
            except Exception:
                # A malformed object must not end the mirror that every role lives on.
                log.exception("listener failed on %s", key_of(new or old or {"metadata": {"name": "?"}}))
