"""PCI slots: how many a guest starts with, and how they are used (`status.pciBudget`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.frozen_json import read
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.networks import Interface
from nicplug.model.quantity import parse_bytes

# `status.pciBudget` of a VMI: the PCI slots for NICs of its guest, and how they are used.


@dataclass(frozen=True, slots=True, kw_only=True)
class PciBudget:
    """Slots for NICs.

    Attributes:
        total: slots that the guest certainly has.
        used: slots of NICs that the guest has.
        reserved: slots for NICs that are being plugged.
    """

    total: int
    used: int
    reserved: int

    @property
    def free(self) -> int:
        """Slots that are certainly free."""
        return max(0, self.total - self.used - self.reserved)

    def to_row(self) -> dict[str, Any]:
        """Return the member of the status."""
        return {"total": self.total, "used": self.used, "reserved": self.reserved, "free": self.free}


# How many PCI slots for NICs a guest starts with: the number is fixed then, and a migration does not change it.
#
# Source: KubeVirt 1.9, its page on PCI topology and `pkg/virt-launcher/virtwrap/manager.go`. virt-launcher derives the
# free slots from the devices of the whole domain, which a VMI shows only in part. Hence two numbers: a minimum and a
# maximum.

ON_ROOT_COMPLEX_ANNOTATION = "kubevirt.io/placePCIDevicesOnRootComplex"
SLOT_COUNT_ANNOTATION = "kubevirt.io/pci-interface-slot-count"

_USUAL_SLOTS = 4
_LARGE_GUEST = 2 << 30
# For a guest that is not large, and for a large one: the minimum of free slots, and slots for all its devices.
_KEPT_FREE = (3, 6)
_ALL_DEVICES = (8, 16)
_MOST_BUSES = 31
_ARCHITECTURES = frozenset({"", "amd64", "arm64"})
# Devices of conventional PCI are behind a bridge of their own.
_CONVENTIONAL_MODELS = frozenset({"e1000", "ne2k_pci", "pcnet", "rtl8139"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PciTopology:
    """What a VMI shows about the slots of its guest.

    Attributes:
        memory: memory of the guest, in bytes; None if unknown.
        reserved: how many NICs the guest reserves slots for, including those that it starts with.
        others: devices other than NICs that certainly use a slot.
        on_root_complex: True if devices are where nothing can be plugged, and no slot is kept for NICs.
    """

    memory: int | None
    reserved: int
    others: int
    on_root_complex: bool

    def at_least(self, born: int) -> int:
        """Return how many slots for NICs the guest certainly has.

        Args:
            born: NICs that it started with.
        """
        if self.on_root_complex:
            return born
        kept = _KEPT_FREE[self.memory is not None and self.memory > _LARGE_GUEST]
        wanted = max(self.reserved if born else 0, born + kept)
        return max(born, min(wanted, _MOST_BUSES))

    def at_most(self, certain: int) -> int:
        """Return how many slots for NICs the guest can have at most.

        Args:
            certain: slots that it has at least.
        """
        return max(certain, _ALL_DEVICES[self.memory is None or self.memory > _LARGE_GUEST] - self.others)


def parse_topology(spec: Mapping[str, Any], annotations: Mapping[str, Any]) -> PciTopology | None:
    """Parse a VMI; None if NICs use no slots of this kind, or if unknown (another architecture or machine type)."""
    domain = mapping(spec.get("domain"))
    machine = text(mapping(domain.get("machine")).get("type"))
    is_known = machine == "" or "q35" in machine or machine.startswith("virt")
    if text(spec.get("architecture")) not in _ARCHITECTURES or not is_known:
        return None
    disks = objects(mapping(domain.get("devices")).get("disks"))
    return PciTopology(
        memory=_memory(domain),
        reserved=_reserved(text(annotations.get(SLOT_COUNT_ANNOTATION))),
        others=sum(mapping(disk.get("disk")).get("bus") == "virtio" for disk in disks),
        on_root_complex=annotations.get(ON_ROOT_COMPLEX_ANNOTATION) == "true",
    )


def used_and_kept(born: int) -> int:
    """Return the slots of any guest that starts with so many NICs, provided that it has PCI slots for plugging."""
    return born + _KEPT_FREE[0]


def takes_slot(interface: Interface) -> bool:
    """Report whether a NIC of this model uses a slot of its own."""
    # Search the text first: most NICs have no model.
    return '"model"' not in interface.raw or read(interface.raw).get("model") not in _CONVENTIONAL_MODELS


def _memory(domain: Mapping[str, Any]) -> int | None:
    resources = mapping(domain.get("resources"))
    asked = mapping(domain.get("memory")).get("guest")
    asked = asked or mapping(resources.get("requests")).get("memory") or mapping(resources.get("limits")).get("memory")
    return parse_bytes(asked)


def _reserved(value: str) -> int:
    is_count = value.isascii() and value.isdigit() and len(value) <= 2
    return int(value) if is_count else _USUAL_SLOTS
