"""Admission reviews: parses what kube-apiserver sends to a validating webhook, and builds the answer.

Pure. Knows one resource, `pods/eviction`, and nothing of the pod's owner.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nicplug.apiserver import statuses
from nicplug.apiserver.bodies import BadBody, decode
from nicplug.apiserver.calls import Found
from nicplug.apiserver.statuses import Status
from nicplug.model.metadata import mapping, sequence, text

WEBHOOK_PATH = "/evictions"
REVIEWED = "pods/eviction"
_API_VERSION, _KIND = "admission.k8s.io/v1", "AdmissionReview"
_TOO_MANY_REQUESTS = 429
_TOKEN_CHARACTERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The review of one eviction.

    Attributes:
        uid: uid of the review, which the answer repeats.
        is_dry_run: the review must have no side effects.
    """

    uid: str
    namespace: str
    name: str
    is_dry_run: bool


class Reviewer(Protocol):
    """Answers reviews. If it raises, the API server continues without an answer."""

    async def __call__(self, review: Review, /) -> str | Status:
        """Return why the eviction is denied for now; "" to allow it; a Status if it cannot be decided."""
        ...


def parse_review(body: bytes) -> Review | Status:
    """Parse the body of a request; a Status rejects it."""
    try:
        content = mapping(decode(body))
    except BadBody as error:
        return statuses.bad_request(str(error))
    request = mapping(content.get("request"))
    resource = mapping(request.get("resource"))
    asked = (content.get("apiVersion"), content.get("kind"), resource.get("resource"), request.get("subResource"))
    name, namespace, uid = (text(request.get(member)) for member in ("name", "namespace", "uid"))
    if asked != (_API_VERSION, _KIND, "pods", "eviction") or not (name and namespace and uid):
        return statuses.bad_request(f"the body must be an {_KIND} of {_API_VERSION} about pods/eviction")
    options = mapping(mapping(request.get("object")).get("deleteOptions"))
    is_dry_run = request.get("dryRun") is True or "All" in sequence(options.get("dryRun"))
    return Review(uid=uid, namespace=namespace, name=name, is_dry_run=is_dry_run)


def answer_review(review: Review, refusal: str) -> Found:
    """Return the answer: allowed, or denied with 429, so that the client retries."""
    response: dict[str, Any] = {"uid": review.uid, "allowed": not refusal}
    if refusal:
        response["status"] = {"code": _TOO_MANY_REQUESTS, "reason": "TooManyRequests", "message": refusal}
    answer: Mapping[str, Any] = {"apiVersion": _API_VERSION, "kind": _KIND, "response": response}
    return Found(answer)


def review_token(key: bytes) -> str:
    """Return the last segment of the webhook's path, which authenticates kube-apiserver: it sends no certificate.

    Args:
        key: private key of the serving certificate, which all replicas share.
    """
    return hmac.new(key, WEBHOOK_PATH.encode(), hashlib.sha256).hexdigest()[:_TOKEN_CHARACTERS]
