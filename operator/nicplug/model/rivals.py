"""Other controllers of the same objects: KubeVirt's own, or a nicplug in another namespace.

Pure. KubeVirt's virt-operator marks what it installs; an active controller renews its Lease.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.metadata import mapping, text
from nicplug.model.names import INSTALLED_LABEL, MANAGED_BY_LABEL
from nicplug.model.times import parse_time

NICPLUG_LEASE = "nicplug-operator"
VIRT_CONTROLLER_LEASE = "virt-controller"
VIRT_CONTROLLER_DEPLOYMENT, VIRT_CONTROLLER_SELECTOR = "virt-controller", "kubevirt.io=virt-controller"
LEASES = (VIRT_CONTROLLER_LEASE, NICPLUG_LEASE)
# KubeVirt renews after 10 s at most. Clocks differ, and a controller that has just ended must not block the next one
# for long.
FRESH = timedelta(minutes=1)
_OF_VIRT_OPERATOR = ("kubevirt.io", "operator.kubevirt.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another active controller in this cluster.

    Attributes:
        lease: name of its Lease.
        namespace: namespace of that Lease.
        holder: its identity in the Lease.
    """

    lease: str
    namespace: str
    holder: str

    def __str__(self) -> str:
        if self.lease == VIRT_CONTROLLER_LEASE:
            return f"KubeVirt's virt-controller works in namespace {self.namespace} ({self.holder})"
        return f"another nicplug works in namespace {self.namespace} ({self.holder})"

    @property
    def remedy(self) -> str:
        """How to resolve the conflict."""
        if self.lease == VIRT_CONTROLLER_LEASE:
            return 'Remove KubeVirt first, or use another cluster: docs/install.md, "Beside KubeVirt".'
        return "A cluster has one nicplug: remove that one, or this one. Virtual machines stay."


def rivals(leases: Iterable[Mapping[str, Any]], *, namespace: str, now: datetime) -> list[Rival]:
    """Return the holders that renew a Lease of either name in any namespace, except nicplug's own Lease."""
    found = []
    for lease in leases:
        metadata, spec = mapping(lease.get("metadata")), mapping(lease.get("spec"))
        name, where = text(metadata.get("name")), text(metadata.get("namespace"))
        holder, renewed = text(spec.get("holderIdentity")), parse_time(spec.get("renewTime"))
        is_ours = (name, where) == (NICPLUG_LEASE, namespace)
        is_held = bool(holder) and renewed is not None and now - renewed < FRESH
        if name in LEASES and is_held and not is_ours:
            found.append(Rival(lease=name, namespace=where, holder=holder))
    return found


def is_kubevirts_own(definition: Mapping[str, Any]) -> bool:
    """Report whether KubeVirt's virt-operator installed the CRD and reconciles it."""
    labels = mapping(mapping(definition.get("metadata")).get("labels"))
    if labels.get(INSTALLED_LABEL) == "nicplug":
        return False
    return labels.get(MANAGED_BY_LABEL) == "virt-operator" or any(key in labels for key in _OF_VIRT_OPERATOR)
