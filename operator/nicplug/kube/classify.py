"""From an HTTP answer to exactly one class of `kube.errors`.

Pure: knows status codes and the Status object of Kubernetes, nothing of HTTP libraries.
Every rule here has a fact in tests/conformance that holds on a real kube-apiserver.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.kube.errors import (
    AlreadyExists,
    ApiError,
    Denied,
    Gone,
    Rejected,
    Stale,
    Throttled,
    Unavailable,
)

# All that kube-apiserver says about a JSON patch it cannot apply, be it a failed `test` or a path
# that does not exist; which of them it was is not told.
PATCH_NOT_APPLICABLE = "the server rejected our request due to an error in our request"
# Said before the delete, or by the storage when the object changes in that very moment.
UID_PRECONDITIONS = ("the UID in the precondition", "UID in precondition")
# All workers wait as long: no header, whoever wrote it, may stop the operator for good.
_LONGEST_MESSAGE = 4096
_LONGEST_RETRY_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said, without the objects of any HTTP library.

    Attributes:
        method: HTTP method in capitals.
        request: method and path, for the error.
        code: HTTP status.
        content: body, undecoded.
        retry_after: value of the Retry-After header, "" when there is none.
    """

    method: str
    request: str
    code: int
    content: bytes = field(default=b"", repr=False)
    retry_after: str = ""


def to_error(answer: Answer) -> ApiError:
    """Turn an answer that is not a success into an error.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ and the conformance list.
    """
    status = _status_object(answer.content)
    kind = _class_of(answer, status)
    error = kind(
        _message(answer, status),
        status=answer.code,
        reason=str(status.get("reason") or ""),
        request=answer.request,
    )
    error.causes = _causes(status)
    if isinstance(error, Throttled):
        error.with_after(retry_after_seconds(answer.retry_after))
    return error


def retry_after_seconds(header: str) -> float:
    """Seconds of a Retry-After header, a minute at most; 1.0 for anything that is not a number (a date, nothing)."""
    try:
        seconds = float(header)
    except ValueError:
        return 1.0
    return min(seconds, _LONGEST_RETRY_AFTER_SECONDS) if math.isfinite(seconds) and seconds >= 0 else 1.0


def _class_of(answer: Answer, status: Mapping[str, Any]) -> type[ApiError]:
    match answer.code:
        case 401 | 403:
            return Denied
        case 404:
            return Gone
        # 410 is an expired `continue` token or resourceVersion: only fresh data helps.
        case 410 | 412:
            return Stale
        case 409:
            return _class_of_conflict(answer, status)
        case 422:
            return Stale if _is_failed_patch(answer, status) else Rejected
        case 429:
            return Throttled
        case 408:
            return Unavailable
        case code if 400 <= code < 500:
            return Rejected
        # 5xx, and what no API server answers (1xx, 3xx: something else sits on that address).
        case _:
            return Unavailable


def _class_of_conflict(answer: Answer, status: Mapping[str, Any]) -> type[ApiError]:
    if answer.method == "POST" and status.get("reason") == "AlreadyExists":
        return AlreadyExists
    message = str(status.get("message"))
    if answer.method == "DELETE" and any(text in message for text in UID_PRECONDITIONS):
        return Gone
    return Stale


def _is_failed_patch(answer: Answer, status: Mapping[str, Any]) -> bool:
    """Tell a JSON patch that does not fit the object from an object that breaks a rule.

    Schema and CEL fill `details.causes`, admission writes a message of its own.
    """
    details = status.get("details") or {}
    return (
        answer.method == "PATCH"
        and not details.get("causes")
        and str(status.get("message")).startswith(PATCH_NOT_APPLICABLE)
    )


def _causes(status: Mapping[str, Any]) -> frozenset[str]:
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    rows = causes if isinstance(causes, list) else []
    return frozenset(str(row["reason"]) for row in rows if isinstance(row, dict) and row.get("reason"))


def _status_object(content: bytes) -> Mapping[str, Any]:
    try:
        status = json.loads(content)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _message(answer: Answer, status: Mapping[str, Any]) -> str:
    if message := status.get("message"):
        # It may quote the value of a field, however large.
        return str(message)[:_LONGEST_MESSAGE]
    text = answer.content[:200].decode(errors="replace").strip()
    return f"{answer.request}: HTTP {answer.code} {text}".rstrip()
