"""Copies NICs from the VM template to the VMI spec, and removes unplugged ones from both.

Source: KubeVirt 1.9 `pkg/network/controllers/vm.go`. Unlike KubeVirt, lists are rewritten only when
an entry is added, removed or changed: a mere difference in order is left alone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from nicplug.model.frozen_json import FrozenJson, freeze, read
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.metadata import mapping
from nicplug.model.names import TEMPLATE_INTERFACES_ANNOTATION
from nicplug.model.networks import ABSENT, Binding, Interface, Network, networks_of
from nicplug.model.nic_annotations import render_origin
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Kind, PatchAnnotations, PatchInterfaces, patch_annotation
from nicplug.plan.nic.live_rules import (
    deleted_from_template,
    has_ordinal_names,
    is_malformed,
    may_be_corrected,
    may_be_plugged,
    may_be_unplugged,
    may_be_withdrawn,
    may_change_link,
    may_change_network,
    never_attached,
)
from nicplug.plan.nic.rollback import rolled_back_from


@dataclass(frozen=True, slots=True)
class Devices:
    """Interfaces and networks of one spec."""

    interfaces: tuple[Interface, ...]
    networks: tuple[Network, ...]


def patch_vmi(
    *,
    vm: VirtualMachine,
    vmi: VirtualMachineInstance,
    policy: HotplugPolicy,
    offered: VirtualMachine | None = None,
) -> PatchInterfaces | PatchAnnotations | None:
    """Apply live changes to the VMI, and record which NICs came from the template; None if nothing changes.

    The origin of NICs is written together with the lists. A separate patch is sent only to adopt a NIC that a user
    added to the VMI first and to the template later.

    Args:
        offered: the VM with the NICs to apply, if these are not those of its template.
    """
    wanted = wanted_vmi_devices(vm=offered or vm, vmi=vmi, policy=policy)
    template = {interface.name for interface in vm.interfaces}
    origin = _origin(vmi, names=template | (vmi.template_interfaces or set()), kept=wanted.interfaces)
    if patch := patch_devices(vmi, wanted, origin=origin):
        # Guards against a concurrent go-ahead: the guest would get what was requested before.
        rows = freeze(vmi.status.members.get("interfaces")) if _corrects(vmi, wanted) else None
        return replace(patch, rows=rows)
    return origin if vmi.template_interfaces is not None else None


def _corrects(vmi: VirtualMachineInstance, wanted: Devices) -> bool:
    """True if a NIC is changed or removed that was never attached."""
    interfaces = {item.name for item in set(wanted.interfaces) ^ set(vmi.interfaces)}
    networks = {item.name for item in set(wanted.networks) - set(vmi.networks)}
    return any(never_attached(item.name, vmi=vmi) for item in vmi.interfaces if item.name in interfaces | networks)


def wanted_vmi_devices(*, vm: VirtualMachine, vmi: VirtualMachineInstance, policy: HotplugPolicy) -> Devices:
    """Return the VMI's lists with the live changes of the template; the lists themselves if there are none."""
    wanted = {interface.name: interface for interface in vmi.interfaces}
    networks = {network.name: network for network in vmi.networks}
    offered = {network.name: network for network in vm.networks}
    rolled_back = rolled_back_from(vm=vm, vmi=vmi)
    for interface in vm.interfaces:
        mine, network = wanted.get(interface.name), offered.get(interface.name)
        if interface.name in rolled_back:
            continue
        if mine is None:
            if network is not None and network.is_secondary and _may_come(interface, vmi=vmi):
                wanted[interface.name] = interface
        elif network is not None and may_be_corrected(mine=mine, template=interface, network=network, vmi=vmi):
            wanted[interface.name], networks[network.name] = interface, network
        else:
            if _state_flows(mine=mine, template=interface, vmi=vmi):
                wanted[interface.name] = mine.with_state(interface.state)
            _follow_network(networks, template=network, interface=mine, vmi=vmi)
    for name in deleted_from_template(vm=vm, vmi=vmi, policy=policy):
        if _has_left_no_trace(wanted[name], vmi=vmi):
            del wanted[name]
        elif wanted[name].binding is Binding.BRIDGE and _may_go(wanted[name], vmi=vmi):
            wanted[name] = wanted[name].with_state(ABSENT)
    kept = tuple(wanted.values())
    return Devices(kept, _networks(kept=kept, before=vmi, mine=networks, offered=offered))


def drop_detached(vmi: VirtualMachineInstance, *, in_pod: frozenset[str] = frozenset()) -> PatchInterfaces | None:
    """Remove absent NICs that no row of `status.interfaces` shows any more from the VMI spec.

    KubeVirt does this only for VMIs of a VM; a bare VMI keeps its absent NICs there indefinitely.

    Args:
        in_pod: NICs that the pod still has, possibly without a row yet: they are still to be detached.
    """
    named = set(vmi.status.interfaces)
    kept = tuple(item for item in vmi.interfaces if not item.is_absent or item.name in named | in_pod)
    if kept == vmi.interfaces:
        return None
    mine = {network.name: network for network in vmi.networks}
    wanted = Devices(kept, _networks(kept=kept, before=vmi, mine=mine))
    return patch_devices(vmi, wanted, origin=origin_of_kept(vmi, kept))


def origin_of_kept(vmi: VirtualMachineInstance, kept: Iterable[Interface]) -> PatchAnnotations | None:
    """Return the list of the NICs that came from the template, reduced to these."""
    known = vmi.template_interfaces
    return _origin(vmi, names=known, kept=kept) if known is not None else None


def patch_devices(
    owner: VirtualMachine | VirtualMachineInstance,
    wanted: Devices,
    *,
    origin: PatchAnnotations | None = None,
    rolled_back: PatchAnnotations | None = None,
) -> PatchInterfaces | None:
    """Return the guarded patch of both lists, or None if they are up to date."""
    if (wanted.interfaces, wanted.networks) == (owner.interfaces, owner.networks):
        return None
    # As stored in the object: the API server keeps an empty list, for which a `test` for null fails.
    spec = mapping(owner.read_template().get("spec")) if isinstance(owner, VirtualMachine) else owner.read_spec()
    devices = mapping(mapping(spec.get("domain")).get("devices"))
    return PatchInterfaces(
        kind=Kind.VM if isinstance(owner, VirtualMachine) else Kind.VMI,
        key=owner.key,
        uid=owner.uid,
        version=owner.resource_version,
        seen_networks=freeze(spec.get("networks")),
        seen_interfaces=freeze(devices.get("interfaces")),
        networks=_raw(wanted.networks),
        interfaces=_raw(wanted.interfaces),
        origin=origin,
        rolled_back=rolled_back,
    )


def _raw(items: Iterable[Interface | Network]) -> FrozenJson:
    """Return the list as it is to be stored; null for an empty one."""
    return freeze([read(item.raw) for item in items] or None)


def wanted_template_devices(*, vm: VirtualMachine, vmi: VirtualMachineInstance | None) -> Devices:
    """Return the template's lists without NICs that are absent and are in neither spec nor status of the VMI.

    Without a VMI every absent NIC is removed: the guest that had it has ended.
    """
    in_use: set[str] = set()
    if vmi is not None:
        in_use = {item.name for item in vmi.interfaces}
        in_use |= set(vmi.status.interfaces)
    kept = tuple(item for item in vm.interfaces if not item.is_absent or item.name in in_use)
    if kept == vm.interfaces:
        return Devices(vm.interfaces, vm.networks)
    return Devices(kept, _networks(kept=kept, before=vm, mine={network.name: network for network in vm.networks}))


def _state_flows(*, mine: Interface, template: Interface, vmi: VirtualMachineInstance) -> bool:
    """True if the state is applied live: `absent` if the NIC can be unplugged, another one if its link may change.

    Never for an absent NIC, which is not restored.
    """
    if mine.state == template.state or mine.is_absent:
        return False
    return _may_go(mine, vmi=vmi) if template.is_absent else may_change_link(mine)


def _may_come(interface: Interface, *, vmi: VirtualMachineInstance) -> bool:
    """True for a NIC to plug, and for an absent one whose entries were deleted while the guest has it."""
    if not interface.is_absent:
        return may_be_plugged(interface)
    return interface.binding is Binding.BRIDGE and not has_ordinal_names(vmi) and interface.name in vmi.status.in_guest


def _has_left_no_trace(interface: Interface, *, vmi: VirtualMachineInstance) -> bool:
    """True if it is not requested from a running pod, so its entries are deleted at once; `absent` would be rejected.

    A bridge NIC is set absent first: it may just be requested from its pod, which then has to release it.
    """
    if not may_be_withdrawn(interface, vmi=vmi):
        return False
    return interface.binding is Binding.SRIOV or is_malformed(interface, vmi=vmi)


def _may_go(interface: Interface, *, vmi: VirtualMachineInstance) -> bool:
    return not interface.is_absent and may_be_unplugged(interface, vmi=vmi) and not has_ordinal_names(vmi)


def _follow_network(
    networks: dict[str, Network], *, template: Network | None, interface: Interface, vmi: VirtualMachineInstance
) -> None:
    """Copy `networkName` of a NIC that stays, and nothing else of its network."""
    mine = networks.get(interface.name)
    if mine is None or template is None or interface.is_absent or mine.attachment == template.attachment:
        return
    if may_change_network(mine=mine, template=template, vmi=vmi):
        networks[mine.name] = mine.with_attachment(template.attachment)


def _origin(
    vmi: VirtualMachineInstance, *, names: Collection[str], kept: Iterable[Interface]
) -> PatchAnnotations | None:
    """Return the patch of the annotation that keeps those of `names` that the VMI keeps; None if it is up to date."""
    wanted = frozenset(item.name for item in kept if item.name in names)
    if wanted == vmi.template_interfaces:
        return None
    return patch_annotation(vmi, TEMPLATE_INTERFACES_ANNOTATION, render_origin(wanted))


def _networks(
    *,
    kept: tuple[Interface, ...],
    before: VirtualMachine | VirtualMachineInstance,
    mine: Mapping[str, Network],
    offered: Mapping[str, Network] | None = None,
) -> tuple[Network, ...]:
    """Return the networks of the kept interfaces in their order, and those that never had an interface."""
    known = {**(offered or {}), **mine}
    named = {interface.name for interface in (*before.interfaces, *kept)}
    orphans = tuple(network for network in before.networks if network.name not in named)
    wanted = (*networks_of(kept, known.values()), *orphans)
    return before.networks if set(wanted) == set(before.networks) else wanted
