"""PCI slots in words that add up, also where more NICs ask for a slot than there are."""

from collections.abc import Mapping
from typing import Any


def slot_words(budget: Mapping[str, Any]) -> str:
    """Used, reserved and free; reservations that no slot is left for are listed apart.

    `reserved` counts every NIC on its way, a blocked one that waits for a slot among them.
    """
    total, used, reserved, free = (int(budget[name]) for name in ("total", "used", "reserved", "free"))
    left = max(0, total - used)
    words = f"{used} used, {min(reserved, left)} reserved, {free} free"
    if (waiting := max(0, reserved - left)) > 0:
        words += f", and {waiting} more {'NIC waits' if waiting == 1 else 'NICs wait'} for a slot"
    if used > total:
        words += ", and the guest has more than are certain"
    return words


def hope_of_more(budget: Mapping[str, Any] | None) -> str:
    """To be added where no slot is free for certain, and a NIC is tried all the same; "" elsewhere."""
    possible = int((budget or {}).get("possible") or 0)  # an older API does not send it
    if budget is None or int(budget["free"]) > 0 or possible == 0:
        return ""
    return f"; the guest may have {possible} more, and a NIC that needs one is tried"
