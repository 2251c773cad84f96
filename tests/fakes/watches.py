"""WATCH: one queue of lines per watcher, filled at commit time."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from tests.fakes.kinds import Json, Kind
from tests.fakes.selectors import Predicate, selector
from tests.fakes.status import ApiFailure
from tests.fakes.store import Change, Store, Stored


class Watcher:
    """One open watch: what it wants to see, and the lines it has not yet been sent."""

    def __init__(self, kind: Kind, *, namespace: str, query: Mapping[str, str]) -> None:
        self.kind = kind
        self._namespace = namespace
        self._matches: Predicate | None = selector(
            kind, labels=query.get("labelSelector", ""), fields=query.get("fieldSelector", "")
        )
        self.wants_bookmarks = query.get("allowWatchBookmarks") == "true"
        # None ends the stream.
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def see(self, change: Change) -> None:
        """Queue the change if the watch is about it; a selector may turn it into ADDED or DELETED."""
        if self._namespace and change.key[0] != self._namespace:
            return
        type_: str | None = change.type
        if self._matches is not None:
            type_ = self._type_through_selector(self._matches, change)
        if type_ is not None:
            self.send(type_, change.new.raw)

    def show(self, stored: Stored) -> None:
        """Queue an object that exists already."""
        self.send("ADDED", stored.raw)

    def accepts(self, stored: Stored) -> bool:
        """Whether the object is in the view of this watch."""
        return self._matches is None or self._matches(stored.body)

    def bookmark(self, version: int, *, ends_initial_events: bool = False) -> None:
        """Queue a bookmark."""
        metadata: Json = {"resourceVersion": str(version)}
        if ends_initial_events:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        body = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        self.send("BOOKMARK", json.dumps(body).encode())

    def error(self, status: Json) -> None:
        """Queue an in-stream ERROR and end the stream."""
        self.send("ERROR", json.dumps(status).encode())
        self.end()

    def send(self, type_: str, raw: bytes) -> None:
        """Queue one event."""
        self.lines.put_nowait(b'{"type":"' + type_.encode() + b'","object":' + raw + b"}\n")

    def end(self) -> None:
        """Close the stream after what is queued."""
        self.lines.put_nowait(None)

    def _type_through_selector(self, matches: Predicate, change: Change) -> str | None:
        saw = change.old is not None and matches(change.old.body)
        sees = change.type != "DELETED" and matches(change.new.body)
        match saw, sees:
            case True, True:
                return "MODIFIED"
            case False, True:
                return "ADDED"
            case True, False:
                return "DELETED"
            case _:
                return None


class Watches:
    """All open watches."""

    def __init__(self, store: Store, *, bookmark_seconds: float) -> None:
        self._store = store
        self._bookmark_seconds = bookmark_seconds
        self.open: list[Watcher] = []
        self.is_closing = False
        self.on_change: Callable[[], None] = lambda: None

    def of(self, plural: str | None) -> list[Watcher]:
        """Open watches of one kind, or all."""
        return [watcher for watcher in self.open if plural in (None, watcher.kind.key)]

    async def serve(
        self, kind: Kind, request: web.BaseRequest, *, namespace: str, query: Mapping[str, str]
    ) -> web.StreamResponse:
        """Answer a WATCH request until its time is over, the client leaves, or it is cut."""
        watcher = Watcher(kind, namespace=namespace, query=query)
        # No await between reading the state and subscribing: a commit in between would be lost.
        self._catch_up(watcher, namespace=namespace, query=query)
        unsubscribe = self._store.subscribe(kind, watcher.see)
        self.open.append(watcher)
        self.on_change()
        if self.is_closing:
            # Opened anew over a kept connection by a client that was quicker than the end of the server.
            watcher.end()
        try:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await self._pump(watcher, response, seconds=float(query.get("timeoutSeconds") or 1800))
        except ConnectionResetError:
            return response
        finally:
            unsubscribe()
            self.open.remove(watcher)
            self.on_change()
        return response

    def _catch_up(self, watcher: Watcher, *, namespace: str, query: Mapping[str, str]) -> None:
        version = query.get("resourceVersion") or "0"
        if version == "0" or query.get("sendInitialEvents") == "true":
            for _, stored in self._store.items(watcher.kind, namespace=namespace):
                if watcher.accepts(stored):
                    watcher.show(stored)
            if query.get("sendInitialEvents") == "true":
                watcher.bookmark(self._store.version, ends_initial_events=True)
            return
        try:
            for change in self._store.since(watcher.kind, int(version)):
                watcher.see(change)
        # In the stream, not as the status of the answer: so does the watch cache of the real one.
        except ApiFailure as failure:
            watcher.error(failure.body())

    async def _pump(self, watcher: Watcher, response: web.StreamResponse, *, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, self._bookmark_seconds)):
                    line = await watcher.lines.get()
            except TimeoutError:
                if watcher.wants_bookmarks:
                    watcher.bookmark(self._store.version)
                continue
            lines, more = _drain(watcher.lines, first=line)
            if lines:
                await response.write(lines)
            if not more:
                return


def _drain(queue: asyncio.Queue[Any], *, first: bytes | None) -> tuple[bytes, bool]:
    """All queued lines in one write, and whether the stream goes on."""
    lines: list[bytes] = []
    line = first
    while line is not None:
        lines.append(line)
        if queue.empty():
            return b"".join(lines), True
        line = queue.get_nowait()
    return b"".join(lines), False
