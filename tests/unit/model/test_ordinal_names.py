"""Which scheme a pod uses for the names of its interfaces; a wrong answer makes a NIC that cannot be unplugged."""

import json

import pytest

from nicplug.model.network_status import parse_network_status


@pytest.mark.parametrize(
    ("interfaces", "is_ordinal"),
    [
        ([], False),
        (["net1"], True),
        (["net2", "net1"], True),
        (["pod16477688c0e"], False),
        # An element of somebody else's.
        (["net9"], False),
        (["net9", "pod16477688c0e"], False),
        # Multus's own choice for an element without a name, beside ours.
        (["net1", "pod16477688c0e"], False),
    ],
)
def test_ordinal_is_what_has_a_first_one_and_no_hashed_one(interfaces: list[str], is_ordinal: bool) -> None:
    rows = [{"interface": "eth0", "default": True}, *({"name": "lan", "interface": name} for name in interfaces)]
    assert parse_network_status(json.dumps(rows)).is_ordinal is is_ordinal
