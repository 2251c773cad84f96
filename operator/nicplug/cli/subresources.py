"""Requests to `subresources.kubevirt.io`, byte for byte as KubeVirt's virtctl sends them."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit

PREFIX = "/apis/subresources.kubevirt.io/v1"
VMS, VMIS = "virtualmachines", "virtualmachineinstances"
_ACCEPT = "application/json, */*"


async def put(session: Session, plural: str, name: str, subresource: str, body: Mapping[str, Any]) -> None:
    """Ask for one subresource of one object; returns when it is accepted.

    Raises:
        ApiError: the server's refusal.
        CommandError: no object can have that name.
    """
    path = path_of(session, plural, name, subresource)
    # No spaces, no final newline: Go's encoding.
    content = json.dumps(dict(body), separators=(",", ":"), ensure_ascii=False).encode()
    await session.api.request("PUT", path, body=content, accept=_ACCEPT)


def path_of(session: Session, plural: str, name: str, subresource: str) -> str:
    """The path of a subresource.

    Raises:
        CommandError: no object can have that name.
    """
    return f"{PREFIX}/namespaces/{_segment(session.namespace)}/{plural}/{_segment(name)}/{subresource}"


def _segment(value: str) -> str:
    if value in {"", ".", ".."} or "/" in value or "%" in value:
        raise CommandError(f'"{value}" cannot be the name of an object', code=Exit.WRONG_USE)
    return quote(value, safe="")


async def server_version(session: Session) -> Mapping[str, Any]:
    """What the aggregated API says of itself."""
    answer = json.loads(await session.api.request("GET", f"{PREFIX}/version", accept=_ACCEPT))
    return answer if isinstance(answer, dict) else {}
