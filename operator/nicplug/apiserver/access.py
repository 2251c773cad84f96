"""Authorizes callers by SubjectAccessReviews, and caches the verdicts for seconds.

The API server has already authorized the request that it proxies. nicplug reviews it again, since any client that
reaches this port with a front-proxy certificate would otherwise need no permission at all.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from nicplug.apiserver import statuses
from nicplug.apiserver.calls import GROUP, Call, Caller, Subresource
from nicplug.apiserver.statuses import Status
from nicplug.kube.api import KubeApi, Resource
from nicplug.kube.errors import ApiError, Throttled, Unavailable
from nicplug.model.metadata import mapping, text

log = structlog.get_logger(__name__)

SUBJECT_ACCESS_REVIEWS = Resource(
    group="authorization.k8s.io",
    version="v1",
    plural="subjectaccessreviews",
    kind="SubjectAccessReview",
    namespaced=False,
)
ALLOWED_SECONDS = 5.0
DENIED_SECONDS = 1.0
LARGEST_CACHE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An access check: may this caller do this? Contains exactly what the verdict depends on."""

    caller: Caller
    verb: str
    version: str
    subresource: Subresource
    namespace: str
    name: str

    @classmethod
    def of(cls, call: Call) -> "Question":
        """Return the access check for a call."""
        return cls(
            caller=call.caller,
            verb=call.verb,
            version=call.version,
            subresource=call.subresource,
            namespace=call.namespace,
            name=call.name,
        )

    def body(self) -> dict[str, Any]:
        """Return the SubjectAccessReview to create."""
        attributes = {
            "group": GROUP,
            "version": self.version,
            "verb": self.verb,
            "resource": self.subresource.resource,
            "subresource": self.subresource.name,
            "namespace": self.namespace,
            "name": self.name,
        }
        return review_of(self.caller, attributes)


def review_of(caller: Caller, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return the SubjectAccessReview for this caller and these resource attributes."""
    spec: dict[str, Any] = {"user": caller.name, "resourceAttributes": dict(attributes)}
    if caller.uid:
        spec["uid"] = caller.uid
    if caller.groups:
        spec["groups"] = list(caller.groups)
    if caller.extra:
        spec["extra"] = {key: list(values) for key, values in caller.extra}
    return {"spec": spec}


def is_allowed(status: Mapping[str, Any]) -> bool:
    """Report whether a review allows the request; an explicit denial wins, as in the API server."""
    return status.get("allowed") is True and status.get("denied") is not True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    allowed: bool
    reason: str
    until: float


class AccessReviews:
    """Creates access reviews in the API server, at most one per question at a time.

    Args:
        api: client whose account may create SubjectAccessReviews.
        clock: monotonic seconds.
    """

    def __init__(self, api: KubeApi, *, clock: Callable[[], float], largest: int = LARGEST_CACHE) -> None:
        self._api = api
        self._clock = clock
        self._largest = largest
        self._verdicts: OrderedDict[Question, _Verdict] = OrderedDict()
        self._asking: dict[Question, asyncio.Task[_Verdict]] = {}

    def __len__(self) -> int:
        return len(self._verdicts)

    async def refuse(self, question: Question) -> Status | None:
        """Return why the caller is not allowed; None if it is. A missing answer is an error.

        The first review covers every object of the namespace (an empty name means all), so that one verdict serves a
        caller who works through many VMs. If it is denied, a second review covers only this object.
        """
        try:
            verdict = await self._verdict(replace(question, name=""))
            if not verdict.allowed:
                verdict = await self._verdict(question)
        except (Unavailable, Throttled) as error:
            log.warning("access cannot be reviewed", error=str(error))
            return statuses.service_unavailable("the API server does not answer whether this is allowed")
        except ApiError as error:
            remedy = "give the ServiceAccount of nicplug api the right to create subjectaccessreviews"
            log.error("access cannot be reviewed", error=str(error), remedy=remedy)
            return statuses.internal_error("nicplug api may not ask whether this is allowed")
        return None if verdict.allowed else _forbidden(question, verdict.reason)

    async def _verdict(self, question: Question) -> _Verdict:
        return self._remembered(question) or await self._ask(question)

    def _remembered(self, question: Question) -> _Verdict | None:
        verdict = self._verdicts.get(question)
        if verdict is None or verdict.until <= self._clock():
            self._verdicts.pop(question, None)
            return None
        self._verdicts.move_to_end(question)
        return verdict

    async def _ask(self, question: Question) -> _Verdict:
        """Wait for the review in progress, or start one: a burst of requests from one user costs one review."""
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = asyncio.create_task(self._review(question))
            task.add_done_callback(lambda done: self._forget(question, done))
        # Shielded: other requests may wait for the review after this one has ended.
        return await asyncio.shield(task)

    def _forget(self, question: Question, done: asyncio.Task[_Verdict]) -> None:
        del self._asking[question]
        if not done.cancelled():
            done.exception()  # Retrieved so that asyncio does not log it: requests that still wait report it.

    async def _review(self, question: Question) -> _Verdict:
        answer = await self._api.create(SUBJECT_ACCESS_REVIEWS, question.body())
        status = mapping(answer.get("status"))
        allowed = is_allowed(status)
        if error := text(status.get("evaluationError")):
            log.warning("an authorizer failed", error=error)
        seconds = ALLOWED_SECONDS if allowed else DENIED_SECONDS
        verdict = _Verdict(allowed=allowed, reason=text(status.get("reason")), until=self._clock() + seconds)
        self._verdicts[question] = verdict
        while len(self._verdicts) > self._largest:
            self._verdicts.popitem(last=False)
        return verdict


def _forbidden(question: Question, reason: str) -> Status:
    """Return the 403 as the API server words it."""
    message = (
        f'User "{question.caller.name}" cannot {question.verb} resource "{question.subresource}"'
        f' in API group "{GROUP}" in the namespace "{question.namespace}"'
    )
    message = message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return statuses.forbidden(
        f"{message}: {reason}" if reason else message,
        group=GROUP,
        resource=question.subresource.resource,
        name=question.name,
    )
