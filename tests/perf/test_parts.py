"""What the bench makes of the audit log of one hot-plug."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from tests.perf.audit import Write
from tests.perf.parts import medians, parts, rows

START = datetime(2026, 1, 1, tzinfo=UTC)
POD = "virt-launcher-vm-1-abcde"


def write(
    resource: str, began: float, ended: float, *, name: str = "vm-1", verb: str = "patch", code: int = 200
) -> Write:
    return Write(
        verb=verb,
        resource=resource,
        code=code,
        user="",
        user_agent="",
        namespace="default",
        name=name,
        received=START + timedelta(milliseconds=began),
        answered=START + timedelta(milliseconds=ended),
    )


ASKED = [
    write("virtualmachines/addinterface", 0, 18, verb="update", code=202),
    write("virtualmachines", 8, 13),
    write("virtualmachines/status", 17, 22),
    write("virtualmachines/status", 9, 10, name="vm-10"),
    write("virtualmachineinstances", 25, 26, code=422),
    write("virtualmachineinstances", 26, 33),
    write("virtualmachines/status", 37, 44),
    write("pods", 39, 44, name=POD),
]
PATCHED = [write("virtualmachines", 1, 6), write("virtualmachineinstances", 9, 16), write("pods", 20, 25, name=POD)]


def told(writes: Sequence[Write], *, target: str = "VM") -> list[float] | None:
    found = parts(writes, vm="vm-1", target=target)
    return None if found is None else [round(value) for value in found.values()]


@pytest.mark.parametrize(
    ("writes", "target", "wanted"),
    [
        (ASKED, "VM", [8, 5, 13, 7, 6, 5]),
        (PATCHED, "VM", [0, 5, 3, 7, 4, 5]),
        ([ASKED[0], *ASKED[5:]], "VMI", [26, 7, 6, 5]),
        (PATCHED[1:], "VMI", [0, 7, 4, 5]),
        (ASKED[:-1], "VM", None),
        (ASKED[2:], "VMI", [0, 7, 6, 5]),
        ([], "VM", None),
    ],
)
def test_parts_of_one_hotplug(writes: list[Write], target: str, wanted: list[float] | None) -> None:
    assert told(writes, target=target) == wanted
    assert told(writes[::-1], target=target) == wanted


def test_the_names_are_in_the_order_of_the_writes() -> None:
    assert list(parts(ASKED, vm="vm-1", target="VM") or {}) == list(rows())


def test_medians_leave_out_what_was_not_found() -> None:
    assert medians([{"a": 1.04}, None, {"a": 3.0}, {"a": 2.0}]) == {"a": 2.0}
    assert medians([None]) == {}
