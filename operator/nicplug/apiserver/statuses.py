"""Errors as kube-apiserver formats them: `metav1.Status`, with its reasons, texts and order of members.

Pure. The texts are those of apimachinery's `pkg/api/errors`, since clients show or match them.
"""

import json
from dataclasses import dataclass
from typing import Any

from nicplug.kube.go_json import escaped


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause in the details: an invalid field, or an error that occurred."""

    message: str
    reason: str = ""
    field: str = ""

    def body(self) -> dict[str, Any]:
        """Return the cause as JSON."""
        return _without_empty({"reason": self.reason, "message": self.message, "field": self.field})


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the error is about; `kind` is the plural of a resource, or a kind."""

    name: str = ""
    group: str = ""
    kind: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after_seconds: int = 0

    def body(self) -> dict[str, Any]:
        """Return the details as JSON."""
        causes = [cause.body() for cause in self.causes]
        return _without_empty(
            {
                "name": self.name,
                "group": self.group,
                "kind": self.kind,
                "causes": causes,
                "retryAfterSeconds": self.retry_after_seconds,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A failed request.

    Attributes:
        code: HTTP status.
        reason: one of Kubernetes' reasons, which do not cover every code.
    """

    code: int
    message: str
    reason: str = ""
    details: Details | None = None

    @property
    def retry_after_seconds(self) -> int:
        """Return the value of the header Retry-After; 0 for no header."""
        return self.details.retry_after_seconds if self.details else 0

    def encode(self) -> bytes:
        """Return the body of the answer, byte for byte as Go writes it."""
        body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body |= _without_empty({"message": self.message, "reason": self.reason})
        if self.details is not None:
            body["details"] = self.details.body()
        body["code"] = self.code
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return escaped(text).encode("utf-8", errors="replace") + b"\n"


def _without_empty(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}


def bad_request(message: str) -> Status:
    """Return a 400."""
    return Status(code=400, reason="BadRequest", message=message)


def unauthorized() -> Status:
    """Return a 401, which does not reveal what was missing."""
    return Status(code=401, reason="Unauthorized", message="Unauthorized")


def forbidden(message: str, *, group: str, resource: str, name: str) -> Status:
    """Return a 403; `message` is the sentence after `is forbidden:`."""
    return Status(
        code=403,
        reason="Forbidden",
        message=f"{resource}.{group} {_quoted(name)} is forbidden: {message}",
        details=Details(name=name, group=group, kind=resource),
    )


def no_such_path() -> Status:
    """Return a 404 for a path that is not served."""
    message = "the server could not find the requested resource"
    return Status(code=404, reason="NotFound", message=message, details=Details())


def method_not_supported(method: str, *, group: str, resource: str) -> Status:
    """Return a 405 for a subresource."""
    return Status(
        code=405,
        reason="MethodNotAllowed",
        message=f"{method.lower()} is not supported on resources of kind {_quoted(f'{resource}.{group}')}",
        details=Details(group=group, kind=resource),
    )


def method_not_allowed() -> Status:
    """Return a 405 for a document."""
    message = "the server does not allow this method on the requested resource"
    return Status(code=405, reason="MethodNotAllowed", message=message, details=Details())


def too_large(limit: int) -> Status:
    """Return a 413."""
    message = f"Request entity too large: limit is {limit}"
    return Status(code=413, reason="RequestEntityTooLarge", message=message)


def unsupported_media_type(accepted: tuple[str, ...]) -> Status:
    """Return a 415."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return Status(code=415, reason="UnsupportedMediaType", message=message)


def too_many_requests() -> Status:
    """Return a 429, to be retried after a second."""
    message = "Too many requests, please try again later."
    return Status(code=429, reason="TooManyRequests", message=message, details=Details(retry_after_seconds=1))


def headers_too_large() -> Status:
    """Return a 431; Kubernetes has no reason for it."""
    return Status(code=431, message="Request header fields too large")


def internal_error(message: str) -> Status:
    """Return a 500."""
    details = Details(causes=(Cause(message=message),))
    return Status(code=500, reason="InternalError", message=f"Internal error occurred: {message}", details=details)


def service_unavailable(message: str) -> Status:
    """Return a 503, to be retried after a second."""
    return Status(code=503, reason="ServiceUnavailable", message=message, details=Details(retry_after_seconds=1))


def timed_out() -> Status:
    """Return a 504; the request may or may not have been carried out."""
    message = "Timeout: request did not complete within the allotted timeout"
    return Status(code=504, reason="Timeout", message=message, details=Details())


def _quoted(text: str) -> str:
    """Quote a text like Go's %q."""
    return json.dumps(text, ensure_ascii=False)
