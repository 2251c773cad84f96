"""Which interfaces a pod has, by the best source that speaks.

network-status, when it can be read. While it is silent, what the rows of `status.interfaces` said before:
silence of one source is no news, and an interface must not be taken from under a guest for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.interface_names import (
    FIRST_ORDINAL_NAME,
    is_hashed_name,
    is_ordinal_name,
    pod_interface_names,
)
from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, has_source
from nicplug.model.keys import AttachmentKey
from nicplug.model.metadata import text
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.networks import Network, secondary_names, split_attachment
from nicplug.model.networks_annotation import Element, UnreadableAnnotation, parse_annotation
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance, reported_rows

Rows = Mapping[str, Mapping[str, Any]]
"""`status.interfaces` by name."""


@dataclass(frozen=True, slots=True)
class PodLinks:
    """The secondary interfaces of a pod."""

    pod: LauncherPod
    rows: Rows

    def has(self, name: str, pod_interface: str) -> bool:
        """The pod has the interface of that NIC."""
        if not self.pod.network_status.problem:
            return self.pod.network_status.has(pod_interface)
        row = self.rows.get(name)
        return has_source(row, MULTUS_STATUS) or has_source(row, DOMAIN)


def has_lost_interface(row: Mapping[str, Any] | None, *, pod: LauncherPod) -> bool:
    """A ready pod has no more the interface of a NIC that the guest has; silence of its status is no news.

    Nor is a status with an entry that names no interface: it may be this one.

    Args:
        row: of `status.interfaces`, as reported.
    """
    interface, status = text((row or {}).get("podInterfaceName")), pod.network_status
    if not interface or not pod.is_ready or status.problem or not has_source(row, DOMAIN):
        return False
    return not status.has(interface) and not status.has("")


@once_per_pass
def interface_names(vmi: VirtualMachineInstance, pod: LauncherPod | None, rows: Rows) -> Mapping[str, str]:
    """Pod interface name of each secondary network, by the scheme that the pod uses."""
    ordinal = pod is not None and _has_ordinal_names(vmi, pod, rows)
    return pod_interface_names(secondary_networks=secondary_names(vmi.networks), ordinal=ordinal)


def _has_ordinal_names(vmi: VirtualMachineInstance, pod: LauncherPod, rows: Rows) -> bool:
    """The pod is one of KubeVirt's before 1.0, whose networks are `net1`, `net2`, ... in the order of the spec.

    That it has a `net1` proves nothing: Multus calls any element so that somebody adds without a name. What counts is
    that the guest has a NIC by such a name, or that the annotation asks for the VMI's first network as `net1`.
    """
    if pod.made_with:
        return False  # nicplug's own, which is always made with hashed names
    reported = [rows.get(name, {}) for name in secondary_names(vmi.networks)]
    if pod.network_status.problem:
        names = (text(row.get("podInterfaceName")) for row in reported)
        return is_ordinal_name(next((name for name in names if name), ""))
    if not pod.network_status.is_ordinal:
        return False
    if any(has_source(row, DOMAIN) and is_ordinal_name(text(row.get("podInterfaceName"))) for row in reported):
        return True
    first = next((network for network in vmi.networks if network.is_secondary), None)
    asked = networks_asked_for(pod, namespace=vmi.key.namespace).get(FIRST_ORDINAL_NAME)
    return first is not None and asked == _reference(first, vmi)


def belongs_to_another(
    pod_interface: str,
    *,
    network: Network,
    vmi: VirtualMachineInstance,
    pod: LauncherPod,
    access: AttachmentAccess,
) -> bool:
    """The pod has an interface of a NIC's name that is of another network, and that nicplug did not ask for.

    No guest is given it, no matter who made it or says that it is there. Only elements of hashed names are nicplug's,
    and never one of a network that the VM may not use.
    """
    namespace, present = vmi.key.namespace, pod.network_status.network_of(pod_interface)
    own, asked = _reference(network, vmi), networks_asked_for(pod, namespace=namespace)
    if present == own:
        return False
    if not is_hashed_name(pod_interface) or pod_interface not in asked:
        return True
    if not present:  # an entry that names no network says nothing against what was asked for
        return asked[pod_interface] != own
    return not access.allows(AttachmentKey(*split_attachment(present, namespace=namespace)), namespace=namespace)


def _reference(network: Network, vmi: VirtualMachineInstance) -> str:
    return "/".join(network.attachment_reference(namespace=vmi.key.namespace))


def nics_in_pod(
    vmi: VirtualMachineInstance, pod: LauncherPod | None, *, asked: frozenset[str] | None
) -> frozenset[str]:
    """The NICs that the pod has or is asked for.

    Args:
        asked: those that it is asked for; None: as its annotation says.
    """
    if pod is None or pod.is_finished:
        return frozenset()
    names = interface_names(vmi, pod, reported_rows(vmi))
    if asked is None:
        interfaces = networks_asked_for(pod, namespace=vmi.key.namespace)
        asked = frozenset(name for name, item in names.items() if item in interfaces)
    return asked | {name for name, item in names.items() if pod.network_status.has(item)}


@once_per_pass
def networks_asked_for(pod: LauncherPod, *, namespace: str) -> Mapping[str, str]:
    """What the pod's annotation asks for: pod interface -> `<namespace>/<definition>`; nothing if it cannot be read.

    Args:
        namespace: of the pod.
    """
    return {
        interface: f"{text(item.get('namespace')) or namespace}/{text(item.get('name'))}"
        for interface, item in elements_asked_for(pod).items()
    }


@once_per_pass
def elements_asked_for(pod: LauncherPod) -> Mapping[str, Element]:
    """The elements of the pod's annotation by pod interface; nothing if it cannot be read."""
    try:
        return {text(item.get("interface")): item for item in parse_annotation(pod.networks_annotation)}
    except UnreadableAnnotation:
        return {}
