"""Networks of a target pod: with which NICs it is created, which are left out, and which nodes it may use."""

from collections.abc import Mapping
from dataclasses import replace

from nicplug.model.attachments import KnownAttachments
from nicplug.model.frozen_json import read_object
from nicplug.model.interface_status import pod_interface_of
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.migration import Migration
from nicplug.model.names import (
    CPU_FEATURE_LABEL,
    CPU_VENDOR_LABEL,
    HOST_MODEL_FEATURE_LABEL,
    HOST_MODEL_LABEL,
    MIGRATION_CPU_MODEL_LABEL,
)
from nicplug.model.networks import Network, split_attachment
from nicplug.model.networks_annotation import (
    UnreadableAnnotation,
    hashed_interface_name,
    parse_annotation,
    plugin_interface_name,
)
from nicplug.model.operations import OperationType
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.candidates import refuse_devices
from nicplug.plan.nic.attachments import refuse_attachment
from nicplug.plan.nic.observed import networks_asked_for
from nicplug.plan.nic.path.blame import changes_of
from nicplug.plan.nic.path.migration_history import nics_left_out
from nicplug.plan.views import MigrationView, Refusal


@once_per_pass
def as_it_moves(vmi: VirtualMachineInstance) -> VirtualMachineInstance:
    """The VMI with every NIC that the guest still has, even one being unplugged; its `spec` stays unchanged.

    A guest cannot be loaded where one of its devices is missing: the copy would fail at its end. A NIC that the guest
    unplugs later is removed from the target pod as from the source's. KubeVirt leaves it out (docs/differences.md).
    """
    kept = vmi.status.in_guest & {interface.name for interface in vmi.interfaces if interface.is_absent}
    if not kept:
        return vmi
    return replace(vmi, interfaces=tuple(item.with_state("") if item.name in kept else item for item in vmi.interfaces))


def unusable_networks(vmi: VirtualMachineInstance, *, known: KnownAttachments) -> dict[str, Refusal]:
    """NICs whose network cannot be attached now, with the reason: a pod with one of them would never start."""
    going = {interface.name for interface in as_it_moves(vmi).interfaces if interface.is_absent}
    asked = [network for network in vmi.networks if network.is_secondary and network.name not in going]
    checked = ((item.name, refuse_attachment(item, namespace=vmi.key.namespace, known=known)) for item in asked)
    return {name: why for name, why in checked if why is not None}


def refuse_start(pod: LauncherPod, vmi: VirtualMachineInstance, *, known: KnownAttachments) -> Refusal | None:
    """Refusal if the target pod cannot start because a definition was deleted after the pod was created."""
    missing = frozenset(missing_interfaces(pod, vmi))
    for name, why in unusable_networks(vmi, known=known).items():
        if hashed_interface_name(name) in missing:
            return Refusal(reason=why.reason, message=f'NIC "{name}": {why.sentence}')
    return None


@once_per_pass
def missing_interfaces(pod: LauncherPod, vmi: VirtualMachineInstance) -> tuple[str, ...]:
    """Interfaces of the VMI's NICs that a pod was created with and that Multus does not report yet.

    Elements that others added are not waited for: without a dynamic networks controller they are never attached.
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


# Source: KubeVirt 1.9 `migration.go` (`createTargetPod`, `prepareNodeSelectorForHostCpuModel`). KubeVirt's node
# labeller writes the CPU labels; without it they add no requirement.

_TO_MOVE_TO = ((HOST_MODEL_LABEL, MIGRATION_CPU_MODEL_LABEL), (HOST_MODEL_FEATURE_LABEL, CPU_FEATURE_LABEL))


def target_selector(view: MigrationView, vmi: VirtualMachineInstance) -> dict[str, str]:
    """Node selector that the migration adds, below the VM's own, with the CPU that the guest needs."""
    added = mapping(view.migration.read_spec().get("addedNodeSelector"))
    own = mapping(read_object(vmi.placement).get("nodeSelector"))
    asked = {text(name): text(value) for name, value in {**added, **own}.items()}
    return {**asked, **_cpu_of_guest(view, vmi)}


def _cpu_of_guest(view: MigrationView, vmi: VirtualMachineInstance) -> dict[str, str]:
    labels = next((node.labels for node in view.nodes or () if node.name == vmi.node_name), {})
    vendor = {name: "true" for name in labels if name.startswith(CPU_VENDOR_LABEL)}
    domain = mapping(vmi.read_spec().get("domain"))
    if mapping(domain.get("cpu")).get("model") != "host-model":
        return vendor
    return {**vendor, **(_asked_before(view, vmi) or _host_model(labels))}


def _asked_before(view: MigrationView, vmi: VirtualMachineInstance) -> dict[str, str]:
    """The CPU labels that the guest was started with, which it keeps when migrated; not those of its present node."""
    pods = (pod for pod in view.pods if pod.node_name == vmi.node_name)
    return {text(name): text(value) for pod in pods for name, value in read_object(pod.cpu_selector).items()}


def _host_model(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{wanted}{name.removeprefix(found)}": value
        for name, value in labels.items()
        for found, wanted in _TO_MOVE_TO
        if name.startswith(found)
    }


def nics_not_brought(view: MigrationView, vmi: VirtualMachineInstance) -> frozenset[str]:
    """NICs that the target pod is created without; the guest has none of them, and none has a go-ahead.

    They have failed, or for an automatic migration no node has their device: they must not block the others. A user's
    migration fails because of such a device, and reports it.
    """
    left_out = nics_left_out(view.migration, vmi=vmi, operation=OperationType.PLUG) - vmi.status.given
    if not view.migration.is_automatic:
        return left_out
    brought = vmi.status.in_guest | left_out | changes_of(view.migration).keys()
    refused = refuse_devices(
        view.nodes,
        vmi=vmi,
        lacking=[item.name for item in vmi.interfaces if item.name not in brought and not item.is_absent],
        attachments=view.attachments,
        added_node_selector=target_selector(view, vmi),
    )
    return left_out | refused.keys()


def with_networks_that_work(
    vmi: VirtualMachineInstance, migration: Migration, *, source: LauncherPod | None
) -> VirtualMachineInstance:
    """The VMI with its guest's networks in place of requested ones that cannot be attached."""
    names = nics_left_out(migration, vmi=vmi, operation=OperationType.CHANGE_NETWORK)
    if not names or source is None:
        return vmi
    asked, rows = networks_asked_for(source, namespace=vmi.key.namespace), vmi.status.interfaces

    def that_works(network: Network) -> Network:
        reference = asked.get(pod_interface_of(rows.get(network.name)), "")
        if network.name not in names or not reference or not network.attachment:
            return network
        where, name = split_attachment(reference, namespace=vmi.key.namespace)
        return network.with_attachment(name if where == vmi.key.namespace else reference)

    return replace(vmi, networks=tuple(map(that_works, vmi.networks)))
