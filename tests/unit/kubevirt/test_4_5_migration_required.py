"""Section 4.5: condition MigrationRequired and its 15 seconds."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import NOW, net, nic, pod, required, vmi

from nicplug_sandbox.kubevirt.migration_required import wanted_status
from nicplug_sandbox.kubevirt.objects import condition_of
from nicplug_sandbox.kubevirt.vmi import View, status

RED = "podb1f51a511f1"
ROW = {"name": "red", "infoSource": "domain, multus-status", "podInterfaceName": RED}


@pytest.mark.parametrize(
    ("interface", "row", "entry", "answer"),
    [
        (nic("red"), None, None, "False"),
        (nic("red", sriov={}), None, None, "True"),
        (nic("red", state="absent"), None, None, "Unknown"),
        (nic("red"), ROW, {"name": "default/red-nad"}, "Unknown"),
        (nic("red"), ROW, {"name": "red-nad"}, "Unknown"),
        (nic("red"), ROW, {"name": "default/other"}, "True"),
        (nic("red"), ROW, None, "Unknown"),
        (nic("red", state="absent"), {**ROW, "infoSource": "multus-status"}, None, "False"),
        (nic("red", state="absent"), ROW, None, "Unknown"),
        (nic("red", state="absent"), {**ROW, "infoSource": ""}, None, "Unknown"),
        (nic("red"), {**ROW, "infoSource": "multus-status"}, {"name": "default/red-nad"}, "Unknown"),
    ],
)
def test_one_nic(interface: dict[str, Any], row: Any, entry: Any, answer: str) -> None:
    machine = vmi(interface, rows=[row] if row else [])
    entries = [{**entry, "interface": RED}] if entry else []
    assert wanted_status(machine, pod(entries=entries), now=NOW) == answer


@pytest.mark.parametrize(
    ("present", "answer"),
    [
        (None, "False"),
        (required("False", since=14), "False"),
        (required("False", since=15), "False"),
        (required("False", since=16), "True"),
    ],
)
def test_a_pending_nic_has_fifteen_seconds_and_not_one_less(present: Any, answer: str) -> None:
    machine = vmi(nic("red"), conditions=(present,) if present else ())
    assert wanted_status(machine, pod(), now=NOW) == answer


def test_the_first_nic_in_the_order_of_networks_that_needs_something_decides() -> None:
    machine = vmi(nic("vf", sriov={}), nic("red"), networks=[net("red"), net("vf")])
    assert wanted_status(machine, pod(), now=NOW) == "False"


def written(machine: dict[str, Any]) -> tuple[Any, float | None]:
    """The condition after one pass, and when the controller looks again."""
    found = status(View(vmi=machine, pods=[pod()]), now=NOW)
    conditions = machine["status"]["conditions"]
    for item in found.writes:
        for operation in item.body or ():
            if isinstance(operation, dict) and (operation["op"], operation["path"]) == ("add", "/status/conditions"):
                conditions = operation["value"]
    return condition_of({"status": {"conditions": conditions}}, "MigrationRequired"), found.again


def test_pending_is_written_and_looked_at_again_after_ten_seconds() -> None:
    found, again = written(vmi(nic("red")))
    assert (found["status"], found["reason"], again) == ("False", "AutoMigrationPending", 10.0)


def test_the_clock_of_a_pending_condition_is_not_set_back() -> None:
    present = required("False", since=9)
    assert written(vmi(nic("red"), conditions=(present,))) == (present, 10.0)


def test_after_the_time_it_turns_true() -> None:
    found, again = written(vmi(nic("red"), conditions=(required("False", since=20),)))
    assert (found["status"], found["reason"], again) == ("True", "AutoMigrationDueToLiveUpdate", None)


def test_true_is_sticky_while_a_nic_waits_and_goes_when_none_does() -> None:
    assert written(vmi(nic("red"), conditions=(required("True"),)))[0]["status"] == "True"
    assert written(vmi(conditions=(required("True"),)))[0] is None


def test_it_is_left_alone_while_the_vmi_migrates_and_outside_running() -> None:
    moving = {"migrationState": {"startTimestamp": "2026-06-01T11:59:00Z"}}
    assert written(vmi(nic("red"), status=moving)) == (None, None)
    assert written(vmi(nic("red"), phase="Scheduled"))[0] is None
