"""HTTP session of Kopf's watches: turns errors that would stop Kopf into errors that Kopf retries.

Kopf retries connection errors, 403, 429 and 5xx, logging a line each time. Anything else stops its process: 404 (a CRD
was deleted for a moment), an expired `continue` token, an error in the stream (docs/adr/0001), and a line that Python
cannot parse, which any user with permission to write an object can cause. This session gives Kopf answers that it
handles, and reports the actual ones to `WatchHealth`. Lists come in pages of bounded size, objects without values that
are too large; objects that nicplug caches do not pass through Kopf (`kube.listings`).

Knows nothing of Kopf except which answers it retries.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aiohttp
import structlog

from nicplug.kube.api import OnResponse
from nicplug.kube.direct_lines import DirectLines
from nicplug.kube.listings import Listings
from nicplug.kube.object_text import ObjectText, split_list
from nicplug.kube.pages import BoundedResponse, PageSizes, collection_of
from nicplug.kube.watch_health import Trouble, WatchHealth

log = structlog.get_logger(__name__)

# Kopf lists again after 410, and retries the request after 503.
_LIST_AGAIN = 410
_TRY_AGAIN = 503
_RETRIED_BY_KOPF = frozenset({403, 429})
# If the API server breaks every stream, the objects must not all be listed ten times a second.
_STREAM_ERROR_BASE_SECONDS = 0.1
_STREAM_ERROR_CAP_SECONDS = 30.0
_STREAM_IS_WELL_SECONDS = 60.0
_MAXIMUM_NAMED = 1000


@dataclass(slots=True)
class StreamErrors:
    """Back-off per kind after an error in its watch stream; it doubles while errors follow each other."""

    _last: dict[str, tuple[float, float]] = field(default_factory=dict)

    def next_pause(self, resource: str, *, now: float) -> float:
        """Return the seconds to wait before the stream may be reopened."""
        at, pause = self._last.get(resource, (0.0, 0.0))
        fresh = pause == 0.0 or now - at > _STREAM_IS_WELL_SECONDS + pause
        pause = _STREAM_ERROR_BASE_SECONDS if fresh else min(pause * 2, _STREAM_ERROR_CAP_SECONDS)
        self._last[resource] = (now, pause)
        return pause


@dataclass(slots=True)
class DeepObjects:
    """Logs objects from which values nested too deep were removed; each once, not at every version."""

    _named: set[tuple[str, str]] = field(default_factory=set)

    def report(self, item: Any, *, resource: str) -> None:
        """Log the object, unless it has been logged already."""
        metadata = _member(item, "metadata")
        name = f"{_member(metadata, 'namespace')}/{_member(metadata, 'name')}"
        if (resource, name) in self._named:
            return
        if len(self._named) >= _MAXIMUM_NAMED:
            self._named.clear()
        self._named.add((resource, name))
        log.warning("object nested too deep; read without its depths", resource=resource, object=name)


def resource_of(path: str) -> str:
    """Return the plural of the collection that `path` refers to; the path itself for discovery."""
    parts = path.strip("/").split("/")
    is_collection = len(parts) > (3 if parts[0] == "apis" else 2)
    return parts[-1] if is_collection else path


class WatchResponse(BoundedResponse):
    """Response to a LIST, a WATCH or a discovery request of Kopf; use a class made by `response_class`.

    Attributes:
        answered: the status before it was translated for Kopf.
    """

    health: ClassVar[WatchHealth]
    errors: ClassVar[StreamErrors]
    deep: ClassVar[DeepObjects]
    sizes: ClassVar[PageSizes]
    direct: ClassVar[DirectLines]
    listings: ClassVar[Listings]
    kubevirt_namespace: ClassVar[str | None]
    answered: int = 0

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the head, and translate the status for Kopf."""
        await super().start(connection)
        self.answered = self.status
        if self.status == 200:
            self._start_reading()
        elif self.status == _LIST_AGAIN and "continue" in self.url.query:
            # Kopf lists again after this error, and after no other.
            raise aiohttp.ClientPayloadError("the continue token has expired")
        elif 400 <= self.status < 500 and self.status not in _RETRIED_BY_KOPF:
            self.status = _TRY_AGAIN
        return self

    async def json(self, *, loads: Any = None, **options: Any) -> Any:
        """Return the parsed body; Kopf also reads the body of every error."""
        if self.answered == 200 and self._resource != self.url.path:
            return await self._page()
        try:
            body = await super().json(loads=loads or self._text.read_text, **options)
        except (aiohttp.ContentTypeError, ValueError):
            # If a CRD is not installed, kube-apiserver answers "404 page not found" in plain text.
            self._note_refusal(None)
            raise
        self._note_refusal(body)
        return body

    async def _page(self) -> Any:
        text = await self.read()
        self._taken = b""
        page, items = split_list(text)
        self.sizes.learn(collection_of(self), count=len(items), size=len(text))
        self.listings.fetch_ahead(self.url.path, token=str(_member(_member(page, "metadata"), "continue") or ""))
        kept: list[dict[str, Any]] = []
        await self._text.read_items(items, take=self.listings.taker(self._resource) or kept.append)
        return {**page, "items": kept}

    @property
    def _text(self) -> ObjectText:
        resource = self._resource
        return ObjectText(
            resource,
            on_deep=lambda item: self.deep.report(item, resource=resource),
            kubevirt_namespace=self.kubevirt_namespace,
        )

    def _note_refusal(self, body: Any) -> None:
        if self.answered >= 400:
            text = str(_member(body, "message") or f"{self.url.path} answers HTTP {self.answered}")
            self.health.failed(self._resource, _trouble(self.answered), text)

    @property
    def _resource(self) -> str:
        return resource_of(self.url.path)

    def _start_reading(self) -> None:
        is_watch = "watch" in self.url.query
        if is_watch or self._resource == self.url.path:
            self.health.works(self._resource)
        if is_watch:
            self.listings.opened(self._resource)
            lines = _Lines(
                self.content, resource=self._resource, errors=self.errors, text=self._text, direct=self.direct
            )
            self.content = lines  # type: ignore[assignment]


def response_class(
    health: WatchHealth,
    *,
    sizes: PageSizes | None = None,
    direct: DirectLines | None = None,
    listings: Listings | None = None,
    kubevirt_namespace: str | None = None,
) -> type[WatchResponse]:
    """Create a response class that reports to `health` and passes on to Kopf only what it can handle.

    Args:
        direct: takes the lines of which Kopf needs only the version; None takes none.
        listings: routes listed objects to the caches; None: Kopf gets them all.
        kubevirt_namespace: namespace of the KubeVirt CR; of CRs in other namespaces only the identifying metadata is
            read.
    """
    members = {
        "health": health,
        "errors": StreamErrors(),
        "deep": DeepObjects(),
        "sizes": sizes or PageSizes(),
        "direct": direct or DirectLines(),
        "listings": listings or Listings(),
        "kubevirt_namespace": kubevirt_namespace,
    }
    return type("WatchResponse", (WatchResponse,), members)


def trace(health: WatchHealth) -> aiohttp.TraceConfig:
    """Return a trace that reports requests without an answer to `health`."""

    async def on_exception(_: object, __: object, params: aiohttp.TraceRequestExceptionParams) -> None:
        error = params.exception
        if isinstance(error, (aiohttp.ClientConnectionError, TimeoutError)):
            text = f"no answer from {params.url.origin()}: {str(error) or type(error).__name__}"
            health.failed(resource_of(params.url.path), Trouble.UNREACHABLE, text)

    config = aiohttp.TraceConfig()
    config.on_request_exception.append(on_exception)
    return config


def counted(on_response: OnResponse) -> aiohttp.ClientMiddlewareType:
    """Return a session middleware that counts Kopf's requests, each when the head of its answer has arrived."""

    async def ask(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        started, code = time.monotonic(), 0
        try:
            response = await handler(request)
            code = response.answered if isinstance(response, WatchResponse) else response.status
            return response
        except aiohttp.ClientPayloadError:
            code = _LIST_AGAIN  # an expired `continue` token: `WatchResponse.start`
            raise
        finally:
            seconds = time.monotonic() - started
            on_response(verb=_verb(request), resource=resource_of(request.url.path), code=code, seconds=seconds)

    return ask


def _verb(request: aiohttp.ClientRequest) -> str:
    if "watch" in request.url.query:
        return "watch"
    return "get" if resource_of(request.url.path) == request.url.path else "list"


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _trouble(status: int) -> Trouble:
    match status:
        case 401:
            return Trouble.UNAUTHORIZED
        case 403:
            return Trouble.DENIED
        case 404:
            return Trouble.NOT_SERVED
        case 429:
            return Trouble.SLOW_DOWN
        case _:
            return Trouble.SERVER_ERROR


class _Lines:
    """The body of a watch as Kopf reads it: whole lines, none too large or too deep, with errors translated to 410."""

    def __init__(
        self,
        stream: aiohttp.StreamReader,
        *,
        resource: str,
        errors: StreamErrors,
        text: ObjectText,
        direct: DirectLines,
    ) -> None:
        self._stream = stream
        self._text = text
        self._resource = resource
        self._errors = errors
        self._direct = direct

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield blocks of whole lines."""
        begun: list[bytes] = []
        async for block in self._stream.iter_chunked(size):
            *ended, rest = block.split(b"\n")
            if not ended:
                begun.append(rest)
                continue
            ended[0] = b"".join((*begun, ended[0]))
            begun = [rest]
            yield b"\n".join([*[await self._guard(line) for line in ended], b""])
        # The remainder was cut off with the connection: the API server ends every line.

    async def _guard(self, line: bytes) -> bytes:
        if b'"ERROR"' in line[:100]:
            return await self._guard_error(line)
        bookmark = self._direct.bookmark_for(line, resource=self._resource, read=self._text.read_line)
        if bookmark is None:
            return self._text.slim_line(line)
        await asyncio.sleep(0)  # let the tasks that were woken run before the next of a thousand lines
        return bookmark

    async def _guard_error(self, line: bytes) -> bytes:
        event = json.loads(line)
        if event.get("type") != "ERROR":
            return line
        status = event.get("object")
        if not isinstance(status, dict) or status.get("code") == _LIST_AGAIN:
            return line
        pause = self._errors.next_pause(self._resource, now=asyncio.get_running_loop().time())
        message = str(status.get("message") or f"error {status.get('code')} in the stream")
        log.warning("watch broken by the API server", resource=self._resource, problem=message, again_in_seconds=pause)
        await asyncio.sleep(pause)
        return json.dumps({"type": "ERROR", "object": {**status, "code": _LIST_AGAIN}}).encode()
