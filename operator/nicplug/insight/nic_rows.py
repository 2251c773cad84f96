"""The NICs of one VM, each as one row: what spec and status say of it, and its record. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nicplug.insight.slots import reserved_for
from nicplug.model.frozen_json import read
from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, InterfaceRow, has_source
from nicplug.model.metadata import text
from nicplug.model.networks import Interface, Network, first_by_name
from nicplug.model.operations import (
    InterfaceOperation,
    OperationPhase,
    OperationType,
    needs_person,
)
from nicplug.model.pci import takes_slot
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.reasons import Reason

UNSEEN = "requested, waiting for the operator"
"""Message of a NIC without a record, including the moment before the operator writes one."""
HAS_LEFT = "the guest does not have it; its entry in the VM's template goes next"
"""Message of a NIC that only the template still has, as `state: absent`."""
ONLY_ENTRIES = "neither the pod nor the guest has it; the operator takes its entries out next"
"""Message of a NIC to be removed that is not attached, or no longer is: nothing has to release it."""
NOT_STARTED = "waiting for the operator to start the VM"
"""Message of a NIC of a VM that is to run, until the operator has seen the VM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NicRow:
    """One NIC.

    Attributes:
        network: `<namespace>/<name>` of the definition, or `pod`.
        path: that of the record; "" for a NIC that the guest started with.
        phase: that of the record; without one `Ready` if the guest has the NIC, `Pending` if it does not.
        remedy: that of the record; "" if there is nothing to do.
        next_attempt: when nicplug retries, according to the record; None if only a change helps.
        since: when the phase last changed; None if unknown.
        pci_slot: `reserved`, `used`, or "" if it uses none.
        pci_address: the address in the spec; "" if libvirt chooses.
        has_left: True if it is to be removed, and neither the pod nor the guest has it: only entries are left.
    """

    name: str
    network: str
    binding: str
    operation: str = ""
    path: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    remedy: str = ""
    next_attempt: datetime | None = None
    last_error: str = ""
    since: datetime | None = None
    attempts: int = 0
    migration: str = ""
    pci_slot: str = ""
    pci_address: str = ""
    mac_address: str = ""
    ip_address: str = ""
    has_left: bool = False

    @property
    def is_ready(self) -> bool:
        """True if nothing is left to do for it."""
        return self.phase == OperationPhase.READY

    @property
    def needs_action(self) -> bool:
        """True if it cannot proceed, or its migration cannot start, until a person acts or something changes."""
        return needs_person(self.phase) or (self.phase == OperationPhase.MIGRATING and bool(self.remedy))

    def to_json(self) -> dict[str, Any]:
        """Return the item of the JSON output."""
        return {
            "name": self.name,
            "network": self.network,
            "binding": self.binding,
            "operation": self.operation or None,
            "path": self.path or None,
            "phase": self.phase,
            "reason": self.reason or None,
            "message": self.message or None,
            "remedy": self.remedy or None,
            "nextAttempt": self.next_attempt.isoformat() if self.next_attempt is not None else None,
            "lastError": self.last_error or None,
            "since": self.since.isoformat() if self.since is not None else None,
            "attempts": self.attempts,
            "migration": self.migration or None,
            "pciSlot": self.pci_slot or None,
            "pciAddress": self.pci_address or None,
            "macAddress": self.mac_address or None,
            "ipAddress": self.ip_address or None,
        }


def nic_rows(
    vm: VirtualMachine | None, vmi: VirtualMachineInstance | None, *, is_to_start: bool, now: datetime
) -> tuple[NicRow, ...]:
    """Return the rows in the order of the VMI's spec, then those of the template only, then those of the status.

    Args:
        is_to_start: True if the VM is to run, and no operator has seen it yet.
    """
    reported = vmi.status.interfaces if vmi is not None else {}
    records = vmi.status.records(now=now) if vmi is not None else {}
    owners = [owner for owner in (vmi, vm) if owner is not None]
    interfaces = first_by_name([item for owner in owners for item in owner.interfaces])
    networks = first_by_name([item for owner in owners for item in owner.networks])
    in_vmi = {item.name for item in vmi.interfaces} if vmi is not None else set()
    is_running = vmi is not None and vmi.phase is VmiPhase.RUNNING
    coming = reserved_for(vmi, records=records) if vmi is not None and is_running else frozenset()
    leaving = {item.name for owner in owners for item in owner.interfaces if item.is_absent}
    in_spec_order = [item.name for owner in owners for item in owner.interfaces]
    names = dict.fromkeys([*in_spec_order, *records, *(name for name in reported if name not in interfaces)])
    return tuple(
        _row(
            name,
            interface=interfaces.get(name),
            network=networks.get(name),
            record=records.get(name),
            reported=reported.get(name),
            namespace=owners[0].key.namespace if owners else "",
            is_leaving=name in leaving,
            is_in_vmi=name in in_vmi,
            is_running=is_running,
            has_reserved=name in coming,
            is_to_start=is_to_start,
        )
        for name in names
    )


def _row(
    name: str,
    *,
    interface: Interface | None,
    network: Network | None,
    record: InterfaceOperation | None,
    reported: InterfaceRow | None,
    namespace: str,
    is_leaving: bool,
    is_in_vmi: bool,
    is_running: bool,
    has_reserved: bool,
    is_to_start: bool,
) -> NicRow:
    in_guest = has_source(reported, DOMAIN)
    is_to_go = is_leaving and is_running and (is_in_vmi or in_guest)
    is_tried = record is not None and not needs_person(record.phase)
    is_nowhere = not in_guest and not has_source(reported, MULTUS_STATUS) and not is_tried
    has_left = is_leaving and is_running and (is_nowhere if is_to_go else reported is None)
    is_unseen = is_to_go or (is_running and not in_guest and not is_leaving)
    phase = OperationPhase.READY if in_guest and not is_to_go else OperationPhase.PENDING
    known = NicRow(
        name=name,
        network=shown_network(network, namespace=namespace),
        binding=str(interface.binding) if interface is not None else "",
        phase=str(phase),
        pci_slot=_slot(interface, reported, has_reserved=has_reserved),
        pci_address=text(read(interface.raw).get("pciAddress")) if interface is not None else "",
        mac_address=reported.mac if reported is not None else "",
        ip_address=reported.ip_address if reported is not None else "",
        reason="" if in_guest or is_running or is_to_start else str(Reason.GUEST_NOT_RUNNING),
        message=_unrecorded(is_to_start=is_to_start, is_to_go=is_to_go, is_unseen=is_unseen, has_left=has_left),
        has_left=has_left,
        operation=str(OperationType.UNPLUG) if is_leaving else "",
    )
    if record is None or (is_to_go and _predates_removal(record, interface)):
        return known
    return _as_recorded(known, record)


def _slot(interface: Interface | None, reported: InterfaceRow | None, *, has_reserved: bool) -> str:
    """Return whether the NIC uses a PCI slot of the guest, or has one reserved; "" for neither."""
    if interface is None or not takes_slot(interface):
        return ""
    if has_source(reported, DOMAIN):
        return "used"
    return "reserved" if has_reserved or has_source(reported, MULTUS_STATUS) else ""


def _as_recorded(row: NicRow, record: InterfaceOperation) -> NicRow:
    """Return the row with what the operator has recorded about the NIC."""
    return replace(
        row,
        has_left=False,
        operation=record.operation,
        path="" if record.path == "None" else record.path,
        phase=record.phase,
        reason=record.reason,
        message=record.message,
        remedy=record.remedy,
        next_attempt=record.next_attempt_time,
        last_error=record.last_error,
        since=record.last_transition_time,
        attempts=record.attempts,
        migration=record.migration,
    )


def _unrecorded(*, is_to_start: bool, is_to_go: bool, is_unseen: bool, has_left: bool) -> str:
    """Return the message of a NIC without a record."""
    if is_to_start:
        return NOT_STARTED
    if has_left:
        return ONLY_ENTRIES if is_to_go else HAS_LEFT
    return UNSEEN if is_unseen else ""


def _predates_removal(record: InterfaceOperation, interface: Interface | None) -> bool:
    """Report whether the record predates the request to remove the NIC: no operator has seen that yet."""
    is_absent = interface is not None and interface.is_absent
    # A NIC that only the template marks as absent may proceed while it is on its way to the guest.
    return record.operation != OperationType.UNPLUG and (is_absent or record.phase == OperationPhase.READY)


def shown_network(network: Network | None, *, namespace: str) -> str:
    """Return the network's name for tables, without the VM's own namespace; "" if there is none."""
    if network is None:
        return ""
    if network.attachment:
        found = network.attachment_reference(namespace=namespace)
        return found[1] if found[0] == namespace else "/".join(found)
    return "pod" if network.is_pod else ""
