"""From the VM template to the VMI spec, and the way back for NICs that are gone.

Source: KubeVirt 1.9 `pkg/network/controllers/vm.go`. Unlike KubeVirt, lists are rewritten only when
an entry is added, removed or changes state: a mere difference in order is left alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nicplug.model.frozen_json import FrozenJson, freeze, thaw
from nicplug.model.interface_names import is_ordinal_name
from nicplug.model.interface_status import rows_by_name
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.networks import (
    HOTPLUGGABLE_BINDINGS,
    Binding,
    Interface,
    Network,
    networks_of,
    secondary_names,
)
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Kind, PatchInterfaces


@dataclass(frozen=True, slots=True)
class Devices:
    """Interfaces and networks of one spec."""

    interfaces: tuple[Interface, ...]
    networks: tuple[Network, ...]


def wanted_vmi_devices(*, vm: VirtualMachine, vmi: VirtualMachineInstance) -> Devices:
    """The VMI's lists with what may flow live from the template; the same lists when nothing does."""
    wanted = {interface.name: interface for interface in vmi.interfaces}
    secondary = {network.name for network in vm.networks if network.is_secondary}
    for interface in vm.interfaces:
        mine = wanted.get(interface.name)
        if mine is None and interface.name in secondary and may_be_plugged(interface):
            wanted[interface.name] = interface
        elif mine is not None and _state_flows(mine=mine, template=interface, vmi=vmi):
            wanted[interface.name] = mine.with_state(interface.state)
    kept = tuple(wanted.values())
    networks = _networks(kept=kept, before=vmi.interfaces, mine=vmi.networks, offered=vm.networks)
    return Devices(kept, networks)


def drop_detached(vmi: VirtualMachineInstance) -> PatchInterfaces | None:
    """Take absent NICs that no row of `status.interfaces` shows any more out of the VMI spec.

    KubeVirt does this only for VMIs of a VM; a bare VMI keeps its absent NICs for ever there.
    """
    named = rows_by_name(objects(vmi.read_status().get("interfaces")))
    kept = tuple(item for item in vmi.interfaces if not item.is_absent or item.name in named)
    if kept == vmi.interfaces:
        return None
    return patch_devices(vmi, Devices(kept, _networks(kept=kept, before=vmi.interfaces, mine=vmi.networks)))


def patch_devices(owner: VirtualMachine | VirtualMachineInstance, wanted: Devices) -> PatchInterfaces | None:
    """The guarded patch of both lists, or None when they are as wanted."""
    if (wanted.interfaces, wanted.networks) == (owner.interfaces, owner.networks):
        return None
    # As they stand in the object: the API server keeps an empty list, and a `test` for null does not pass on it.
    spec = mapping(owner.read_template().get("spec") if isinstance(owner, VirtualMachine) else thaw(owner.spec))
    devices = mapping(mapping(spec.get("domain")).get("devices"))
    return PatchInterfaces(
        kind=Kind.VM if isinstance(owner, VirtualMachine) else Kind.VMI,
        key=owner.key,
        uid=owner.uid,
        seen_networks=freeze(spec.get("networks")),
        seen_interfaces=freeze(devices.get("interfaces")),
        networks=_raw(wanted.networks),
        interfaces=_raw(wanted.interfaces),
    )


def _raw(items: Iterable[Interface | Network]) -> FrozenJson:
    """The list as it shall stand in the object; null for an empty one."""
    return freeze([thaw(item.raw) for item in items] or None)


def wanted_template_devices(*, vm: VirtualMachine, vmi: VirtualMachineInstance | None) -> Devices:
    """The template's lists without NICs that are absent and are in neither spec nor status of the VMI.

    Without a VMI every absent NIC goes: the guest that held it has ended.
    """
    in_use: set[str] = set()
    if vmi is not None:
        in_use = {item.name for item in vmi.interfaces}
        in_use |= set(rows_by_name(objects(vmi.read_status().get("interfaces"))))
    kept = tuple(item for item in vm.interfaces if not item.is_absent or item.name in in_use)
    if kept == vm.interfaces:
        return Devices(vm.interfaces, vm.networks)
    return Devices(kept, _networks(kept=kept, before=vm.interfaces, mine=vm.networks))


def may_be_plugged(interface: Interface) -> bool:
    """Only these bindings can follow a running VM."""
    return not interface.is_absent and interface.binding in HOTPLUGGABLE_BINDINGS


def _state_flows(*, mine: Interface, template: Interface, vmi: VirtualMachineInstance) -> bool:
    """An absent NIC is never revived; only bridge NICs of secondary networks can go, and not from old pods."""
    if mine.state == template.state or mine.is_absent:
        return False
    return not template.is_absent or (may_be_unplugged(mine, vmi=vmi) and not has_ordinal_names(vmi))


def may_be_unplugged(interface: Interface, *, vmi: VirtualMachineInstance) -> bool:
    """What KubeVirt's admission allows to be `absent`; nicplug has to ask itself, it has no webhook."""
    return interface.binding is Binding.BRIDGE and interface.name in secondary_names(vmi.networks)


def has_ordinal_names(vmi: VirtualMachineInstance) -> bool:
    """The pod names its interfaces `net<i>`, as reported in the first secondary row that tells.

    Unlike KubeVirt, an unknown name does not count as ordinal: a NIC that never attached can be taken back.
    """
    rows = rows_by_name(objects(vmi.read_status().get("interfaces")))
    names = (
        text(rows.get(network.name, {}).get("podInterfaceName")) for network in vmi.networks if network.is_secondary
    )
    return is_ordinal_name(next((name for name in names if name), ""))


def _networks(
    *,
    kept: tuple[Interface, ...],
    before: tuple[Interface, ...],
    mine: tuple[Network, ...],
    offered: tuple[Network, ...] = (),
) -> tuple[Network, ...]:
    """The networks of the kept interfaces in their order, and those that never had an interface."""
    known = {network.name: network for network in (*offered, *mine)}
    named = {interface.name for interface in before}
    orphans = tuple(network for network in mine if network.name not in named | {item.name for item in kept})
    wanted = (*networks_of(kept, known.values()), *orphans)
    return mine if set(wanted) == set(mine) else wanted
