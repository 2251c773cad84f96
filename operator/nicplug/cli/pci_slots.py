"""Describes PCI slots with numbers that add up, even if more NICs need a slot than there are."""

from collections.abc import Mapping
from typing import Any


def slot_words(budget: Mapping[str, Any]) -> str:
    """Describe used, reserved and free slots; reservations that exceed the slots are listed separately.

    `reserved` counts every NIC that is being plugged, including one that is blocked because it waits for a slot.

    Args:
        budget: `total`, `used`, `reserved` and `free`, in slots.
    """
    total, used, reserved, free = (int(budget[name]) for name in ("total", "used", "reserved", "free"))
    left = max(0, total - used)
    words = f"{used} used, {min(reserved, left)} reserved, {free} free"
    if (waiting := max(0, reserved - left)) > 0:
        words += f", and {waiting} more {'NIC waits' if waiting == 1 else 'NICs wait'} for a slot"
    if used > total:
        words += ", and the guest has more than are certain"
    return words


def possible_more(budget: Mapping[str, Any] | None) -> str:
    """Return a suffix if no slot is certainly free but the guest may have more, so NICs are tried; "" otherwise."""
    possible = int((budget or {}).get("possible") or 0)  # an older API does not send it
    if budget is None or int(budget["free"]) > 0 or possible == 0:
        return ""
    return f"; the guest may have {possible} more, and a NIC that needs one is tried"
