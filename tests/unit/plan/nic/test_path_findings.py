"""From the chosen path to the record: whom it waits for, which migration brings it, and what is done for it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    NAME,
    NOW,
    TARGET_NODE,
    VM_UID,
    VMI_UID,
    Json,
    Nic,
    absent,
    element,
    failed,
    kubevirt,
    later,
    migration,
    migration_state,
    nad,
    nic,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    row,
    target_pod,
    vm,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import completions, status_of

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import DynamicPath, HotplugPolicy, MigrationPolicy, OnFailure
from nicplug.model.node import Node, parse_node
from nicplug.model.operations import with_remedy
from nicplug.model.times import format_micro_time
from nicplug.plan.actions import Create, Delete, Kind, PatchAnnotations, PatchNetworksAnnotation, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.vmi.plan_vmi import plan_vmi

OWN = "kubevirt-workload-update-0123456789"
OURS: dict[str, Any] = {
    "name": OWN,
    "annotations": {"kubevirt.io/workloadUpdateMigration": ""},
    "ownerReferences": [owner("VirtualMachineInstance", NAME, VMI_UID)],
}
NO_CONTROLLER = DynamicController(state=ControllerState.NOT_DEPLOYED)
NO_MIGRATION = HotplugPolicy(migration=MigrationPolicy.NEVER)
UP = [{"type": "Ready", "status": "True"}]
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
ASKED = pod(networks=[element("blue")])
HAS = pod(networks=[element("blue")], attached=["blue"])
IN_POD = row("blue", "multus-status")
PLUGGED = row("blue", "domain", "multus-status")
TARGET = target_pod(networks=[element("blue")], ready=False)
TARGET_WITHOUT = target_pod(networks=[], ready=False)
GIVEN_UP: Json = {"targetPodRenewal": {"count": 5, "replacedPods": []}}
STUCK: Json = {"conditions": [{"type": "Progressing", "status": "False", "message": "0/2 nodes are available"}]}
OTHER_NET = nic("blue", attachment="other")
TARGET_ON_OTHER = target_pod(networks=[element("blue", attachment="other")], ready=False)


def migrating(**members: Any) -> Json:
    """The record of a NIC that comes with nicplug's migration."""
    values = {"path": "Migration", "phase": "Migrating", "reason": "NoDynamicController", "migration": OWN}
    return operation("blue", **(values | members))


def test_a_nic_whose_device_no_node_has_keeps_no_other_one_waiting() -> None:
    """Every NIC of the VM was Blocked for it, and no migration was made for any."""
    fast = nad("red-net")
    fast["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "example.com/fast"}
    nodes = tuple(
        parse_node({"metadata": {"name": name}, "status": {"conditions": UP}}) for name in ("node01", "node02")
    )
    raw = vmi(primary(), nic("red", binding="sriov"), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
    view = vmi_view(raw, pod(), nads=[fast, nad("blue-net")], spec_seen_at=later(-5), report_pending_since=later(-5))
    plan = plan_vmi(replace(view, nodes=nodes, controller=NO_CONTROLLER), now=NOW)
    (status,) = (thaw(item.wanted) for item in plan.actions if isinstance(item, PatchStatus))
    records = {item["name"]: item for item in status["interfaceOperations"]}
    assert records["red"]["reason"] == "NoCandidateNode"
    assert "1 lacks device example.com/fast" in records["red"]["message"]
    assert (records["blue"]["reason"], records["blue"]["path"]) == ("NoDynamicController", "Migration")


TOLD = (
    {"type": "Ready", "status": "True"},
    {"type": "InterfacesReady", "status": "False"},
    {"type": "MigrationRequired", "status": "True"},
)


@pytest.mark.parametrize(
    ("records", "reported"),
    [((), ()), ((migrating(phase="Pending"),), TOLD)],
    ids=["a new NIC", "the last node goes"],
)
def test_that_no_node_can_take_the_vm_is_said_by_the_first_plan_that_sees_it(
    records: tuple[Json, ...], reported: tuple[Json, ...]
) -> None:
    """Promised within two seconds: it waits for no timer and for no company."""
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], operations=records, conditions=[MIGRATABLE, *reported])
    view = vmi_view(
        raw, pod(), nads=[nad("blue-net")], spec_seen_at=NOW, report_pending_since=None, controller=NO_CONTROLLER
    )
    own_node = parse_node({"metadata": {"name": "node01"}, "status": {"conditions": UP}})
    plan = plan_vmi(replace(view, nodes=(own_node,)), now=NOW)
    (record,) = status_of(plan)["interfaceOperations"]
    assert (record["phase"], record["reason"]) == ("Blocked", "NoCandidateNode")
    assert "0 of 1 node can take the VM: node01 runs it" in record["message"]
    assert [item.reason for item in plan.announcements] == ["InterfaceBlocked"]
    assert not plan.withholds_report


def queued(message: str) -> Json:
    """The status of a migration that waits."""
    return {"conditions": [{"type": "Progressing", "status": "True", "message": message}]}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A migratable VMI with `nic`, its pods and migrations; then the record, and what is made or taken back."""

    title: str
    nic: Nic = field(default_factory=lambda: nic("blue"))
    row: Json | None = None
    record: Json | None = None
    pods: tuple[Json, ...] = (ASKED,)
    migrations: tuple[Json, ...] = ()
    state: Json | None = None
    node: str = "node01"
    view: dict[str, Any] = field(default_factory=dict)
    operation: str = "Plug"
    expected: tuple[str, str, str]
    says: str = ""
    next_attempt: datetime | None = None
    makes: bool = False
    takes_back: bool = False
    asks: bool = False
    required: str | None = None

    def __str__(self) -> str:
        return self.title


CASES = [
    Case(
        title="no controller: migrated at once, and the pod is asked too",
        pods=(pod(),),
        view={"controller": NO_CONTROLLER},
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
        says="no trusted namespace has a dynamic networks controller: migrating the VM by kubevirt-workload-update-",
        makes=True,
        asks=True,
        required="True",
    ),
    Case(
        title="SR-IOV: migrated, and the pod is not asked",
        nic=nic("blue", binding="sriov"),
        pods=(pod(),),
        expected=("Migration", "Migrating", Reason.BINDING_NEEDS_MIGRATION),
        makes=True,
        required="True",
    ),
    Case(
        title="dynamicPath Never: migrated, and the pod is no longer asked",
        view={"controller": CONTROLLER, "policy": HotplugPolicy(dynamic_path=DynamicPath.NEVER)},
        expected=("Migration", "Migrating", Reason.DYNAMIC_PATH_NEVER),
        makes=True,
        asks=True,
        required="True",
    ),
    Case(
        title="the controller is ready: in place",
        view={"controller": CONTROLLER},
        expected=("Dynamic", "Pending", Reason.WAITING_FOR_POD_INTERFACE),
        required="False",
    ),
    Case(
        title="the deadline is over: migrated",
        record=operation("blue", waitingSince=later(-10), lastAttemptTime=later(-1), observedGeneration=1),
        view={"controller": CONTROLLER},
        expected=("Migration", "Migrating", Reason.DYNAMIC_TIMEOUT),
        says="within 10 s",
        makes=True,
        required="True",
    ),
    Case(
        title="the controller failed once: asked again",
        record=operation("blue", waitingSince=later(-1), lastAttemptTime=later(-1), observedGeneration=1),
        view={"controller": CONTROLLER, "failures": [failed("blue")]},
        expected=("Dynamic", "Pending", Reason.ATTACH_FAILED),
        says="failed once to attach network default/blue-net",
        required="False",
    ),
    Case(
        title="the controller failed twice: migrated before the deadline",
        record=operation("blue", attempts=2, waitingSince=later(-3), lastAttemptTime=later(-1), observedGeneration=1),
        view={"controller": CONTROLLER, "failures": [failed("blue")]},
        expected=("Migration", "Migrating", Reason.ATTACH_FAILED),
        says="failed 2 times",
        makes=True,
        required="True",
    ),
    Case(
        title="what it said before the last attempt does not count for that one",
        record=operation(
            "blue", attempts=2, waitingSince=later(-3), lastAttemptTime=NOW, observedGeneration=1, lastError="no"
        ),
        view={"controller": CONTROLLER, "failures": [failed("blue", at=later(-2))]},
        expected=("Dynamic", "Pending", Reason.ATTACH_FAILED),
        required="False",
    ),
    Case(
        title="failed, and onFailure Hold: Failed, and asked further",
        record=operation("blue", attempts=2, waitingSince=later(-3), lastAttemptTime=later(-1), observedGeneration=1),
        view={
            "controller": CONTROLLER,
            "failures": [failed("blue")],
            "policy": HotplugPolicy(on_failure=OnFailure.HOLD),
        },
        expected=("Dynamic", "Failed", Reason.ATTACH_FAILED),
        next_attempt=later(-1) + timedelta(seconds=8),
        required="False",
    ),
    Case(
        title="its time is over after one attempt, and onFailure Hold: says when it is asked again",
        record=operation("blue", attempts=1, waitingSince=later(-5), lastAttemptTime=later(-5), observedGeneration=1),
        view={
            "controller": CONTROLLER,
            "policy": HotplugPolicy(on_failure=OnFailure.HOLD, dynamic_timeout=timedelta(seconds=5)),
        },
        expected=("Dynamic", "Failed", Reason.DYNAMIC_TIMEOUT),
        says="so it is retried with back-off",
        next_attempt=later(-5) + timedelta(seconds=8),
        required="False",
    ),
    Case(
        title="no controller, migration Never: blocked",
        view={"controller": NO_CONTROLLER, "policy": NO_MIGRATION},
        expected=("None", "Blocked", Reason.MIGRATION_FORBIDDEN),
        required="True",
    ),
    Case(
        title="no controller, the network is missing: never migrated for it",
        view={"controller": NO_CONTROLLER, "nads": []},
        pods=(pod(),),
        expected=("None", "Blocked", Reason.ATTACHMENT_DEFINITION_MISSING),
    ),
    Case(
        title="SR-IOV, the network is missing: never migrated for it",
        nic=nic("blue", binding="sriov"),
        pods=(pod(),),
        view={"nads": [nad("other")]},
        expected=("None", "Blocked", Reason.ATTACHMENT_DEFINITION_MISSING),
    ),
    # With a migration under way.
    Case(
        title="the migration waits: quoted",
        view={"controller": NO_CONTROLLER},
        record=migrating(),
        migrations=(migration("Pending", status=queued("3rd of 7 in the queue"), **OURS),),
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
        says=f"migrating the VM by {OWN} (3rd of 7 in the queue)",
        required="True",
    ),
    Case(
        title="a user's migration waits: no second one is made",
        view={"controller": NO_CONTROLLER},
        migrations=(migration("Pending"),),
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
        says="by migration-job",
        required="True",
    ),
    Case(
        title="a controller came while the migration waits: it goes on until the pod has the interface",
        view={"controller": CONTROLLER},
        record=migrating(),
        migrations=(migration("Pending", **OURS),),
        expected=("Migration", "Migrating", Reason.MIGRATING),
        required="True",
    ),
    Case(
        title="the pod has the interface while the migration waits: taken back",
        view={"controller": CONTROLLER},
        pods=(HAS,),
        row=IN_POD,
        record=migrating(),
        migrations=(migration("Pending", **OURS),),
        expected=("Dynamic", "InPod", Reason.WAITING_FOR_GUEST),
        takes_back=True,
    ),
    Case(
        title="the pod has the interface while a user's migration waits: not ours to take back",
        view={"controller": CONTROLLER},
        pods=(HAS,),
        row=IN_POD,
        migrations=(migration("Pending"),),
        expected=("Dynamic", "InPod", Reason.WAITING_FOR_GUEST),
    ),
    Case(
        title="the policy turns to Never while the migration waits: taken back",
        view={"controller": NO_CONTROLLER, "policy": NO_MIGRATION},
        record=migrating(),
        migrations=(migration("Pending", **OURS),),
        expected=("None", "Blocked", Reason.MIGRATION_FORBIDDEN),
        takes_back=True,
        required="True",
    ),
    Case(
        title="the policy turns to Never while the target pod starts: taken back, and on its way until then",
        view={"controller": NO_CONTROLLER, "policy": NO_MIGRATION},
        pods=(ASKED, TARGET),
        record=migrating(),
        migrations=(migration("Scheduling", **OURS),),
        expected=("Migration", "Migrating", Reason.MIGRATING),
        takes_back=True,
    ),
    Case(
        title="the policy turns to Never, and the migration is handed off: it goes on",
        view={"controller": NO_CONTROLLER, "policy": NO_MIGRATION},
        record=migrating(),
        pods=(ASKED, TARGET),
        migrations=(migration("PreparingTarget", **OURS),),
        state=migration_state(),
        expected=("Migration", "Migrating", Reason.MIGRATING),
        says=f"migrating the VM by {OWN} to pod virt-launcher-vmi-fedora-",
    ),
    Case(
        title="the target pod is made with it",
        view={"controller": NO_CONTROLLER},
        record=migrating(),
        pods=(ASKED, TARGET),
        migrations=(migration("Scheduling", **OURS),),
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
        says=f"migrating the VM by {OWN} to pod virt-launcher-vmi-fedora-",
    ),
    Case(
        title="the same, handed off: the source pod is not asked any more",
        view={"controller": NO_CONTROLLER},
        record=migrating(),
        pods=(pod(), TARGET),
        migrations=(migration("PreparingTarget", **OURS),),
        state=migration_state(),
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
        says=f"migrating the VM by {OWN} to pod virt-launcher-vmi-fedora-",
    ),
    Case(
        title="a controller comes while the target pod that brings it waits: the pod is asked, whichever is first",
        view={"controller": CONTROLLER},
        record=migrating(),
        pods=(pod(), TARGET),
        migrations=(migration("Scheduling", **OURS),),
        asks=True,
        expected=("Migration", "Migrating", Reason.MIGRATING),
    ),
    Case(
        title="the target pod cannot start: its migration says why",
        view={"controller": NO_CONTROLLER},
        record=migrating(),
        pods=(ASKED, TARGET),
        migrations=(
            migration(
                "Scheduling",
                status={"conditions": [{"type": "Progressing", "status": "False", "message": "plugin failed"}]},
                **OURS,
            ),
        ),
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
        says="(plugin failed)",
    ),
    Case(
        title="asked for while a target pod without it waits: in place, at once",
        view={"controller": CONTROLLER},
        pods=(pod(), TARGET_WITHOUT),
        migrations=(migration("Scheduling"),),
        asks=True,
        expected=("Dynamic", "Pending", Reason.WAITING_FOR_POD_INTERFACE),
    ),
    Case(
        title="asked for while a target pod waits that was made with it, by a user's migration: in place as well",
        view={"controller": CONTROLLER},
        pods=(pod(), TARGET),
        migrations=(migration("Scheduling"),),
        asks=True,
        expected=("Dynamic", "Pending", Reason.WAITING_FOR_POD_INTERFACE),
    ),
    Case(
        title="the same, stuck, and five target pods were given up for NICs: that costs nothing",
        view={"controller": CONTROLLER},
        pods=(pod(), TARGET_WITHOUT),
        migrations=(migration("Scheduling", status=GIVEN_UP | STUCK),),
        asks=True,
        expected=("Dynamic", "Pending", Reason.WAITING_FOR_POD_INTERFACE),
    ),
    Case(
        title="it does not go in place: the target pod is replaced, and brings it",
        view={"controller": NO_CONTROLLER},
        pods=(ASKED, TARGET_WITHOUT),
        migrations=(migration("Scheduling"),),
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
        says="was made before this was asked for, and is replaced",
    ),
    Case(
        title="five target pods were given up for NICs: served right after",
        view={"controller": CONTROLLER},
        pods=(pod(), TARGET_WITHOUT),
        migrations=(migration("Scheduling", status=GIVEN_UP),),
        expected=("Dynamic", "Pending", Reason.AFTER_MIGRATION),
    ),
    Case(
        title="the VM is handed over to a pod without it: served right after",
        view={"controller": CONTROLLER},
        pods=(pod(), TARGET_WITHOUT),
        migrations=(migration("Scheduled"),),
        state=migration_state(),
        expected=("Dynamic", "Pending", Reason.AFTER_MIGRATION),
        says="migration-job migrates the VM to pod virt-launcher-vmi-fedora-",
    ),
    Case(
        title="the same, and it needs a migration of its own: after that one",
        view={"controller": NO_CONTROLLER},
        pods=(pod(), TARGET_WITHOUT),
        migrations=(migration("Running"),),
        state=migration_state(),
        expected=("Migration", "Pending", Reason.AFTER_MIGRATION),
    ),
    Case(
        title="the gate is switched off while it is on its way: it arrives, by that migration",
        view={"controller": NO_CONTROLLER, "config": kubevirt("Other")},
        record=migrating(),
        pods=(pod(), TARGET),
        migrations=(migration("Running", **OURS),),
        state=migration_state(),
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
    ),
    Case(
        title="the gate is switched off, and it has come with its migration: the guest gets it",
        view={"controller": NO_CONTROLLER, "config": kubevirt("Other")},
        record=migrating(),
        row=row("blue", "multus-status"),
        node=TARGET_NODE,
        pods=(target_pod(networks=[element("blue")], attached=["blue"]),),
        migrations=(migration("Succeeded", **OURS),),
        state=migration_state(completed=True, endTimestamp="2026-01-02T03:04:00Z"),
        expected=("Migration", "InPod", Reason.WAITING_FOR_GUEST),
    ),
    Case(
        title="the gate is switched off, and the target pod was made without it",
        view={"controller": NO_CONTROLLER, "config": kubevirt("Other")},
        pods=(pod(), TARGET_WITHOUT),
        migrations=(migration("Running"),),
        state=migration_state(),
        expected=("None", "Blocked", Reason.FEATURE_GATE_DISABLED),
    ),
    Case(
        title="an unplug while the VM is migrated: the guest may answer only after that",
        nic=absent("blue"),
        row=row("blue", "domain", "multus-status"),
        view={"controller": CONTROLLER},
        pods=(HAS, TARGET),
        migrations=(migration("Running"),),
        state=migration_state(),
        operation="Unplug",
        expected=("Dynamic", "InGuest", Reason.WAITING_FOR_GUEST_RELEASE),
        says="; migration-job migrates the VM, and it may answer only after that",
    ),
    Case(
        title="a link while the VM is migrated: that comes first",
        nic=nic("blue", state="down"),
        row=row("blue", "domain", "multus-status", linkState="up"),
        view={"controller": CONTROLLER},
        pods=(HAS, TARGET),
        migrations=(migration("Running"),),
        state=migration_state(),
        operation="SetLink",
        expected=("Dynamic", "Pending", Reason.WAITING_FOR_LINK),
        says="set the link down; migration-job migrates the VM, which comes first",
    ),
    Case(
        title="it rides with somebody's migration",
        view={"controller": CONTROLLER},
        pods=(pod(), TARGET),
        migrations=(migration("Running"),),
        state=migration_state(),
        expected=("Migration", "Migrating", Reason.MIGRATING),
        says="migrating the VM by migration-job to pod",
    ),
    Case(
        title="moved: the new pod has it",
        view={"controller": NO_CONTROLLER},
        pods=(ASKED, target_pod(networks=[element("blue")], attached=["blue"])),
        node="node02",
        record=migrating(),
        migrations=(migration("Running", **OURS),),
        state=migration_state(),
        expected=("Migration", "InPod", Reason.WAITING_FOR_GUEST),
    ),
    Case(
        title="moved, and the migration is over: no other one is required",
        view={"controller": NO_CONTROLLER},
        pods=(ASKED, target_pod(networks=[element("blue")], attached=["blue"])),
        node="node02",
        record=migrating(),
        migrations=(migration("Succeeded", **OURS),),
        state=migration_state(completed=True),
        expected=("Migration", "InPod", Reason.WAITING_FOR_GUEST),
    ),
    Case(
        title="moved: the guest has it",
        view={"controller": NO_CONTROLLER},
        pods=(ASKED, target_pod(networks=[element("blue")], attached=["blue"])),
        node="node02",
        row=PLUGGED,
        record=migrating(),
        migrations=(migration("Succeeded", **OURS),),
        state=migration_state(completed=True),
        expected=("Migration", "Ready", Reason.ATTACHED),
        says=f"by {OWN}",
    ),
    # The way out.
    Case(
        title="unplug, no controller: migrated once the guest has let go",
        nic=absent("blue"),
        pods=(HAS,),
        row=IN_POD,
        operation="Unplug",
        view={"controller": NO_CONTROLLER},
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
        makes=True,
        asks=True,
        required="True",
    ),
    Case(
        title="unplug, the guest holds it: no path is waited for",
        nic=absent("blue"),
        pods=(HAS,),
        row=PLUGGED,
        operation="Unplug",
        view={"controller": NO_CONTROLLER},
        expected=("Dynamic", "InGuest", Reason.WAITING_FOR_GUEST_RELEASE),
    ),
    Case(
        title="unplug, the target pod is made without it",
        nic=absent("blue"),
        pods=(HAS, TARGET_WITHOUT),
        row=IN_POD,
        operation="Unplug",
        view={"controller": NO_CONTROLLER},
        migrations=(migration("Scheduling", **OURS),),
        asks=True,
        expected=("Migration", "Migrating", Reason.NO_DYNAMIC_CONTROLLER),
    ),
    Case(
        title="unplug, the target pod was made with it: after that",
        nic=absent("blue"),
        pods=(HAS, TARGET),
        row=IN_POD,
        operation="Unplug",
        view={"controller": CONTROLLER},
        migrations=(migration("Running"),),
        state=migration_state(),
        expected=("Dynamic", "Pending", Reason.AFTER_MIGRATION),
    ),
    Case(
        title="unplug while the target pod, which was made with it, waits: from the running pod at once",
        nic=absent("blue"),
        pods=(HAS, TARGET),
        row=IN_POD,
        operation="Unplug",
        view={"controller": CONTROLLER},
        migrations=(migration("Scheduling"),),
        asks=True,
        expected=("Dynamic", "InPod", Reason.WAITING_FOR_POD_RELEASE),
    ),
    Case(
        title="the same, and only a migration takes it away: after this one",
        nic=absent("blue"),
        pods=(HAS, TARGET),
        row=IN_POD,
        operation="Unplug",
        view={"controller": NO_CONTROLLER},
        migrations=(migration("Scheduling"),),
        asks=True,
        expected=("Migration", "Pending", Reason.AFTER_MIGRATION),
    ),
    Case(
        title="unplug of what only the target pod has: after that, and not unsaid until it has arrived",
        nic=absent("blue"),
        pods=(pod(), TARGET),
        view={"controller": NO_CONTROLLER},
        migrations=(migration("Running", **OURS),),
        state=migration_state(),
        operation="Unplug",
        expected=("Migration", "Pending", Reason.AFTER_MIGRATION),
        says=f"{OWN} migrates the VM to pod virt-launcher-vmi-fedora-",
    ),
    Case(
        title="unplug, dynamicPath Never: the pod keeps its element until the guest has moved",
        nic=absent("blue"),
        pods=(HAS,),
        row=IN_POD,
        operation="Unplug",
        view={"controller": CONTROLLER, "policy": HotplugPolicy(dynamic_path=DynamicPath.NEVER)},
        expected=("Migration", "Migrating", Reason.DYNAMIC_PATH_NEVER),
        makes=True,
        required="True",
    ),
    # Another network.
    Case(
        title="another network: migrated",
        nic=OTHER_NET,
        pods=(HAS,),
        row=PLUGGED,
        operation="ChangeNetwork",
        expected=("Migration", "Migrating", Reason.NETWORK_CHANGE_NEEDS_MIGRATION),
        says="has network default/blue-net, the spec asks for default/other; a NIC that the guest has",
        makes=True,
        required="True",
    ),
    Case(
        title="another network that is missing: never migrated for it",
        nic=OTHER_NET,
        pods=(HAS,),
        row=PLUGGED,
        operation="ChangeNetwork",
        view={"nads": [nad("blue-net")]},
        expected=("None", "Blocked", Reason.ATTACHMENT_DEFINITION_MISSING),
    ),
    Case(
        title="another network, the target pod has it",
        nic=OTHER_NET,
        pods=(HAS, TARGET_ON_OTHER),
        row=PLUGGED,
        operation="ChangeNetwork",
        migrations=(migration("Scheduling"),),
        expected=("Migration", "Migrating", Reason.NETWORK_CHANGE_NEEDS_MIGRATION),
    ),
    Case(
        title="another network, the target pod has the old one: it is replaced",
        nic=OTHER_NET,
        pods=(HAS, TARGET),
        row=PLUGGED,
        operation="ChangeNetwork",
        migrations=(migration("Scheduling"),),
        expected=("Migration", "Migrating", Reason.NETWORK_CHANGE_NEEDS_MIGRATION),
        says="was made before this was asked for, and is replaced",
    ),
    Case(
        title="another network, the VM is handed over to a pod with the old one: after that",
        nic=OTHER_NET,
        pods=(HAS, TARGET),
        row=PLUGGED,
        operation="ChangeNetwork",
        migrations=(migration("Running"),),
        state=migration_state(),
        expected=("Migration", "Pending", Reason.AFTER_MIGRATION),
    ),
    Case(
        title="another network, moved",
        nic=OTHER_NET,
        pods=(HAS, target_pod(networks=[element("blue", attachment="other")], attached=["blue"])),
        node="node02",
        row=PLUGGED,
        record=migrating(type_="ChangeNetwork"),
        operation="ChangeNetwork",
        migrations=(migration("Succeeded", **OURS),),
        state=migration_state(completed=True),
        expected=("Migration", "Ready", Reason.ATTACHED),
        says="it is on network other through pod virt-launcher-vmi-fedora-",
    ),
]  # fmt: skip


def plan_of(case: Case) -> Plan:
    raw = vmi(
        primary(),
        case.nic,
        rows=[primary_row(), *([case.row] if case.row else [])],
        operations=[case.record] if case.record else [],
        conditions=[MIGRATABLE],
        moving=case.state,
        node=case.node,
    )
    view = vmi_view(
        raw,
        *case.pods,
        report_pending_since=later(-60),
        spec_seen_at=later(-60),
        migrations=case.migrations,
        **case.view,
    )
    return plan_vmi(view, now=NOW)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_record(case: Case) -> None:
    plan = plan_of(case)
    (record,) = status_of(plan).get("interfaceOperations") or [case.record]
    assert (record["path"], record["phase"], record["reason"]) == case.expected
    assert record["operation"] == case.operation
    assert case.says in with_remedy(record["message"], record.get("remedy", ""))
    if case.next_attempt is not None:
        assert record["nextAttemptTime"] == format_micro_time(case.next_attempt)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_done(case: Case) -> None:
    plan = plan_of(case)
    made = [action for action in plan.actions if isinstance(action, Create) and action.kind is Kind.MIGRATION]
    taken = [action for action in plan.actions if isinstance(action, Delete) and action.kind is Kind.MIGRATION]
    asked = [action for action in plan.actions if isinstance(action, PatchNetworksAnnotation)]
    assert (len(made), len(taken), len(asked)) == (case.makes, case.takes_back, case.asks)
    reasons = [item.reason for item in plan.announcements]
    assert ("SuccessfulCreate" in reasons, "SuccessfulChangeAbortion" in reasons) == (case.makes, case.takes_back)
    if made:
        (record,) = status_of(plan)["interfaceOperations"]
        assert record["migration"] == made[0].key.name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_migration_required(case: Case) -> None:
    conditions = {item["type"]: item for item in status_of(plan_of(case)).get("conditions") or []}
    found = conditions.get("MigrationRequired")
    assert (found and found["status"]) == case.required
    if found:
        reason = "AutoMigrationDueToLiveUpdate" if case.required == "True" else "AutoMigrationPending"
        assert found["reason"] == reason


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_next_pass_says_the_same(case: Case) -> None:
    """No clock ticks in a message: with nothing new, nothing is written."""
    plan = plan_of(case)
    status = status_of(plan)
    again = Case(
        **{
            **{name: getattr(case, name) for name in case.__dataclass_fields__},
            "record": (status.get("interfaceOperations") or [case.record])[0],
        }
    )
    later_records = status_of(plan_of(again)).get("interfaceOperations")
    if not case.makes:  # its migration would be in the view by then
        assert later_records is None or later_records == [again.record]


def test_two_nics_by_two_commands_ride_one_migration() -> None:
    """The migration waits a moment after the last change of the spec."""
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
    view = vmi_view(raw, ASKED, controller=NO_CONTROLLER, spec_seen_at=later(-0.1))
    plan = plan_vmi(view, now=NOW)
    assert not any(isinstance(action, Create) for action in plan.actions)
    assert plan.again_at == later(0.1)


def test_the_first_of_many_does_not_wait_for_ever() -> None:
    """A NIC each tenth of a second: after a second, those there are go."""
    records = [operation("blue", path="Migration", reason="NoDynamicController", since=later(-1))]
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], operations=records, conditions=[MIGRATABLE])
    plan = plan_vmi(vmi_view(raw, ASKED, controller=NO_CONTROLLER, spec_seen_at=NOW), now=NOW)
    assert any(isinstance(action, Create) for action in plan.actions)


def test_each_nic_has_a_deadline_of_its_own() -> None:
    """Another NIC that is asked for later does not begin it anew."""
    records = [operation("blue", waitingSince=later(-8), lastAttemptTime=later(-8), observedGeneration=1)]
    raw = vmi(
        primary(), nic("blue"), nic("red"), rows=[primary_row()], operations=records, conditions=[MIGRATABLE],
        generation=2,
    )  # fmt: skip
    plan = plan_vmi(vmi_view(raw, ASKED, controller=CONTROLLER, report_pending_since=later(-60)), now=NOW)
    found = {item["name"]: item for item in status_of(plan)["interfaceOperations"]}
    assert found["blue"]["waitingSince"].startswith("2026-01-02T03:03:57")
    assert found["red"]["waitingSince"].startswith("2026-01-02T03:04:05")
    assert plan.again_at == later(2)


def test_a_change_of_the_vmi_gives_a_nic_that_has_failed_its_time_again() -> None:
    """Not one that is waited for: a NIC beside it is such a change."""
    held = HotplugPolicy(on_failure=OnFailure.HOLD)
    for phase, since in (("Failed", "2026-01-02T03:04:05"), ("Pending", "2026-01-02T03:03:35")):
        record = operation(
            "blue", phase=phase, waitingSince=later(-30), lastAttemptTime=later(-30), observedGeneration=1
        )
        raw = vmi(
            primary(), nic("blue"), rows=[primary_row()], operations=[record], conditions=[MIGRATABLE], generation=2
        )
        view = vmi_view(
            raw, ASKED, controller=CONTROLLER, policy=held, report_pending_since=later(-60), spec_seen_at=later(-1)
        )
        (reported,) = status_of(plan_vmi(view, now=NOW))["interfaceOperations"]
        assert reported["waitingSince"].startswith(since), phase


def test_a_second_migration_has_another_name_than_the_first() -> None:
    """What was made after the first one ended is no repeat of it, and both leaders give it the same name."""

    def made(*migrations: Json) -> str:
        raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
        view = vmi_view(raw, ASKED, controller=NO_CONTROLLER, spec_seen_at=later(-9), migrations=migrations)
        (create,) = [action for action in plan_vmi(view, now=NOW).actions if isinstance(action, Create)]
        return create.key.name

    first = made()
    ended = migration("Failed", **{**OURS, "name": first})
    assert made(ended) != first
    assert made(migration("Failed"), ended) == made(ended)


def test_an_absent_sriov_nic_whose_row_is_made_in_this_pass_is_not_migrated_away() -> None:
    """A migration was made for it, and taken back in the next pass, when its row said that a pod has it."""
    raw = vmi(primary(), absent("blue", binding="sriov"), rows=[primary_row()], conditions=[MIGRATABLE])
    plan = plan_vmi(
        vmi_view(raw, HAS, controller=NO_CONTROLLER, spec_seen_at=later(-9), report_pending_since=later(-60)), now=NOW
    )
    assert not any(isinstance(action, Create) for action in plan.actions)
    assert [item["reason"] for item in status_of(plan)["interfaceOperations"]] == ["UnplugNeedsRestart"]


def test_a_nic_that_left_with_a_migration_needs_no_second_one() -> None:
    """The node agent keeps the row that the old pod's network-status made; with the new pod nobody stands for it."""
    raw = vmi(
        primary(),
        absent("blue"),
        rows=[primary_row(), IN_POD],
        operations=[operation("blue", operation="Unplug", path="Migration", phase="Migrating", migration=OWN)],
        conditions=[MIGRATABLE],
        node=TARGET_NODE,
        moving=migration_state(completed=True, endTimestamp="2026-01-02T03:04:00Z"),
    )
    gone, moved = pod(phase="Succeeded", networks=[element("blue")], attached=["blue"]), target_pod(networks=[])
    view = vmi_view(
        raw, gone, moved, controller=NO_CONTROLLER, spec_seen_at=later(-9), migrations=(migration("Succeeded", **OURS),)
    )
    plan = plan_vmi(view, now=NOW)
    assert not any(isinstance(action, Create) for action in plan.actions)
    (reported,) = status_of(plan)["interfaceOperations"]
    assert (reported["path"], reported["phase"], reported["migration"]) == ("Migration", "InPod", OWN)
    raw["status"] |= status_of(plan) | {"interfaces": [primary_row()]}
    view = vmi_view(raw, gone, moved, controller=NO_CONTROLLER, migrations=(migration("Succeeded", **OURS),))
    after = plan_vmi(view, now=NOW)
    assert [item.reason for item in after.announcements] == ["InterfaceUnplugged"]
    assert [item.path for item in completions(after)] == ["Migration"]


@pytest.mark.parametrize("uids", [("a", "b"), ("b", "a")])
def test_after_two_migrations_of_one_second_a_third_is_made(uids: tuple[str, str]) -> None:
    """Their creation times do not tell which was the last, and the successor of the first has its name for ever."""
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])

    def made(*migrations: Json) -> str:
        view = vmi_view(raw, ASKED, controller=NO_CONTROLLER, spec_seen_at=later(-9), migrations=migrations)
        (create,) = [action for action in plan_vmi(view, now=NOW).actions if isinstance(action, Create)]
        return create.key.name

    first, second = uids
    one = migration("Succeeded", **{**OURS, "name": made(), "uid": first})
    other = migration("Succeeded", **{**OURS, "name": made(one), "uid": second})
    in_order = sorted((one, other), key=lambda item: str(item["metadata"]["uid"]))
    assert made(*in_order) not in {made(), made(one)}


def test_a_nic_that_only_the_template_has_does_not_ride_yet() -> None:
    """A target pod is made from the VMI's spec: a migration that fails without the NIC is no failure of the NIC's."""
    raw = vmi(primary(), nic("red"), rows=[primary_row()], conditions=[MIGRATABLE], owner_uid=VM_UID)
    view = vmi_view(
        raw,
        ASKED,
        vm=vm(nic("red"), nic("blue", binding="sriov")),
        controller=NO_CONTROLLER,
        migrations=(migration("Pending", **OURS),),
        report_pending_since=later(-60),
    )
    plan = plan_vmi(view, now=NOW)
    reported = {item["name"]: item["phase"] for item in status_of(plan)["interfaceOperations"]}
    assert reported == {"red": "Migrating", "blue": "Pending"}
    causes = [thaw(action.wanted) for action in plan.actions if isinstance(action, PatchAnnotations)]
    assert [sorted(json.loads(cause["nicplug.io/interfaces"])) for cause in causes] == [["red"]]


class _NobodyLooks(tuple[Node, ...]):
    """Nodes that must not be looked through."""

    def __iter__(self) -> Iterator[Node]:
        raise AssertionError("the nodes are looked through")


def test_what_goes_in_place_costs_the_same_in_a_cluster_of_any_size() -> None:
    """Where the VM could move to is asked only for what has to move."""
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
    nodes = _NobodyLooks([parse_node({"metadata": {"name": "node02"}, "status": {"conditions": UP}})])
    in_place = plan_vmi(replace(vmi_view(raw, pod(), controller=CONTROLLER), nodes=nodes), now=NOW)
    assert any(isinstance(action, PatchNetworksAnnotation) for action in in_place.actions)
    with pytest.raises(AssertionError, match="looked through"):
        plan_vmi(replace(vmi_view(raw, pod(), controller=NO_CONTROLLER), nodes=nodes), now=NOW)


def test_a_cancelled_migration_is_seen_off_before_the_next_one() -> None:
    """Its name is the next one's too: a POST would meet it, and pass for done."""
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
    view = vmi_view(raw, ASKED, controller=NO_CONTROLLER, spec_seen_at=later(-9))
    (create,) = [action for action in plan_vmi(view, now=NOW).actions if isinstance(action, Create)]
    going = migration("Pending", **{**OURS, "name": create.key.name, "deleting": True})
    view = vmi_view(raw, ASKED, controller=NO_CONTROLLER, spec_seen_at=later(-9), migrations=(going,))
    assert not any(isinstance(action, (Create, Delete)) for action in plan_vmi(view, now=NOW).actions)


def test_a_condition_that_is_true_stays_until_nothing_is_needed() -> None:
    """KubeVirt's sticky rule: False never follows True."""
    true = {"type": "MigrationRequired", "status": "True", "reason": "AutoMigrationDueToLiveUpdate"}

    def found(*, controller: DynamicController, attached: bool) -> str | None:
        rows = [primary_row(), *([IN_POD] if attached else [])]
        raw = vmi(primary(), nic("blue"), rows=rows, conditions=[MIGRATABLE, true])
        view = vmi_view(raw, HAS if attached else ASKED, controller=controller, report_pending_since=later(-60))
        rows = status_of(plan_vmi(view, now=NOW)).get("conditions", [])
        return next((str(item["status"]) for item in rows if item["type"] == "MigrationRequired"), None)

    assert found(controller=CONTROLLER, attached=False) == "True"
    assert found(controller=CONTROLLER, attached=True) is None


def test_the_completion_names_the_path() -> None:
    case = next(item for item in CASES if item.title == "moved: the guest has it")
    plan = plan_of(case)
    (completion,) = completions(plan)
    assert (completion.operation, completion.path) == ("Plug", "Migration")
    (event,) = [item for item in plan.announcements if item.reason == "InterfacePlugged"]
    assert f"by {OWN}" in event.message


def test_an_unplug_that_a_migration_brought_about_completes_on_that_path() -> None:
    records = [migrating(type_="Unplug")]
    raw = vmi(primary(), absent("blue"), rows=[primary_row()], operations=records, node="node02",
              moving=migration_state(completed=True), conditions=[MIGRATABLE])  # fmt: skip
    view = vmi_view(raw, target_pod(networks=""), migrations=(migration("Succeeded", **OURS),), nads=None)
    (completion,) = completions(plan_vmi(view, now=NOW))
    assert (completion.operation, completion.path) == ("Unplug", "Migration")


def test_an_unanswered_request_that_is_taken_back_goes_whatever_the_policy_says() -> None:
    """It was made before the policy changed; nobody would ever have taken it out, nor forgotten the NIC."""
    raw = vmi(primary(), absent("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
    never = HotplugPolicy(dynamic_path=DynamicPath.NEVER)
    plan = plan_vmi(vmi_view(raw, ASKED, controller=CONTROLLER, policy=never), now=NOW)
    assert [action.wanted for action in plan.actions if isinstance(action, PatchNetworksAnnotation)] == [""]


def test_a_deadline_that_the_policy_sets() -> None:
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
    policy = HotplugPolicy(dynamic_timeout=timedelta(seconds=3))
    plan = plan_vmi(
        vmi_view(raw, ASKED, controller=CONTROLLER, policy=policy, report_pending_since=later(-60)), now=NOW
    )
    assert plan.again_at == later(3)


def test_a_nic_that_comes_by_a_migration_is_announced_once_with_the_reason() -> None:
    case = next(item for item in CASES if item.title.startswith("no controller: migrated at once"))
    plan = plan_of(case)
    (event,) = [item for item in plan.announcements if item.reason == "InterfaceMigrating"]
    why = "no trusted namespace has a dynamic networks controller"
    assert f'NIC "blue": {why}: migrating the VM by kubevirt-' in event.message
    record = status_of(plan)["interfaceOperations"][0]
    (made,) = [action for action in plan.actions if isinstance(action, Create)]
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE], operations=[record])
    going = migration("Pending", **{**OURS, "name": made.key.name})
    view = vmi_view(raw, ASKED, controller=NO_CONTROLLER, report_pending_since=later(-60), migrations=(going,))
    assert not [item for item in plan_vmi(view, now=NOW).announcements if item.reason == "InterfaceMigrating"]


def test_the_event_of_a_nic_on_its_way_does_not_quote_what_its_migration_waited_for_a_moment_ago() -> None:
    """A node was uncordoned, and the event said that 0 of 3 nodes can take the VM."""
    waits = "0 of 3 nodes can take the VM: 2 are cordoned, 1 runs it"
    row = {"type": "Progressing", "status": "False", "reason": "NoCandidateNode", "message": waits}
    going = migration("Pending", **OURS, status={"conditions": [row]})
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
    plan = plan_vmi(
        vmi_view(raw, ASKED, controller=NO_CONTROLLER, report_pending_since=later(-60), migrations=(going,)), now=NOW
    )
    (event,) = [item for item in plan.announcements if item.reason == "InterfaceMigrating"]
    reported = f"no trusted namespace has a dynamic networks controller: migrating the VM by {OWN}"
    assert event.message == f'NIC "blue": {reported}'
    assert status_of(plan)["interfaceOperations"][0]["message"] == f"{reported} ({waits})"


def test_that_a_migration_is_required_is_said_before_the_vm_moves() -> None:
    """The target pod is there within milliseconds; from then on the condition is the node agents'."""
    raw = vmi(primary(), nic("blue"), rows=[primary_row()], conditions=[MIGRATABLE])
    view = vmi_view(raw, pod(), controller=NO_CONTROLLER, spec_seen_at=later(-9))
    rows = status_of(plan_vmi(view, now=NOW))["conditions"]
    assert [item["status"] for item in rows if item["type"] == "MigrationRequired"] == ["True"]
