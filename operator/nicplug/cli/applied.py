"""What `kubectl apply` would send for a manifest: a dry run has to leave out what the apply would leave out. Pure.

With server-side apply only the manager that has applied a NIC before takes it away by leaving it out: a dry run under
another name keeps the NIC, as `interfaces` is a map by name. Without it kubectl sends a merge patch, which replaces
both lists.
"""

import json
from collections.abc import Mapping
from typing import Any

from nicplug.model.metadata import mapping, objects, text

Json = dict[str, Any]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_DEVICES = ("domain", "devices", "interfaces")


def merge_patch(manifest: Json, *, live: Mapping[str, Any]) -> Json:
    """The manifest, with nulls for what the last one had and this one has not.

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
    """The manager whose server-side apply the manifest would be; "" where it would be kubectl's merge patch.

    That is who has applied most of its NICs; of several the last one.
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
    """Names of the NICs that an entry of `managedFields` has."""
    spec = mapping(fields.get("f:spec"))
    found = mapping(mapping(spec.get("f:template")).get("f:spec")) if "f:template" in spec else spec
    for member in _DEVICES:
        found = mapping(found.get(f"f:{member}"))
    return {text(json.loads(key[2:]).get("name")) for key in found if key.startswith("k:")}
