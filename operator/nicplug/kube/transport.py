"""Sends requests to the API server over one connection pool: credentials, time limits, and errors of the connection.

Uses the generic request path of `kubernetes.aio` and none of its response models: they would cost more than the request
(docs/adr/0002). Knows nothing of resources and verbs; what an answer contains is for the caller to parse.
"""

import asyncio
import copy
import os
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config import ConfigException

from nicplug.kube.api import OnResponse
from nicplug.kube.bodies import encode_as_go, sending
from nicplug.kube.classify import Answer, to_error
from nicplug.kube.errors import Denied, Unavailable
from nicplug.kube.lines import lines_of
from nicplug.kube.pages import BoundedResponse, PageSizes, in_pages

JSON = "application/json"

# Includes waiting for a free connection, so that a caller never waits longer than this.
_TOTAL_SECONDS = 10.0
_CONNECT_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3)
# A stream that dies silently is detected by a missing bookmark: kube-apiserver sends one about every minute.
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=150)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        verb: name of the request in metrics.
        target: name of the resource in metrics.
        query: part of the URL that error messages omit.
    """

    method: str
    verb: str
    target: str
    path: str
    query: str = ""
    body: Any = None
    content_type: str = JSON
    accept: str = JSON

    @property
    def request(self) -> str:
        """The request as error messages name it."""
        return f"{self.method} {self.path}"


# aiohttp makes its requests itself, with nothing of ours; they run in the task that asked.
_may_send: ContextVar[Callable[[], bool]] = ContextVar("may_send", default=lambda: True)


class _NotSent(aiohttp.ClientError):
    """The request must not be sent any more. A class that aiohttp does not send again."""

    def __init__(self) -> None:
        super().__init__("leadership ended before the request was sent")


class _GuardedRequest(aiohttp.ClientRequest):
    """Asks whether it may be sent once it has its connection: the process may be stopped while it waits for one."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Write the request to the connection, if it may be sent."""
        if not _may_send.get()():
            raise _NotSent
        return await super().send(conn)


@contextmanager
def _guarded(may_send: Callable[[], bool]) -> Iterator[None]:
    token = _may_send.set(may_send)
    try:
        yield
    finally:
        _may_send.reset(token)


class Transport:
    """One connection pool.

    Must be created and used in one event loop. Raises only the classes of `kube.errors`.

    Attributes:
        sizes: how large the objects of a page are; the caller reports each page.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        on_response: OnResponse,
        user_agent: str,
        connections: int,
        middlewares: Sequence[aiohttp.ClientMiddlewareType],
    ) -> None:
        # A copy, because the library reads the limits from it later. Refreshed credentials stay shared.
        configuration = copy.copy(configuration)
        configuration.connection_pool_maxsize = connections
        configuration.tcp_connector_limit_per_host = connections
        # The queue decides when to retry; a second layer of retries would only hide failures from it.
        configuration.retries = None
        self.sizes = PageSizes()
        # The library looks for proxies in the environment and for ~/.netrc on every request, which doubled its cost.
        # `connect` does so once.
        configuration.client_session_kwargs = {
            "trust_env": False,
            "middlewares": (encode_as_go, in_pages(self.sizes), *middlewares),
            "request_class": _GuardedRequest,
            "response_class": BoundedResponse,
            # Every request sets its own, or none, as virtctl does.
            "skip_auto_headers": ("Content-Type",),
        }
        self.configuration = configuration
        self._client = ApiClient(configuration)
        self._on_response = on_response
        self._user_agent = user_agent
        self._closed = False
        self._under_way: set[asyncio.Timeout] = set()
        self._ended = asyncio.Event()

    async def ask(self, call: Call, *, may_send: Callable[[], bool] = lambda: True) -> Answer:
        """Send a request and return the answer.

        Args:
            may_send: returns whether it may still be sent; asked when there is a connection for it.

        Raises:
            ApiError: the request failed, or must not be sent any more (`Unavailable`).
        """
        headers = await self._headers(call)
        started = time.monotonic()
        code = 0
        try:
            with _guarded(may_send):
                response, content = await self._exchange(call, headers)
            code = response.status
        except _NotSent as error:
            raise Unavailable(str(error), request=call.request) from error
        # RuntimeError: the session was closed in between.
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            cause = _cause(error)
            raise Unavailable(f"no answer from {self.configuration.host}: {cause}", request=call.request) from error
        finally:
            self._count(call, code=code, started=started)
        answer = _answer(call, response, content)
        if not 200 <= code < 300:
            raise to_error(answer)
        return answer

    async def stream(self, call: Call) -> AsyncGenerator[Answer]:
        """Send a request and yield each line of the answer, until the server ends it.

        Not subject to the time-out of other requests: close the iterator, or cancel the task that reads it.
        """
        headers = await self._headers(call)
        try:
            response = await self._open(call, headers)
            if response.status != 200:
                raise to_error(_answer(call, response, await response.read()))  # type: ignore[no-untyped-call]
            stream: aiohttp.ClientResponse = response.response
            try:
                async for line in lines_of(stream.content, request=call.request):
                    yield Answer(method=call.method, request=call.request, code=200, content=line)
            finally:
                # Not `release`, which would read an endless stream to its end.
                stream.close()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            cause = str(error) or type(error).__name__
            raise Unavailable(f"the watch broke: {cause}", request=call.request) from error

    async def close(self) -> None:
        """Close the connections; pending and later requests raise `Unavailable`."""
        self._closed = True
        # aiohttp leaves pending requests hanging until their time-out, and cancels those that wait for a connection;
        # their callers would take that for a cancellation of their own.
        for limit in self._under_way:
            limit.reschedule(asyncio.get_running_loop().time())
        while self._under_way:
            self._ended.clear()
            await self._ended.wait()
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _open(self, call: Call, headers: dict[str, str]) -> RESTResponse:
        started, code = time.monotonic(), 0
        try:
            response = await self._client.call_api(
                call.method,
                self.configuration.host + call.path + call.query,
                header_params=headers,
                _request_timeout=_WATCH_TIMEOUT,
            )
            code = response.status
            return response
        finally:
            self._count(call, code=code, started=started)

    async def _exchange(self, call: Call, headers: dict[str, str]) -> tuple[RESTResponse, bytes]:
        """Send a request and read its response, within a time limit that `close` can shorten."""
        async with asyncio.timeout(_TOTAL_SECONDS) as limit:
            self._under_way.add(limit)
            try:
                with sending(call.body) as body:
                    response = await self._client.call_api(
                        call.method,
                        self.configuration.host + call.path + call.query,
                        header_params=headers,
                        body=body,
                        _request_timeout=_CONNECT_TIMEOUT,
                    )
                return response, await response.read()  # type: ignore[no-untyped-call]
            finally:
                self._under_way.discard(limit)
                self._ended.set()

    def _count(self, call: Call, *, code: int, started: float) -> None:
        self._on_response(verb=call.verb, resource=call.target, code=code, seconds=time.monotonic() - started)

    async def _headers(self, call: Call) -> dict[str, str]:
        if self._closed:
            raise Unavailable("the connection to the API server is closed", request=call.request)
        # Always set the content type: the library turns a dictionary sent as a JSON patch into a strategic merge patch,
        # which custom resources refuse.
        headers = {"Content-Type": call.content_type, "Accept": call.accept, "User-Agent": self._user_agent}
        try:
            token = await self.configuration.get_api_key_with_prefix("BearerToken")
        except (OSError, ConfigException) as error:
            raise Denied(f"the service account token cannot be read: {error}", request=call.request) from error
        if token:
            headers["Authorization"] = token
        return headers


def _answer(call: Call, response: RESTResponse, content: bytes) -> Answer:
    return Answer(
        method=call.method,
        request=call.request,
        code=response.status,
        content=content,
        retry_after=response.headers.get("Retry-After", ""),
    )


def _cause(error: Exception) -> str:
    """Return why there is no answer, as the operating system words it: aiohttp's messages name its own objects."""
    found = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    if found is None or isinstance(found, ssl.SSLError):
        return str(error) or type(error).__name__
    if isinstance(found, socket.gaierror):
        return found.strerror or "its name is not known"
    return os.strerror(found.errno) if found.errno else "none of its addresses can be connected to"
