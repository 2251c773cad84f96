"""Decides whether to trust a caller's identity: only through the front proxy that the API server describes.

Pure. The ConfigMap `extension-apiserver-authentication` describes the front proxy. The API server authenticates a user
and passes the name in headers; they count only on a connection whose client certificate is signed by the front proxy's
CA and carries an allowed name. Without the second check, any certificate of that CA could impersonate any user
(CVE-2025-64432).
"""

import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

from nicplug.apiserver.calls import Caller


class UnusableTrust(ValueError):
    """The configuration contains no front proxy to trust; the text says what is wrong with it."""


class Headers(Protocol):
    """The headers of a request, case-insensitive, each possibly repeated."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return the values of one header."""
        ...

    def items(self) -> Iterable[tuple[str, str]]:
        """Return all headers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontProxyTrust:
    """The front proxy, as the API server describes it.

    Attributes:
        authorities: certificates of its CAs, PEM.
        allowed_names: common names of its client certificates; an empty set allows any.
        username_headers: the first of them that is present contains the user.
    """

    authorities: str = field(repr=False)
    allowed_names: frozenset[str]
    username_headers: tuple[str, ...]
    uid_headers: tuple[str, ...]
    group_headers: tuple[str, ...]
    extra_prefixes: tuple[str, ...]


def parse_trust(data: Mapping[str, Any]) -> FrontProxyTrust:
    """Parse the `data` of the ConfigMap.

    Raises:
        UnusableTrust: there is no CA, no header for the user, or a member is not a list of names.
    """
    authorities = data.get("requestheader-client-ca-file")
    if not isinstance(authorities, str) or "-----BEGIN CERTIFICATE-----" not in authorities:
        raise UnusableTrust("requestheader-client-ca-file has no certificate")
    username_headers = _names(data, "requestheader-username-headers")
    if not username_headers:
        raise UnusableTrust("requestheader-username-headers names no header")
    return FrontProxyTrust(
        authorities=authorities,
        allowed_names=frozenset(_names(data, "requestheader-allowed-names")),
        username_headers=username_headers,
        uid_headers=_names(data, "requestheader-uid-headers"),
        group_headers=_names(data, "requestheader-group-headers"),
        extra_prefixes=tuple(name.lower() for name in _names(data, "requestheader-extra-headers-prefix")),
    )


def _names(data: Mapping[str, Any], member: str) -> tuple[str, ...]:
    try:
        names = json.loads(data.get(member) or "[]")
    except (TypeError, ValueError):
        raise UnusableTrust(f"{member} is not JSON") from None
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UnusableTrust(f"{member} is not a list of names")
    return tuple(name.strip() for name in names)


def refuse_certificate(trust: FrontProxyTrust, certificate: Mapping[str, Any] | None, *, now: float) -> str:
    """Return why a peer is not the front proxy; "" if it is.

    Args:
        trust: the trust that the connection's certificate was verified with.
        certificate: the peer's, as `ssl` returns it after verifying the chain; None or empty for none.
        now: seconds since the epoch.
    """
    if not certificate:
        return "no client certificate"
    # It was verified when the connection was made, which may be a while ago.
    if now >= _expiry(certificate):
        return "the client certificate has expired"
    names = [value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"]
    if trust.allowed_names and (len(names) != 1 or names[0] not in trust.allowed_names):
        return "the name of the client certificate is not allowed"
    return ""


def _expiry(certificate: Mapping[str, Any]) -> float:
    try:
        return float(ssl.cert_time_to_seconds(certificate["notAfter"]))
    except (KeyError, ValueError):
        return 0.0


def caller_of(trust: FrontProxyTrust, headers: Headers) -> Caller | None:
    """Return the user that the headers name, or None. Call it only for a peer that is the front proxy."""
    name = _first(headers, trust.username_headers)
    if not name:
        return None
    groups = [value for header in trust.group_headers for value in headers.getall(header, []) if value]
    caller = Caller(
        name=name, uid=_first(headers, trust.uid_headers), groups=tuple(groups), extra=_extra(trust, headers)
    )
    return caller if _is_text(caller) else None


def _first(headers: Headers, names: tuple[str, ...]) -> str:
    values = (value for name in names for value in headers.getall(name, [])[:1])
    return next(filter(None, values), "")


def _extra(trust: FrontProxyTrust, headers: Headers) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for header, value in headers.items():
        for prefix in trust.extra_prefixes:
            if (lower := header.lower()).startswith(prefix):
                # Percent-encoded by the API server, since header names do not allow every character of a key.
                found.setdefault(unquote(lower.removeprefix(prefix)), []).append(value)
                break
    return tuple((key, tuple(values)) for key, values in sorted(found.items()))


def _is_text(caller: Caller) -> bool:
    """Report whether all fields are valid UTF-8: others must not be passed on, or become another user's name."""
    try:
        repr_of = "\0".join([caller.name, caller.uid, *caller.groups, *(key for key, _ in caller.extra)])
        (repr_of + "\0".join(value for _, values in caller.extra for value in values)).encode()
    except UnicodeEncodeError:
        return False
    return True
