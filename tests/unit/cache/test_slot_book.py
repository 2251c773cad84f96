"""What a process may do by what it knows of the ledger of migration slots."""

from dataclasses import replace

import pytest
from tests.build import MIGRATION_UID, NAME, NAMESPACE, NODE, NOW

from nicplug.cache.slot_book import SlotBook
from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.slot_ledger import SlotEntry, format_entries

ENTRY = SlotEntry(
    migration=MigrationKey(NAMESPACE, "migration-job"),
    uid=MIGRATION_UID,
    vmi=VmiKey(NAMESPACE, NAME),
    source_node=NODE,
    target_node="node02",
)


@pytest.mark.parametrize(
    ("is_returning", "granted", "node"), [(False, True, "node02"), (True, False, "")], ids=["granted", "given back"]
)
def test_a_slot_that_is_being_given_back_has_no_place_on_the_target_node(
    is_returning: bool, granted: bool, node: str
) -> None:
    """Seed 15100074 of 'pods do not start': a second leader handed a VM off to a node that had no room any more."""
    book = SlotBook()
    entry = replace(ENTRY, is_returning=is_returning)
    book.take({"metadata": {}, "data": format_entries({MIGRATION_UID: entry})}, now=NOW)
    slot = book.slot_of(MIGRATION_UID, now=NOW)
    assert (slot.is_granted, slot.inbound_node) == (granted, node)
