"""Which interfaces a pod has, by the best source that speaks.

network-status, when it can be read. While it is silent, what the rows of `status.interfaces` said before:
silence of one source is no news, and an interface must not be taken from under a guest for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.interface_names import is_hashed_name, is_ordinal_name, pod_interface_names
from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, has_source, rows_by_name
from nicplug.model.metadata import objects, text
from nicplug.model.networks import Network, secondary_names
from nicplug.model.networks_annotation import UnreadableAnnotation, parse_annotation
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance

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


def interface_names(vmi: VirtualMachineInstance, pod: LauncherPod | None, rows: Rows) -> dict[str, str]:
    """Pod interface name of each secondary network, by the scheme that the pod uses."""
    names = secondary_names(vmi.networks)
    if pod is not None and pod.network_status.problem:
        reported = (text(rows.get(name, {}).get("podInterfaceName")) for name in names)
        ordinal = is_ordinal_name(next((name for name in reported if name), ""))
    else:
        ordinal = pod is not None and pod.network_status.is_ordinal
    return pod_interface_names(secondary_networks=names, ordinal=ordinal)


def belongs_to_another(pod_interface: str, *, network: Network, vmi: VirtualMachineInstance, pod: LauncherPod) -> bool:
    """The pod has an interface of a NIC's name that is of another network, and that its annotation does not ask for.

    Whoever made it, or wrote that it is there: no guest is given it.
    """
    asked = "/".join(network.attachment_reference(namespace=vmi.key.namespace))
    if not is_hashed_name(pod_interface) or pod.network_status.network_of(pod_interface) in ("", asked):
        return False
    return pod_interface not in networks_asked_for(pod, namespace=vmi.key.namespace)


def nics_in_pod(
    vmi: VirtualMachineInstance, pod: LauncherPod | None, *, asked: frozenset[str] | None
) -> frozenset[str]:
    """The NICs that the pod has or is asked for.

    Args:
        asked: those that it is asked for; None: as its annotation says.
    """
    if pod is None or pod.is_finished:
        return frozenset()
    names = interface_names(vmi, pod, rows_by_name(objects(vmi.read_status().get("interfaces"))))
    if asked is None:
        interfaces = networks_asked_for(pod, namespace=vmi.key.namespace)
        asked = frozenset(name for name, item in names.items() if item in interfaces)
    return asked | {name for name, item in names.items() if pod.network_status.has(item)}


def networks_asked_for(pod: LauncherPod, *, namespace: str) -> dict[str, str]:
    """What the pod's annotation asks for: pod interface -> `<namespace>/<definition>`; nothing if it cannot be read.

    Args:
        namespace: of the pod.
    """
    try:
        elements = parse_annotation(pod.networks_annotation)
    except UnreadableAnnotation:
        return {}
    return {
        text(item.get("interface")): f"{text(item.get('namespace')) or namespace}/{text(item.get('name'))}"
        for item in elements
    }
