"""Turns an outcome into an HTTP response. The only place that knows response headers."""

import json
from dataclasses import dataclass

from aiohttp import web

from nicplug.apiserver.calls import Accepted, Found
from nicplug.apiserver.documents import Document
from nicplug.apiserver.health import Connectivity
from nicplug.apiserver.statuses import Status

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Health:
    """The result of a probe; "" if healthy."""

    problem: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The client already has this document."""

    etag: str


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The method is not served here; `allow` lists those that are."""

    status: Status
    allow: str


Outcome = Accepted | Found | Status | Document | Health | Connectivity | Unchanged | NotAllowed


def code_of(outcome: Outcome) -> int:
    """Return the HTTP status code of an outcome."""
    match outcome:
        case Accepted():
            return 202
        case Status(code=code) | NotAllowed(status=Status(code=code)):
            return code
        case Health(problem=problem):
            return 503 if problem else 200
        case Connectivity(is_healthy=is_healthy):
            return 200 if is_healthy else 500
        case Unchanged():
            return 304
        case Document() | Found():
            return 200


def response(outcome: Outcome) -> web.Response:
    """Render an outcome; 401, 413 and 504 also close the connection."""
    headers = {"Cache-Control": "no-cache, private", "Server": "nicplug", "X-Content-Type-Options": "nosniff"}
    body: bytes | None = None
    match outcome:
        case Status():
            body = outcome.encode()
            headers["Content-Type"] = _JSON
            if outcome.retry_after_seconds:
                headers["Retry-After"] = str(outcome.retry_after_seconds)
        case NotAllowed(status=status, allow=allow):
            body = status.encode()
            headers |= {"Content-Type": _JSON, "Allow": allow}
        case Found() | Connectivity():
            text = json.dumps(outcome.content, ensure_ascii=False, separators=(",", ":"))
            body = text.encode("utf-8", errors="replace") + b"\n"
            headers["Content-Type"] = _JSON
        case Document():
            body = outcome.content
            headers |= {"Content-Type": outcome.content_type, "ETag": outcome.etag, "Vary": "Accept"}
        case Health(problem=problem):
            body = (problem or "ok").encode()
            headers["Content-Type"] = "text/plain; charset=utf-8"
        case Unchanged(etag=etag):
            headers["ETag"] = etag
        case Accepted():
            pass
    answer = web.Response(status=code_of(outcome), body=body, headers=headers)
    if answer.status in (401, 413, 504):
        answer.force_close()
    return answer
