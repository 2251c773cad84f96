"""Section 4.4: `status.interfaces` from network-status."""

import pytest
from tests.unit.kubevirt.build import NOW, nic, pod, vmi

from nicplug_sandbox.kubevirt.objects import Json
from nicplug_sandbox.kubevirt.pod_networks import status_rows
from nicplug_sandbox.kubevirt.vmi import View, status

RED = "podb1f51a511f1"
DEFAULT: Json = {"interface": "eth0", "default": True}
PRIMARY = {"name": "default", "podInterfaceName": "eth0"}


@pytest.mark.parametrize(
    ("exists", "old", "new"),
    [
        (True, None, {"name": "red", "infoSource": "multus-status", "podInterfaceName": RED}),
        (
            True,
            {"name": "red", "infoSource": "domain", "mac": "m"},
            {"name": "red", "infoSource": "domain, multus-status", "mac": "m", "podInterfaceName": RED},
        ),
        (
            False,
            {"name": "red", "infoSource": "domain, multus-status"},
            {"name": "red", "infoSource": "domain", "podInterfaceName": RED},
        ),
        (False, {"name": "red", "infoSource": "multus-status"}, {"name": "red", "podInterfaceName": RED}),
        (False, None, None),
    ],
)
def test_a_secondary_row(exists: bool, old: dict[str, str] | None, new: dict[str, str] | None) -> None:
    rows = [PRIMARY, *([old] if old else [])]
    entries = [DEFAULT, *([{"interface": RED}] if exists else [])]
    assert status_rows(vmi(nic("red"), rows=rows), pod(entries=entries)) == [PRIMARY, *([new] if new else [])]


def test_the_primary_row_comes_first_and_guest_made_rows_last() -> None:
    guest = {"interfaceName": "docker0", "infoSource": "guest-agent"}
    machine = vmi(nic("red"), rows=[guest, {"name": "default", "infoSource": "domain"}])
    entries: list[Json] = [{"interface": "ens3", "default": True}, {"interface": RED}]
    assert [row.get("name") for row in status_rows(machine, pod(entries=entries))] == ["default", "red", None]
    assert status_rows(machine, pod(entries=entries))[0]["podInterfaceName"] == "ens3"


def test_a_broken_network_status_counts_as_empty() -> None:
    machine = vmi(nic("red"), rows=[PRIMARY, {"name": "red", "infoSource": "domain, multus-status"}])
    assert status_rows(machine, pod(entries="{"))[1]["infoSource"] == "domain"


def test_rows_in_another_order_are_not_written() -> None:
    red = {"name": "red", "infoSource": "multus-status", "podInterfaceName": RED}
    machine = vmi(nic("red"), rows=[red, PRIMARY])
    found = status(View(vmi=machine, pods=[pod(entries=[DEFAULT, {"interface": RED}])]), now=NOW).writes
    assert "/status/interfaces" not in str([item.body for item in found])


def test_rows_are_written_with_a_test_of_the_old_ones() -> None:
    machine = vmi(nic("red"))
    (found,) = status(View(vmi=machine, pods=[pod(entries=[DEFAULT, {"interface": RED}])]), now=NOW).writes
    assert isinstance(found.body, list)
    operations = [item for item in found.body if item["path"] == "/status/interfaces"]
    assert [(item["op"], len(item["value"])) for item in operations] == [("test", 1), ("add", 2)]
    assert found.verb == "patch"
