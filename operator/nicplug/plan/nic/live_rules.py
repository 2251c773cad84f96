"""Rules for which changes of a NIC may reach a running VMI; each takes the VMI as it is now."""

from nicplug.model.frozen_json import freeze
from nicplug.model.hotplug_policy import HotplugPolicy, RemovalPolicy
from nicplug.model.interface_status import Rows, has_go_ahead, pod_interface_of
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, Binding, Interface, Network, first_by_name, secondary_by_name
from nicplug.model.networks_annotation import is_ordinal_name
from nicplug.model.per_pass import once_per_pass
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.actions import CheckNics
from nicplug.plan.nic.spec_checks import refuse

# Source: KubeVirt 1.9 `pkg/network/controllers/vm.go` and the rules of its admission webhooks, which nicplug has to
# check here since it has none. The differences are in docs/differences.md.


def may_be_plugged(interface: Interface) -> bool:
    """True if the NIC can be plugged into a running VM, by its binding."""
    return not interface.is_absent and interface.binding in HOTPLUGGABLE_BINDINGS


def may_be_unplugged(interface: Interface, *, vmi: VirtualMachineInstance) -> bool:
    """True for a bridge NIC of a secondary network, and for an SR-IOV NIC that no pod has yet: it is just cancelled."""
    if interface.name not in secondary_by_name(vmi.networks):
        return False
    return interface.binding is Binding.BRIDGE or (
        interface.binding is Binding.SRIOV and never_attached(interface.name, vmi=vmi)
    )


def may_change_link(interface: Interface) -> bool:
    """True for any link except that of a device that is passed through to the guest."""
    return interface.binding is not Binding.SRIOV


def link_of(interface: Interface) -> str:
    """Return `down` if the interface says so; a missing or unknown state means up."""
    return "down" if interface.state == "down" else "up"


def may_be_corrected(*, mine: Interface, template: Interface, network: Network, vmi: VirtualMachineInstance) -> bool:
    """True if the NIC may be taken from the template again: neither pod nor guest has it yet."""
    return (
        network.is_secondary
        and mine.name in secondary_by_name(vmi.networks)
        and may_be_plugged(mine)
        and may_be_plugged(template)
        and never_attached(mine.name, vmi=vmi)
    )


def may_change_network(*, mine: Network, template: Network, vmi: VirtualMachineInstance) -> bool:
    """True if the VMI can migrate, as in KubeVirt after 1.9.0: others cannot change a network (kubevirt#18194)."""
    return mine.is_secondary and template.is_secondary and vmi.is_migratable


def never_attached(name: str, *, vmi: VirtualMachineInstance, rows: Rows | None = None) -> bool:
    """True if neither pod nor guest has ever had the NIC; known only for a running guest, which has a row for each.

    Args:
        rows: `status.interfaces` by name after this pass; None for the reported ones.
    """
    row = (vmi.status.interfaces if rows is None else rows).get(name)
    return vmi.phase is VmiPhase.RUNNING and not has_go_ahead(row)


@once_per_pass
def has_ordinal_names(vmi: VirtualMachineInstance) -> bool:
    """True if the pod names its interfaces `net<i>`, by the first secondary row that reports a name.

    Unlike KubeVirt, an unknown name does not count as ordinal: a NIC that never attached can be cancelled.
    """
    rows = vmi.status.interfaces
    names = (pod_interface_of(rows.get(network.name)) for network in vmi.networks if network.is_secondary)
    return is_ordinal_name(next((name for name in names if name), ""))


def deleted_from_template(
    *, vm: VirtualMachine, vmi: VirtualMachineInstance, policy: HotplugPolicy, rows: Rows | None = None
) -> frozenset[str]:
    """NICs of the VMI to unplug because their entry was deleted from the template they came from.

    With policy Explicit only those that were never attached. Never one that was added to the VMI alone.
    """
    listed = {interface.name for interface in vm.interfaces}
    deleted = frozenset(
        item.name for item in vmi.interfaces if item.name in (vmi.template_interfaces or ()) and item.name not in listed
    )
    if policy.removal_policy is RemovalPolicy.DECLARATIVE:
        return deleted
    return frozenset(
        item.name for item in vmi.interfaces if item.name in deleted and may_be_withdrawn(item, vmi=vmi, rows=rows)
    )


def may_be_withdrawn(interface: Interface, *, vmi: VirtualMachineInstance, rows: Rows | None = None) -> bool:
    """True if deleting the NIC's entries from the template is enough: neither guest nor pod has had it.

    Nor is the guest about to get it from the target pod of a migration.
    """
    network = first_by_name(vmi.networks).get(interface.name)
    if network is not None and not network.is_secondary and not is_malformed(interface, vmi=vmi):
        return False
    is_pluggable = interface.binding in HOTPLUGGABLE_BINDINGS or is_malformed(interface, vmi=vmi)
    return (
        is_pluggable
        and never_attached(interface.name, vmi=vmi, rows=rows)
        and not vmi.migration_state.is_active
        and not has_ordinal_names(vmi)
    )


def is_malformed(interface: Interface, *, vmi: VirtualMachineInstance) -> bool:
    """True if the NIC's entries in the VMI are invalid, so that it is never requested from a pod."""
    return refuse(interface, first_by_name(vmi.networks).get(interface.name)) is not None


# Checks a VMI before the removal of a NIC that it may have got unobserved.


def check_nics(vmi: VirtualMachineInstance) -> CheckNics:
    """Return a check that fails if the VMI's spec or `status.interfaces` has changed since it was read."""
    return CheckNics(
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        generation=vmi.generation,
        seen=freeze(vmi.status.members.get("interfaces")),
        has_status=bool(vmi.status.members),
    )
