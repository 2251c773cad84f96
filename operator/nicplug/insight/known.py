"""The NICs of VM and VMI, and the known networks that they refer to. Pure except for the caches in `Evidence`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nicplug.insight.evidence import Evidence
from nicplug.model.attachments import KnownAttachments, referenced_keys
from nicplug.model.networks import Binding, Network, first_by_name
from nicplug.model.requests import (
    MEMBER,
    AddInterface,
    InterfaceRequest,
    RemoveInterface,
    parse_interface_requests,
)
from nicplug.model.vm import VirtualMachine


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The NICs of VM and VMI before a change.

    Attributes:
        named: NICs of both.
        requested: NICs of recorded requests that have not been processed.
        template: NICs of the template; none for a VMI without a VM.
        instance: NICs of the VMI; none without a VMI.
        networks: network and binding by NIC.
    """

    named: frozenset[str]
    requested: frozenset[str]
    template: tuple[str, ...]
    instance: tuple[str, ...]
    networks: Mapping[str, tuple[str, str]]

    @property
    def present(self) -> tuple[str, ...]:
        """The NICs of template and VMI, without those that leave both."""
        return tuple(dict.fromkeys((*self.template, *self.instance)))


def known_of(evidence: Evidence) -> Known:
    """Return the NICs of VM and VMI as they are now."""
    vm, vmi = evidence.parsed_vm, evidence.parsed_vmi
    owners = (vm, vmi)
    return Known(
        named=frozenset(item.name for owner in owners if owner is not None for item in owner.interfaces),
        requested=frozenset(item.name for item in pending_requests(vm)),
        template=tuple(item.name for item in vm.interfaces if not item.is_absent) if vm is not None else (),
        instance=tuple(item.name for item in vmi.interfaces if not item.is_absent) if vmi is not None else (),
        networks=networks_of(evidence),
    )


def pending_requests(vm: VirtualMachine | None) -> tuple[InterfaceRequest, ...]:
    """Return the readable requests of the VM's status, in order."""
    rows = parse_interface_requests(vm.status.members.get(MEMBER)) if vm is not None else ()
    return tuple(row.request for row in rows if isinstance(row.request, AddInterface | RemoveInterface))


def networks_of(evidence: Evidence) -> dict[str, tuple[str, str]]:
    """Return network and binding by NIC; the VMI's entries take precedence over the template's."""
    found: dict[str, tuple[str, str]] = {}
    for owner in (evidence.parsed_vmi, evidence.parsed_vm):
        if owner is None:
            continue
        networks = first_by_name(owner.networks)
        for interface in owner.interfaces:
            network = networks.get(interface.name)
            name = network.reference(namespace=owner.key.namespace) if network else ""
            named = name if network is not None and network.attachment else "pod" if network is not None else ""
            found.setdefault(interface.name, (named, str(interface.binding)))
    return found


def known_attachments(evidence: Evidence, networks: Iterable[Network]) -> KnownAttachments:
    """Return what is known about the definitions of these networks, limited to those that the VM may use."""
    caches, namespace = evidence.caches, evidence.target.namespace
    access = caches.attachment_access()
    keys = referenced_keys(networks, namespace=namespace)
    return caches.attachments.known((key for key in keys if access.allows(key, namespace=namespace)), access=access)


def default_binding(evidence: Evidence) -> Binding:
    """Return the binding of the pod network that a VMI without networks gets."""
    config = evidence.caches.config()
    return config.default_binding if config is not None else Binding.BRIDGE
