"""The ledger of migration slots as it is written and read."""

import pytest
from tests.build import NOW

from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.slot_ledger import SlotEntry, format_entries, is_as_written, parse_entries


def entry(name: str, *, is_returning: bool = False) -> SlotEntry:
    return SlotEntry(
        migration=MigrationKey("default", name),
        uid=f"uid-{name}",
        vmi=VmiKey("default", f"vm-{name}"),
        source_node=f"node-{name}",
        target_node="n",
        granted_at=NOW,
        is_returning=is_returning,
    )


def test_the_ledger_says_again_what_was_written() -> None:
    entries = {item.uid: item for item in (entry("a", is_returning=True), entry("b"), entry("c"))}
    data = format_entries(entries)
    assert parse_entries(data) == entries
    assert is_as_written(data)


@pytest.mark.parametrize("value", ["", "{", "[]", "null", '{"migration": 1}', '{"namespace": "a", "migration": "b"}'])
def test_what_is_not_understood_is_left_out_and_noticed(value: str) -> None:
    data = {**format_entries({}), "some-uid": value}
    assert parse_entries(data) == {}
    assert not is_as_written(data)
