"""Parses the target of a request line. Pure; knows nothing of authorization.

Parses the raw target: a percent-encoded slash, a NUL or a `..` must not change which object is meant, neither here
nor in a path built from the name later.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from nicplug.apiserver import statuses
from nicplug.apiserver.calls import GROUP, VERSIONS, Subresource
from nicplug.apiserver.statuses import Status

PROBES = ("/healthz", "/livez", "/readyz")
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST_NAMESPACE = 63
_LONGEST_NAME = 253
# Messages quote at most this much of a name.
_QUOTED_CHARACTERS = 64
_MOST_PARAMETERS = 16


@dataclass(frozen=True, slots=True)
class Probe:
    """A health check, open to every client."""

    path: str


@dataclass(frozen=True, slots=True)
class HealthPath:
    """`healthz` of a version of the group."""


@dataclass(frozen=True, slots=True)
class DocumentPath:
    """Any other path that is not a subresource; a document may not exist there."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A subresource of one object; it may not be served.

    Attributes:
        query: the raw query string, without its `?`.
    """

    version: str
    namespace: str
    name: str
    subresource: Subresource
    query: str = ""


@dataclass(frozen=True, slots=True)
class ReviewPath:
    """The eviction webhook.

    Attributes:
        token: last segment of the path, known only to the API server; "" if missing.
    """

    token: str


Asked = Probe | ReviewPath | HealthPath | DocumentPath | Target | Status


def parse(target: str) -> Asked:
    """Parse `target`, a raw path with its query; a Status rejects it."""
    path, _, query = target.partition("?")
    if path in PROBES:
        return Probe(path)
    segments = path.split("/")
    match segments:
        case ["", "apis", group, version, "namespaces", namespace, resource, name, subresource] if (
            group == GROUP and version in VERSIONS
        ):
            subject = Subresource(resource=resource, name=subresource)
            return _target(version, namespace, subject, name, query=query)
        case ["", "evictions"]:
            return ReviewPath("")
        case ["", "evictions", token]:
            return ReviewPath(token)
        case ["", "apis", group, version, "healthz"] if group == GROUP and version in VERSIONS:
            return HealthPath()
        case _:
            return DocumentPath(path)


def _target(version: str, namespace: str, subresource: Subresource, name: str, *, query: str) -> Target | Status:
    namespace, name = _decoded(namespace), _decoded(name)
    if len(namespace) > _LONGEST_NAMESPACE or not _NAMESPACE.fullmatch(namespace):
        return _invalid("namespace", namespace, rule="a lowercase RFC 1123 label", longest=_LONGEST_NAMESPACE)
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return _invalid("name", name, rule="a lowercase RFC 1123 subdomain", longest=_LONGEST_NAME)
    return Target(version=version, namespace=namespace, name=name, subresource=subresource, query=query)


def parse_query(query: str) -> tuple[tuple[str, str], ...] | Status:
    """Return the parameters of a query; a Status rejects it."""
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict"))
    except ValueError:
        return statuses.bad_request(f"the query must be UTF-8 and have at most {_MOST_PARAMETERS} parameters")


def _decoded(segment: str) -> str:
    return unquote_to_bytes(segment.encode("utf-8", errors="replace")).decode("utf-8", errors="replace")


def _invalid(what: str, value: str, *, rule: str, longest: int) -> Status:
    shown = value if len(value) <= _QUOTED_CHARACTERS else f"{value[:_QUOTED_CHARACTERS]}..."
    printable = shown.encode("unicode_escape").decode("ascii")
    return statuses.bad_request(
        f'invalid {what} "{printable}" ({len(value)} characters): it must be {rule} of at most {longest} characters'
    )
