"""What an InterfaceReport contains, and when it is created, replaced and removed."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.build import (
    NAME,
    NOW,
    REPORT_UID,
    VM_UID,
    VMI_UID,
    Json,
    absent,
    companion_view,
    element,
    failed,
    interface_report,
    kubevirt,
    later,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vmi,
)

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.interface_report import interfaces_hash
from nicplug.plan.actions import Create, Delete, Kind, PatchOwnership, PatchStatus
from nicplug.plan.companion.plan_companion import decide_companion
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason

READY = DynamicController(state=ControllerState.READY, daemon_set="kube-system/dynamic-networks-controller-ds")
BLUE, RED = nic("blue"), nic("red")
BLUE_ROW = row("blue", "domain", "multus-status")
BLUE_READY = operation("blue", phase="Ready", reason="Plugged")


def view(
    raw: Json | None,
    *,
    machine: Json | None,
    report: Json | None = None,
    networks: tuple[str, ...] = ("blue",),
    attached: tuple[str, ...] = (),
    **members: Any,
) -> CompanionView:
    """What is known of a VM on a node with a controller; a withheld report is due.

    Args:
        networks: its pod is asked for these.
        attached: its pod has these.
    """
    facts: Json = {
        "controller": READY,
        "nads": [nad("blue-net"), nad("red-net")],
        "config": kubevirt(),
        "pending_since": later(-60),
    }
    asked = pod(networks=list(map(element, networks)), attached=attached)
    return companion_view(raw, asked, vm=machine, report=report, **{**facts, **members})


def decide(seen: CompanionView, *, now: datetime = NOW) -> Plan:
    """The plan alone."""
    return decide_companion(seen, now=now).plan


def running(*nics: Any, rows: tuple[Json, ...] = (), owned: bool = True, **members: Any) -> Json:
    """A VMI that runs, a VM's unless said otherwise."""
    owner_uid = VM_UID if owned else None
    return vmi(primary(), *nics, rows=[primary_row(), *rows], owner_uid=owner_uid, **members)


def machine(*nics: Any, **members: Any) -> Json:
    """A VM with a primary NIC and these."""
    return vm(primary(), *nics, **members)


def status_of(plan: Plan) -> Json:
    """The members that are written."""
    patches = [item for item in plan.actions if isinstance(item, PatchStatus)]
    assert {item.kind for item in patches} <= {Kind.REPORT}
    found: Json = json.loads(json.dumps({name: item for patch in patches for name, item in thaw(patch.wanted).items()}))
    return found


def ready(plan: Plan) -> Json:
    """The condition InterfacesReady that is written."""
    found: Json = next(item for item in status_of(plan)["conditions"] if item["type"] == "InterfacesReady")
    return found


def created(plan: Plan) -> Json:
    """The report that is created; nothing else is done."""
    (create,) = plan.actions
    assert isinstance(create, Create)
    assert create.kind is Kind.REPORT
    body: Json = thaw(create.body)
    return body


def is_deleted(plan: Plan) -> bool:
    """The report is deleted; nothing else is written then."""
    gone = [item for item in plan.actions if isinstance(item, Delete) and item.kind is Kind.REPORT]
    assert not gone or len(plan.actions) == 1
    return bool(gone)


def written(plan: Plan, of: Json | None = None) -> Json:
    """The report after the plan."""
    return interface_report(**{**((of or {}).get("status") or {}), **status_of(plan)})


def test_a_vm_gets_a_report() -> None:
    body = created(decide(view(running(BLUE), machine=machine(BLUE))))
    assert (body["metadata"]["name"], body["metadata"]["labels"]) == (NAME, {"app.kubernetes.io/managed-by": "nicplug"})
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("VirtualMachine", VM_UID)
    assert (owner["controller"], owner["blockOwnerDeletion"]) == (True, False)


def test_a_bare_vmi_owns_its_report() -> None:
    body = created(decide(view(running(BLUE, owned=False), machine=None)))
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("VirtualMachineInstance", VMI_UID)


def test_a_vm_without_a_vmi_has_a_report_as_well() -> None:
    seen = view(None, machine=machine(BLUE, generation=3))
    assert created(decide(seen))["metadata"]["name"] == NAME
    plan = decide(view(None, machine=machine(BLUE, generation=3), report=interface_report()))
    status = status_of(plan)
    assert (status["vmUid"], status["observedGeneration"]) == (VM_UID, 3)
    assert status["reason"] == Reason.GUEST_NOT_RUNNING
    assert (ready(plan)["status"], ready(plan)["observedGeneration"]) == ("False", 3)
    assert "vmiUid" not in status


def test_nothing_without_secondary_nics() -> None:
    assert decide(view(running(), machine=machine())).actions == ()
    assert decide(view(None, machine=machine())).actions == ()


def test_a_nic_that_has_come() -> None:
    raw = running(BLUE, rows=(BLUE_ROW,), generation=77)
    plan = decide(view(raw, machine=machine(BLUE, generation=4), report=interface_report(), attached=("blue",)))
    status = status_of(plan)
    assert (status["vmUid"], status["vmiUid"], status["observedGeneration"]) == (VM_UID, VMI_UID, 4)
    assert status["interfacesHash"] == interfaces_hash(raw["spec"])
    assert status["interfacesGeneration"] == 1, "not the VMI's, which counts writes of its status"
    assert status["ready"] == "2/2"
    assert (ready(plan)["status"], ready(plan)["observedGeneration"]) == ("True", 4)
    assert not {"reason", "message", "nextAttemptTime"} & status.keys()


def test_a_nic_that_waits() -> None:
    plan = decide(view(running(BLUE), machine=machine(BLUE), report=interface_report()))
    status = status_of(plan)
    assert status["ready"] == "1/2"
    assert status["reason"] == Reason.WAITING_FOR_POD_INTERFACE
    assert status["message"].startswith('NIC "blue": ')
    assert ready(plan)["status"] == "False"
    (record,) = status["interfaceOperations"]
    assert (record["name"], record["path"], record["phase"]) == ("blue", "Dynamic", "Pending")


def test_a_nic_of_the_template_that_virt_controller_has_not_seen_yet() -> None:
    """The generation is the VM's, so the condition must not be True before the NIC is there."""
    plan = decide(view(running(), machine=machine(BLUE, generation=5), report=interface_report(), networks=()))
    assert (ready(plan)["status"], ready(plan)["observedGeneration"]) == ("False", 5)
    assert [item["name"] for item in status_of(plan)["interfaceOperations"]] == ["blue"]


def test_a_bare_vmi_observes_its_nics() -> None:
    raw = running(BLUE, rows=(BLUE_ROW,), owned=False, generation=77)
    owners: Json = {"owner_kind": "VirtualMachineInstance", "owner_uid": VMI_UID}
    known: Json = {"vmiUid": VMI_UID, "interfacesHash": "another", "interfacesGeneration": 2}
    plan = decide(view(raw, machine=None, report=interface_report(**owners, **known), attached=("blue",)))
    assert status_of(plan)["interfacesGeneration"] == 3
    assert ready(plan)["observedGeneration"] == 3
    assert not {"vmUid", "observedGeneration"} & status_of(plan).keys()


def test_at_rest_nothing_is_written() -> None:
    raw, its_vm = running(BLUE, rows=(BLUE_ROW,)), machine(BLUE)
    plan = decide(view(raw, machine=its_vm, report=interface_report(), attached=("blue",)))
    again = decide(view(raw, machine=its_vm, report=written(plan), attached=("blue",)), now=later(100))
    assert (again.actions, again.again_at) == ((), None)


def _writes(raw: Json, its_vm: Json, *, report: Json, seconds: int = 60, **members: Any) -> list[int]:
    """In which seconds the report is written, if nobody does anything."""
    found: list[int] = []
    for second in range(seconds):
        now = later(second)
        plan = decide(view(raw, machine=its_vm, report=report, pending_since=later(second - 60), **members), now=now)
        if plan.actions:
            found.append(second)
            report = written(plan, report)
    return found


@pytest.mark.parametrize("may_migrate", [False, True], ids=["only reports", "may migrate"])
@pytest.mark.parametrize(
    ("nics", "rows"),
    [((BLUE, RED), (BLUE_ROW,)), ((absent("blue"),), ())],
    ids=["plug", "unplug"],
)
def test_a_change_that_virt_controller_has_not_asked_the_pod_for_waits_for_it(
    nics: tuple[Any, ...], rows: tuple[Json, ...], may_migrate: bool
) -> None:
    """While virt-controller was down, each pass was counted as an attempt and written, and the time ran out."""
    raw = running(*nics, rows=rows)
    facts: Json = {"attached": ("blue",), "ignores_methods": may_migrate}
    assert _writes(raw, machine(*nics), report=interface_report(), **facts) == [0, 5]


def test_the_time_of_a_change_begins_when_virt_controller_asks_the_pod_for_it() -> None:
    raw, its_vm = running(BLUE, RED, rows=(BLUE_ROW,)), machine(BLUE, RED)
    before = written(decide(view(raw, machine=its_vm, report=interface_report(), attached=("blue",))))
    asked: Json = {"networks": ("blue", "red"), "attached": ("blue",), "pending_since": NOW}
    now = later(60)
    plan = decide(view(raw, machine=its_vm, report=before, **asked), now=now)
    (record,) = status_of(plan)["interfaceOperations"]
    assert (record["reason"], record["attempts"]) == (Reason.WAITING_FOR_POD_INTERFACE, 1)
    report = written(plan, before)
    late = decide(view(raw, machine=its_vm, report=report, **asked), now=now + timedelta(seconds=11))
    (record,) = status_of(late)["interfaceOperations"]
    assert (record["reason"], record["attempts"]) == (Reason.DYNAMIC_TIMEOUT, 1)


def test_nobody_asks_again_for_what_a_controller_fails_to_attach() -> None:
    raw, its_vm = running(BLUE, RED, rows=(BLUE_ROW,)), machine(BLUE, RED)
    facts: Json = {"networks": ("blue", "red"), "attached": ("blue",), "failures": (failed("red"),)}
    plan = decide(view(raw, machine=its_vm, report=interface_report(), **facts))
    (record,) = status_of(plan)["interfaceOperations"]
    assert (record["reason"], record["attempts"]) == (Reason.ATTACH_FAILED, 1)
    assert "nextAttemptTime" not in record
    assert "nextAttemptTime" not in status_of(plan)


def test_the_vm_is_migrated_a_second_after_the_last_failure_that_a_controller_reported() -> None:
    """Before, nothing happened until dynamicTimeout, as the second failure that ends the path never came."""
    migratable: Json = {"type": "LiveMigratable", "status": "True"}
    raw, its_vm = running(BLUE, RED, rows=(BLUE_ROW,), conditions=(migratable,)), machine(BLUE, RED)
    facts: Json = {
        "networks": ("blue", "red"),
        "attached": ("blue",),
        "ignores_methods": True,
        "report": interface_report(vmUid=VM_UID, vmiUid=VMI_UID),
    }
    early = decide(view(raw, machine=its_vm, failures=(failed("red", at=later(0.5)),), **facts), now=later(1.4))
    assert not [item for item in early.actions if isinstance(item, Create)]
    assert early.again_at == later(1.5)
    due = decide(view(raw, machine=its_vm, failures=(failed("red", at=later(0.5)),), **facts), now=later(1.5))
    assert [item.kind for item in due.actions if isinstance(item, Create)] == [Kind.MIGRATION]
    (record,) = status_of(due)["interfaceOperations"]
    assert (record["reason"], record["path"]) == (Reason.ATTACH_FAILED, "Migration")
    assert "failed once to attach" in record["message"]


def test_an_interface_that_kubevirt_leaves_in_the_pod_is_none_of_the_vms_nics() -> None:
    """A NIC was unplugged before it had arrived: virt-controller does not take its element back."""
    stray: Json = {"networks": ("blue", "red"), "attached": ("blue", "red")}
    raw, its_vm = running(BLUE, rows=(BLUE_ROW,)), machine(BLUE)
    plan = decide(view(raw, machine=its_vm, report=interface_report(), **stray))
    assert ready(plan)["status"] == "True"
    assert _writes(raw, its_vm, report=written(plan), **stray) == []


def test_an_interface_that_a_controller_is_asked_to_detach_is_waited_for() -> None:
    raw, its_vm = running(BLUE, rows=(BLUE_ROW,)), machine(BLUE)
    plan = decide(view(raw, machine=its_vm, report=interface_report(), attached=("blue", "red")))
    assert (ready(plan)["status"], status_of(plan)["reason"]) == ("False", Reason.WAITING_FOR_POD_RELEASE)


def test_a_stopped_vm_is_at_rest() -> None:
    its_vm = machine(BLUE)
    plan = decide(view(None, machine=its_vm, report=interface_report()))
    again = decide(view(None, machine=its_vm, report=written(plan)), now=later(100))
    assert again.actions == ()


def test_writes_of_the_vmis_status_alone_write_no_report() -> None:
    """KubeVirt's VMIs have no subresource for it, so that their generation rises."""
    its_vm = machine(BLUE)
    plan = decide(view(running(BLUE, rows=(BLUE_ROW,)), machine=its_vm, report=interface_report(), attached=("blue",)))
    raw = running(BLUE, rows=(BLUE_ROW,), generation=99)
    assert decide(view(raw, machine=its_vm, report=written(plan), attached=("blue",))).actions == ()


def test_a_stopped_vm_forgets_its_guest() -> None:
    raw, its_vm = running(BLUE, rows=(BLUE_ROW,)), machine(BLUE)
    before = written(decide(view(raw, machine=its_vm, report=interface_report(), attached=("blue",))))
    status = status_of(decide(view(None, machine=its_vm, report=before)))
    assert all(status[name] is None for name in ("vmiUid", "ready", "interfacesHash", "interfacesGeneration"))


def test_the_generation_of_the_nics_rises_with_each_change() -> None:
    known: Json = {
        "vmiUid": VMI_UID,
        "interfacesHash": interfaces_hash(running(BLUE)["spec"]),
        "interfacesGeneration": 3,
    }
    same = decide(view(running(BLUE), machine=machine(BLUE), report=interface_report(**known)))
    other = decide(view(running(BLUE, RED), machine=machine(BLUE, RED), report=interface_report(**known)))
    assert "interfacesGeneration" not in status_of(same)
    assert status_of(other)["interfacesGeneration"] == 4


def test_a_vmi_of_the_same_name_begins_anew() -> None:
    """The records of the VMI before it tell nothing about it."""
    failed = operation("blue", path="Migration", phase="Failed", reason="MigrationFailed", attempts=5)
    known = interface_report(vmUid=VM_UID, vmiUid="another", interfacesGeneration=7, interfaceOperations=[failed])
    plan = decide(view(running(BLUE, rows=(BLUE_ROW,)), machine=machine(BLUE), report=known, attached=("blue",)))
    status = status_of(plan)
    assert (status["vmiUid"], status["interfacesGeneration"], status["ready"]) == (VMI_UID, 1, "2/2")
    assert "MigrationFailed" not in str(status)
    assert "InterfacePlugged" not in {item.reason for item in plan.announcements}, "it has it since its start"


EARLIER: Json = {"owner_uid": "another", "vmUid": "another", "vmiUid": "another"}


@pytest.mark.parametrize("edited", [EARLIER, {"owner_uid": "another"}, {"ownerReferences": None}], ids=str)
def test_a_report_of_an_earlier_vm_of_that_name_is_replaced(edited: Json) -> None:
    seen = view(running(BLUE), machine=machine(BLUE), report=interface_report(**edited))
    assert is_deleted(decide(seen))
    going = view(running(BLUE), machine=machine(BLUE), report=interface_report(**edited, deleting=True))
    assert decide(going).actions == (), "it is being deleted"


@pytest.mark.parametrize(
    ("edited", "members"),
    [
        ({"owner_uid": "another"}, {"ownerReferences"}),
        ({"owner_kind": "VirtualMachineInstance", "owner_uid": VMI_UID}, {"ownerReferences"}),
        ({"ownerReferences": None}, {"ownerReferences"}),
        ({"labels": None}, {"labels"}),
        ({"labels": {"app.kubernetes.io/managed-by": "somebody"}}, {"labels"}),
        ({"labels": None, "ownerReferences": None}, {"labels", "ownerReferences"}),
    ],
    ids=["another owner", "the VMI is its owner", "owner removed", "label removed", "label changed", "both"],
)
@pytest.mark.parametrize("known", [{"vmUid": VM_UID}, {"vmiUid": VMI_UID}], ids=["of this VM", "of this VMI"])
def test_label_and_owner_are_restored_after_an_edit(known: Json, edited: Json, members: set[str]) -> None:
    """The records, and what was counted, are in this report alone."""
    found = decide(view(running(BLUE), machine=machine(BLUE), report=interface_report(**known, **edited)))
    (patch,) = [item for item in found.actions if isinstance(item, PatchOwnership)]
    assert thaw(patch.wanted).keys() == members
    assert {"op": "test", "path": "/metadata/uid", "value": REPORT_UID} in patch.json_patch()
    assert not [item for item in found.actions if isinstance(item, Delete)]
    assert status_of(found)["interfaceOperations"], "the status goes on"


def test_label_and_owner_of_a_report_that_goes_are_left() -> None:
    going = interface_report(vmUid=VM_UID, vmiUid=VMI_UID, labels=None, deleting=True)
    found = decide(view(running(BLUE), machine=machine(BLUE), report=going))
    assert not [item for item in found.actions if isinstance(item, PatchOwnership)]


def test_a_condition_that_nicplug_does_not_write_is_removed() -> None:
    raw, its_vm = running(BLUE, rows=(BLUE_ROW,)), machine(BLUE)
    forged = written(decide(view(raw, machine=its_vm, report=interface_report(), attached=("blue",))))
    (condition,) = forged["status"]["conditions"]
    forged["status"]["conditions"] = [{"type": "Forged", "status": "True"}, condition, {**condition, "status": "False"}]
    found = decide(view(raw, machine=its_vm, report=forged, attached=("blue",)), now=later(10))
    assert status_of(found) == {"conditions": [condition]}


@pytest.mark.parametrize("generation", [2**63 - 1, 2**70, 0, -5])
def test_a_generation_that_cannot_rise_begins_again(generation: int) -> None:
    known: Json = {"vmiUid": VMI_UID, "interfacesHash": "another", "interfacesGeneration": generation}
    found = decide(view(running(BLUE), machine=machine(BLUE), report=interface_report(**known)))
    assert status_of(found)["interfacesGeneration"] == 1


def test_nothing_is_migrated_for_a_vm_without_a_report() -> None:
    """Whoever cannot report would migrate it again and again."""
    needs: Json = {"config": _migrates(), "controller": DynamicController(state=ControllerState.NOT_DEPLOYED)}
    raw = running(BLUE, conditions=({"type": "LiveMigratable", "status": "True"},))
    for known in (None, interface_report(), interface_report(vmUid=VM_UID, vmiUid="another")):
        plan = decide(view(raw, machine=machine(BLUE), report=known, spec_seen_at=later(-60), **needs))
        assert {item.kind for item in plan.actions} == {Kind.REPORT}
        assert plan.again_at == NOW, "what had to wait follows at once"
    recorded = interface_report(vmUid=VM_UID, vmiUid=VMI_UID)
    plan = decide(view(raw, machine=machine(BLUE), report=recorded, spec_seen_at=later(-60), **needs))
    assert [item.kind for item in plan.actions] == [Kind.MIGRATION, Kind.REPORT]


def _migrates() -> Json:
    raw = kubevirt()
    raw["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": ["LiveMigrate"]}
    return raw


def test_a_deleted_report_is_waited_for_without_haste() -> None:
    going = interface_report(**EARLIER, deleting=True)
    again_at = decide(view(running(BLUE), machine=machine(BLUE), report=going)).again_at
    assert again_at is None or again_at > NOW


def test_what_somebody_wrote_into_the_status_is_written_over() -> None:
    raw, its_vm = running(BLUE, rows=(BLUE_ROW,)), machine(BLUE)
    plan = decide(view(raw, machine=its_vm, report=interface_report(), attached=("blue",)))
    lies = written(plan)
    lies["status"] |= {"ready": "7/7", "reason": "Lies", "observedGeneration": 99}
    found = status_of(decide(view(raw, machine=its_vm, report=lies, attached=("blue",)), now=later(10)))
    assert found == {"ready": "2/2", "reason": None, "observedGeneration": 1}


def test_the_report_goes_with_the_last_nic() -> None:
    known = interface_report(vmUid=VM_UID, vmiUid=VMI_UID)
    assert is_deleted(decide(view(running(), machine=machine(), report=known, networks=())))
    gone = interface_report(vmUid=VM_UID, vmiUid=VMI_UID, deleting=True)
    assert decide(view(running(), machine=machine(), report=gone, networks=())).actions == ()


def test_the_end_of_the_last_nic_is_told() -> None:
    record = operation("blue", type_="Unplug", phase="Pending", reason="WaitingForPodRelease")
    known = interface_report(vmUid=VM_UID, vmiUid=VMI_UID, interfaceOperations=[record])
    plan = decide(view(running(), machine=machine(), report=known, networks=()))
    assert "InterfaceUnplugged" in {item.reason for item in plan.announcements}


def test_the_report_stays_while_the_last_nic_leaves() -> None:
    leaving = absent("blue")
    raw = running(leaving, rows=(BLUE_ROW,))
    plan = decide(view(raw, machine=machine(leaving), report=interface_report(), attached=("blue",)))
    assert not is_deleted(plan)
    (record,) = status_of(plan)["interfaceOperations"]
    assert record["operation"] == "Unplug"


@pytest.mark.parametrize("phase", ["Pending", "Scheduling", "Scheduled", "Succeeded", "Failed"])
def test_a_guest_that_does_not_run(phase: str) -> None:
    record = operation("blue", path="Migration")
    known = interface_report(vmUid=VM_UID, vmiUid=VMI_UID, ready="1/2", interfaceOperations=[record])
    plan = decide(view(running(BLUE, phase=phase), machine=machine(BLUE), report=known))
    status = status_of(plan)
    assert (status["reason"], status["ready"]) == (Reason.GUEST_NOT_RUNNING, None)
    assert ready(plan)["status"] == "False"
    assert not [item for item in plan.actions if not isinstance(item, PatchStatus)]


def test_a_vmi_that_is_being_deleted_is_not_ready() -> None:
    """Its guest goes without the NIC that it was waiting for; a script must not take that for success."""
    record = operation("blue", path="Migration")
    known = interface_report(vmUid=VM_UID, vmiUid=VMI_UID, ready="1/2", interfaceOperations=[record])
    plan = decide(view(running(BLUE, deleting=True), machine=machine(BLUE), report=known))
    assert (ready(plan)["status"], ready(plan)["reason"]) == ("False", Reason.GUEST_NOT_RUNNING)
    status = status_of(plan)
    assert (status["reason"], status["ready"]) == (Reason.GUEST_NOT_RUNNING, None)


def test_a_vmi_that_is_being_deleted_gets_no_migration() -> None:
    plan = decide(view(running(BLUE, deleting=True), machine=machine(BLUE), report=interface_report()))
    assert not [item for item in plan.actions if not isinstance(item, PatchStatus)]


def test_policies_that_cannot_hold_are_reported_once() -> None:
    raw, its_vm = running(BLUE, rows=(BLUE_ROW,)), machine(BLUE)
    config = kubevirt(hotplug={"onFailure": "Rollback", "removalPolicy": "Declarative"})
    plan = decide(view(raw, machine=its_vm, report=interface_report(), attached=("blue",), config=config))
    (condition,) = [item for item in status_of(plan)["conditions"] if item["type"] == "InvalidHotplugPolicy"]
    assert "onFailure: Rollback" in condition["message"]
    assert "removalPolicy: Declarative" in condition["message"]
    assert "InvalidHotplugPolicy" in {item.reason for item in plan.announcements}
    again = decide(view(raw, machine=its_vm, report=written(plan), attached=("blue",), config=config), now=later(100))
    assert (again.actions, again.announcements) == ((), ())


def test_the_first_record_of_a_nic_is_written_at_once() -> None:
    """A NIC that comes before it would be taken for one that the guest was started with: no record, no event."""
    plan = decide(view(running(BLUE), machine=machine(BLUE), report=interface_report(), pending_since=None))
    assert [item["name"] for item in status_of(plan)["interfaceOperations"]] == ["blue"]


def test_the_first_record_of_an_unplug_is_written_at_once() -> None:
    """The event and the measure of its end are those of the record."""
    leaving = absent("blue")
    known = interface_report(vmUid=VM_UID, vmiUid=VMI_UID, interfaceOperations=[BLUE_READY])
    raw = running(leaving, rows=(BLUE_ROW,))
    plan = decide(view(raw, machine=machine(leaving), report=known, attached=("blue",), pending_since=None))
    (record,) = status_of(plan)["interfaceOperations"]
    assert record["operation"] == "Unplug"


def test_a_report_about_progress_waits_to_be_combined() -> None:
    record = operation("blue", phase="Pending", reason="Retrying", since=later(-2))
    known = interface_report(vmUid=VM_UID, vmiUid=VMI_UID, ready="1/2", interfaceOperations=[record])
    plan = decide(view(running(BLUE), machine=machine(BLUE), report=known, pending_since=None))
    assert plan.withholds_report
    assert plan.again_at is not None
    assert plan.again_at > NOW
    late = decide(view(running(BLUE), machine=machine(BLUE), report=known))
    assert status_of(late)["reason"] == Reason.WAITING_FOR_POD_INTERFACE


def test_an_event_is_told_with_the_record_that_it_is_about() -> None:
    record = operation("blue", path="Dynamic", since=later(-2))
    known = interface_report(vmUid=VM_UID, vmiUid=VMI_UID, interfaceOperations=[record])
    raw, its_vm = running(BLUE, rows=(BLUE_ROW,)), machine(BLUE)
    plan = decide(view(raw, machine=its_vm, report=known, attached=("blue",)))
    assert [item.reason for item in plan.announcements] == ["InterfacePlugged"]
    again = decide(view(raw, machine=its_vm, report=written(plan, known), attached=("blue",)))
    assert again.announcements == ()


def test_the_condition_of_an_invalid_policy_had_the_generation_of_the_nics() -> None:
    """That of a VM, as all conditions of a report; of a bare VMI none."""
    policy = HotplugPolicy(problems=("migration: Perhaps is no value",))

    def generation(owned: bool) -> int | None:
        owner = machine(BLUE, generation=7) if owned else None
        of_vmi = interface_report(owner_kind="VirtualMachineInstance", owner_uid=VMI_UID)
        report = interface_report() if owned else of_vmi
        seen = view(running(BLUE, owned=owned), machine=owner, report=report)
        assert seen.guest is not None
        seen = replace(seen, guest=replace(seen.guest, policy=policy))
        conditions = status_of(decide(seen))["conditions"]
        (found,) = (item for item in conditions if item["type"] == "InvalidHotplugPolicy")
        value: int | None = found.get("observedGeneration")
        return value

    assert generation(owned=True) == 7
    assert generation(owned=False) is None
