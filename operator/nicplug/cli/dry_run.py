"""Changes that the API server validates without storing them: `dryRun=All`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click
import yaml

from nicplug.cli.applied import applier, merge_patch
from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.kube.api import Resource
from nicplug.kube.bodies import JSON_PATCH
from nicplug.kube.errors import ApiError, Denied, Gone, Rejected, Stale
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from nicplug.kube.unreadable import why_unreadable

_JSON, _MERGE, _APPLY = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"
_STRICT = "dryRun=All&fieldValidation=Strict"
_KINDS = {item.kind: item for item in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES)}
_STRICT_ERROR = "strict decoding error: "
_QUOTED_OBJECT = re.compile(r'Invalid value: "\{.*\}": ', re.DOTALL)
Json = dict[str, Any]


def read_manifests(text: str, *, source: str) -> list[Json]:
    """Return the VMs and VMIs of a manifest, also those in Lists; other kinds are skipped.

    Raises:
        CommandError: the manifest is not YAML, has neither kind, or one of them has no name.
    """
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        message, remedy = f"{source} is not YAML: {why_unreadable(error)}", "Give a manifest in YAML or JSON."
        raise CommandError(message, remedy=remedy, code=Exit.WRONG_USE) from error
    found = [item for document in documents for item in _items(document) if item.get("kind") in _KINDS]
    if not found:
        message = f"{source} has no VirtualMachine and no VirtualMachineInstance"
        raise CommandError(message, remedy="Give a manifest that has one, or a List of them.", code=Exit.WRONG_USE)
    for item in found:
        if not isinstance((item.get("metadata") or {}).get("name"), str):
            message = f"{source}: a {item['kind']} has no metadata.name"
            raise CommandError(message, remedy="Name it: generateName is not planned.", code=Exit.WRONG_USE)
    return found


def _items(document: Any) -> Iterator[Json]:
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _items(item)
    elif isinstance(document, dict):
        yield document


async def dry_apply(session: Session, manifest: Json) -> Json:
    """Return the object as `kubectl apply` would leave it.

    Unknown fields are rejected, as kubectl does: without `fieldValidation` the API server drops them, and a misspelt
    `masquerade` becomes a NIC without a binding. A server-side apply does not detect them, so the merge patch is
    tried in that case too.

    Raises:
        ApiError: the API server rejects the manifest.
    """
    resource, name = _KINDS[manifest["kind"]], manifest["metadata"]["name"]
    manifest = {"apiVersion": resource.api_version, **manifest}
    try:
        live = json.loads(await session.api.request("GET", _path(session, resource, name)))
    except Gone as error:
        if error.is_not_served:
            raise
        return await _send(session, "POST", _path(session, resource, ""), _STRICT, manifest, _JSON)
    path = _path(session, resource, name)
    merged = await _send(session, "PATCH", path, _STRICT, merge_patch(manifest, live=live), _MERGE)
    if not (manager := applier(manifest, live=live)):
        return merged
    # A conflict with another field manager does not matter in a dry run, which takes no ownership.
    query = f"fieldManager={quote(manager, safe='')}&force=true&{_STRICT}"
    return await _send(session, "PATCH", path, query, manifest, _APPLY)


async def dry_patch(session: Session, raw: Json, patch: Sequence[Mapping[str, Any]]) -> Json:
    """Return the object as a JSON patch would leave it.

    Raises:
        ApiError: the API server rejects the patch.
    """
    path = _path(session, _KINDS[raw["kind"]], raw["metadata"]["name"])
    return await _send(session, "PATCH", path, "dryRun=All", [dict(operation) for operation in patch], JSON_PATCH)


def _path(session: Session, resource: Resource, name: str) -> str:
    return resource.path(namespace=quote(session.namespace, safe=""), name=quote(name, safe="") or None)


async def _send(session: Session, method: str, path: str, query: str, content: Any, content_type: str) -> Json:
    body = json.dumps(content).encode()
    answer = json.loads(await session.api.request(method, f"{path}?{query}", body=body, content_type=content_type))
    return answer if isinstance(answer, dict) else {}


def is_malformed(error: ApiError) -> bool:
    """True if the manifest has unknown, duplicate or mistyped fields, so that nothing can be planned for it.

    The API server answers 400 for an object, and 422 for a patch.
    """
    return isinstance(error, Rejected) and (error.status == 400 or _STRICT_ERROR in str(error))


def malformation(error: ApiError) -> str:
    """Return the invalid fields without the object, all of which the API server quotes in its answer to a patch."""
    text = str(error)
    _, found, fields = text.partition(_STRICT_ERROR)
    return fields if found else _QUOTED_OBJECT.sub("", text)


REFUSALS = (Rejected, Stale, Denied)
"""Errors that reject the change, and not the question."""


def read_file(path: str) -> str:
    """Return the content of a file, or of stdin for `-`.

    Raises:
        CommandError: it cannot be read.
    """
    try:
        with click.open_file(path) as file:
            content: str = file.read()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {why_unreadable(error)}"
        remedy = "Give the path of a manifest, or - for stdin."
        raise CommandError(message, remedy=remedy, code=Exit.NOT_FOUND) from error
    return content
