"""What is done in each phase, row by row (reference: `sync` of KubeVirt's migration controller).

A failure is two passes here: the first writes `Failed`, the second does what follows from it. So a crash between them
loses nothing, and the rows that KubeVirt lists under a phase and that end it are found under Failed.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.build import (
    NODE,
    NOW,
    POD_UID,
    TARGET_NODE,
    Json,
    element,
    kubevirt,
    later,
    migration,
    migration_state,
    migration_view,
    nic,
    pod,
    primary,
    target_pod,
    vmi,
)
from tests.unit.plan.migration.outcome import condition, events, names, status
from tests.unit.plan.migration.outcome import migration_state as written_state

from nicplug.model.frozen_json import thaw
from nicplug.model.migration_configuration import migration_configuration
from nicplug.model.slot_ledger import MigrationSlot
from nicplug.plan.actions import (
    CheckGuest,
    CheckUnchanged,
    Delete,
    Kind,
    PatchAnnotations,
    PatchFinalizers,
    PatchLabels,
    PatchMigrationState,
    PatchStatus,
)
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.views import MigrationView

TARGET = target_pod()["metadata"]["name"]
POD_KEY = f"default/{TARGET}"
OTHER = "99999999-dddd-4000-8000-000000000009"
STARTED: Json = {"targetNodeAddress": "10.0.0.2", "startTimestamp": "2026-01-02T03:04:00Z"}
ARRIVED: Json = {**STARTED, "targetNodeDomainReadyTimestamp": "2026-01-02T03:04:03Z"}
DONE: Json = {**ARRIVED, "endTimestamp": "2026-01-02T03:04:04Z", "completed": True}
LABELED: Json = {"labels": {"kubevirt.io/nodeName": NODE, "kubevirt.io/migrationTargetNodeName": TARGET_NODE}}
SECOND = pod(name="virt-launcher-x", uid="x", node="node03")
TARGET_NODE_LABEL = "kubevirt.io/migrationTargetNodeName"
TARGET_LABEL = "/metadata/labels/kubevirt.io~1migrationTargetNodeName"
DEFAULTS: Json = thaw(migration_configuration({}))
CREATE = "Create Pod"
ABORT = "PatchMigrationState VirtualMachineInstance"
LABEL = "PatchLabels VirtualMachineInstance"
CHECK, DELETE = "CheckGuest VirtualMachineInstance", "Delete Pod"
RELEASE = "PatchLabels VirtualMachineInstance"
UNCHANGED = "CheckUnchanged VirtualMachineInstanceMigration"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is seen, what is done apart from the migration's own status and finalizer, and what is announced of it."""

    view: MigrationView
    done: tuple[str, ...] = ()
    reported: tuple[tuple[str, str], ...] = ()


def seen(phase: str, of: Json | None, *pods: Json, deleting: bool = False, **members: Any) -> MigrationView:
    """A migration in that phase; `meta`: more of its metadata."""
    return migration_view(migration(phase, deleting=deleting, **members.pop("meta", {})), of, *pods, **members)


def moving(**members: Any) -> Json:
    """The VMI once handed off, found by the target's node agent."""
    return vmi(moving=migration_state(**members), **LABELED)


def reported_by(reason: str, message: str = "x", *, entered: tuple[str, ...] = ("Pending", "Failed")) -> Json:
    """The status of a migration whose condition `Progressing` was written so."""
    row = {"type": "Progressing", "status": "False", "reason": reason, "message": message}
    times = [{"phase": item, "phaseTransitionTimestamp": "2026-01-02T03:04:00Z"} for item in entered]
    return {"status": {"conditions": [row], "phaseTransitionTimestamps": times}}


CANCELED = ("FailedMigration", "Migration failed due to being canceled")
REMOVED = ("FailedMigration", "Migration target pod was removed during active migration.")
AUTOMATIC: Json = {"annotations": {"kubevirt.io/workloadUpdateMigration": ""}}


def failed_at(moment: str) -> Json:
    """An earlier migration of a controller's."""
    times = [{"phase": item, "phaseTransitionTimestamp": moment} for item in ("Pending", "Failed")]
    made = {"creationTimestamp": "2026-01-02T02:00:00Z", **AUTOMATIC}
    return migration("Failed", name="before", uid=OTHER, status={"phaseTransitionTimestamps": times}, **made)


def starting(*, made_at: str, **members: Any) -> Json:
    """A target pod that does not run yet."""
    return target_pod(phase="Pending", ready=False, creationTimestamp=made_at, **members)


def unschedulable(*, made_at: str) -> Json:
    """A target pod that no node takes."""
    row = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes: no memory."}
    return starting(made_at=made_at, node="", conditions=[row])


ROWS = {
    # -- Pending ---------------------------------------------------------------------------------
    "Pending: no target pod, a source pod: the target pod is made": Row(
        view=seen("Pending", vmi(), pod()),
        done=(CREATE,),
        reported=(("SuccessfulCreate", f"Created migration target pod {TARGET}"),),
    ),
    "Pending: no slot: nothing": Row(view=seen("Pending", vmi(), pod(), slot=MigrationSlot())),
    "Pending: more than one active pod: nothing": Row(
        view=seen("Pending", vmi(), pod(), SECOND),
        reported=(
            (
                "SeveralLauncherPods",
                "exactly one launcher pod, on the VM's node, has to be there before a second is made; "
                "found: virt-launcher-vmi-fedora-5ca3e, virt-launcher-x; given up at 2026-01-02T03:09:05Z",
            ),
        ),
    ),
    "Pending: no source pod: nothing": Row(
        view=seen("Pending", vmi()),
        reported=(
            (
                "SeveralLauncherPods",
                "exactly one launcher pod, on the VM's node, has to be there before a second is made; found: none; "
                "given up at 2026-01-02T03:09:05Z",
            ),
        ),
    ),
    "Pending: the source pod is on its way out: nothing": Row(
        view=seen("Pending", vmi(), pod(deleting=True), meta=reported_by("SeveralLauncherPods")),
    ),
    "Pending: being deleted: cancelled": Row(view=seen("Pending", vmi(), pod(), deleting=True), reported=(CANCELED,)),
    "Pending: an earlier one failed 5 s ago: backs off": Row(
        view=seen("Pending", vmi(), pod(), others=[failed_at("2026-01-02T03:04:00Z")], meta=AUTOMATIC),
        reported=(("MigrationBackoff", "backoff migrating vmi default/vmi-fedora"),),
    ),
    "Pending: an earlier one failed 25 s ago: the back-off is over, the target pod is made": Row(
        view=seen("Pending", vmi(), pod(), others=[failed_at("2026-01-02T03:03:40Z")], meta=AUTOMATIC),
        done=(CREATE,),
        reported=(("SuccessfulCreate", f"Created migration target pod {TARGET}"),),
    ),
    "Pending: the target pod has had no node for 300 s: given up": Row(
        view=seen("Pending", vmi(), pod(), unschedulable(made_at="2026-01-02T02:59:05Z")), reported=(REMOVED,)
    ),
    "Pending: the target pod has been pending for 900 s: given up": Row(
        view=seen("Pending", vmi(), pod(), starting(made_at="2026-01-02T02:49:05Z")), reported=(REMOVED,)
    ),
    "Pending: VMI not Running: nothing": Row(view=seen("Pending", vmi(phase="Scheduled"), pod())),
    "Pending: VMI being deleted: nothing": Row(view=seen("Pending", vmi(deleting=True), pod())),
    "Pending: target pod exists: no second one": Row(view=seen("Pending", vmi(), pod(), target_pod(ready=False))),
    # -- Scheduling ------------------------------------------------------------------------------
    "Scheduling: target pod not ready: nothing": Row(view=seen("Scheduling", vmi(), pod(), target_pod(ready=False))),
    "Scheduling: being deleted: cancelled": Row(
        view=seen("Scheduling", vmi(), pod(), target_pod(ready=False), deleting=True), reported=(CANCELED,)
    ),
    "Scheduling: the target pod has no node yet: said": Row(
        view=seen("Scheduling", vmi(), pod(), unschedulable(made_at="2026-01-02T02:59:10Z")),
        reported=(
            (
                "migrationTargetPodUnschedulable",
                "Migration target pod for VMI [default/vmi-fedora] is currently unschedulable.",
            ),
        ),
    ),
    "Scheduling: the target pod has had no node for 300 s: given up": Row(
        view=seen("Scheduling", vmi(), pod(), unschedulable(made_at="2026-01-02T02:59:05Z")), reported=(REMOVED,)
    ),
    "Scheduling: the target pod has been pending for less than 900 s: nothing": Row(
        view=seen("Scheduling", vmi(), pod(), starting(made_at="2026-01-02T02:49:10Z"))
    ),
    "Scheduling: the target pod has been pending for 900 s: given up": Row(
        view=seen("Scheduling", vmi(), pod(), starting(made_at="2026-01-02T02:49:05Z")), reported=(REMOVED,)
    ),
    # -- Scheduled -------------------------------------------------------------------------------
    "Scheduled: being deleted, not handed off, of which the VMI is asked once more: cancelled": Row(
        view=seen("Scheduled", vmi(), pod(), target_pod(), deleting=True), done=(CHECK,), reported=(CANCELED,)
    ),
    "Scheduled: pod ready: hand off, label first": Row(
        view=seen("Scheduled", vmi(), pod(), target_pod()),
        done=(LABEL, UNCHANGED, ABORT),
        reported=(("SuccessfulHandOver", "Migration target pod is ready for preparation by virt-handler."),),
    ),
    "Scheduled: the label was written before a crash: the state is": Row(
        view=seen("Scheduled", vmi(**LABELED), pod(), target_pod()),
        done=(UNCHANGED, ABORT),
        reported=(("SuccessfulHandOver", "Migration target pod is ready for preparation by virt-handler."),),
    ),
    "Scheduled: handed off before a crash: not again": Row(
        view=seen("Scheduled", moving(), pod(), target_pod()),
    ),
    "Scheduled: a local migration starts from an empty state, over the last one's": Row(
        view=seen("Scheduled", vmi(moving=migration_state(migration_uid=OTHER, **DONE)), pod(), target_pod()),
        done=(LABEL, UNCHANGED, ABORT),
        reported=(("SuccessfulHandOver", "Migration target pod is ready for preparation by virt-handler."),),
    ),
    "Scheduled: pod no longer ready: nothing but a warning": Row(
        view=seen("Scheduled", vmi(), pod(), target_pod(ready=False)),
        reported=(
            (
                "TargetPodContainersNotReady",
                f"target pod {TARGET} runs on node02 and is not ready: container compute; "
                "given up at 2026-01-02T03:19:05Z",
            ),
        ),
    ),
    "Scheduled: the target's node takes in others first: nothing": Row(
        view=seen("Scheduled", vmi(), pod(), target_pod(), slot=MigrationSlot(is_granted=True))
    ),
    "Scheduled: the node that was granted is not the pod's: nothing": Row(
        view=seen("Scheduled", vmi(), pod(), target_pod(), slot=MigrationSlot(is_granted=True, inbound_node="node03"))
    ),
    "Scheduled: Multus has still to report an interface: nothing": Row(
        view=seen("Scheduled", vmi(primary(), nic("blue")), pod(), target_pod(networks=[element("blue")], attached=[]))
    ),
    "Scheduled: an interface that somebody else asked for is not waited for: handed off": Row(
        view=seen("Scheduled", vmi(), pod(), target_pod(networks='[{"name":"l","interface":"mon0"}]')),
        done=(LABEL, UNCHANGED, ABORT),
        reported=(("SuccessfulHandOver", "Migration target pod is ready for preparation by virt-handler."),),
    ),
    "Scheduled: a third pod: nothing": Row(view=seen("Scheduled", vmi(), pod(), target_pod(), SECOND)),
    "Scheduled: the source pod ends: nothing": Row(view=seen("Scheduled", vmi(), pod(deleting=True), target_pod())),
    "Scheduled: VMI being deleted: nothing": Row(view=seen("Scheduled", vmi(deleting=True), pod(), target_pod())),
    # -- PreparingTarget, TargetReady --------------------------------------------------------------
    "PreparingTarget: the agents have time: nothing": Row(view=seen("PreparingTarget", moving(), pod(), target_pod())),
    "PreparingTarget: the target pod is gone: failed, once it is certain that the agents have no more to say": Row(
        view=seen("PreparingTarget", moving(), pod()), done=(CHECK,), reported=(REMOVED,)
    ),
    "TargetReady: the target pod has ended: failed, once it is certain that the agents have no more to say": Row(
        view=seen("TargetReady", moving(targetNodeAddress="10.0.0.2"), pod(), target_pod(phase="Failed")),
        done=(CHECK,),
        reported=(("FailedMigration", "Migration failed because target pod shutdown during migration"),),
    ),
    "PreparingTarget: somebody took the label away: it is put back": Row(
        view=seen("PreparingTarget", vmi(moving=migration_state()), pod(), target_pod()), done=(LABEL,)
    ),
    "PreparingTarget: being deleted: marked failed": Row(
        view=seen("PreparingTarget", moving(), pod(), target_pod(), deleting=True),
        done=(ABORT,),
        reported=(("SuccessfulAbortMigration", "Migration is ready to be canceled by virt-handler."),),
    ),
    "TargetReady: being deleted: marked failed": Row(
        view=seen("TargetReady", moving(targetNodeAddress="10.0.0.2"), pod(), target_pod(), deleting=True),
        done=(ABORT,),
        reported=(("SuccessfulAbortMigration", "Migration is ready to be canceled by virt-handler."),),
    ),
    "TargetReady: being deleted, and started a moment ago: left to Running": Row(
        view=seen("TargetReady", moving(**STARTED), pod(), target_pod(), deleting=True)
    ),
    "PreparingTarget: ours and completed: nothing": Row(
        view=seen("PreparingTarget", vmi(node=TARGET_NODE, moving=migration_state(**DONE)), pod(), target_pod()),
        reported=(("SuccessfulMigration", "Source node reported migration succeeded"),),
    ),
    # -- Running -----------------------------------------------------------------------------------
    "Running: nothing": Row(view=seen("Running", moving(**STARTED), pod(), target_pod())),
    "Running: being deleted: abortRequested": Row(
        view=seen("Running", moving(**STARTED), pod(), target_pod(), deleting=True),
        done=(ABORT,),
        reported=(("SuccessfulAbortMigration", "Migration is ready to be canceled by virt-handler."),),
    ),
    "Running: being deleted, already asked for: not again": Row(
        view=seen("Running", moving(**STARTED, abortRequested=True), pod(), target_pod(), deleting=True)
    ),
    "Running: the guest is up on the target: its pod is annotated": Row(
        view=seen("Running", moving(**ARRIVED), pod(), target_pod()), done=("PatchAnnotations Pod",)
    ),
    "Running: annotated already: nothing": Row(
        view=seen(
            "Running",
            moving(**ARRIVED),
            pod(),
            target_pod(annotations={"kubevirt.io/migration-target-ready-timestamp": "2026-01-02T03:04:03Z"}),
        )
    ),
    # -- Failed --------------------------------------------------------------------------------------
    "Failed: ours and not yet failed: marked failed on the VMI, the target pod goes": Row(
        view=seen("Failed", moving(**STARTED), pod(), target_pod(), meta=reported_by("TargetPodLost")),
        done=(ABORT, DELETE),
        reported=(
            (
                "FailedMigration",
                "VirtualMachineInstance migration uid 44444444-dddd-4000-8000-000000000004 failed. "
                "reason: Target pod is down",
            ),
            ("SuccessfulDelete", f"migration failed and pod {POD_KEY} is deleted"),
        ),
    ),
    "Failed: marked already: the target pod goes": Row(
        view=seen("Failed", moving(**DONE, failed=True), pod(), target_pod(), meta=reported_by("MigrationFailed")),
        done=(RELEASE, DELETE),
        reported=(("SuccessfulDelete", f"migration failed and pod {POD_KEY} is deleted"),),
    ),
    "Failed: the state is another's: it is left alone": Row(
        view=seen("Failed", vmi(moving=migration_state(migration_uid=OTHER, **STARTED)), pod()),
    ),
    "Failed: another leader may be about to hand off: it finds no label, then the target pod goes": Row(
        view=seen("Failed", vmi(**LABELED), pod(), target_pod(), meta=reported_by("MigrationCanceled")),
        done=(RELEASE, DELETE),
        reported=(("SuccessfulDelete", f"migration failed and pod {POD_KEY} is deleted"),),
    ),
    "Failed: never handed off: the target pod goes": Row(
        view=seen("Failed", vmi(), pod(), target_pod(), meta=reported_by("NoCandidateNode")),
        done=(CHECK, DELETE),
        reported=(("SuccessfulDelete", f"migration failed and pod {POD_KEY} is deleted"),),
    ),
    "Failed: cancelled: the target pod goes": Row(
        view=seen("Failed", vmi(), pod(), target_pod(), deleting=True),
        done=(CHECK, DELETE),
        reported=(("SuccessfulDelete", f"migration canceled and pod {POD_KEY} is deleted"),),
    ),
    "Failed: unschedulable for too long: the target pod goes": Row(
        view=seen("Failed", vmi(), pod(), target_pod(), meta=reported_by("TargetPodUnschedulable")),
        done=(CHECK, DELETE),
        reported=(("SuccessfulDelete", f"unschedulable pod {POD_KEY} timeout period exceeded"),),
    ),
    "Failed: pending for too long: the target pod goes": Row(
        view=seen("Failed", vmi(), pod(), target_pod(), meta=reported_by("TargetPodNotReady")),
        done=(CHECK, DELETE),
        reported=(("SuccessfulDelete", f"pending pod {POD_KEY} timeout period exceeded"),),
    ),
    "Failed: late for a reason that time mends: the target pod goes": Row(
        view=seen("Failed", vmi(), pod(), target_pod(), meta=reported_by("TargetPodLate")),
        done=(CHECK, DELETE),
        reported=(("SuccessfulDelete", f"pending pod {POD_KEY} timeout period exceeded"),),
    ),
    "Failed: the target pod is going already: not again": Row(
        view=seen("Failed", vmi(), pod(), target_pod(deleting=True), meta=reported_by("NoCandidateNode"))
    ),
    "Failed: the guest runs in the target pod all the same: it stays": Row(
        view=seen("Failed", vmi(node=TARGET_NODE), target_pod(), meta=reported_by("MigrationStateLost"))
    ),
    "Failed: the guest has ended on the node that the target pod was made on: it goes": Row(
        view=seen("Failed", vmi(phase="Succeeded", node=TARGET_NODE), target_pod(), meta=reported_by("VmiFinal")),
        done=(CHECK, DELETE),
        reported=(("SuccessfulDelete", f"migration failed and pod {POD_KEY} is deleted"),),
    ),
    "Failed: the guest has ended in the target pod: it stays for whoever looks": Row(
        view=seen(
            "Failed",
            vmi(phase="Succeeded", node=TARGET_NODE),
            target_pod(phase="Succeeded"),
            meta=reported_by("VmiFinal"),
        ),
    ),
    "Failed: the guest has arrived, and its node is still the source's: the target pod stays": Row(
        view=seen("Failed", moving(**DONE), pod(), target_pod(), meta=reported_by("MigrationStateLost"))
    ),
    "Failed: the guest has arrived, and its agents have still to say so: it has moved, and nobody is told": Row(
        view=seen("Failed", moving(**ARRIVED), pod(), target_pod(), meta=reported_by("MigrationStateLost"))
    ),
    "Failed: the guest has arrived and ended: marked failed, or its slot would be taken for ever": Row(
        view=seen(
            "Failed",
            vmi(phase="Failed", moving=migration_state(**ARRIVED), **LABELED),
            pod(),
            target_pod(phase="Failed"),
            meta=reported_by("VmiFinal"),
        ),
        done=(ABORT, DELETE),
        reported=(
            (
                "FailedMigration",
                "VirtualMachineInstance migration uid 44444444-dddd-4000-8000-000000000004 failed. reason: x",
            ),
            ("SuccessfulDelete", f"migration failed and pod {POD_KEY} is deleted"),
        ),
    ),
    "Failed: the VMI is gone: nothing": Row(view=seen("Failed", None)),
    # -- Succeeded -------------------------------------------------------------------------------------
    "Succeeded: the pod that the guest has left goes": Row(
        view=seen(
            "Succeeded",
            vmi(node=TARGET_NODE, moving=migration_state(**DONE)),
            pod(),
            target_pod(),
            meta={"status": {"migrationState": migration_state(**DONE)}},
        ),
        done=(CHECK, DELETE),
    ),
    "Succeeded: a pod of the source's name on a third node is not the one that the guest has left": Row(
        view=seen(
            "Succeeded",
            vmi(node=TARGET_NODE, moving=migration_state(**DONE)),
            pod(node="node03"),
            target_pod(),
            meta={"status": {"migrationState": migration_state(**DONE)}},
        ),
    ),
    "Succeeded: the VM is back on the source by a later one: its pod stays": Row(
        view=seen(
            "Succeeded",
            vmi(node=NODE, moving=migration_state(migration_uid=OTHER, **DONE)),
            pod(),
            meta={"status": {"migrationState": migration_state(**DONE)}},
        ),
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_rows(row: Row) -> None:
    plan = plan_migration(row.view, now=NOW)
    own = ("PatchStatus VirtualMachineInstanceMigration", "PatchFinalizers VirtualMachineInstanceMigration")
    assert tuple(name for name in names(plan) if name not in own) == row.done
    assert tuple(events(plan)) == row.reported


@pytest.mark.parametrize(("name", "row"), ROWS.items(), ids=ROWS.keys())
def test_no_row_touches_the_source_before_the_end(name: str, row: Row) -> None:
    """Whatever happens: the pod that has the guest is neither patched nor deleted."""
    for action in plan_migration(row.view, now=NOW).actions:
        if isinstance(action, Delete | PatchAnnotations) and not name.startswith("Succeeded"):
            assert action.uid != pod()["metadata"]["uid"]


class TestHandOff:
    """Two writes, the state last."""

    def handed(self, of: Json | None = None, *pods: Json) -> tuple[list[Any], Json]:
        plan = plan_migration(seen("Scheduled", of or vmi(), *(pods or (pod(), target_pod()))), now=NOW)
        written = [item for item in plan.actions if isinstance(item, PatchLabels | PatchMigrationState)]
        return written, written_state(plan)

    def test_what_is_written(self) -> None:
        (label, state), written = self.handed()
        assert (thaw(label.seen), thaw(label.wanted)) == ({TARGET_NODE_LABEL: None}, {TARGET_NODE_LABEL: TARGET_NODE})
        assert written == migration_state(migrationConfiguration=DEFAULTS)
        # The guest may not have moved since: its node is tested with the state.
        assert {"op": "test", "path": "/status/nodeName", "value": NODE} in [dict(item) for item in state.json_patch()]
        assert {"op": "test", "path": "/metadata/uid", "value": vmi()["metadata"]["uid"]} in state.json_patch()

    def test_the_target_pod_is_listed_with_the_state(self) -> None:
        """virt-handler finds the launcher's socket by it."""
        of = vmi()
        of["status"]["activePods"] = {POD_UID: NODE}
        (_, state), _ = self.handed(of)
        assert thaw(state.seen)["activePods"] == {POD_UID: NODE}
        assert thaw(state.wanted)["activePods"] == {POD_UID: NODE, target_pod()["metadata"]["uid"]: TARGET_NODE}
        (_, state), _ = self.handed()
        assert thaw(state.wanted)["activePods"] == {target_pod()["metadata"]["uid"]: TARGET_NODE}

    def test_the_configuration_as_it_stands_goes_with_it(self) -> None:
        config = kubevirt()
        config["spec"]["configuration"]["migrations"] = {"progressTimeout": 60, "maxDowntimeMs": None}
        plan = plan_migration(seen("Scheduled", vmi(), pod(), target_pod(), config=config), now=NOW)
        assert written_state(plan)["migrationConfiguration"] == {**DEFAULTS, "progressTimeout": 60}

    @pytest.mark.parametrize("phase", ["PreparingTarget", "TargetReady", "Running"])
    def test_a_configuration_that_is_edited_later_changes_nothing(self, phase: str) -> None:
        config = kubevirt()
        config["spec"]["configuration"]["migrations"] = {"progressTimeout": 60}
        members = {"PreparingTarget": {}, "TargetReady": {"targetNodeAddress": "10.0.0.2"}}.get(phase, STARTED)
        of = moving(**members, migrationConfiguration=DEFAULTS)
        assert written_state(plan_migration(seen(phase, of, pod(), target_pod(), config=config), now=NOW)) == {}

    def test_another_leader_ended_the_migration_and_deleted_the_pod_that_the_guest_had_moved_to(self) -> None:
        """Either the label is set after the end, and the migration has changed; or it is taken away, and is missed."""
        plan = plan_migration(seen("Scheduled", vmi(), pod(), target_pod()), now=NOW)
        label, check, state = [item for item in plan.actions if not isinstance(item, PatchStatus)]
        assert isinstance(label, PatchLabels)
        assert isinstance(check, CheckUnchanged)
        assert isinstance(state, PatchMigrationState)
        version = migration("Scheduled")["metadata"]["resourceVersion"]
        assert {"op": "test", "path": "/metadata/resourceVersion", "value": version} in check.json_patch()
        assert {"op": "test", "path": TARGET_LABEL, "value": TARGET_NODE} in state.json_patch()

    def test_the_label_of_the_last_migration_is_replaced(self) -> None:
        labels = {"kubevirt.io/nodeName": NODE, "kubevirt.io/migrationTargetNodeName": "node03"}
        (label, _), _ = self.handed(vmi(labels=labels))
        assert thaw(label.seen) == {TARGET_NODE_LABEL: "node03"}
        assert thaw(label.wanted) == {TARGET_NODE_LABEL: TARGET_NODE}

    def test_the_state_of_the_last_migration_is_tested_and_replaced_whole(self) -> None:
        old = migration_state(migration_uid=OTHER, **DONE)
        (_, state), written = self.handed(vmi(moving=old))
        assert written == migration_state(migrationConfiguration=DEFAULTS)
        assert thaw(state.seen)["migrationState"] == old

    def test_without_a_state_none_may_have_come(self) -> None:
        (_, state), _ = self.handed()
        assert thaw(state.seen)["migrationState"] is None


class TestCheckedGuest:
    """Before a pod goes: where the guest is, and what its node agents say, but not who else has reported since."""

    def check(self, of: Json) -> list[Any]:
        plan = plan_migration(seen("Failed", of, pod(), target_pod(), meta=reported_by("NoCandidateNode")), now=NOW)
        (found,) = [item for item in plan.actions if isinstance(item, CheckGuest)]
        return [dict(item) for item in found.json_patch()]

    def test_what_is_tested(self) -> None:
        state = migration_state(migration_uid=OTHER, **DONE)
        assert self.check(vmi(moving=state)) == [
            {"op": "test", "path": "/metadata/uid", "value": vmi()["metadata"]["uid"]},
            {"op": "test", "path": "/status/migrationState", "value": state},
            {"op": "test", "path": "/status/nodeName", "value": NODE},
        ]

    def test_a_hand_off_that_nobody_has_heard_of_is_met(self) -> None:
        assert {"op": "test", "path": "/status/migrationState", "value": None} in self.check(vmi())

    def test_the_label_goes_with_the_same_tests(self) -> None:
        plan = plan_migration(
            seen("Failed", vmi(**LABELED), pod(), target_pod(), meta=reported_by("MigrationCanceled")), now=NOW
        )
        (found,) = [item for item in plan.actions if isinstance(item, PatchLabels)]
        assert [dict(item) for item in found.json_patch()] == [
            {"op": "test", "path": "/metadata/uid", "value": vmi()["metadata"]["uid"]},
            {"op": "test", "path": "/status/migrationState", "value": None},
            {"op": "test", "path": "/status/nodeName", "value": NODE},
            {"op": "test", "path": TARGET_LABEL, "value": TARGET_NODE},
            {"op": "remove", "path": TARGET_LABEL},
        ]

    def test_a_pod_that_was_never_scheduled_is_deleted_without_a_label(self) -> None:
        """Its node, "", was taken for the missing label, and every patch failed."""
        reported = reported_by("TargetPodUnschedulable")
        plan = plan_migration(seen("Failed", vmi(), pod(), target_pod(node=""), meta=reported), now=NOW)
        assert names(plan)[:2] == [CHECK, DELETE]

    def test_the_label_of_another_migration_stays(self) -> None:
        labels = {"kubevirt.io/nodeName": NODE, "kubevirt.io/migrationTargetNodeName": "node03"}
        of = vmi(labels=labels)
        plan = plan_migration(seen("Failed", of, pod(), target_pod(), meta=reported_by("MigrationCanceled")), now=NOW)
        assert not [item for item in plan.actions if isinstance(item, PatchLabels)]


class TestMarkedFailed:
    """A node agent must not go on with what has failed."""

    def marked(self, phase: str, *, deleting: bool = False, meta: Json | None = None, **members: Any) -> Json:
        view = seen(phase, moving(**members), pod(), target_pod(), deleting=deleting, meta=meta or {})
        return written_state(plan_migration(view, now=NOW))

    def test_members_that_are_unset(self) -> None:
        assert self.marked("Failed", meta=reported_by("TargetPodLost")) == migration_state(
            failed=True,
            completed=True,
            startTimestamp="2026-01-02T03:04:05Z",
            endTimestamp="2026-01-02T03:04:05Z",
            failureReason="Target pod is down",
        )

    def test_what_the_agents_wrote_stays(self) -> None:
        written = self.marked("Failed", meta=reported_by("TargetPodLost"), **STARTED, failureReason="broken pipe")
        assert (written["startTimestamp"], written["failureReason"]) == ("2026-01-02T03:04:00Z", "broken pipe")

    def test_cancelled_before_the_copy(self) -> None:
        assert self.marked("PreparingTarget", deleting=True)["failureReason"] == (
            "Migration canceled before it had begun"
        )

    @pytest.mark.parametrize(
        ("phase", "members", "words"),
        [
            ("PreparingTarget", {}, "virt-handler on node02 did not prepare the target pod within 300 s"),
            (
                "TargetReady",
                {"targetNodeAddress": "10.0.0.2"},
                "virt-handler on node01 did not begin the copy within 300 s",
            ),
        ],
    )
    def test_an_agent_that_never_answers(self, phase: str, members: Json, words: str) -> None:
        times = [{"phase": phase, "phaseTransitionTimestamp": later(-300).strftime("%Y-%m-%dT%H:%M:%SZ")}]
        meta = {"status": {"phaseTransitionTimestamps": times}}
        assert self.marked(phase, meta=meta, **members)["failureReason"] == words
        times[0]["phaseTransitionTimestamp"] = later(-290).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert self.marked(phase, meta=meta, **members) == {}
        # Nothing else makes anybody look again.
        plan = plan_migration(seen(phase, moving(**members), pod(), target_pod(), meta=meta), now=NOW)
        assert plan.again_at == later(-290 + 300).replace(microsecond=0)

    def test_an_abort_keeps_the_rest(self) -> None:
        assert self.marked("Running", deleting=True, **STARTED) == migration_state(**STARTED, abortRequested=True)


class TestAdoption:
    """What KubeVirt's webhooks see to."""

    def test_finalizer_and_label_are_added(self) -> None:
        plan = plan_migration(seen("", vmi(), pod(), meta={"finalizers": [], "labels": None}), now=NOW)
        assert names(plan) == [
            "PatchFinalizers VirtualMachineInstanceMigration",
            "PatchLabels VirtualMachineInstanceMigration",
            "PatchStatus VirtualMachineInstanceMigration",
        ]
        assert status(plan)["phase"] == "Pending"

    @pytest.mark.parametrize("labels", [None, {}, {"kubevirt.io/vmi-name": "another"}, {"mine": "x"}])
    @pytest.mark.parametrize("phase", ["Pending", "Scheduling", "PreparingTarget", "Running"])
    def test_a_label_that_was_changed_is_healed(self, phase: str, labels: Json | None) -> None:
        of = moving(**(STARTED if phase == "Running" else {})) if phase in ("PreparingTarget", "Running") else vmi()
        pods = (pod(),) if phase == "Pending" else (pod(), target_pod(ready=False))
        plan = plan_migration(seen(phase, of, *pods, meta={"labels": labels}), now=NOW)
        (label,) = [action for action in plan.actions if isinstance(action, PatchLabels)]
        assert thaw(label.wanted) == {"kubevirt.io/vmi-name": "vmi-fedora"}

    def test_a_finalizer_of_somebody_else_stays(self) -> None:
        meta = {"finalizers": ["a.example/hold", "kubevirt.io/migrationJobFinalize"]}
        plan = plan_migration(seen("Failed", vmi(), pod(), meta=meta), now=NOW)
        (patch,) = [action for action in plan.actions if getattr(action, "kind", None) is Kind.MIGRATION]
        assert isinstance(patch, PatchFinalizers)
        assert thaw(patch.wanted) == {"finalizers": ["a.example/hold"]}

    def test_a_target_that_changes_before_it_goes_stays(self) -> None:
        """It is opened when a guest arrives: another leader may have handed it off."""
        plan = plan_migration(seen("Failed", vmi(), pod(), target_pod(version=77)), now=NOW)
        (delete,) = [action for action in plan.actions if isinstance(action, Delete)]
        assert delete.version == 77

    @pytest.mark.parametrize(("state", "is_held"), [(ARRIVED, True), (DONE, False), (STARTED, False)])
    def test_it_is_held_while_its_guest_arrives(self, state: Json, *, is_held: bool) -> None:
        """Two leaders: what one has failed, the other had handed off; let go, it gave back a slot that is in use."""
        plan = plan_migration(seen("Failed", moving(**state), pod(), target_pod(), deleting=True), now=NOW)
        assert ("PatchFinalizers VirtualMachineInstanceMigration" in names(plan)) is not is_held

    def test_a_copy_that_one_leader_has_begun_of_what_the_other_has_failed_is_broken_off_by_its_agents(self) -> None:
        """The guest may be in the target before they say so: told of a failure they forget it, and with the target's
        deletion it ended. Seed 740114 of 'the limits are tight'."""
        canceled = reported_by("MigrationCanceled")
        plan = plan_migration(seen("Failed", moving(**STARTED), pod(), target_pod(), meta=canceled), now=NOW)
        (asked,) = [action for action in plan.actions if isinstance(action, PatchMigrationState)]
        assert thaw(asked.wanted)["migrationState"]["abortRequested"] is True
        assert "failed" not in thaw(asked.wanted)["migrationState"]
        assert not {DELETE, "PatchFinalizers VirtualMachineInstanceMigration"} & set(names(plan))
        waits = plan_migration(
            seen("Failed", moving(**STARTED, abortRequested=True), pod(), target_pod(), meta=canceled), now=NOW
        )
        assert not {ABORT, DELETE, "PatchFinalizers VirtualMachineInstanceMigration"} & set(names(waits))
        assert waits.again_at == later(114.322)

    def test_agents_that_do_not_break_it_off_are_notified_that_it_has_failed(self) -> None:
        meta = reported_by("MigrationCanceled")
        view = seen("Failed", moving(**STARTED, abortRequested=True), pod(), target_pod(), meta=meta)
        assert [item for item in names(plan_migration(view, now=later(115))) if item in (ABORT, DELETE)] == [
            ABORT,
            DELETE,
        ]

    def test_nobody_is_asked_to_break_off_what_has_lost_an_end(self) -> None:
        view = seen("Failed", moving(**STARTED), pod(), target_pod(), meta=reported_by("TargetPodLost"))
        (reported,) = [item for item in plan_migration(view, now=NOW).actions if isinstance(item, PatchMigrationState)]
        assert thaw(reported.wanted)["migrationState"]["failed"] is True

    @pytest.mark.parametrize("moment", ["2030-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    def test_a_forged_time_of_its_failure_holds_nothing_up(self, moment: str) -> None:
        """Its slot and its VMI waited for that time, or every pass of it ended in an overflow."""
        meta = reported_by("MigrationCanceled")
        meta["status"]["phaseTransitionTimestamps"] = [{"phase": "Failed", "phaseTransitionTimestamp": moment}]
        plan = plan_migration(seen("Failed", moving(**STARTED), pod(), target_pod(), meta=meta), now=NOW)
        assert [item for item in names(plan) if item in (ABORT, DELETE)] == [ABORT, DELETE]
        without = plan_migration(seen("Failed", None, meta=meta), now=NOW)
        assert "PatchFinalizers VirtualMachineInstanceMigration" in names(without)

    def test_one_that_is_deleted_before_it_was_seen_gets_no_finalizer(self) -> None:
        plan = plan_migration(seen("", vmi(), pod(), deleting=True, meta={"finalizers": ["a.example/hold"]}), now=NOW)
        assert names(plan) == ["PatchStatus VirtualMachineInstanceMigration"]
        assert condition(plan, "migrationAbortRequested")["status"] == "True"
