"""Maps an HTTP answer to exactly one class of `kube.errors`.

Pure: knows status codes and the Status object of Kubernetes, nothing of HTTP libraries. Every rule here has a fact in
tests/conformance that holds on a real kube-apiserver.
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

# kube-apiserver's only message for a JSON patch that it cannot apply; it does not distinguish a failed `test` from a
# path that does not exist.
PATCH_NOT_APPLICABLE = "the server rejected our request due to an error in our request"
# The first comes from the check before the delete, the second from storage if the object changes at that moment.
UID_PRECONDITIONS = ("the UID in the precondition", "UID in precondition")
_LONGEST_MESSAGE = 4096
# All workers wait this long: no header, whatever its origin, may stop the operator for good.
_LONGEST_RETRY_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of the server, independent of any HTTP library.

    Attributes:
        method: HTTP method in capitals.
        request: method and path, for error messages.
        code: HTTP status.
        content: undecoded body.
        retry_after: value of the Retry-After header, "" if it is missing.
    """

    method: str
    request: str
    code: int
    content: bytes = field(default=b"", repr=False)
    retry_after: str = ""


def to_error(answer: Answer) -> ApiError:
    """Convert an unsuccessful answer into an error.

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
    """Return the seconds of a Retry-After header, at most 60; 1.0 if it is missing or not a number, such as a date."""
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
        # 410 is an expired `continue` token or resourceVersion; only fresh data helps.
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
        # 5xx, and codes that no API server answers (1xx, 3xx: another server listens on that address).
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
    """True if a JSON patch does not fit the object; False if the patched object breaks a rule.

    Schema and CEL violations fill `details.causes`; admission writes its own message.
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
        # The message may quote the value of a field of any size.
        return str(message)[:_LONGEST_MESSAGE]
    text = answer.content[:200].decode(errors="replace").strip()
    return f"{answer.request}: HTTP {answer.code} {text}".rstrip()
