"""Starting, stopping and deleting: what a VM does with its VMI."""

import copy
from typing import Any

import pytest
from tests.build import (
    CREATED,
    NOW,
    VM_UID,
    VMI_UID,
    Json,
    absent,
    kubevirt,
    later,
    nic,
    primary,
    primary_row,
    revision,
    vm,
    vm_view,
    vmi,
)

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Create, Delete, Kind, PatchFinalizers, PatchInterfaces, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vm import plan_vm


def _kinds(plan: Plan) -> list[str]:
    return [type(action).__name__ for action in plan.actions]


def _created(plan: Plan) -> Json:
    (_, action) = plan.actions
    assert isinstance(action, Create)
    assert action.kind is Kind.VMI
    body: Json = thaw(action.body)
    return body


OWN: dict[str, Any] = {"owner_uid": VM_UID}


@pytest.mark.parametrize(
    ("title", "raw", "found", "wanted"),
    [
        ("Always, nothing there: start", vm(), None, ["Create", "Create"]),
        ("running: true is Always", vm(run_strategy=None, running=True), None, ["Create", "Create"]),
        ("Always, running: only the status", vm(), vmi(**OWN), ["PatchStatus"]),
        ("Always, the VMI has ended: make room", vm(), vmi(phase="Succeeded", **OWN), ["Delete"]),
        ("Always, the VMI is on its way out: wait", vm(), vmi(deleting=True, **OWN), ["PatchStatus"]),
        ("Always, somebody else's VMI has the name", vm(), vmi(), ["PatchStatus"]),
        ("Always, a VMI of a former VM of that name", vm(), vmi(owner_uid="before"), ["PatchStatus"]),
        ("Halted, running: stop", vm(run_strategy="Halted"), vmi(**OWN), ["Delete"]),
        ("Halted, stopping: wait", vm(run_strategy="Halted"), vmi(deleting=True, **OWN), ["PatchStatus"]),
        ("Halted, nothing there", vm(run_strategy="Halted"), None, ["PatchStatus"]),
        ("Halted, somebody else's VMI is not ours to stop", vm(run_strategy="Halted"), vmi(), ["PatchStatus"]),
        ("Halted, nor is a former VM's", vm(run_strategy="Halted"), vmi(owner_uid="before"), ["PatchStatus"]),
        ("running: false is Halted", vm(run_strategy=None, running=False), vmi(**OWN), ["Delete"]),
        ("neither is Halted", vm(run_strategy=None), vmi(**OWN), ["Delete"]),
        ("both: neither started nor stopped", vm(running=True), None, ["PatchStatus"]),
        ("both, running: left alone", vm(running=True), vmi(**OWN), ["PatchStatus"]),
        ("Manual: neither started nor stopped", vm(run_strategy="Manual"), None, ["PatchStatus"]),
        ("an unknown strategy", vm(run_strategy="Sometimes"), None, ["PatchStatus"]),
        ("no finalizer yet: first", vm(finalizers=[]), None, ["PatchFinalizers"]),
        (
            "no finalizer, nothing to start: none needed",
            vm(run_strategy="Halted", finalizers=[]),
            None,
            ["PatchStatus"],
        ),
        ("deleted, running: the VMI first", vm(deleting=True), vmi(**OWN), ["Delete"]),
        ("deleted, the VMI is going: wait", vm(deleting=True), vmi(deleting=True, **OWN), []),
        ("deleted, nothing runs: let go", vm(deleting=True), None, ["PatchFinalizers"]),
        ("deleted, somebody else's VMI stays", vm(deleting=True), vmi(), ["PatchFinalizers"]),
        ("deleted, let go by us: others' finalizers", vm(deleting=True, finalizers=["other/one"]), None, []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_run_strategy(title: str, raw: Json, found: Json | None, wanted: list[str]) -> None:
    plan = plan_vm(vm_view(raw, vmi=found, pending_since=later(-9)), now=NOW)
    if wanted == ["Delete"] and found is not None and found["status"]["phase"] == "Succeeded":
        # It never came up, so its failure is written down before the witness goes.
        assert _kinds(plan) == ["PatchStatus"], title
        return
    assert _kinds(plan) == wanted, title


def test_a_vmi_that_had_come_up_makes_room_at_once() -> None:
    ended = vmi(phase="Succeeded", **OWN)
    ended["status"]["phaseTransitionTimestamps"] = [{"phase": "Running", "phaseTransitionTimestamp": CREATED}]
    plan = plan_vm(vm_view(vm(), vmi=ended), now=NOW)
    assert plan.actions == (Delete(kind=Kind.VMI, key=plan.actions[0].key, uid=VMI_UID),)


def test_the_vmi_of_a_vm() -> None:
    raw = vm(primary(), nic("blue"), generation=7)
    raw["spec"]["template"]["metadata"] = {"labels": {"app": "fedora"}, "annotations": {"note": "x"}}
    body = _created(plan_vm(vm_view(raw), now=NOW))
    assert body["spec"] == raw["spec"]["template"]["spec"]
    assert body["metadata"] == {
        "name": "vmi-fedora",
        "namespace": "default",
        "labels": {"app": "fedora"},
        "annotations": {
            "note": "x",
            "kubevirt.io/vm-generation": "7",
            "nicplug.io/template-interfaces": '["blue","default"]',
        },
        "finalizers": [
            "kubevirt.io/virtualMachineControllerFinalize",
            "kubevirt.io/foregroundDeleteVirtualMachine",
        ],
        "ownerReferences": [
            {
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachine",
                "name": "vmi-fedora",
                "uid": VM_UID,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


@pytest.mark.parametrize(
    ("config", "binding"),
    [
        ({}, "bridge"),
        ({"defaultNetworkInterface": "masquerade"}, "masquerade"),
        ({"defaultNetworkInterface": "x"}, "bridge"),
    ],
    ids=["unless configured", "as configured", "as configured wrongly"],
)
def test_a_vm_without_nics_gets_one_on_the_pod_network(config: dict[str, Any], binding: str) -> None:
    body = _created(plan_vm(vm_view(vm(), config=kubevirt("HotplugNICs", **config)), now=NOW))
    assert body["spec"]["networks"] == [{"name": "default", "pod": {}}]
    assert body["spec"]["domain"]["devices"]["interfaces"] == [{"name": "default", binding: {}}]


def test_a_vm_that_wants_no_nic_gets_none() -> None:
    raw = vm()
    raw["spec"]["template"]["spec"]["domain"]["devices"]["autoattachPodInterface"] = False
    body = _created(plan_vm(vm_view(raw), now=NOW))
    assert "networks" not in body["spec"]


def test_the_announcements_are_kubevirts() -> None:
    (started,) = plan_vm(vm_view(vm()), now=NOW).announcements
    assert (started.severity, started.reason) == ("Normal", "SuccessfulCreate")
    assert started.message == "Started the virtual machine by creating the new virtual machine instance vmi-fedora"
    (stopped,) = plan_vm(vm_view(vm(run_strategy="Halted"), vmi=vmi(**OWN)), now=NOW).announcements
    assert (stopped.severity, stopped.reason) == ("Normal", "SuccessfulDelete")
    assert stopped.message == "Stopped the virtual machine by deleting the virtual machine instance vmi-fedora"


class TestRevision:
    """What the VM looked like when it was started, for whoever has to tell what changed since."""

    def test_it_is_made_before_the_vmi_as_kubevirt_makes_it(self) -> None:
        raw = vm(primary(), nic("blue"), generation=7)
        (first, _) = plan_vm(vm_view(raw), now=NOW).actions
        assert isinstance(first, Create)
        assert (first.kind, first.owner_uid) == (Kind.REVISION, VM_UID)
        body = thaw(first.body)
        assert body["metadata"]["name"] == f"revision-start-vm-{VM_UID}-7"
        assert body["metadata"]["labels"] == {"nicplug.io/virtual-machine-uid": VM_UID}
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("VirtualMachine", VM_UID, True)
        assert (body["data"], body["revision"]) == ({"spec": raw["spec"]}, 7)

    def test_one_of_this_generation_is_used_again(self) -> None:
        raw = vm(generation=7)
        (action,) = plan_vm(vm_view(raw, revisions=[revision(raw)]), now=NOW).actions
        assert isinstance(action, Create)
        assert action.kind is Kind.VMI

    def test_those_of_earlier_starts_go_after_it(self) -> None:
        old = [revision(vm(generation=generation)) for generation in (5, 3)]
        made, started, *deleted = plan_vm(vm_view(vm(generation=7), revisions=old), now=NOW).actions
        assert (made.kind, started.kind) == (Kind.REVISION, Kind.VMI)
        assert [action.key.name for action in deleted] == [f"revision-start-vm-{VM_UID}-{n}" for n in (3, 5)]
        assert all(isinstance(action, Delete) and action.uid for action in deleted)


def test_only_its_own_finalizer_is_taken_away() -> None:
    raw = vm(deleting=True, finalizers=["a/b", "kubevirt.io/virtualMachineControllerFinalize", "c/d"])
    (action,) = plan_vm(vm_view(raw), now=NOW).actions
    assert isinstance(action, PatchFinalizers)
    assert action.wanted == ("a/b", "c/d")


def test_what_was_refused_is_not_tried_again_but_told() -> None:
    refusal = Refusal(reason=Reason.FAILED_CREATE, message="quota")
    plan = plan_vm(vm_view(vm(), refusal=refusal, pending_since=later(-9)), now=NOW)
    (action,) = plan.actions
    assert isinstance(action, PatchStatus)
    failure = next(row for row in thaw(action.wanted)["conditions"] if row["type"] == "Failure")
    assert (failure["status"], failure["reason"], failure["message"]) == ("True", "FailedCreate", "quota")


class TestNics:
    """NIC changes flow from the template while the gate is on."""

    def _view(self, *, gate: bool = True, has_config: bool = True, **vmi_members: Any) -> list[str]:
        raw = vm(primary(), nic("blue"))
        running = vmi(primary(), rows=[primary_row()], owner_uid=VM_UID, **vmi_members)
        view = vm_view(raw, vmi=running, config=kubevirt() if gate else kubevirt("x"), has_config=has_config)
        return _kinds(plan_vm(view, now=NOW))

    def test_gate_on(self) -> None:
        assert self._view() == ["PatchInterfaces"]

    def test_gate_off(self) -> None:
        assert "PatchInterfaces" not in self._view(gate=False)

    def test_no_kubevirt_cr(self) -> None:
        assert "PatchInterfaces" not in self._view(has_config=False)

    def test_while_the_vmi_is_deleted(self) -> None:
        assert "PatchInterfaces" not in self._view(deleting=True)

    def test_before_the_guest_runs(self) -> None:
        assert self._view(phase="Scheduling") == ["PatchInterfaces"]

    def test_spec_and_template_in_one_pass(self) -> None:
        """Two writes, one pass: the template forgets what the VMI never had, the VMI gets what is new."""
        raw = vm(primary(), nic("blue"), absent("red"))
        view = vm_view(raw, vmi=vmi(primary(), rows=[primary_row()], owner_uid=VM_UID))
        actions = plan_vm(view, now=NOW).actions
        assert [action.kind for action in actions if isinstance(action, PatchInterfaces)] == [Kind.VMI, Kind.VM]

    def test_a_stopped_vm_forgets_absent_nics_whatever_the_gate(self) -> None:
        view = vm_view(vm(primary(), absent("red"), run_strategy="Halted"), config=kubevirt("x"))
        (action,) = plan_vm(view, now=NOW).actions
        assert isinstance(action, PatchInterfaces)
        assert action.kind is Kind.VM

    def test_a_namesake_vmi_is_not_touched(self) -> None:
        view = vm_view(vm(primary(), nic("blue")), vmi=vmi(primary()), pending_since=later(-9))
        assert _kinds(plan_vm(view, now=NOW)) == ["PatchStatus"]


def test_equal_views_give_equal_plans() -> None:
    raw = vm(primary(), nic("blue"))
    assert plan_vm(vm_view(raw), now=NOW) == plan_vm(vm_view(copy.deepcopy(raw)), now=NOW)
