"""Handles a request step by step: path, authentication, authorization, body, handler.

Nothing but the path is parsed before the caller is authenticated, and no body is read before the caller is authorized.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from nicplug.apiserver import bodies, paths, statuses
from nicplug.apiserver.access import AccessReviews, Question
from nicplug.apiserver.bodies import BodyBudget
from nicplug.apiserver.calls import GROUP, METHODS, READ, Answer, Call, Caller, Handlers
from nicplug.apiserver.documents import Documents
from nicplug.apiserver.health import ServerHealth
from nicplug.apiserver.identity import Identity, Stranger
from nicplug.apiserver.metrics import RequestMetrics
from nicplug.apiserver.paths import Asked, DocumentPath, HealthPath, Probe, ReviewPath, Target
from nicplug.apiserver.rendering import Health, NotAllowed, Outcome, Unchanged, code_of, response
from nicplug.apiserver.reviews import REVIEWED, Reviewer, answer_review, parse_review
from nicplug.apiserver.shares import RoundRobin, UnderWay
from nicplug.apiserver.statuses import Status

log = structlog.get_logger(__name__)

_READING = ("GET", "HEAD")
_WARNING_SECONDS = 10.0
# Shorter than the API server's timeout for the webhook.
_REVIEW_SECONDS = 4.0
# Reviews are counted for this user; no real user has an empty name.
_REVIEWS = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on what requests may cost.

    Attributes:
        body_bytes: size of one body; kube-apiserver's own limit.
        bodies_bytes: size of all bodies in memory together.
        request_seconds: duration of a request, including the wait for its body.
        concurrent: concurrent requests for subresources.
        concurrent_of_one: of these, those of one user.
        carried_out: requests that handlers process concurrently; others wait for their turn.
        connections: open connections.
        anonymous_connections: of these, those without a client certificate: probes have none.
        handshakes: concurrent TLS handshakes; one more aborts the oldest.
        silence_seconds: time for the first request of a connection.
    """

    body_bytes: int = 3 * 1024 * 1024
    bodies_bytes: int = 64 * 1024 * 1024
    request_seconds: float = 30.0
    concurrent: int = 400
    concurrent_of_one: int = 250
    carried_out: int = 32
    connections: int = 1024
    anonymous_connections: int = 64
    handshakes: int = 256
    silence_seconds: float = 10.0


class Dispatcher:
    """Answers requests; raises nothing.

    Args:
        handlers: the served subresources.
        health: health of the API server, for `healthz` of the group.
        problem: returns why the process cannot serve, for /readyz; "" if it can.
        reviewer: answers the eviction webhook; None disables it.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        reviews: AccessReviews,
        handlers: Handlers,
        documents: Documents,
        health: ServerHealth,
        limits: Limits,
        metrics: RequestMetrics,
        problem: Callable[[], str],
        reviewer: Reviewer | None = None,
    ) -> None:
        self._identity = identity
        self._reviews = reviews
        self._handlers = handlers
        self._verbs = {subresource: subresource.verb for subresource in handlers}
        self._documents = documents
        self._health = health
        self._limits = limits
        self._metrics = metrics
        self._problem = problem
        self._reviewer = reviewer
        self._budget = BodyBudget(limits.bodies_bytes)
        self._under_way = UnderWay(most=limits.concurrent, of_one=limits.concurrent_of_one)
        self._turns = RoundRobin(limits.carried_out)
        self._warned: dict[str, float] = {}

    @property
    def under_way(self) -> int:
        """Return the number of subresource requests in flight."""
        return self._under_way.total

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        started = time.monotonic()
        asked = paths.parse(request.raw_path)
        try:
            outcome = await self._outcome(request, asked)
        except Exception:
            log.exception("a request failed by a bug", subresource=self._label(asked))
            self._metrics.failed_by_bug()
            outcome = statuses.internal_error("see the log of nicplug api")
        seconds = time.monotonic() - started
        self._metrics.answered(subresource=self._label(asked), code=code_of(outcome), seconds=seconds)
        return response(outcome)

    def _label(self, asked: object) -> str:
        """Return the served subresource, or the one that the webhook reviews; never client input."""
        if isinstance(asked, ReviewPath):
            return REVIEWED
        is_served = isinstance(asked, Target) and asked.subresource in self._handlers
        return str(asked.subresource) if isinstance(asked, Target) and is_served else ""

    async def _outcome(self, request: web.BaseRequest, asked: Asked) -> Outcome:
        if isinstance(asked, Probe):
            return Health(self._problem() if asked.path == "/readyz" else "")
        if isinstance(asked, ReviewPath):
            return await self._review(request, asked)
        who = self._identity.identify(request.transport, request.headers)
        if isinstance(who, Stranger):
            self._warn(who.why, peer=request.remote)
            return statuses.unauthorized()
        match asked:
            case DocumentPath(path):
                return self._document(request, path)
            case HealthPath():
                return await self._health.look() if request.method in _READING else _only_for_reading()
            case Target():
                return await self._limited(request, asked, who)
            case Status():
                return asked

    def _warn(self, why: str, **fields: object) -> None:
        """Log at most once per interval: any client that reaches the port could fill the log."""
        now = time.monotonic()
        if now - self._warned.get(why, -_WARNING_SECONDS) >= _WARNING_SECONDS:
            self._warned[why] = now
            log.warning("request refused as unauthorized", why=why, **fields)

    def _document(self, request: web.BaseRequest, path: str) -> Outcome:
        document = self._documents.find(path, accept=",".join(request.headers.getall("Accept", [])))
        if document is None:
            return statuses.no_such_path()
        if request.method not in _READING:
            return _only_for_reading()
        known = [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]
        return Unchanged(document.etag) if document.etag in known else document

    async def _limited(self, request: web.BaseRequest, target: Target, caller: Caller) -> Outcome:
        subresource = target.subresource
        if subresource not in self._handlers:
            return statuses.no_such_path()
        if request.method != (method := METHODS[self._verbs[subresource]]):
            refusal = statuses.method_not_supported(request.method, group=GROUP, resource=subresource.resource)
            return NotAllowed(refusal, method)
        if not self._under_way.has_room(caller.name):
            return statuses.too_many_requests()
        started = time.monotonic()
        with self._under_way.count(caller.name):
            answer = await self._in_time(request, target, caller)
        log.info(
            "request answered",
            subresource=str(subresource),
            namespace=target.namespace,
            name=target.name,
            user=caller.name[:256],
            code=code_of(answer),
            seconds=round(time.monotonic() - started, 3),
        )
        return answer

    async def _in_time(self, request: web.BaseRequest, target: Target, caller: Caller) -> Answer:
        try:
            async with asyncio.timeout(self._limits.request_seconds) as limit:
                return await self._call(request, target, caller)
        except TimeoutError:
            if not limit.expired():
                raise
            return statuses.timed_out()

    async def _review(self, request: web.BaseRequest, asked: ReviewPath) -> Outcome:
        """Answer the webhook. The caller has no verified identity here: only the API server knows the path."""
        token = self._identity.review_token
        if self._reviewer is None or token is None or not hmac.compare_digest(asked.token.encode(), token.encode()):
            self._warn("a review at a path that is not the webhook's", peer=request.remote)
            return statuses.no_such_path()
        if request.method != "POST":
            return NotAllowed(statuses.method_not_allowed(), "POST")
        if not self._under_way.has_room(_REVIEWS):
            return statuses.too_many_requests()
        with self._under_way.count(_REVIEWS):
            try:
                async with asyncio.timeout(_REVIEW_SECONDS):
                    return await self._answer_review(request, self._reviewer)
            except TimeoutError:
                return statuses.timed_out()

    async def _answer_review(self, request: web.BaseRequest, reviewer: Reviewer) -> Answer:
        body = await self._body(request)
        if isinstance(body, Status):
            return body
        try:
            review = parse_review(body)
            if isinstance(review, Status):
                return review
            refusal = await reviewer(review)
        finally:
            self._budget.held -= len(body)
        if isinstance(refusal, Status):
            return refusal
        log.info("eviction reviewed", namespace=review.namespace, pod=review.name, answer=refusal or "allowed")
        return answer_review(review, refusal)

    async def _call(self, request: web.BaseRequest, target: Target, caller: Caller) -> Answer:
        verb = self._verbs[target.subresource]
        query = paths.parse_query(target.query) if verb == READ else ()
        if isinstance(query, Status):
            return query
        call = Call(
            verb=verb,
            version=target.version,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
            caller=caller,
            query=query,
        )
        if refusal := await self._reviews.refuse(Question.of(call)):
            return refusal
        body = await self._body(request) if verb != READ else b""
        if isinstance(body, Status):
            return body
        try:
            async with self._turns.place(caller.name):
                return await self._handlers[target.subresource](replace(call, body=body))
        finally:
            self._budget.held -= len(body)

    async def _body(self, request: web.BaseRequest) -> bytes | Status:
        headers = request.headers
        refusal = bodies.refuse_type(
            content_type=headers.get("Content-Type", ""), content_encoding=headers.get("Content-Encoding", "")
        )
        if refusal is not None:
            return refusal
        if (request.content_length or 0) > self._limits.body_bytes:
            return statuses.too_large(self._limits.body_bytes)
        try:
            if headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            chunks = request.content.iter_any()
            return await bodies.read(chunks, limit=self._limits.body_bytes, budget=self._budget)
        except (web.RequestPayloadError, ConnectionError):
            return statuses.bad_request("the body of the request cannot be read")


def _only_for_reading() -> NotAllowed:
    return NotAllowed(statuses.method_not_allowed(), ", ".join(_READING))
