"""Checks whether a CRD is as recent as this nicplug: the API server silently drops members that the CRD lacks."""

from collections.abc import Mapping
from typing import Any

from nicplug.model.metadata import mapping, objects, text

# Members of the status, each with what is lost without it. The newest member of each kind reveals an older CRD.
_NEEDED: Mapping[str, Mapping[str, str]] = {
    "VirtualMachine": {"interfaceRequests": "what virtctl addinterface asks for"},
    "VirtualMachineInstance": {
        "interfaceOperations": "the records of NICs",
        "launcherPods": "which pods are a guest's",
    },
    "VirtualMachineInstanceMigration": {"targetPod": "which pod a guest moves to"},
}


def kind_of(definition: Mapping[str, Any]) -> str:
    """Return the kind that the CRD defines."""
    return text(mapping(mapping(definition.get("spec")).get("names")).get("kind"))


def served_version(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the entry of version v1; empty if there is none."""
    versions = objects(mapping(definition.get("spec")).get("versions"))
    return next((item for item in versions if item.get("name") == "v1"), {})


def what_it_drops(definition: Mapping[str, Any]) -> str:
    """Return what this version writes into a status and the CRD does not keep; "" if it keeps everything."""
    schema = mapping(mapping(served_version(definition).get("schema")).get("openAPIV3Schema"))
    status = mapping(mapping(schema.get("properties")).get("status"))
    if status.get("x-kubernetes-preserve-unknown-fields") is True:
        return ""
    members = mapping(status.get("properties"))
    needed = _NEEDED.get(kind_of(definition), {})
    return " and ".join(what for member, what in needed.items() if member not in members)
