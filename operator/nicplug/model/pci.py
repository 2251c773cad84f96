"""PCI slots: how many a guest is born with, and what has become of them (`status.pciBudget`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.frozen_json import read
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.networks import Interface
from nicplug.model.quantity import parse_bytes

# `status.pciBudget` of a VMI: the PCI slots that NICs of its guest have, and what has become of them.


@dataclass(frozen=True, slots=True, kw_only=True)
class PciBudget:
    """Slots for NICs.

    Attributes:
        total: that the guest has for certain.
        used: by NICs that the guest has.
        reserved: for NICs on their way.
    """

    total: int
    used: int
    reserved: int

    @property
    def free(self) -> int:
        """Slots left for certain."""
        return max(0, self.total - self.used - self.reserved)

    def to_row(self) -> dict[str, Any]:
        """As it stands in the status."""
        return {"total": self.total, "used": self.used, "reserved": self.reserved, "free": self.free}


def parse_total(status: Mapping[str, Any]) -> int | None:
    """`total` of a VMI's status; None when it was never counted."""
    value = mapping(status.get("pciBudget")).get("total")
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


# How many PCI slots for NICs a guest is born with: they are fixed then, and a migration brings no others.
#
# Source: KubeVirt 1.9, its page on PCI topology and `pkg/virt-launcher/virtwrap/manager.go`. virt-launcher keeps free
# slots by what the whole domain takes up, of which a VMI does not tell everything. So there are two numbers: what a
# guest has at least, and what it cannot have more of.

ON_ROOT_COMPLEX_ANNOTATION = "kubevirt.io/placePCIDevicesOnRootComplex"
SLOT_COUNT_ANNOTATION = "kubevirt.io/pci-interface-slot-count"

_USUAL_SLOTS = 4
_LARGE_GUEST = 2 << 30
# Of a guest that is not large, and of one that is: slots kept free at least, and slots for all its devices.
_KEPT_FREE = (3, 6)
_ALL_DEVICES = (8, 16)
_MOST_BUSES = 31
_ARCHITECTURES = frozenset({"", "amd64", "arm64"})
# Devices of the old bus sit behind a bridge of their own.
_CONVENTIONAL_MODELS = frozenset({"e1000", "ne2k_pci", "pcnet", "rtl8139"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PciTopology:
    """What a VMI tells about the slots of its guest.

    Attributes:
        memory: of the guest, in bytes; None when it cannot be told.
        reserved: how many NICs the guest is to have room for, those that it is born with included.
        others: devices that certainly take up a slot and are no NICs.
        on_root_complex: devices sit where nothing can be plugged, and no slot is kept for NICs.
    """

    memory: int | None
    reserved: int
    others: int
    on_root_complex: bool

    def at_least(self, born: int) -> int:
        """Slots for NICs that the guest has for certain.

        Args:
            born: NICs that it was born with.
        """
        if self.on_root_complex:
            return born
        kept = _KEPT_FREE[self.memory is not None and self.memory > _LARGE_GUEST]
        wanted = max(self.reserved if born else 0, born + kept)
        return max(born, min(wanted, _MOST_BUSES))

    def at_most(self, certain: int) -> int:
        """Slots for NICs that the guest cannot have more of.

        Args:
            certain: those that it has at least.
        """
        return max(certain, _ALL_DEVICES[self.memory is None or self.memory > _LARGE_GUEST] - self.others)


def parse_topology(spec: Mapping[str, Any], annotations: Mapping[str, Any]) -> PciTopology | None:
    """Read a VMI; None where NICs take no slots of this kind, or nobody knows (another architecture or machine)."""
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
    """Slots that any guest has which is born with so many NICs, as far as it has PCI slots for plugging."""
    return born + _KEPT_FREE[0]


def takes_slot(interface: Interface) -> bool:
    """A NIC of this model sits in a slot of its own."""
    # The text is looked at first: most NICs have no model.
    return '"model"' not in interface.raw or read(interface.raw).get("model") not in _CONVENTIONAL_MODELS


def _memory(domain: Mapping[str, Any]) -> int | None:
    resources = mapping(domain.get("resources"))
    asked = mapping(domain.get("memory")).get("guest")
    asked = asked or mapping(resources.get("requests")).get("memory") or mapping(resources.get("limits")).get("memory")
    return parse_bytes(asked)


def _reserved(value: str) -> int:
    is_count = value.isascii() and value.isdigit() and len(value) <= 2
    return int(value) if is_count else _USUAL_SLOTS
