"""From an HTTP request to the store and back: routing, faults, the log of requests."""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from tests.fakes import discovery, patches
from tests.fakes.faults import Fault, Faults, Request
from tests.fakes.kinds import Json, Kind
from tests.fakes.lists import Lists, written
from tests.fakes.status import ApiFailure, bad_request, not_found
from tests.fakes.store import Store, Stored
from tests.fakes.watches import Watches
from tests.fakes.writes import Writer

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Dropped(Exception):
    """The connection is to be broken instead of answered.

    Attributes:
        committed: the request has been carried out.
    """

    committed = False


class Http:
    """The handler of every request."""

    def __init__(self, *, store: Store, writer: Writer, faults: Faults, lists: Lists, watches: Watches) -> None:
        self._store = store
        self._writer = writer
        self._faults = faults
        self._lists = lists
        self._watches = watches
        self._routes = {(kind.prefix, kind.plural): kind for kind in writer.kinds.values()}
        self.unserved: set[str] = set()
        self.requests: list[Request] = []
        self.on_request: Callable[[Request], None] = lambda _: None

    async def handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        content = await raw.read()
        kind, request = self._parse(raw, content)
        try:
            return await self._answer(kind, request, raw, content)
        except ApiFailure as failure:
            self._log(request, code=failure.code)
            return web.json_response(failure.body(), status=failure.code)
        except Dropped as dropped:
            self._log(request, code=0, committed=dropped.committed)
            if raw.transport is not None:
                raw.transport.abort()
            raise ConnectionResetError from None

    def _parse(self, raw: web.BaseRequest, content: bytes) -> tuple[Kind | None, Request]:
        parts = raw.path.strip("/").split("/")
        depth = 2 if parts[0] == "api" else 3
        prefix, rest = "/" + "/".join(parts[:depth]), parts[depth:]
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and (prefix, rest[2]) in self._routes:
            namespace, rest = rest[1], rest[2:]
        kind = self._routes.get((prefix, rest[0])) if rest else None
        kind = None if kind is not None and kind.key in self.unserved else kind
        name, subresource = [*rest[1:], "", ""][:2]
        query = dict(raw.query)
        reading = "watch" if query.get("watch") in ("true", "1") else "get" if name else "list"
        return kind, Request(
            verb=_VERBS.get(raw.method, reading),
            resource=kind.key if kind else "",
            path=raw.path,
            namespace=namespace,
            name=name,
            subresource=subresource,
            query=query,
            user_agent=raw.headers.get("User-Agent", ""),
            content_type=raw.headers.get("Content-Type", "").partition(";")[0],
            body=_json_or_none(content),
        )

    async def _answer(
        self, kind: Kind | None, request: Request, raw: web.BaseRequest, content: bytes
    ) -> web.StreamResponse:
        fault = self._faults.take(request)
        if fault is not None:
            if fault.delay_seconds:
                await asyncio.sleep(fault.delay_seconds)
            if fault.then is not None:
                fault.then()
            if fault.when == "before" and (failed := _failed(fault)) is not None:
                self._log(request, code=failed.status)
                return failed
        if request.verb == "watch" and kind is not None:
            self._log(request, code=200)
            return await self._watches.serve(kind, raw, namespace=request.namespace, query=request.query)
        before = self._store.version
        code, body = self._execute(kind, request, raw, content)
        committed = self._store.version != before
        if fault is not None and fault.when == "after":
            try:
                failed = _failed(fault)
            except Dropped as dropped:
                dropped.committed = committed
                raise
            if failed is not None:
                self._log(request, code=failed.status, committed=committed)
                return failed
        self._log(request, code=code, committed=committed)
        return web.Response(body=body, status=code, content_type="application/json")

    def _execute(self, kind: Kind | None, request: Request, raw: web.BaseRequest, content: bytes) -> tuple[int, bytes]:
        if kind is None:
            return _outside_resources(raw.path, self._writer.kinds)
        if request.subresource not in ("", "status") or (request.subresource and not kind.has_status):
            raise ApiFailure(404, "NotFound", "the server could not find the requested resource", details={})
        key = (request.namespace, request.name)
        match request.verb:
            case "list":
                accept = raw.headers.get("Accept", "")
                answer = self._lists.answer(kind, namespace=request.namespace, query=request.query, accept=accept)
                return 200, answer
            case "get":
                return 200, self._existing(kind, key).raw
            case "create" if not request.name:
                created = self._writer.create(kind, _object(kind, request.body), namespace=request.namespace)
                return 201, created.raw
            case "update" if request.name:
                existed = self._store.get(kind, key) is not None
                body = _object(kind, request.body)
                updated = self._writer.update(kind, key, body, subresource=request.subresource)
                return 200 if existed else 201, updated.raw
            case "patch" if request.name:
                return 200, written(self._patch(kind, request, content), accept=raw.headers.get("Accept", ""))
            case "delete" if request.name:
                return 200, self._delete(kind, request)
            case _:
                raise ApiFailure(
                    405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
                )

    def _patch(self, kind: Kind, request: Request, content: bytes) -> Stored:
        key = (request.namespace, request.name)
        old = self._existing(kind, key)
        try:
            body = patches.patched(old.copy(), content_type=request.content_type, content=content)
        except patches.Panic:
            raise Dropped from None
        # A patch names no version unless it says so; then it is the guard of a PUT.
        return self._writer.update(kind, key, body, subresource=request.subresource, is_patch=True)

    def _delete(self, kind: Kind, request: Request) -> bytes:
        options = request.body if isinstance(request.body, dict) else {}
        preconditions = options.get("preconditions") or {}
        grace = options.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
        last, away = self._writer.delete(
            kind,
            (request.namespace, request.name),
            uid=preconditions.get("uid"),
            version=preconditions.get("resourceVersion"),
            grace_seconds=None if grace is None else int(grace),
        )
        # Pods answer with the object itself even when it is away.
        if not away or kind.plural == "pods":
            return last.raw
        details = {"name": request.name, "kind": kind.plural, "uid": last.body["metadata"]["uid"]}
        if kind.group:
            details["group"] = kind.group
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return json.dumps({**success, "details": details}).encode()

    def _existing(self, kind: Kind, key: tuple[str, str]) -> Stored:
        stored = self._store.get(kind, key)
        if stored is None:
            raise not_found(qualified=kind.qualified, name=key[1])
        return stored

    def _log(self, request: Request, *, code: int, committed: bool = False) -> None:
        done = dataclasses.replace(request, code=code, committed=committed)
        self.requests.append(done)
        self.on_request(done)


def _failed(fault: Fault) -> web.Response | None:
    if fault.drop:
        raise Dropped
    if fault.status is None:
        return None
    body = fault.body or ApiFailure(fault.status, "", f"injected: HTTP {fault.status}").body()
    return web.json_response(body, status=fault.status, headers=fault.headers)


def _outside_resources(path: str, kinds: dict[str, Kind]) -> tuple[int, bytes]:
    if path in ("/readyz", "/healthz", "/livez"):
        return 200, b"ok"
    if (found := discovery.document(path, kinds.values())) is not None:
        return 200, json.dumps(found).encode()
    return 404, b"404 page not found\n"


def _json_or_none(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None


def _object(kind: Kind, body: Any) -> Json:
    # Built-in kinds are decoded as what the path says; custom ones must say it themselves.
    if not isinstance(body, dict) or (kind.is_custom and not (body.get("kind") and body.get("apiVersion"))):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind})")
    copied: Json = json.loads(json.dumps(body))
    return copied
