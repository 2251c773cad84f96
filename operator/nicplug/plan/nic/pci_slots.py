"""Assigns the guest's PCI slots to NICs, in the order in which they are plugged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, has_go_ahead, has_source
from nicplug.model.networks import Interface, first_by_name
from nicplug.model.operations import InterfaceOperation, OperationPhase, OperationType, shortened
from nicplug.model.pci import PciBudget, takes_slot, used_and_kept
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.live_rules import may_be_plugged
from nicplug.plan.nic.spec_checks import refuse

_NICS_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PciSlots:
    """The slots of one guest.

    Attributes:
        budget: the slots to report; None while they cannot be counted.
        most: upper limit of the guest's slots.
        holders: NICs of the guest that have a slot.
        coming: NICs for which a slot is reserved.
        refused: waiting NICs without a slot.
        unsure: waiting NICs that may have a slot.
    """

    budget: PciBudget | None = None
    most: int = 0
    holders: tuple[str, ...] = ()
    coming: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()

    def refusal(self, name: str) -> str:
        """Why there is no slot for the NIC and which NICs have them, for a sentence; "" if there may be one."""
        if self.budget is None or name not in self.refused:
            return ""
        reserved = self.budget.reserved
        way = "its" if reserved == 1 else "their"
        coming = f" and {reserved} on {way} way{_named(self.coming)}" if reserved else ""
        taken = f"{self.budget.used} taken{_named(self.holders)}"
        return f"the guest has at most {self.most} PCI slots for NICs, {taken}{coming}"

    def doubt(self, name: str) -> str:
        """A clause for the message if it is uncertain whether the guest has a slot left."""
        if self.budget is None or name not in self.unsure:
            return ""
        return f"; only {self.budget.total} PCI slots for NICs are certain, and this NIC needs one more"


def count_slots(
    vmi: VirtualMachineInstance,
    *,
    records: Mapping[str, InterfaceOperation],
    kept: frozenset[str] = frozenset(),
) -> PciSlots:
    """Count the slots of a running guest, and assign them.

    The number of slots is fixed when the guest starts, so the first count stays valid, unless the guest proves to have
    more. It is repeated until the first plug: the node agent may report NICs one by one.

    Args:
        records: the stored records.
        kept: NICs that are blocked for another reason: they need no slot, and report that reason. Those whose spec is
            invalid need not be listed.
    """
    rows, total = vmi.status.interfaces, vmi.status.pci_total
    small = frozenset(item.name for item in vmi.interfaces if not takes_slot(item))
    in_guest = frozenset(name for name, row in rows.items() if has_source(row, DOMAIN)) - small
    excluded = in_guest | small | kept
    coming = [item for item in _in_order(vmi, records) if item.name not in excluded]
    waiting = _fit_to_come(coming, vmi)
    used, holders = len(in_guest), tuple(name for name in rows if name in in_guest)
    is_counted = total is not None and (bool(records) or used_and_kept(used) <= total)
    if total is not None and is_counted and used + len(waiting) <= max(total, used):
        certain = max(total, used)
        budget = PciBudget(total=certain, used=used, reserved=len(waiting))
        return PciSlots(budget=budget, most=certain, holders=holders, coming=tuple(waiting))
    topology = vmi.topology
    if topology is None:
        return PciSlots()
    if total is None and not in_guest and any(not item.is_absent for item in vmi.interfaces):
        return PciSlots()  # the node agent has not reported the guest's NICs yet
    certain = max(total or 0, used)
    if not is_counted:
        plugged = {item.name for item in records.values() if item.operation == OperationType.PLUG}
        certain = max(certain, topology.at_least(len(in_guest - plugged)))
    return _give_out(waiting, certain=certain, most=topology.at_most(certain), holders=holders)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NICS_NAMED} more" if len(names) > _NICS_NAMED else ""
    return f" ({', '.join(shortened(name, longest=63) for name in names[:_NICS_NAMED])}{more})" if names else ""


def _fit_to_come(waiting: Sequence[Interface], vmi: VirtualMachineInstance) -> list[str]:
    """Exclude NICs whose spec is invalid, which are not requested from a pod (`plan.nic.spec_checks`)."""
    if not waiting:
        return []
    networks, rows = first_by_name(vmi.networks), vmi.status.interfaces
    return [
        item.name
        for item in waiting
        if has_go_ahead(rows.get(item.name)) or refuse(item, networks.get(item.name)) is None
    ]


def _give_out(waiting: list[str], *, certain: int, most: int, holders: tuple[str, ...]) -> PciSlots:
    used = len(holders)
    certainly, possibly = max(0, certain - used), max(0, most - used)
    return PciSlots(
        budget=PciBudget(total=certain, used=used, reserved=min(len(waiting), possibly)),
        most=most,
        holders=holders,
        coming=tuple(waiting[:possibly]),
        refused=frozenset(waiting[possibly:]),
        unsure=frozenset(waiting[certainly:possibly]),
    )


def _in_order(vmi: VirtualMachineInstance, records: Mapping[str, InterfaceOperation]) -> list[Interface]:
    """The NICs to plug; those that are partly plugged come first.

    The others follow in spec order, whatever they report: an order by reports would change the reports again.
    """
    secondary = {network.name for network in vmi.networks if network.is_secondary}
    coming = [item for item in vmi.interfaces if item.name in secondary and may_be_plugged(item)]

    def rank(interface: Interface) -> int:
        record = records.get(interface.name)
        if has_source(vmi.status.interfaces.get(interface.name), MULTUS_STATUS):
            return 0
        return 2 if record is None or record.phase == OperationPhase.BLOCKED else 1

    return sorted(coming, key=rank)
