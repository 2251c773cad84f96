"""Which NICs the guest has a PCI slot for, in the order in which they are served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, has_source
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, Interface
from nicplug.model.operations import InterfaceOperation, OperationPhase, OperationType
from nicplug.model.pci_budget import PciBudget
from nicplug.model.pci_topology import takes_slot, used_and_kept
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.links import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PciSlots:
    """The slots of one guest.

    Attributes:
        budget: to be reported; None while nobody can count.
        most: slots that the guest cannot have more of.
        refused: NICs that wait, and that it has no slot for.
        unsure: NICs that wait, and that it may have a slot for.
    """

    budget: PciBudget | None = None
    most: int = 0
    refused: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()

    def refusal(self, name: str) -> str:
        """Why there is no slot for the NIC, for a sentence; "" when there may be one."""
        if self.budget is None or name not in self.refused:
            return ""
        reserved = self.budget.reserved
        coming = f" and {reserved} on {'its' if reserved == 1 else 'their'} way" if reserved else ""
        return f"the guest has at most {self.most} PCI slots for NICs, {self.budget.used} taken{coming}"

    def doubt(self, name: str) -> str:
        """The same where it may have one and may not, to be added to a sentence."""
        if self.budget is None or name not in self.unsure:
            return ""
        return f"; only {self.budget.total} PCI slots for NICs are certain, and this NIC needs one more"


def count_slots(
    vmi: VirtualMachineInstance,
    *,
    total: int | None,
    rows: Rows,
    records: Mapping[str, InterfaceOperation],
    kept: frozenset[str] = frozenset(),
) -> PciSlots:
    """Count the slots of a running guest, and give them out.

    The number of slots is fixed when the guest is born, so what was once counted holds; a guest that proves to have
    more has more. While nothing was ever plugged it is counted again: the node agent may tell of NICs one by one.

    Args:
        total: slots that were counted before; None when none were.
        rows: `status.interfaces` by name, as the node agent reported.
        records: the records as they are.
        kept: NICs that something else keeps from coming now: they take nobody's slot, and are told of that.
    """
    small = frozenset(item.name for item in vmi.interfaces if not takes_slot(item))
    in_guest = frozenset(name for name, row in rows.items() if has_source(row, DOMAIN)) - small
    waiting = [item.name for item in _in_order(vmi, rows, records) if item.name not in in_guest | small | kept]
    used = len(in_guest)
    is_counted = total is not None and (bool(records) or used_and_kept(used) <= total)
    if total is not None and is_counted and used + len(waiting) <= max(total, used):
        certain = max(total, used)
        return PciSlots(budget=PciBudget(total=certain, used=used, reserved=len(waiting)), most=certain)
    topology = vmi.topology
    if topology is None:
        return PciSlots()
    if total is None and not in_guest and any(not item.is_absent for item in vmi.interfaces):
        return PciSlots()  # the node agent has not told of the guest's NICs yet
    certain = max(total or 0, used)
    if not is_counted:
        plugged = {item.name for item in records.values() if item.operation == OperationType.PLUG}
        certain = max(certain, topology.at_least(len(in_guest - plugged)))
    return _give_out(waiting, certain=certain, most=topology.at_most(certain), used=used)


def _give_out(waiting: list[str], *, certain: int, most: int, used: int) -> PciSlots:
    certainly, possibly = max(0, certain - used), max(0, most - used)
    return PciSlots(
        budget=PciBudget(total=certain, used=used, reserved=min(len(waiting), possibly)),
        most=most,
        refused=frozenset(waiting[possibly:]),
        unsure=frozenset(waiting[certainly:possibly]),
    )


def _in_order(
    vmi: VirtualMachineInstance, rows: Rows, records: Mapping[str, InterfaceOperation]
) -> Iterator[Interface]:
    """The NICs that are to come; who has one foot in the door keeps it there.

    The others in spec order, whatever they are told now: an order that follows what is told changes it again.
    """
    secondary = {network.name for network in vmi.networks if network.is_secondary}
    coming = [
        item
        for item in vmi.interfaces
        if item.name in secondary and item.binding in HOTPLUGGABLE_BINDINGS and not item.is_absent
    ]

    def rank(interface: Interface) -> int:
        record = records.get(interface.name)
        if has_source(rows.get(interface.name), MULTUS_STATUS):
            return 0
        return 2 if record is None or record.phase == OperationPhase.BLOCKED else 1

    return iter(sorted(coming, key=rank))
