"""An API server in the test's process, in a thread of its own, on a real socket: for Kopf and kubernetes.aio.

Keeps what the operator relies on: versions, uids, generations, conflicts, subresources,
selectors, finalizers, watches that can be continued, cut or expired. Does not have: server-side
apply and strategic merge (415), field owners, authentication, admission, conversion, schemas
beyond `Kind.validate`. tests/conformance holds the same facts against it and a real kube-apiserver.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Self, TypeVar

from aiohttp import web
from tests.fakes.faults import Fault, Faults, Request, When
from tests.fakes.http import Http
from tests.fakes.kinds import KINDS, Json, Kind
from tests.fakes.lists import Lists
from tests.fakes.loop_thread import LoopThread
from tests.fakes.status import ApiFailure, expired, not_found
from tests.fakes.store import Key, Store
from tests.fakes.watches import Watcher, Watches
from tests.fakes.writes import Writer

NAMESPACES = ("default", "kube-system", "kubevirt", "nicplug-system")
T = TypeVar("T")
WRITES = frozenset({"create", "update", "patch", "delete"})


class FakeApiServer:
    """Use as `async with FakeApiServer() as server:` and point clients at `server.url`.

    Objects are addressed by the plural of their kind. `create`, `modify`, `delete` play the user or
    the node without HTTP, faults or an entry in `requests`.

    Args:
        kinds: what to serve.
        namespaces: those that exist from the beginning; a POST into others answers 404.
        history: changes per kind that a watch can still go back to.
        bookmark_seconds: a watch that asked for bookmarks gets one after this silence.
        graceful_pods: deleted pods with a node stay until deleted with grace 0, as without a kubelet.
        collects_garbage: delete objects whose last owner is gone.
    """

    def __init__(
        self,
        *,
        kinds: Sequence[Kind] = KINDS,
        namespaces: Iterable[str] = NAMESPACES,
        history: int = 20_000,
        bookmark_seconds: float = 60.0,
        graceful_pods: bool = False,
        collects_garbage: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kinds = {kind.key: kind for kind in kinds}
        self._store = Store(kinds, history=history)
        self._writer = Writer(
            store=self._store,
            kinds=self._kinds,
            graceful_pods=graceful_pods,
            collects_garbage=collects_garbage,
            now=now,
        )
        self._faults = Faults()
        self._lists = Lists(self._store)
        self._watches = Watches(self._store, bookmark_seconds=bookmark_seconds)
        self._http = Http(
            store=self._store,
            writer=self._writer,
            faults=self._faults,
            lists=self._lists,
            watches=self._watches,
        )
        self._http.on_request = lambda _: self._wake()
        self._watches.on_change = self._wake
        self._thread = LoopThread(name="fake-apiserver")
        self._runner: web.ServerRunner | None = None
        self._port = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        for kind in kinds:
            self._store.subscribe(kind, lambda _: self._wake())
        for namespace in namespaces:
            self.create("namespaces", {"metadata": {"name": namespace}})

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._thread.stop()

    @property
    def url(self) -> str:
        """Where it listens; stays the same over `stop` and `start`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def version(self) -> int:
        """The current resourceVersion."""
        return self._store.version

    async def start(self) -> None:
        """Listen, on the port of last time if there was one."""
        self._thread.start()
        await self._thread.run(self._listen())

    async def stop(self) -> None:
        """Break all connections and refuse new ones; the objects stay. An outage, until `start`."""
        if self._runner is not None:
            await self._thread.run(self._hang_up(self._runner))
            self._runner = None

    async def _listen(self) -> None:
        # Cancel the handler when a client leaves, or a silent watch would stay for ever.
        server = web.Server(self._http.handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def _hang_up(self, runner: web.ServerRunner) -> None:
        self._watches.is_closing = True
        for watcher in list(self._watches.open):
            watcher.end()
        await runner.cleanup()
        self._watches.is_closing = False

    # -- playing the user or the node ----------------------------------------------------------

    def create(self, plural: str, body: Json, *, namespace: str = "") -> Json:
        """Create an object; its namespace is taken from its metadata, `default` when it has none.

        Raises:
            ApiFailure: as over HTTP (404, 409, 422).
        """
        wanted = namespace or body.get("metadata", {}).get("namespace") or "default"
        return self._thread.call(lambda: self._create(self._kinds[plural], body, wanted))

    def _create(self, kind: Kind, body: Json, namespace: str) -> Json:
        copied: Json = json.loads(json.dumps(body))
        status = copied.get("status")
        stored = self._writer.create(kind, copied, namespace=namespace if kind.namespaced else "")
        if status is None or not kind.has_status:
            return stored.copy()
        name = stored.body["metadata"]["name"]
        return self._modify(kind, name, lambda new: new.update(status=status), namespace, "status")

    def get(self, plural: str, name: str, *, namespace: str = "default") -> Json | None:
        """A copy of the object, None when there is none."""
        kind = self._kinds[plural]
        stored = self._thread.call(lambda: self._store.get(kind, _key(kind, namespace, name)))
        return stored.copy() if stored else None

    def items(self, plural: str, *, namespace: str = "") -> list[Json]:
        """Copies of all objects of a kind."""
        kind = self._kinds[plural]
        found = self._thread.call(lambda: self._store.items(kind, namespace=namespace))
        return [stored.copy() for _, stored in found]

    def modify(
        self,
        plural: str,
        name: str,
        change: Callable[[Json], object],
        *,
        namespace: str = "default",
        status: bool = False,
    ) -> Json:
        """Let `change` edit the object and commit it; with `status` only the status is taken.

        Raises:
            ApiFailure: as over HTTP (404, 422).
        """
        subresource = "status" if status else ""
        kind = self._kinds[plural]
        return self._thread.call(lambda: self._modify(kind, name, change, namespace, subresource))

    def _modify(
        self, kind: Kind, name: str, change: Callable[[Json], object], namespace: str, subresource: str
    ) -> Json:
        key = _key(kind, namespace, name)
        stored = self._store.get(kind, key)
        if stored is None:
            raise not_found(qualified=kind.qualified, name=name)
        body = stored.copy()
        change(body)
        return self._writer.update(kind, key, body, subresource=subresource, is_patch=True).copy()

    def bind(self, name: str, *, node: str, namespace: str = "default") -> Json:
        """Put a pod on a node, as the scheduler does.

        Raises:
            ApiFailure: 404.
        """
        return self._thread.call(lambda: self._writer.bind((namespace, name), node=node).copy())

    def delete(self, plural: str, name: str, *, namespace: str = "default", grace_seconds: int | None = None) -> None:
        """Delete an object; finalizers and grace count as over HTTP."""
        kind = self._kinds[plural]
        key = _key(kind, namespace, name)
        self._thread.call(lambda: self._writer.delete(kind, key, grace_seconds=grace_seconds))

    def on_commit(self, plural: str, told: Callable[[str, Json], None]) -> None:
        """Call `told` with type and object of each commit, in order, in the server's thread."""
        kind = self._kinds[plural]
        self._thread.call(lambda: self._store.subscribe(kind, lambda change: told(change.type, change.new.copy())))

    def atomically(self, actions: Callable[[], T]) -> T:
        """Run several of these methods with no request and no watch line in between."""
        return self._thread.call(actions)

    # -- what was asked ------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """Every request since the start or the last `clear_requests`, in the order of answers."""
        return list(self._http.requests)

    def writes(self, resource: str | None = None) -> list[Request]:
        """Requests that write, refused ones too."""
        return [
            request
            for request in self._http.requests
            if request.verb in WRITES and resource in (None, request.resource)
        ]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._http.requests.clear()

    async def until(self, condition: Callable[[], object], *, seconds: float = 5.0) -> None:
        """Wait until `condition` is true; looked at after every commit, answer, and watch that opens or ends.

        Raises:
            TimeoutError: not within `seconds`.
        """
        woken = asyncio.Event()
        waiting = (asyncio.get_running_loop(), woken)
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await woken.wait()
                    woken.clear()
        finally:
            self._waiting.discard(waiting)

    def _wake(self) -> None:
        for loop, event in tuple(self._waiting):
            # The loop of a test that has just ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)

    # -- what goes wrong -----------------------------------------------------------------------

    def fail(
        self,
        *,
        status: int,
        verb: str | None = None,
        resource: str | None = None,
        times: int = 1,
        when: When = "before",
        headers: Mapping[str, str] | None = None,
        body: Json | None = None,
        **where: str,
    ) -> Fault:
        """Answer with an error status; `when="after"` has stored the write before.

        Args:
            status: HTTP status.
            verb: get, list, watch, create, patch, update, delete; None is any.
            resource: plural; None is any.
            times: how many requests.
            when: before or after the commit.
            headers: for example Retry-After.
            body: Status object; None makes a plain one.
            where: `name`, `namespace`, `subresource`, `user_agent` of the request.
        """
        fault = Fault(
            verb=verb,
            resource=resource,
            times=times,
            when=when,
            status=status,
            headers=headers or {},
            body=body,
            **where,  # type: ignore[arg-type]
        )
        return self._faults.add(fault)

    def inject(self, fault: Fault) -> Fault:
        """Add any other fault: dropped connections, delays, somebody who writes first."""
        return self._faults.add(fault)

    def heal(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def compact(self) -> None:
        """Forget history: a watch from an older version gets 410, and so do `continue` tokens."""
        self._thread.call(self._compact)

    def _compact(self) -> None:
        self._store.compact()
        self._lists.expire()

    @property
    def open_watches(self) -> list[str]:
        """The plurals being watched, once per watch."""
        return [watcher.kind.key for watcher in tuple(self._watches.open)]

    def cut_watches(self, resource: str | None = None) -> None:
        """End the streams, as a server does when their time is over."""
        self._each_watch(resource, lambda watcher: watcher.end())

    def stop_serving(self, plural: str) -> None:
        """As when the CRD is deleted: its objects go, its watches end, and its paths answer 404."""

        def act() -> None:
            kind = self._kinds[plural]
            for key, _ in self._store.items(kind):
                self._writer.delete(kind, key)
            self._http.unserved.add(plural)
            for watcher in self._watches.of(plural):
                watcher.end()

        self._thread.call(act)

    def serve(self, plural: str) -> None:
        """As when the CRD is installed."""
        self._thread.call(lambda: self._http.unserved.discard(plural))

    def expire_watches(self, resource: str | None = None) -> None:
        """Send ERROR 410 into the streams and compact: clients have to list again."""
        self.compact()
        body = expired(f"too old resource version: 1 ({self._store.version})").body()
        self._each_watch(resource, lambda watcher: watcher.error(body))

    def break_watches(self, *, code: int, resource: str | None = None) -> None:
        """Send an ERROR with another status into the streams."""
        body = ApiFailure(code, "InternalError", f"injected: HTTP {code} in the stream").body()
        self._each_watch(resource, lambda watcher: watcher.error(body))

    def bookmark(self, resource: str | None = None) -> None:
        """Send a bookmark now to the watches that want them."""

        def send(watcher: Watcher) -> None:
            if watcher.wants_bookmarks:
                watcher.bookmark(self._store.version)

        self._each_watch(resource, send)

    def _each_watch(self, resource: str | None, action: Callable[[Watcher], None]) -> None:
        def act() -> None:
            for watcher in self._watches.of(resource):
                action(watcher)

        self._thread.call(act)


def _key(kind: Kind, namespace: str, name: str) -> Key:
    return (namespace if kind.namespaced else "", name)
