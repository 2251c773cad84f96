"""Sections 1.2, 3.5 and 3.6: when a VM's VMI is started and stopped, what it is made of, and the VM's status."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import NOW, condition, nic, uid, vm, vmi

from nicplug_sandbox.kubevirt.run_strategy import View, new_vmi
from nicplug_sandbox.kubevirt.vm import first_writes, let_go, sync
from nicplug_sandbox.kubevirt.vm_status import printable_status, status
from nicplug_sandbox.kubevirt.writes import Decision, WriteRefused

DELETED = "2026-06-01T11:59:59Z"
FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
RUNNING, DONE, FAILED = vmi(), vmi(phase="Succeeded"), vmi(phase="Failed")
START: list[Any] = [{"action": "Start"}]
STOP: list[Any] = [{"action": "Stop", "uid": uid("vmi-fedora")}]
STOP_OF_ANOTHER: list[Any] = [{"action": "Stop", "uid": "other"}]


def synced(machine: Any, guest: Any = None) -> Decision:
    return sync(View(vm=machine, vmi=guest), now=NOW)


def written(machine: Any, guest: Any = None, **more: Any) -> Any:
    """The VM with the status that is written, or as it is."""
    found = status(View(vm=machine, vmi=guest), now=NOW, **more)
    return found.writes[0].body if found.writes else machine


@pytest.mark.parametrize(
    ("strategy", "machine", "requests", "verbs"),
    [
        ("Always", None, [], "create create"),
        ("Always", RUNNING, [], ""),
        ("Always", RUNNING, STOP, "delete"),
        ("Always", RUNNING, STOP_OF_ANOTHER, ""),
        ("Always", DONE, [], "delete"),
        ("RerunOnFailure", None, [], "create create"),
        ("RerunOnFailure", RUNNING, STOP, "delete"),
        ("RerunOnFailure", DONE, [], "delete"),
        ("RerunOnFailure", FAILED, [], "delete patch-status"),
        ("Manual", None, [], ""),
        ("Manual", None, START, "create create"),
        ("Manual", RUNNING, STOP, "delete"),
        ("Manual", DONE, [], ""),
        ("Halted", None, [], ""),
        ("Halted", None, START, "update"),
        ("Halted", RUNNING, [], "delete"),
        ("Once", None, [], "create create"),
        ("Once", DONE, [], ""),
        ("Once", FAILED, [], ""),
        ("Always", vmi(phase="Failed", deletionTimestamp=DELETED), [], ""),
    ],
)
def test_run_strategies(strategy: str, machine: Any, requests: list[Any], verbs: str) -> None:
    """Two creations: the ControllerRevision, and the VMI."""
    found = synced({**vm(runStrategy=strategy), "status": {"stateChangeRequests": requests}}, machine)
    assert " ".join(item.verb for item in found.writes) == verbs


def test_a_vm_that_reruns_on_failure_starts_again_only_when_its_guest_has_failed() -> None:
    """What it was before decides whether it starts at all; after a failure the request that it made itself does."""
    known = {"runStrategy": "RerunOnFailure"}
    assert synced({**vm(runStrategy="RerunOnFailure"), "status": known}).writes == ()
    assert synced({**vm(runStrategy="RerunOnFailure"), "status": {"runStrategy": "Halted"}}).writes
    assert synced({**vm(runStrategy="RerunOnFailure"), "status": {**known, "stateChangeRequests": START}}).writes


def test_once_does_not_start_a_guest_again_that_ends_but_one_that_is_deleted() -> None:
    """KubeVirt asks for this strategy whether there is a VMI, and nothing else."""
    known = {**vm(runStrategy="Once"), "status": {"runStrategy": "Once", "printableStatus": "Stopped"}}
    assert synced(known, DONE).writes == ()
    assert [item.kind for item in synced(known).writes] == ["ControllerRevision", "VirtualMachineInstance"]


@pytest.mark.parametrize(
    ("requests", "machine", "left"),
    [
        (START, RUNNING, []),
        (START, None, START),
        (START, FAILED, START),
        (STOP, None, []),
        (STOP, RUNNING, STOP),
        (STOP_OF_ANOTHER, RUNNING, []),
        ([*STOP, *START], None, START),
    ],
)
def test_one_request_at_a_time_goes_when_it_is_done(requests: list[Any], machine: Any, left: list[Any]) -> None:
    found = written({**vm(), "status": {"stateChangeRequests": requests}}, machine)
    assert found["status"].get("stateChangeRequests", []) == left


def test_a_vm_that_is_being_deleted_takes_its_vmi_along_and_then_goes() -> None:
    going = vm()
    going["metadata"] |= {"deletionTimestamp": DELETED, "finalizers": [FINALIZER]}
    assert [(item.verb, item.kind) for item in synced(going, RUNNING).writes] == [("delete", "VirtualMachineInstance")]
    (freed,) = synced(going).writes
    assert isinstance(freed.body, list)
    assert freed.body[-1] == {"op": "add", "path": "/metadata/finalizers", "value": []}


def test_the_first_write_is_the_api_version_and_the_next_the_finalizer() -> None:
    fresh = vm()
    fresh["metadata"] |= {"annotations": {}, "finalizers": []}
    (first,) = first_writes(View(vm=fresh)).writes
    assert isinstance(first.body, dict)
    assert first.verb == "update"
    assert set(first.body["metadata"]["annotations"]) == {
        "kubevirt.io/latest-observed-api-version",
        "kubevirt.io/storage-observed-api-version",
    }
    (second,) = first_writes(View(vm=first.body)).writes
    assert second.body == [
        {"op": "test", "path": "/metadata/finalizers", "value": []},
        {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]},
    ]
    assert first_writes(View(vm=vm())).writes == ()


@pytest.mark.parametrize(("phase", "goes"), [("Running", False), ("Failed", True), ("Succeeded", True)])
def test_the_vm_gives_a_guest_free_that_has_ended(phase: str, goes: bool) -> None:
    found = let_go(vmi(phase=phase, finalizers=[FINALIZER, "other"]))
    assert [item.body[-1]["value"] for item in found.writes if isinstance(item.body, list)] == ([["other"]] * goes)


def test_the_events_name_the_vmi_that_is_made_and_the_uid_of_one_that_is_deleted() -> None:
    *_, made = synced(vm()).writes
    (gone,) = synced(vm(), DONE).writes
    assert made.said is not None
    assert gone.said is not None
    assert made.said.told(name="fedora").message == (
        "Started the virtual machine by creating the new virtual machine instance fedora"
    )
    assert gone.said.message == (
        f"Stopped the virtual machine by deleting the virtual machine instance {uid('vmi-fedora')}"
    )


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
        (None, "Stopped"),
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
    guest = vmi(conditions=(condition("Ready"), condition("LiveMigratable")))
    found = written(old, guest)
    told = {item["type"]: item["status"] for item in found["status"]["conditions"]}
    assert told == {"RestartRequired": "True", "Ready": "True", "LiveMigratable": "True"}
    assert written(found, guest) is found


def test_the_strategy_and_the_generations_are_told_once_a_guest_was_made() -> None:
    assert {"runStrategy", "observedGeneration", "desiredGeneration", "created"}.isdisjoint(written(vm())["status"])
    guest = vmi(annotations={"kubevirt.io/vm-generation": "1"})
    told = written(vm(), guest)["status"]
    assert (told["runStrategy"], told["observedGeneration"], told["desiredGeneration"]) == ("Always", 1, 2)
    assert written({**vm(runStrategy="Manual"), "status": told})["status"]["runStrategy"] == "Manual"


def test_a_refused_write_is_told_as_failure_and_goes_with_the_next_success() -> None:
    refused = WriteRefused("error encountered when trying to patch vmi: no", reason="HotPlugNetworkInterfaceError")
    found = written(vm(), vmi(), error=refused)
    told = next(item for item in found["status"]["conditions"] if item["type"] == "Failure")
    assert (told["reason"], told["message"]) == (refused.reason, refused.message)
    assert "Failure" not in {item["type"] for item in written(found, vmi())["status"]["conditions"]}


@pytest.mark.parametrize(
    ("machine", "guest", "reason", "message"),
    [
        (vm(), None, "FailedCreate", "Failure while starting VMI: no"),
        (vm(), DONE, "FailedDelete", "Failure attempting to delete VMI: no"),
        (vm(nic("blue")), vmi(), "HotPlugNetworkInterfaceError", "error encountered when trying to patch vmi: no"),
    ],
)
def test_each_write_says_what_its_refusal_means(machine: Any, guest: Any, reason: str, message: str) -> None:
    refused = synced(machine, guest).writes[-1].refused("no")
    assert (refused.reason, refused.message) == (reason, message)
