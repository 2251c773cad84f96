"""Which NICs a target pod is made with: those that the guest has, and those that it is to get."""

from dataclasses import replace

from nicplug.model.attachments import KnownAttachments
from nicplug.model.interface_names import hashed_interface_name, plugin_interface_name
from nicplug.model.interface_status import DOMAIN, has_go_ahead, has_source
from nicplug.model.metadata import objects
from nicplug.model.networks_annotation import UnreadableAnnotation, parse_annotation
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance, reported_rows
from nicplug.plan.nic.attachments import refuse_attachment
from nicplug.plan.views import Refusal


@once_per_pass
def nics_in_guest(vmi: VirtualMachineInstance) -> frozenset[str]:
    """As the node agent tells."""
    rows = reported_rows(vmi)
    return frozenset(name for name, row in rows.items() if has_source(row, DOMAIN))


@once_per_pass
def nics_given(vmi: VirtualMachineInstance) -> frozenset[str]:
    """Those that the guest has, and those that its node agent has been told to plug: it may do so at any moment."""
    return frozenset(name for name, row in reported_rows(vmi).items() if has_go_ahead(row))


@once_per_pass
def as_it_moves(vmi: VirtualMachineInstance) -> VirtualMachineInstance:
    """The VMI with every NIC that the guest still has, also one that is to go; its `spec` stays as it is.

    A guest cannot be loaded where one of its devices is missing: the copy would fail at its end. What the guest lets go
    later is taken from the target pod as it would be from the source's. KubeVirt leaves it out (docs/differences.md).
    """
    kept = nics_in_guest(vmi) & {interface.name for interface in vmi.interfaces if interface.is_absent}
    if not kept:
        return vmi
    return replace(vmi, interfaces=tuple(item.with_state("") if item.name in kept else item for item in vmi.interfaces))


def unusable_networks(vmi: VirtualMachineInstance, *, known: KnownAttachments) -> dict[str, Refusal]:
    """The NICs whose network can attach nothing now, and why: with one of them, no pod would ever start."""
    going = {interface.name for interface in as_it_moves(vmi).interfaces if interface.is_absent}
    asked = [network for network in vmi.networks if network.is_secondary and network.name not in going]
    checked = ((item.name, refuse_attachment(item, namespace=vmi.key.namespace, known=known)) for item in asked)
    return {name: why for name, why in checked if why is not None}


def refuse_start(pod: LauncherPod, vmi: VirtualMachineInstance, *, known: KnownAttachments) -> Refusal | None:
    """The network for want of which a target pod cannot start: its definition went after the pod was made."""
    missing = frozenset(missing_interfaces(pod, vmi))
    for name, why in unusable_networks(vmi, known=known).items():
        if hashed_interface_name(name) in missing:
            return Refusal(reason=why.reason, message=f'NIC "{name}": {why.sentence}')
    return None


@once_per_pass
def missing_interfaces(pod: LauncherPod, vmi: VirtualMachineInstance) -> tuple[str, ...]:
    """Interfaces of the VMI's NICs that a pod was made with and that Multus does not report yet.

    What somebody else asks for is not waited for: where no dynamic networks controller runs, it never comes.
    Nothing is concluded from an annotation that cannot be read.
    """
    try:
        elements = parse_annotation(pod.networks_annotation)
    except UnreadableAnnotation:
        return ()
    schemes = (hashed_interface_name, plugin_interface_name)
    own = {scheme(network.name) for network in vmi.networks for scheme in schemes}
    names = (item.get("interface") for item in objects(elements))
    return tuple(name for name in names if isinstance(name, str) and name in own and not pod.network_status.has(name))
