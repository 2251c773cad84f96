"""Protects /metrics: only a bearer token that the API server accepts, with permission to get /metrics, may read it.

As in Kubernetes' own components, a TokenReview identifies the user, and a SubjectAccessReview decides whether that user
may `get` the non-resource URL `/metrics`. Verdicts are cached by a digest of the token; no token is kept or logged.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from nicplug.kube.api import KubeApi, Resource
from nicplug.kube.errors import ApiError, Throttled, Unavailable
from nicplug.model.metadata import mapping, text

log = structlog.get_logger(__name__)

V = TypeVar("V")

PATH = "/metrics"
TOKEN_REVIEWS = Resource(
    group="authentication.k8s.io", version="v1", plural="tokenreviews", kind="TokenReview", namespaced=False
)
ACCESS_REVIEWS = Resource(
    group="authorization.k8s.io",
    version="v1",
    plural="subjectaccessreviews",
    kind="SubjectAccessReview",
    namespaced=False,
)
# As in kube-rbac-proxy and controller-runtime, but shorter: a revoked permission stops working within a minute.
ALLOWED_SECONDS = 60.0
DENIED_SECONDS = 10.0
# How long a token that was allowed stays valid while the API server does not answer: metrics matter most then.
OUTAGE_SECONDS = 600.0
# Without a limit, any client that reaches the port could cause endless reviews of made-up tokens.
STRANGERS_PER_SECOND = 5
_LARGEST_CACHE = 256
_LONGEST_TOKEN = 8192
_WARNING_SECONDS = 10.0
_REMEDY = "bind ClusterRole nicplug-metrics-reviewer to the account: deploy/kustomize/components/protected-metrics"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The response to a request that may not read the metrics."""

    status: int
    text: str


@dataclass(slots=True, kw_only=True)
class MetricsGuard:
    """Reviews tokens with the API server, at most one review per token at a time.

    Attributes:
        api: client whose account may create TokenReviews and SubjectAccessReviews.
        clock: monotonic seconds.
    """

    api: KubeApi
    clock: Callable[[], float]
    # Time of each verdict, by digest. Kept apart, so that made-up tokens do not evict a scraper.
    _allowed: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    _refused: OrderedDict[bytes, tuple[float, Refusal]] = field(default_factory=OrderedDict)
    _asking: dict[bytes, asyncio.Task[Refusal | None]] = field(default_factory=dict)
    _strangers: deque[float] = field(default_factory=deque)
    _warned: dict[str, float] = field(default_factory=dict)

    async def refuse(self, authorization: str) -> Refusal | None:
        """Return why the caller may not read the metrics; None if it may.

        While the API server does not answer, unknown tokens are refused.

        Args:
            authorization: value of the Authorization header; "" if it is missing.
        """
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
            return Refusal(401, "a bearer token is needed")
        digest = hashlib.sha256(token.encode("utf-8", errors="surrogateescape")).digest()
        now = self.clock()
        if now < self._allowed.get(digest, -ALLOWED_SECONDS) + ALLOWED_SECONDS:
            return None
        if (known := self._refused.get(digest)) is not None and now < known[0] + DENIED_SECONDS:
            return known[1]
        is_stranger = digest not in self._allowed and digest not in self._asking
        if is_stranger and not self._may_ask_about_stranger():
            return Refusal(429, "too many unknown tokens")
        return await self._ask(digest, token)

    def _may_ask_about_stranger(self) -> bool:
        now = self.clock()
        while self._strangers and self._strangers[0] <= now - 1:
            self._strangers.popleft()
        if len(self._strangers) >= STRANGERS_PER_SECOND:
            return False
        self._strangers.append(now)
        return True

    async def _ask(self, digest: bytes, token: str) -> Refusal | None:
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._review(digest, token))
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        # Shielded: other requests may wait for the review after this one is cancelled.
        return await asyncio.shield(task)

    async def _review(self, digest: bytes, token: str) -> Refusal | None:
        try:
            refusal = await self._judge(token)
        except (Unavailable, Throttled) as error:
            self._warn("the API server does not answer whether metrics may be read", error=str(error))
            if self.clock() < self._allowed.get(digest, -OUTAGE_SECONDS) + OUTAGE_SECONDS:
                return None
            return Refusal(503, "the API server does not answer whether this is allowed")
        except ApiError as error:
            self._warn("whether metrics may be read cannot be asked", error=str(error), remedy=_REMEDY)
            return Refusal(500, "nicplug may not ask whether this is allowed")
        self._allowed.pop(digest, None)
        self._refused.pop(digest, None)
        if refusal is None:
            _remember(self._allowed, digest, self.clock())
        else:
            _remember(self._refused, digest, (self.clock(), refusal))
        return refusal

    async def _judge(self, token: str) -> Refusal | None:
        answer = await self.api.create(TOKEN_REVIEWS, {"spec": {"token": token}})
        status = mapping(answer.get("status"))
        user = mapping(status.get("user"))
        name = text(user.get("username"))
        if status.get("authenticated") is not True or not name:
            return Refusal(401, "the token is not valid")
        answer = await self.api.create(ACCESS_REVIEWS, _review_of(user))
        status = mapping(answer.get("status"))
        if status.get("allowed") is True and status.get("denied") is not True:
            return None
        self._warn("metrics refused", user=name[:256], remedy="bind ClusterRole nicplug-metrics-reader to it")
        return Refusal(403, f'user "{name}" cannot get path "{PATH}"')

    def _warn(self, message: str, **fields: object) -> None:
        """Log at most once per interval, not once per request: a scraper sends one every few seconds."""
        now = self.clock()
        if now - self._warned.get(message, -_WARNING_SECONDS) >= _WARNING_SECONDS:
            self._warned[message] = now
            log.warning(message, **fields)


def _remember(verdicts: OrderedDict[bytes, V], digest: bytes, verdict: V) -> None:
    verdicts[digest] = verdict
    while len(verdicts) > _LARGEST_CACHE:
        verdicts.popitem(last=False)


def _review_of(user: Mapping[str, Any]) -> dict[str, Any]:
    """Build a SubjectAccessReview: may the user that a TokenReview identified get /metrics?"""
    named = {"user": user.get("username"), "uid": user.get("uid")}
    named |= {"groups": user.get("groups"), "extra": user.get("extra")}
    present = {member: value for member, value in named.items() if value}
    return {"spec": {**present, "nonResourceAttributes": {"path": PATH, "verb": "get"}}}
