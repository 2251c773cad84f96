"""PCI slots of a guest, for plans and status. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from nicplug.model.interface_status import DOMAIN, has_source
from nicplug.model.networks import first_by_name
from nicplug.model.operations import (
    InterfaceOperation,
    OperationPath,
    OperationType,
    needs_person,
)
from nicplug.model.pci import PciBudget, takes_slot
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.attachments import unattachable_networks
from nicplug.plan.nic.pci_slots import PciSlots, count_slots
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView

_WITHOUT_SLOT = frozenset(
    {
        Reason.NETWORK_NOT_ALLOWED,
        Reason.ATTACHMENT_DEFINITION_MISSING,
        Reason.ATTACHMENT_DEFINITION_INVALID,
        Reason.MULTUS_NOT_INSTALLED,
        Reason.ROLLED_BACK,
    }
)
"""Reasons of blocked NICs that are not requested from a pod until something changes."""


def slots_of(view: VmiView, *, now: datetime) -> PciSlots:
    """Return the slots of the running guest as the operator counts them in its next pass."""
    kept = unattachable_networks(view.vmi, view.attachments)
    return count_slots(view.vmi, records=view.vmi.status.records(now=now), kept=kept)


def reserved_for(vmi: VirtualMachineInstance, *, records: Mapping[str, InterfaceOperation]) -> frozenset[str]:
    """Return the NICs that a slot is reserved for, from the VMI alone: its records say which NICs take none."""
    kept = frozenset(item.name for item in records.values() if _takes_none(item))
    return frozenset(count_slots(vmi, records=records, kept=kept).coming)


def _takes_none(record: InterfaceOperation) -> bool:
    return needs_person(record.phase) and (record.path == OperationPath.RESTART or record.reason in _WITHOUT_SLOT)


def possible_slots(budget: Mapping[str, Any], vmi: VirtualMachineInstance | None) -> int:
    """Return how many slots for NICs the guest may have beyond those that are certain, used or reserved.

    `total` counts what is certain, and grows when a NIC beyond it arrives: a NIC is tried even if no certain slot is
    free.

    Args:
        budget: `status.pciBudget`.
    """
    if vmi is None or vmi.topology is None or not budget:
        return 0
    total, taken = int(budget["total"]), int(budget["used"]) + int(budget["reserved"])
    return max(0, vmi.topology.at_most(max(total, int(budget["used"]))) - max(total, taken))


def budget_after_unplug(
    budget: PciBudget | None, vmi: VirtualMachineInstance, *, names: Iterable[str]
) -> PciBudget | None:
    """Return the budget after the guest has released these NICs, which keep their slots until then."""
    if budget is None:
        return None
    rows, interfaces = vmi.status.interfaces, first_by_name(vmi.interfaces)
    gone = [name for name in names if has_source(rows.get(name), DOMAIN) and takes_slot(interfaces[name])]
    return replace(budget, used=max(0, budget.used - len(gone)))


def with_doubt(item: InterfaceOperation, slots: PciSlots) -> str:
    """Return the message, plus that the guest may have no slot; records say so only once the pod has the interface."""
    is_noted = item.reason == Reason.WAITING_FOR_GUEST and not item.is_suspect
    if item.operation != OperationType.PLUG or item.is_settled or is_noted:
        return item.message
    return item.message + slots.doubt(item.name)
