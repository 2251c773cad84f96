"""The words for PCI slots."""

import pytest

from nicplug.cli.pci_slots import slot_words
from nicplug.model.pci_budget import PciBudget


@pytest.mark.parametrize(
    ("total", "used", "reserved", "words"),
    [
        (4, 1, 1, "1 used, 1 reserved, 2 free"),
        (4, 4, 0, "4 used, 0 reserved, 0 free"),
        (4, 4, 1, "4 used, 0 reserved, 0 free, and 1 more NIC waits for a slot"),
        (4, 3, 3, "3 used, 1 reserved, 0 free, and 2 more NICs wait for a slot"),
        (4, 5, 0, "5 used, 0 reserved, 0 free, and the guest has more than are certain"),
    ],
)
def test_used_and_reserved_were_more_than_the_total(total: int, used: int, reserved: int, words: str) -> None:
    assert slot_words(PciBudget(total=total, used=used, reserved=reserved).to_row()) == words
