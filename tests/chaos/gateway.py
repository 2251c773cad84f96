"""What stands between the operators and their API server: a load balancer that ends TLS, and that can misbehave.

Unlike `tests.soak.proxy`, which forwards bytes and looks at none, it sees requests: only so can one be answered 429,
be carried out and answered 504, or wait for two seconds. Its certificate is its own, and may expire.
"""

import asyncio
import contextlib
import json
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import aiohttp
import trustme
from aiohttp import web
from yarl import URL

from nicplug_sandbox.node.api import Json

ADDRESS = "127.0.0.1"
NO_ANSWER = 0
"""Counted as the code of a request whose answer the API server did not give."""
_RETRY_AFTER_SECONDS = 1
_REASONS = {410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}
# Those of one connection, and those that the other side's connection has of its own.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How the gateway treats requests; the default is well-behaved.

    Attributes:
        delay_seconds: each request waits so long before it is passed on.
        share: of requests that are refused, 0 to 1; watches are not among them.
        codes: one of them is the answer.
        carried_out: the share of refused requests that have been carried out before.
        expires: of watches that go on where they were and of lists, every one and `share`: "too old resource version".
    """

    delay_seconds: float = 0.0
    share: float = 0.0
    codes: tuple[int, ...] = ()
    carried_out: float = 0.0
    expires: bool = False


WELL_BEHAVED = Fault()


class Gateway:
    """Listens on a free port of 127.0.0.1; a context manager that closes everything.

    Attributes:
        fault: how it treats requests from now on.
        authority: PEM of the CA that its clients trust.
        refused: requests that it answered itself, by code.
        answered: requests that the API server answered, by code.
        cut: connections that it broke.
    """

    def __init__(self, *, server: str, authority: ssl.SSLContext, randomness: random.Random) -> None:
        """`authority`: by which the API server at the URL `server` is trusted."""
        self.fault = WELL_BEHAVED
        self.refused: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.cut = 0
        self._server, self._upstream, self._random = server.rstrip("/"), authority, randomness
        self._ca = trustme.CA()
        self.authority = self._ca.cert_pem.bytes()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._watches: set[asyncio.Transport] = set()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.renew_certificate()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._runner is not None
        port: int = self._runner.addresses[0][1]
        return port

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._upstream)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=3)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=0.1,
            handler_cancellation=True,  # or a watch that was cut would stay open behind until its next line
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, 0, ssl_context=self._tls).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        assert self._session is not None
        self.cut_all()
        await self._runner.cleanup()
        await self._session.close()

    def expire_certificate(self) -> None:
        """Serve one that expired an hour ago, on connections to come."""
        self._issue(not_after=datetime.now(UTC) - timedelta(hours=1))

    def renew_certificate(self) -> None:
        """Serve a valid one."""
        self._issue(not_after=datetime.now(UTC) + timedelta(days=1))

    def _issue(self, *, not_after: datetime) -> None:
        # A context takes a new certificate for the handshakes that follow.
        self._ca.issue_cert(ADDRESS, not_after=not_after.replace(tzinfo=None)).configure_cert(self._tls)

    def cut_watches(self) -> int:
        """Break every watch without a goodbye; how many there were."""
        return self._abort(set(self._watches))

    def cut_all(self) -> int:
        """Break every connection, requests and watches alike; how many there were."""
        assert self._runner is not None
        handlers = self._runner.server.connections if self._runner.server else []
        return self._abort({handler.transport for handler in handlers if handler.transport is not None})

    def _abort(self, transports: set[asyncio.Transport]) -> int:
        for transport in transports:
            transport.abort()
        self.cut += len(transports)
        return len(transports)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        fault = self.fault
        if fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        is_watch = request.query.get("watch") in ("true", "1")
        if fault.expires and (is_watch or is_list(request)):
            return await self._expire(request, is_watch=is_watch)
        if not is_watch and fault.codes and self._random.random() < fault.share:
            if self._random.random() < fault.carried_out:
                await self._carry_out(request)
            return self._refuse(self._random.choice(fault.codes))
        return await self._pass_on(request)

    async def _expire(self, request: web.Request, *, is_watch: bool) -> web.StreamResponse:
        """As kube-apiserver says it: in the stream of a watch, and as the answer to a list."""
        if not is_watch:
            is_refused = self._random.random() < self.fault.share
            return self._refuse(410) if is_refused else await self._pass_on(request)
        if request.query.get("resourceVersion", "0") in ("", "0"):
            return await self._pass_on(request)
        self.refused[410] += 1
        event = json.dumps({"type": "ERROR", "object": _status(410)})
        return web.Response(text=f"{event}\n", content_type="application/json")

    def _refuse(self, code: int) -> web.Response:
        self.refused[code] += 1
        headers = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if code == 429 else {}
        return web.json_response(_status(code), status=code, headers=headers)

    @contextlib.asynccontextmanager
    async def _sent(self, request: web.Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """What the API server answers."""
        assert self._session is not None
        url = URL(self._server + request.raw_path, encoded=True)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        body = await request.read()
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body or None, allow_redirects=False
            ) as answer:
                self.answered[answer.status] += 1
                yield answer
        except asyncio.CancelledError:  # its client has gone, or could not wait any longer
            self.answered[NO_ANSWER] += 1
            raise

    async def _carry_out(self, request: web.Request) -> None:
        """Keep the answer from the client."""
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with self._sent(request) as answer:
                await answer.read()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        try:
            async with self._sent(request) as answer:
                kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
                response = web.StreamResponse(status=answer.status, headers=kept)
                await self._stream(request, answer, response)
        except (aiohttp.ClientError, OSError):
            self.answered[NO_ANSWER] += 1
            _break(request)
        return response or web.Response()

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        """Each part as it comes: a watch has no end."""
        transport = request.transport
        is_watch = request.query.get("watch") in ("true", "1")
        if is_watch and transport is not None:
            self._watches.add(transport)
        try:
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        finally:
            if transport is not None:
                self._watches.discard(transport)


def is_list(request: web.Request) -> bool:
    """It reads a collection: `/api/v1/pods`, `/apis/GROUP/VERSION/namespaces/NAME/KIND`."""
    prefix, *parts = request.path.strip("/").split("/")
    parts = parts[{"api": 1, "apis": 2}.get(prefix, len(parts)) :]
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    return request.method == "GET" and len(parts) == 1


def _break(request: web.Request) -> None:
    """No answer, as from a server that has died."""
    if request.transport is not None:
        request.transport.abort()


def _status(code: int) -> Json:
    reason = _REASONS.get(code, "InternalError")
    message = f"a failure drill answers {code}"
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code,
            "message": message}  # fmt: skip
