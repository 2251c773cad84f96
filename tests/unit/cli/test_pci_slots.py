"""The words for PCI slots."""

import pytest
from tests.build import a_vmi, nic, primary, vmi

from nicplug.cli.pci_slots import possible_more, slot_words
from nicplug.insight.slots import possible_slots
from nicplug.model.pci import PciBudget


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


@pytest.mark.parametrize(
    ("total", "used", "reserved", "possible", "words"),
    [
        (4, 4, 0, 4, "; the guest may have 4 more, and a NIC that needs one is tried"),
        (4, 4, 3, 1, "; the guest may have 1 more, and a NIC that needs one is tried"),
        (4, 1, 1, 4, ""),
        (8, 8, 0, 0, ""),
    ],
    ids=["none is free for certain", "some wait", "some are free", "there are no more"],
)
def test_no_free_slot_was_said_of_a_guest_that_takes_one_more_nic(
    total: int, used: int, reserved: int, possible: int, words: str
) -> None:
    budget = PciBudget(total=total, used=used, reserved=reserved).to_row()
    running = vmi(primary(), nic("blue"))
    running["spec"]["domain"]["memory"] = {"guest": "1Gi"}
    assert possible_slots(budget, a_vmi(running)) == possible
    assert possible_more({**budget, "possible": possible}) == words


def test_an_older_api_says_nothing_of_possible_slots() -> None:
    assert possible_more(PciBudget(total=4, used=4, reserved=0).to_row()) == ""
    assert possible_more(None) == ""
