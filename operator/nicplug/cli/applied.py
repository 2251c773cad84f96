"""The request that `kubectl apply` would send for a manifest, so that a dry run removes what the apply would remove.

Pure. In a server-side apply, only the manager that applied a NIC removes it by leaving it out: `interfaces` is a map
by name, so a dry run under another manager keeps the NIC. A client-side apply sends a merge patch, which replaces both
lists.
"""

import json
from collections.abc import Mapping
from typing import Any

from nicplug.model.metadata import mapping, objects, text

Json = dict[str, Any]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_DEVICES = ("domain", "devices", "interfaces")


def merge_patch(manifest: Json, *, live: Mapping[str, Any]) -> Json:
    """Return the manifest, with null for every field that the last applied configuration has and the manifest lacks.

    Source: kubectl `CreateThreeWayJSONMergePatch`, for kinds without a Go type; lists are replaced as a whole.
    """
    annotations = mapping(mapping(live.get("metadata")).get("annotations"))
    try:
        original = json.loads(text(annotations.get(LAST_APPLIED)) or "{}")
    except ValueError:
        original = {}
    return _with_nulls(manifest, mapping(original))


def _with_nulls(wanted: Mapping[str, Any], original: Mapping[str, Any]) -> Json:
    patch: Json = {name: None for name in original if name not in wanted}
    for name, value in wanted.items():
        before = original.get(name)
        patch[name] = _with_nulls(value, mapping(before)) if isinstance(value, Mapping) else value
    return patch


def applier(manifest: Json, *, live: Mapping[str, Any]) -> str:
    """Return the field manager of the server-side apply that the manifest stands for; "" for kubectl's merge patch.

    That is the manager that applied most of the manifest's NICs; among equals, the most recent one.
    """
    metadata = mapping(live.get("metadata"))
    if LAST_APPLIED in mapping(metadata.get("annotations")):
        return ""
    names = _nic_names(manifest)
    ranked = [
        (len(names & _owned(mapping(item.get("fieldsV1")))), text(item.get("time")), text(item.get("manager")))
        for item in objects(metadata.get("managedFields"))
        if item.get("operation") == "Apply"
        and not item.get("subresource")
        and "f:spec" in mapping(item.get("fieldsV1"))
    ]
    return max(ranked)[2] if ranked else ""


def _nic_names(manifest: Mapping[str, Any]) -> set[str]:
    spec = mapping(manifest.get("spec"))
    found = mapping(mapping(spec.get("template")).get("spec")) if "template" in spec else spec
    devices = mapping(mapping(found.get("domain")).get("devices"))
    return {text(item.get("name")) for item in objects(devices.get("interfaces"))}


def _owned(fields: Mapping[str, Any]) -> set[str]:
    """Return the names of the NICs that an entry of `managedFields` owns."""
    spec = mapping(fields.get("f:spec"))
    found = mapping(mapping(spec.get("f:template")).get("f:spec")) if "f:template" in spec else spec
    for member in _DEVICES:
        found = mapping(found.get(f"f:{member}"))
    return {text(json.loads(key[2:]).get("name")) for key in found if key.startswith("k:")}
