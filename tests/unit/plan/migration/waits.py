"""What a migration waits for, and what ends it before it begins: what is seen, and what is said of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from tests.build import (
    NODE,
    TARGET_NODE,
    VMI_UID,
    Json,
    element,
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

from nicplug.model.slot_ledger import MigrationSlot
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
REASONS = {cast(Case, case.values[0]).reason for case in WAITS} | {Reason(case.values[2]) for case in ENDINGS}
"""Those that these cases show."""
