"""Who else reports the status of a KubeVirt CR: KubeVirt's own virt-operator, by what it leaves on the object.

Source: KubeVirt 1.9 `pkg/virt-operator/kubevirt.go`: `execute` annotates the CR before anything else, the status
included; `syncInstallation` adds the finalizer and the deployment IDs. nicplug writes none of these.
"""

from collections.abc import Mapping
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.metadata import mapping

OBSERVED_ANNOTATIONS = ("kubevirt.io/latest-observed-api-version", "kubevirt.io/storage-observed-api-version")
_FINALIZER = "foregroundDeleteKubeVirt"
_IDS = ("targetDeploymentID", "observedDeploymentID")


def mark_of_virt_operator(raw: Mapping[str, Any]) -> str:
    """What on a KubeVirt CR says that virt-operator reports its status, for a sentence; "" for nothing."""
    metadata, status = mapping(raw.get("metadata")), mapping(raw.get("status"))
    annotations = mapping(metadata.get("annotations"))
    for name in OBSERVED_ANNOTATIONS:
        if name in annotations:
            return f"annotation {name}"
    if _FINALIZER in meta.finalizers(metadata):
        return f"finalizer {_FINALIZER}"
    return next((f"status.{name}" for name in _IDS if status.get(name)), "")
