"""`status.pciBudget` of a VMI: the PCI slots that NICs of its guest have, and what has become of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.metadata import mapping


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
