"""Requests to `subresources.kubevirt.io`, byte for byte as KubeVirt's virtctl sends them."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nicplug.cli.connection import Session, check_name
from nicplug.cli.exits import CommandError
from nicplug.kube.errors import Gone

PREFIX = "/apis/subresources.kubevirt.io/v1"
VMS, VMIS = "virtualmachines", "virtualmachineinstances"
_ACCEPT = "application/json, */*"


async def put(session: Session, plural: str, name: str, subresource: str, body: Mapping[str, Any]) -> None:
    """Call one subresource of one object; returns once the API has accepted the request.

    Raises:
        ApiError: the API refuses the request.
        CommandError: no object can have that name, or only the other one of VM and VMI exists.
    """
    path = path_of(session, plural, name, subresource)
    # No spaces, no final newline, as Go encodes JSON.
    content = json.dumps(dict(body), separators=(",", ":"), ensure_ascii=False).encode()
    try:
        await session.api.request("PUT", path, body=content, accept=_ACCEPT)
    except Gone as error:
        explained = await _explain(session, name, subresource, error)
        raise explained or error from error


async def _explain(session: Session, name: str, subresource: str, error: "Gone") -> CommandError | None:
    from nicplug.cli.missing import explain_missing

    return await explain_missing(session, name, subresource) if not error.is_not_served else None


def path_of(session: Session, plural: str, name: str, subresource: str) -> str:
    """Return the path of a subresource.

    Raises:
        CommandError: no object can have that name.
    """
    return f"{PREFIX}/namespaces/{_segment(session.namespace)}/{plural}/{_segment(name)}/{subresource}"


def _segment(value: str) -> str:
    check_name(value)
    return quote(value, safe="")


async def server_version(session: Session) -> Mapping[str, Any]:
    """Read the version object of the aggregated API."""
    answer = json.loads(await session.api.request("GET", f"{PREFIX}/version", accept=_ACCEPT))
    return answer if isinstance(answer, dict) else {}
