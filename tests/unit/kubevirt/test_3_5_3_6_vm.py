"""Sections 1.2, 3.5 and 3.6: when a VM's VMI is started and stopped, what it is made of, and the VM's status."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import NOW, condition, uid, vm, vmi

from nicplug_sandbox.kubevirt.vm import new_vmi, printable_status, status, sync

DELETED = "2026-06-01T11:59:59Z"
RUNNING, DONE, FAILED = vmi(), vmi(phase="Succeeded"), vmi(phase="Failed")


@pytest.mark.parametrize(
    ("strategy", "machine", "verb"),
    [
        ("Always", None, "create"),
        ("Always", RUNNING, ""),
        ("Always", DONE, "delete"),
        ("RerunOnFailure", None, "create"),
        ("RerunOnFailure", DONE, ""),
        ("RerunOnFailure", FAILED, "delete"),
        ("Manual", None, ""),
        ("Manual", DONE, ""),
        ("Halted", None, ""),
        ("Halted", RUNNING, "delete"),
        ("Once", None, "create"),
        ("Once", DONE, ""),
        ("Always", vmi(phase="Failed", deletionTimestamp=DELETED), ""),
    ],
)
def test_run_strategies(strategy: str, machine: Any, verb: str) -> None:
    found = [item.verb for item in sync(vm(runStrategy=strategy), machine, now=NOW).writes]
    assert found == ([verb] if verb else [])


def test_once_is_once() -> None:
    assert sync({**vm(runStrategy="Once"), "status": {"created": True}}, None, now=NOW).writes == ()


def test_a_vm_that_is_being_deleted_takes_its_vmi_along_and_then_goes() -> None:
    going = vm()
    going["metadata"] |= {"deletionTimestamp": DELETED, "finalizers": ["kubevirt.io/virtualMachineControllerFinalize"]}
    assert [(item.verb, item.kind) for item in sync(going, RUNNING, now=NOW).writes] == [
        ("delete", "VirtualMachineInstance")
    ]
    (freed,) = sync(going, None, now=NOW).writes
    assert isinstance(freed.body, dict)
    assert freed.body["metadata"]["finalizers"] == []


def test_the_first_write_is_the_api_version() -> None:
    fresh = vm()
    fresh["metadata"]["annotations"] = {}
    (first,) = sync(fresh, None, now=NOW).writes
    assert isinstance(first.body, dict)
    assert first.verb == "update"
    assert set(first.body["metadata"]["annotations"]) == {
        "kubevirt.io/latest-observed-api-version",
        "kubevirt.io/storage-observed-api-version",
    }


def test_the_vmi_is_owned_and_knows_its_generation() -> None:
    made = new_vmi(vm())["metadata"]
    (owner,) = made["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (uid("vm"), True, True)
    assert made["annotations"]["kubevirt.io/vm-generation"] == "2"
    assert "kubevirt.io/virtualMachineControllerFinalize" in made["finalizers"]


@pytest.mark.parametrize(("attach", "count"), [({}, 1), ({"autoattachPodInterface": False}, 0)])
def test_a_vmi_without_networks_gets_the_pod_network(attach: dict[str, bool], count: int) -> None:
    bare = vm()
    bare["spec"]["template"]["spec"] = {"domain": {"devices": attach}}
    made = new_vmi(bare)["spec"]
    assert len(made.get("networks", ())) == count
    assert made["domain"]["devices"].get("interfaces", []) == [{"name": "default", "bridge": {}}][:count]


@pytest.mark.parametrize(
    ("machine", "word"),
    [
        (None, "Starting"),
        (vmi(deletionTimestamp=DELETED), "Stopping"),
        (vmi(status={"migrationState": {"startTimestamp": "2026-06-01T11:59:00Z"}}), "Migrating"),
        (vmi(status={"migrationState": {"startTimestamp": DELETED, "endTimestamp": DELETED}}), "Running"),
        (vmi(conditions=(condition("Paused"),)), "Paused"),
        (vmi(phase="Scheduling", conditions=(condition("PodScheduled", "False", reason="Unschedulable"),)),
         "ErrorUnschedulable"),
        (vmi(phase="Scheduled"), "Starting"),
        (DONE, "Stopped"),
    ],
)  # fmt: skip
def test_the_word_for_people(machine: Any, word: str) -> None:
    assert printable_status(vm(), machine, now=NOW) == word


def test_conditions_are_the_vmis_and_its_own() -> None:
    old = {**vm(), "status": {"conditions": [condition("AgentConnected"), condition("RestartRequired")]}}
    (written,) = status(old, vmi(conditions=(condition("Ready"), condition("LiveMigratable"))), now=NOW).writes
    assert isinstance(written.body, dict)
    found = {item["type"]: item["status"] for item in written.body["status"]["conditions"]}
    assert found == {"RestartRequired": "True", "Ready": "True", "LiveMigratable": "True"}
    assert status(written.body, vmi(conditions=(condition("Ready"), condition("LiveMigratable"))), now=NOW).writes == ()


def test_a_refused_patch_of_the_vmi_is_told_as_failure() -> None:
    (written,) = status(vm(), vmi(), now=NOW, error="the server said no").writes
    assert isinstance(written.body, dict)
    told = next(item for item in written.body["status"]["conditions"] if item["type"] == "Failure")
    assert told["reason"] == "HotPlugNetworkInterfaceError"
    assert told["message"] == "error encountered when trying to patch vmi: the server said no"
