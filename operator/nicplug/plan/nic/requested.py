"""A request to add or remove a NIC, and the objections to it.

Checked by the subresources before a request is recorded (`plan.subresources`), and again when it is processed
(`plan.vm.interface_requests`): anyone who may write a VM's status can record one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum

from nicplug.model.attachments import KnownAttachments
from nicplug.model.frozen_json import thaw
from nicplug.model.metadata import mapping
from nicplug.model.networks import (
    ABSENT,
    Binding,
    Interface,
    Network,
    first_by_name,
    normalised_mac,
    parse_interface,
    split_attachment,
    wanted_by_name,
)
from nicplug.model.operations import shortened
from nicplug.model.requests import AddInterface, InterfaceRequest
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.nic.attachments import refuse_use, unattachable_networks
from nicplug.plan.nic.live_rules import may_be_unplugged
from nicplug.plan.nic.pci_slots import count_slots
from nicplug.plan.nic.spec_checks import refuse

Owner = VirtualMachine | VirtualMachineInstance
"""The object whose lists of NICs are checked; for a VM those of its template."""


class Because(Enum):
    """The kind of an objection."""

    INVALID = "invalid"
    """It could never be carried out."""
    CONFLICT = "conflict"
    """The present state of the VM or its guest prevents it."""
    FORBIDDEN = "forbidden"
    """The cluster's policy does not allow it."""


class Hint(StrEnum):
    """The next command to suggest, for the command line; KubeVirt's answers have no such field."""

    NONE = ""
    WAIT_UNTIL_GONE = "NicIsBeingUnplugged"
    REMOVE_FROM_TEMPLATE = "NicIsInTemplate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why a request cannot be carried out, as a sentence with the remedy."""

    because: Because
    message: str
    hint: Hint = Hint.NONE


def object_to(
    request: InterfaceRequest, *, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None
) -> Objection | None:
    """The objection to the request by a single object; None if it can be carried out.

    Args:
        vm: the VM; None for a VMI without one.
        vmi: the running or starting VMI; None for a stopped VM, whose template accepts anything that can be removed.
    """
    if not isinstance(request, AddInterface):
        return _object_to_unplug(request.name, vm=vm, vmi=vmi) if vmi is not None else None
    if refusal := refuse(request.to_interface(), request.to_network()):
        return Objection(because=Because.INVALID, message=refusal.sentence)
    taken = (_taken(request, owner) for owner in (vm, vmi) if owner is not None)
    return next((objection for objection in taken if objection is not None), None)


def _object_to_unplug(name: str, *, vm: VirtualMachine | None, vmi: VirtualMachineInstance) -> Objection | None:
    """Object to a NIC that the guest would keep; the API server rejects `state: absent` for it."""
    interface = wanted_by_name(vmi.interfaces).get(name)
    if interface is None or may_be_unplugged(interface, vmi=vmi):
        return None
    message = (
        f'NIC "{shortened(name)}" cannot be taken out of a running guest: only a bridge NIC of a secondary network '
        f"can. {_how_to_lose(name, vm=vm)}"
    )
    return Objection(because=Because.CONFLICT, message=message)


def _how_to_lose(name: str, *, vm: VirtualMachine | None) -> str:
    """How to start the guest without a NIC that cannot be unplugged while it runs."""
    if vm is None:
        return "Delete the VMI, and create it without this NIC"
    listed = first_by_name(vm.interfaces)
    if name not in listed:
        return "Restart the VM: its template does not have this NIC"
    remedy = "Stop the VM first, or delete the NIC's entries from its template and restart it"
    devices = mapping(mapping(mapping(vm.read_template().get("spec")).get("domain")).get("devices"))
    if len(listed) > 1 or devices.get("autoattachPodInterface") is False:
        return remedy
    return f"{remedy}; with autoattachPodInterface: false, or the VM starts with another NIC on the pod network"


def _taken(request: AddInterface, owner: Owner) -> Objection | None:
    """Object if the name belongs to a NIC or network other than the requested one."""
    interface = first_by_name(owner.interfaces).get(request.name)
    network = first_by_name(owner.networks).get(request.name)
    if (interface is None and network is None) or (interface is not None and interface.is_absent):
        return None
    namespace = owner.key.namespace
    wanted = split_attachment(request.network, namespace=namespace)
    if network is not None and network.is_secondary:
        found = network.attachment_reference(namespace=namespace)
        if found == wanted:
            return None
        on = f"is on network attachment definition {shortened('/'.join(found), longest=200)}, not {'/'.join(wanted)}"
    else:
        on = "is the primary one" if network is not None and network.is_primary else "is on no secondary network"
    where = "the VM's template" if isinstance(owner, VirtualMachine) else "the VMI"
    message = f'NIC "{request.name}" of {where} {on}: use another name, or remove that NIC first'
    return Objection(because=Because.CONFLICT, message=message)


def object_to_mac(
    mac: str, request: AddInterface, *, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None
) -> Objection | None:
    """The objection to the MAC address of a requested NIC; only a spec has one, a request does not.

    The guest also has addresses that only its status contains.
    """
    interface = parse_interface({**mapping(thaw(request.to_interface().raw)), "macAddress": mac})
    if refusal := refuse(interface, request.to_network()):
        return Objection(because=Because.INVALID, message=refusal.sentence)
    owners = [owner for owner in (vm, vmi) if owner is not None]
    taken = {item.name: item.mac_address for owner in owners for item in owner.interfaces if item.mac_address}
    if vmi is not None:
        reported = {name: row.mac for name, row in vmi.status.interfaces.items()}
        taken = {**{name: found for name, found in reported.items() if found}, **taken}
    own = taken.pop(request.name, "")
    if any(has_nic(request, owner) for owner in owners) and normalised_mac(own) != normalised_mac(mac):
        has = f"has the MAC address {shortened(own, longest=40)}" if own else "has no MAC address of its own"
        message = f'NIC "{request.name}" {has}: use another name, or remove that NIC first'
        return Objection(because=Because.CONFLICT, message=message)
    twin = next((name for name, found in taken.items() if normalised_mac(found) == normalised_mac(mac)), None)
    if twin is None:
        return None
    message = f'MAC address {mac} is that of NIC "{shortened(twin)}": use another one, or leave it out'
    return Objection(because=Because.CONFLICT, message=message)


def has_nic(request: AddInterface, owner: Owner) -> bool:
    """True if the lists have the requested NIC, not absent; called only without an objection."""
    return request.name in wanted_by_name(owner.interfaces)


def is_leaving(name: str, owner: Owner) -> bool:
    """True if a NIC of the name is being removed, so that no other one can have the name yet."""
    interface = first_by_name(owner.interfaces).get(name)
    return interface is not None and interface.is_absent


def with_nic(
    request: AddInterface, *, interfaces: tuple[Interface, ...], networks: tuple[Network, ...]
) -> tuple[tuple[Interface, ...], tuple[Network, ...]]:
    """Return both lists with the NIC appended, unless they have it."""
    if request.name not in first_by_name(interfaces):
        interfaces = (*interfaces, request.to_interface())
    if request.name not in first_by_name(networks):
        networks = (*networks, request.to_network())
    return interfaces, networks


def with_absent(name: str, interfaces: tuple[Interface, ...]) -> tuple[Interface, ...]:
    """Return the list with the NIC absent, if it has one. Its network stays until the NIC is unplugged."""
    return tuple(item.with_state(ABSENT) if item.name == name and not item.is_absent else item for item in interfaces)


def without_nic(
    name: str, *, interfaces: tuple[Interface, ...], networks: tuple[Network, ...]
) -> tuple[tuple[Interface, ...], tuple[Network, ...]]:
    """Return both lists after a request to remove a NIC to which `object_to` has no objection.

    A bridge NIC of a secondary network becomes absent, as a guest may have to release it. For any other, both entries
    are deleted: no guest has it, and the API server rejects `state: absent` for it.
    """
    interface, network = first_by_name(interfaces).get(name), first_by_name(networks).get(name)
    can_be_absent = network is None or network.is_secondary
    if interface is None or interface.is_absent or (interface.binding is Binding.BRIDGE and can_be_absent):
        return with_absent(name, interfaces), networks
    kept = tuple(item for item in interfaces if item.name != name)
    return kept, tuple(item for item in networks if item.name != name)


def lists_after(request: InterfaceRequest, owner: Owner) -> tuple[tuple[Interface, ...], tuple[Network, ...]]:
    """Return interfaces and networks of a VM's template, or of a VMI, with the request carried out."""
    if isinstance(request, AddInterface):
        return with_nic(request, interfaces=owner.interfaces, networks=owner.networks)
    return without_nic(request.name, interfaces=owner.interfaces, networks=owner.networks)


def object_to_network(request: AddInterface, *, namespace: str, known: KnownAttachments) -> Objection | None:
    """Object if the policy for networks of other namespaces forbids it. The network need not exist yet."""
    refusal = refuse_use(request.to_network(), namespace=namespace, known=known)
    return Objection(because=Because.FORBIDDEN, message=refusal.sentence) if refusal is not None else None


def object_to_slots(
    request: AddInterface,
    *,
    vm: VirtualMachine | None,
    vmi: VirtualMachineInstance,
    before: Sequence[AddInterface] = (),
    known: KnownAttachments,
) -> Objection | None:
    """Object if the running guest has no PCI slot left, as far as they can be counted.

    Args:
        vm: the VM; None for a VMI without one.
        before: earlier requests that are not carried out yet; each takes a slot.
        known: the network attachment definitions; NICs that cannot be attached now take no slot.
    """
    if vmi.phase is not VmiPhase.RUNNING or has_nic(request, vmi):
        return None
    interfaces, networks = vmi.interfaces, vmi.networks
    for item in (*before, request):
        interfaces, networks = with_nic(item, interfaces=interfaces, networks=networks)
    asked = replace(vmi, interfaces=interfaces, networks=networks)
    slots = count_slots(asked, records=vmi.status.records_as_written, kept=unattachable_networks(asked, known))
    if not (refusal := slots.refusal(request.name)):
        return None
    otherwise = "add this one to the template of the stopped VM, which starts with a slot for it"
    if vm is None:
        otherwise = "delete the VMI, and create it with this NIC"
    message = f'no free PCI slot for NIC "{request.name}": {refusal}. Remove a NIC first; or {otherwise}'
    return Objection(because=Because.CONFLICT, message=message)
