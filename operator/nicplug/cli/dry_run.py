"""Changes that the API server checks and does not store: `dryRun=All`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click
import yaml

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.kube.api import Resource
from nicplug.kube.bodies import JSON_PATCH
from nicplug.kube.errors import Denied, Rejected, Stale
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES

_APPLY = "application/apply-patch+yaml"
_KINDS = {item.kind: item for item in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES)}
Json = dict[str, Any]


def read_manifests(text: str, *, source: str) -> list[Json]:
    """The VMs and VMIs of a manifest, also in Lists; other kinds are left out.

    Raises:
        CommandError: it is no YAML, or has neither.
    """
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise CommandError(f"{source} is not YAML: {' '.join(str(error).split())}", code=Exit.WRONG_USE) from error
    found = [item for document in documents for item in _items(document) if item.get("kind") in _KINDS]
    if not found:
        raise CommandError(f"{source} has no VirtualMachine and no VirtualMachineInstance", code=Exit.WRONG_USE)
    for item in found:
        if not isinstance((item.get("metadata") or {}).get("name"), str):
            raise CommandError(f"{source}: a {item['kind']} has no metadata.name", code=Exit.WRONG_USE)
    return found


def _items(document: Any) -> Iterator[Json]:
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _items(item)
    elif isinstance(document, dict):
        yield document


async def dry_apply(session: Session, manifest: Json) -> Json:
    """The object as server-side apply would leave it.

    Raises:
        ApiError: what the API server has against it.
    """
    resource = _KINDS[manifest["kind"]]
    # Another manager of the same field is no conflict here: nothing is taken from anybody.
    query = "fieldManager=nicplug-plan&force=true&dryRun=All"
    body = json.dumps({"apiVersion": resource.api_version, **manifest}).encode()
    return await _send(session, resource, manifest["metadata"]["name"], query, body, _APPLY)


async def dry_patch(session: Session, raw: Json, patch: Sequence[Mapping[str, Any]]) -> Json:
    """The object as a JSON patch would leave it.

    Raises:
        ApiError: what the API server has against it.
    """
    resource = _KINDS[raw["kind"]]
    body = json.dumps([dict(operation) for operation in patch]).encode()
    return await _send(session, resource, raw["metadata"]["name"], "dryRun=All", body, JSON_PATCH)


async def _send(session: Session, resource: Resource, name: str, query: str, body: bytes, content_type: str) -> Json:
    path = resource.path(namespace=quote(session.namespace, safe=""), name=quote(name, safe=""))
    answer = json.loads(await session.api.request("PATCH", f"{path}?{query}", body=body, content_type=content_type))
    return answer if isinstance(answer, dict) else {}


REFUSALS = (Rejected, Stale, Denied)
"""What the API server says against a change, and not against the question."""


def read_file(path: str) -> str:
    """A file, or stdin for `-`.

    Raises:
        CommandError: it cannot be read.
    """
    try:
        with click.open_file(path) as file:
            content: str = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"{path} cannot be read: {reason}", code=Exit.NOT_FOUND) from error
    return content
