"""What a migration tells a person, in every phase: one condition with a reason and a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from tests.build import (
    NODE,
    NOW,
    TARGET_NODE,
    VMI_UID,
    Json,
    element,
    later,
    migration,
    migration_state,
    migration_view,
    nic,
    node,
    owner,
    pod,
    primary,
    row,
    target_pod,
    vmi,
    waiting,
)
from tests.unit.plan.migration.outcome import events, names, progressing

from nicplug.model.frozen_json import freeze
from nicplug.model.migration_slot import MigrationSlot
from nicplug.plan.migration.decide import plan_migration
from nicplug.plan.migration.progress import ASKS_FOR_A_SLOT
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView, Refusal

TARGET = target_pod()["metadata"]["name"]
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/2 nodes are available: 2 Insufficient memory.",
}
PENDING_POD = target_pod(phase="Pending", ready=False, node="", creationTimestamp="2026-01-02T03:04:00Z")
QUEUED = MigrationSlot(reason="WaitingForSlot", message="third in line: 5 of 5 migrations are under way")
AUTOMATIC: Json = {"annotations": {"kubevirt.io/workloadUpdateMigration": ""}}


def earlier(phase: str, *, number: int = 1, at: str = "2026-01-02T03:04:00Z", **members: Any) -> Json:
    """A migration that was accepted and has ended."""
    times = [{"phase": item, "phaseTransitionTimestamp": at} for item in ("Pending", phase)]
    members = {"creationTimestamp": f"2026-01-02T02:0{number}:00Z", **members}
    return migration(phase, name=f"m{number}", uid=f"m{number}", status={"phaseTransitionTimestamps": times}, **members)


def pending(vmi_: Json | None = None, *pods: Json, phase: str = "Pending", **members: Any) -> MigrationView:
    """A migration without a target pod."""
    raw = migration(phase, **members.pop("meta", {}))
    return migration_view(raw, vmi_ or vmi(), *(pods or (pod(),)), **members)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is seen, and what is said of it."""

    view: MigrationView
    reason: Reason
    message: str
    stuck: bool = False


def handed_off(phase: str, *, node: str = NODE, deleting: bool = False, **members: Any) -> MigrationView:
    """A migration that the node agents have."""
    of = vmi(node=node, moving=migration_state(**members), conditions=members.pop("conditions", ()))
    return migration_view(migration(phase, deleting=deleting), of, pod(), target_pod())


def with_sidecar(state: Json) -> Json:
    """A target pod that runs, with a container that is not ready."""
    compute = {"name": "compute", "ready": False, "state": {"running": {}}}
    return target_pod(status={"containerStatuses": [compute, {"name": "logger", "ready": False, "state": state}]})


OURS: Json = {**AUTOMATIC, "ownerReferences": [owner("VirtualMachineInstance", "vmi-fedora", VMI_UID)]}


def recent(number: int) -> Json:
    """One that nicplug made, and that has moved the guest a moment ago."""
    phases = ("Pending", "PreparingTarget", "Succeeded")
    times = [{"phase": phase, "phaseTransitionTimestamp": "2026-01-02T03:03:59Z"} for phase in phases]
    name = f"kubevirt-workload-update-{number}"
    members: Json = {"name": name, "uid": f"m{number}", "creationTimestamp": f"2026-01-02T02:0{number}:00Z"}
    return migration("Succeeded", status={"phaseTransitionTimestamps": times}, **members, **OURS)


BLUE = vmi(primary(), nic("blue"), rows=[row("blue", "domain", "multus-status")])
WAITS = [
    pytest.param(
        Case(view=pending(slot=MigrationSlot()), reason=Reason.CREATING_TARGET_POD, message=ASKS_FOR_A_SLOT),
        id="not granted yet",
    ),
    pytest.param(
        Case(view=pending(slot=QUEUED), reason=Reason.WAITING_FOR_SLOT, message="third in line"),
        id="queued, in the words of the ledger",
    ),
    pytest.param(
        Case(
            view=pending(meta=AUTOMATIC, others=[earlier("Failed", **AUTOMATIC)]),
            reason=Reason.MIGRATION_BACKOFF,
            message="1 migration of vmi-fedora failed: next try at 2026-01-02T03:04:20Z",
        ),
        id="back-off",
    ),
    pytest.param(
        Case(
            view=pending(
                meta={"name": "kubevirt-workload-update-now", "creationTimestamp": "2026-01-02T03:04:00Z", **OURS},
                others=[recent(number) for number in range(4)],
            ),
            reason=Reason.MIGRATION_RATE_LIMITED,
            message="4 automatic migrations of vmi-fedora in 10 minutes: next one at 2026-01-02T03:04:59Z",
        ),
        id="too many of late",
    ),
    pytest.param(
        Case(view=pending(), reason=Reason.CREATING_TARGET_POD, message="the target pod is being made"),
        id="granted",
    ),
    pytest.param(
        Case(
            view=pending(nodes=[node(NODE)]),
            reason=Reason.NO_CANDIDATE_NODE,
            message="0 of 1 node can take the VM: node01 runs it; given up at 2026-01-02T03:09:05Z",
            stuck=True,
        ),
        id="single node",
    ),
    pytest.param(
        Case(
            view=pending(nodes=[node(NODE), node(TARGET_NODE)], meta={"spec": {"addedNodeSelector": {"zone": "b"}}}),
            reason=Reason.NO_CANDIDATE_NODE,
            message="0 of 2 nodes can take the VM: node01 runs it, 1 lacks label zone=b",
            stuck=True,
        ),
        id="the added selector matches nothing",
    ),
    pytest.param(
        Case(
            view=pending(vmi(phase="Scheduled")),
            reason=Reason.VMI_NOT_RUNNING,
            message="VMI vmi-fedora is in phase Scheduled, not Running",
        ),
        id="VMI still starts",
    ),
    pytest.param(
        Case(view=pending(vmi(deleting=True)), reason=Reason.VMI_NOT_RUNNING, message="is being deleted"),
        id="VM is being stopped",
    ),
    pytest.param(
        Case(
            view=pending(
                vmi(conditions=[{"type": "LiveMigratable", "status": "False", "reason": "Disks", "message": "local"}])
            ),
            reason=Reason.NOT_LIVE_MIGRATABLE,
            message="Cannot migrate VMI, Reason: Disks, Message: local",
            stuck=True,
        ),
        id="no longer migratable",
    ),
    pytest.param(
        Case(
            view=pending(None, pod(), pod(name="virt-launcher-x", uid="x", node="node03")),
            reason=Reason.SEVERAL_LAUNCHER_PODS,
            message="virt-launcher-vmi-fedora-5ca3e, virt-launcher-x",
            stuck=True,
        ),
        id="two launcher pods",
    ),
    pytest.param(
        Case(
            view=pending(BLUE, nads=[]),
            reason=Reason.ATTACHMENT_DEFINITION_MISSING,
            message='NIC "blue" is in the guest, and the target pod cannot have it',
            stuck=True,
        ),
        id="the NAD of a NIC in the guest was deleted",
    ),
    pytest.param(
        Case(
            view=pending(vmi(primary(), nic("blue", binding="binding"))),
            reason=Reason.FAILED_CREATE,
            message="failed to render launch manifest: unable to find the network binding plugin",
            stuck=True,
        ),
        id="render failure",
    ),
    pytest.param(
        Case(
            view=pending(refusal=Refusal(reason="FailedCreate", message="pods is forbidden: exceeded quota: q")),
            reason=Reason.REJECTED_BY_QUOTA,
            message="exceeded quota: q",
        ),
        id="quota",
    ),
    pytest.param(
        Case(
            view=pending(refusal=Refusal(reason="FailedCreate", message="admission webhook denied")),
            reason=Reason.FAILED_CREATE,
            message="Error creating pod: admission webhook denied; given up at 2026-01-02T03:19:05Z",
            stuck=True,
        ),
        id="refused",
    ),
    pytest.param(
        Case(
            view=pending(refusal=Refusal(reason="NameTaken", message='Pod "default/x" exists and belongs to somebody')),
            reason=Reason.NAME_TAKEN,
            message='Error creating pod: Pod "default/x" exists and belongs to somebody; given up at ',
            stuck=True,
        ),
        id="somebody has taken the name of the target pod",
    ),
    pytest.param(
        Case(
            view=migration_view(migration("Scheduling"), vmi(), pod(), target_pod(ready=False, phase="Pending")),
            reason=Reason.WAITING_FOR_TARGET_POD,
            message=f"target pod {TARGET} starts on node02",
        ),
        id="target pod starts",
    ),
    pytest.param(
        Case(
            view=migration_view(
                migration("Scheduling"),
                vmi(),
                pod(),
                {**PENDING_POD, "status": {"phase": "Pending", "conditions": [UNSCHEDULABLE]}},
            ),
            reason=Reason.TARGET_POD_UNSCHEDULABLE,
            message="0/2 nodes are available: 2 Insufficient memory.; given up at 2026-01-02T03:09:00Z",
            stuck=True,
        ),
        id="unschedulable, in the scheduler's words",
    ),
    pytest.param(
        Case(
            view=migration_view(
                migration("Scheduling"), vmi(), pod(), target_pod(ready=False, status=waiting("ErrImagePull"))
            ),
            reason=Reason.ERR_IMAGE_PULL,
            message="ErrImagePull: no such host",
            stuck=True,
        ),
        id="image pull failure",
    ),
    pytest.param(
        Case(
            view=migration_view(
                migration("Scheduling"),
                vmi(),
                pod(),
                target_pod(ready=False, phase="Pending", creationTimestamp="2026-01-02T03:04:00Z"),
                cannot_start="no such bridge: br9",
            ),
            reason=Reason.TARGET_POD_SANDBOX_FAILED,
            message=f"target pod {TARGET} cannot start on node02: no such bridge: br9; "
            "given up at 2026-01-02T03:09:00Z",
            stuck=True,
        ),
        id="the node cannot set up a network of the target pod",
    ),
    pytest.param(
        Case(
            view=migration_view(
                migration("Scheduling"),
                vmi(primary(), nic("blue"), rows=[row("blue", "domain", "multus-status")]),
                pod(),
                target_pod(ready=False, phase="Pending", networks=[element("blue")]),
                nads=[],
            ),
            reason=Reason.ATTACHMENT_DEFINITION_MISSING,
            message=f'target pod {TARGET} cannot start: NIC "blue": network attachment definition default/blue-net',
            stuck=True,
        ),
        id="the NAD of a NIC was deleted while the target pod starts",
    ),
    pytest.param(
        Case(
            view=migration_view(migration("Scheduling"), vmi(), pod(), with_sidecar({"running": {}})),
            reason=Reason.WAITING_FOR_TARGET_POD,
            message=f"target pod {TARGET} runs on node02 and is not ready: container logger",
        ),
        id="a sidecar of the target pod starts",
    ),
    *(
        pytest.param(
            Case(
                view=migration_view(migration(phase), vmi(), pod(), with_sidecar({"terminated": {"exitCode": 2}})),
                reason=Reason.TARGET_POD_CONTAINERS_NOT_READY,
                message=f"target pod {TARGET} runs on node02 and is not ready: "
                f"container logger (ended with exit code 2); given up at {until}",
                stuck=True,
            ),
            id=f"a sidecar of the target pod has ended, {phase}",
        )
        for phase, until in (("Scheduling", "2026-01-02T03:15:00Z"), ("Scheduled", "2026-01-02T03:19:05Z"))
    ),
    pytest.param(
        Case(
            view=migration_view(migration("Scheduled"), vmi(), pod(), target_pod(), slot=replace(QUEUED)),
            reason=Reason.WAITING_FOR_SLOT,
            message="third in line",
        ),
        id="ready, but its node takes in others first",
    ),
    pytest.param(
        Case(
            view=migration_view(
                migration("Scheduled"), vmi(), pod(), target_pod(), slot=MigrationSlot(is_granted=True)
            ),
            reason=Reason.PREPARING_TARGET,
            message="is handed to virt-handler on node02",
        ),
        id="ready, and the ledger has not heard of its node yet",
    ),
    pytest.param(
        Case(
            view=migration_view(
                migration("Scheduled"),
                vmi(primary(), nic("blue")),
                pod(),
                target_pod(networks=[element("blue")], attached=[]),
            ),
            reason=Reason.WAITING_FOR_TARGET_POD,
            message="Multus has still to report pod16477688c0e; given up at 2026",
        ),
        id="ready, but a network is not reported",
    ),
    pytest.param(
        Case(view=handed_off("PreparingTarget"), reason=Reason.PREPARING_TARGET, message="virt-handler on node02"),
        id="target is prepared",
    ),
    pytest.param(
        Case(
            view=handed_off("TargetReady", targetNodeAddress="10.0.0.2"),
            reason=Reason.WAITING_FOR_SOURCE,
            message="virt-handler on node01 is to begin the copy to node02",
        ),
        id="source is to begin",
    ),
    pytest.param(
        Case(
            view=handed_off("Running", startTimestamp="2026-01-02T03:04:00Z"),
            reason=Reason.COPYING,
            message="the VM is copied from node01 to node02",
        ),
        id="copying",
    ),
    pytest.param(
        Case(
            view=handed_off("Running", targetNodeDomainReadyTimestamp="2026-01-02T03:04:00Z"),
            reason=Reason.FINISHING_MIGRATION,
            message="the VM runs on node02; virt-handler there finishes",
        ),
        id="runs on the target",
    ),
    pytest.param(
        Case(
            view=handed_off("Running", deleting=True),
            reason=Reason.CANCELING,
            message="virt-handler on node01 is to stop the copy",
        ),
        id="cancelled while it copies",
    ),
]


@pytest.mark.parametrize("case", WAITS)
def test_what_it_waits_for(case: Case) -> None:
    view = replace(case.view, report_pending_since=later(-9))
    now = later(-4) if case.reason is Reason.MIGRATION_BACKOFF else NOW
    written = progressing(plan_migration(view, now=now))
    assert written["reason"] == case.reason
    assert case.message in written["message"]
    assert written["status"] == ("False" if case.stuck else "True")
    assert written["observedGeneration"] == 1


@pytest.mark.parametrize("case", WAITS)
def test_it_is_written_once(case: Case) -> None:
    """A message that changed with the clock would be written at every look."""
    view = replace(case.view, report_pending_since=later(-9))
    now = later(-4) if case.reason is Reason.MIGRATION_BACKOFF else NOW
    condition = progressing(plan_migration(view, now=now))
    status = {**view.migration.read_status(), "conditions": [condition]}
    if view.migration.deleting:
        status["conditions"].append({"type": "migrationAbortRequested", "status": "True"})
    if case.reason is Reason.REJECTED_BY_QUOTA:
        status["conditions"].append({"type": "migrationRejectedByResourceQuota", "status": "True"})
    again = replace(view, migration=replace(view.migration, status=freeze(status)))
    for seconds in (0.4, 3, 11):
        plan = plan_migration(again, now=now if case.reason is Reason.MIGRATION_BACKOFF else later(seconds))
        assert not [name for name in names(plan) if "PatchStatus" in name]


ENDINGS: Sequence[Any] = [
    pytest.param(
        {"spec": {}},
        vmi(),
        "VmiNameMissing",
        "spec.vmiName is missing: make another migration that names its VMI, as a spec cannot be changed",
        id="no vmiName",
    ),
    pytest.param(
        {"spec": {"vmiName": "vmi-fedora", "sendTo": {"migrationID": "x"}}},
        vmi(),
        "MigrationNotSupported",
        "migrations between clusters or namespaces (sendTo, receive) are not carried out by nicplug",
        id="to another cluster",
    ),
    pytest.param({}, None, "VmiMissing", 'the VMI "default/vmi-fedora" does not exist', id="no VMI, after 2 s"),
    pytest.param(
        {"ownerReferences": [{"kind": "VirtualMachineInstance", "uid": "old", "name": "vmi-fedora"}]},
        vmi(),
        "VmiMissing",
        'the VMI "default/vmi-fedora" is not the one that the migration was made for',
        id="made for another VMI of its name",
    ),
    pytest.param({}, vmi(phase="Succeeded"), "VmiFinal", "Cannot migrate VMI in finalized state.", id="VMI final"),
    pytest.param(
        {},
        vmi(conditions=[{"type": "LiveMigratable", "status": "False", "reason": "NotMigratable", "message": "why"}]),
        "NotLiveMigratable",
        "Cannot migrate VMI, Reason: NotMigratable, Message: why",
        id="not live-migratable",
    ),
]


@pytest.mark.parametrize(("meta", "of", "reason", "text"), ENDINGS)
def test_what_the_webhook_would_refuse(meta: Json, of: Json | None, reason: str, text: str) -> None:
    view = migration_view(migration("", **meta), of, pod(), pending_since=later(-2))
    plan = plan_migration(view, now=NOW)
    assert (progressing(plan)["reason"], progressing(plan)["message"]) == (reason, text)
    assert events(plan) == [("FailedMigration", text)]
    # No finalizer is added: it can be deleted at once.
    assert names(plan) == ["PatchStatus VirtualMachineInstanceMigration"]


def test_a_vmi_that_was_created_together_with_it_is_waited_for() -> None:
    plan = plan_migration(migration_view(migration(""), None), now=NOW)
    assert plan.is_empty
    assert plan.withholds_report
    assert plan.again_at == later(2)


@pytest.mark.parametrize("condition", [None, {"type": "LiveMigratable", "status": "Unknown"}])
def test_no_word_on_live_migration_is_no_word_against_it(condition: Json | None) -> None:
    of = vmi(conditions=[condition] if condition else [])
    plan = plan_migration(migration_view(migration(""), of, pod()), now=NOW)
    assert progressing(plan)["reason"] == "CreatingTargetPod"


def test_events_of_waiting_are_told_once() -> None:
    first = plan_migration(pending(phase="", nodes=[node(NODE)]), now=NOW)
    assert events(first) == [("NoCandidateNode", progressing(first)["message"])]
    told = migration("Pending", status={"conditions": [progressing(first)]})
    second = plan_migration(migration_view(told, vmi(), pod(), nodes=[node(NODE)]), now=later(1))
    assert (second.actions, second.announcements) == ((), ())
    assert second.again_at == later(300).replace(microsecond=0)


WAITED_FOR = {"type": "Progressing", "status": "True", "reason": "WaitingForSlot", "message": "4th in the queue"}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(migration(""), id="asked for just now"),
        pytest.param(migration("Pending"), id="accepted by an operator that said nothing yet"),
        pytest.param(migration("Pending", status={"conditions": [WAITED_FOR]}), id="the last node goes while it waits"),
    ],
)
def test_that_no_node_can_take_the_vm_is_said_by_the_first_plan_that_sees_it(raw: Json) -> None:
    """Promised within two seconds: it waits for no timer and for no company."""
    first = plan_migration(migration_view(raw, vmi(), pod(), nodes=[node(NODE)], pending_since=None), now=NOW)
    assert (progressing(first)["status"], progressing(first)["reason"]) == ("False", "NoCandidateNode")
    assert progressing(first)["message"].startswith("0 of 1 node can take the VM: node01 runs it")
    assert events(first) == [("NoCandidateNode", progressing(first)["message"])]
    assert not first.withholds_report


def test_no_candidate_for_five_minutes_is_a_failure() -> None:
    condition = {
        "type": "Progressing", "status": "False", "reason": "NoCandidateNode", "message": "x",
        "lastTransitionTime": later(-300).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    told = migration("Pending", status={"conditions": [condition]})
    plan = plan_migration(migration_view(told, vmi(), pod(), nodes=[node(NODE)]), now=NOW)
    assert progressing(plan)["reason"] == "NoCandidateNode"
    assert events(plan) == [
        (
            "FailedMigration",
            "Migration failed because it could not begin: 0 of 1 node can take the VM: node01 runs it",
        )
    ]


def test_a_node_that_comes_ends_the_waiting() -> None:
    condition = {"type": "Progressing", "status": "False", "reason": "NoCandidateNode", "message": "x"}
    told = migration("Pending", status={"conditions": [condition]})
    plan = plan_migration(migration_view(told, vmi(), pod(), nodes=[node(NODE), node(TARGET_NODE)]), now=NOW)
    assert names(plan)[0] == "Create Pod"


REACHED = {cast(Case, case.values[0]).reason for case in WAITS} | {Reason(case.values[2]) for case in ENDINGS}
"""The reasons that these cases show; the endings of test_ladder.py show the others."""
TOLD_ELSEWHERE = {
    Reason.NODE_LOST,  # test_lost_nodes.py
    Reason.TARGET_POD_REPLACED,  # test_target_renewal.py
    Reason.MIGRATION_SUCCEEDED,  # test_ladder.py
    Reason.MIGRATION_IN_FLIGHT,  # test_one_at_a_time.py
    Reason.TARGET_POD_NOT_READY,  # test_timeouts.py
    Reason.TARGET_POD_LATE,  # test_timeouts.py
    Reason.NO_SLOT_IN_TIME,  # test_timeouts.py
    Reason.FAILED_HAND_OVER,  # tests/api/test_migration_patience.py
    Reason.FAILED_ABORT,
    Reason.SLOT_LEDGER_REFUSED,  # tests/api/test_migration_slots.py
}


@pytest.mark.parametrize(
    ("told", "is_written"), [(ASKS_FOR_A_SLOT, True), ("4th in line: 5 of 5 migrations are under way", False)]
)
def test_a_first_place_in_the_queue_is_told_soon_and_a_new_one_later(told: str, is_written: bool) -> None:
    """A place changes often; whoever knows none at all has just asked."""
    row = {
        "type": "Progressing",
        "status": "True",
        "reason": "WaitingForSlot",
        "message": told,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    raw = migration("Pending", status={"conditions": [row], "vmiUid": VMI_UID})
    view = migration_view(raw, vmi(), pod(), slot=QUEUED, pending_since=later(-1))
    assert (progressing(plan_migration(view, now=NOW)) != {}) is is_written


def test_a_new_place_in_the_queue_is_told_two_seconds_after_it_was_seen() -> None:
    row = {
        "type": "Progressing",
        "status": "True",
        "reason": "WaitingForSlot",
        "message": "4th in line: 5 of 5 migrations are under way",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    raw = migration("Pending", status={"conditions": [row], "vmiUid": VMI_UID})
    before = plan_migration(migration_view(raw, vmi(), pod(), slot=QUEUED, pending_since=later(-1)), now=NOW)
    assert before.again_at == later(1)
    after = plan_migration(migration_view(raw, vmi(), pod(), slot=QUEUED, pending_since=later(-2)), now=NOW)
    assert progressing(after)["message"] == QUEUED.message


@pytest.mark.parametrize(
    "other",
    [pod(node="node03"), pod(deleting=True), pod(phase="Failed", ready=False)],
    ids=["on another node than the VM", "is being deleted", "has ended"],
)
def test_a_pod_that_does_not_have_the_guest_is_no_source(other: Json) -> None:
    """The guest would be looked for in it."""
    plan = plan_migration(pending(None, other), now=NOW)
    assert progressing(plan)["reason"] == Reason.SEVERAL_LAUNCHER_PODS
    assert names(plan) == ["PatchStatus VirtualMachineInstanceMigration"]
    view = migration_view(migration("Scheduled"), vmi(), other, target_pod())
    plan = plan_migration(view, now=NOW)
    assert not [name for name in names(plan) if name.startswith("PatchMigrationState")]
