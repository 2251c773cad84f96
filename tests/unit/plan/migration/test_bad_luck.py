"""Whatever happens in whatever phase: it is told, and the VM stays as it was or where it has arrived.

Each misfortune is a row, and each phase a column: the reason with which the migration fails, or what it says while it
goes on.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.build import (
    NODE,
    TARGET_NODE,
    Json,
    element,
    kubevirt,
    later,
    migration,
    migration_state,
    migration_view,
    nic,
    node,
    pod,
    primary,
    row,
    target_pod,
    vmi,
    waiting,
)
from tests.unit.plan.migration.outcome import condition, names, status

from nicplug.model.migration import MigrationPhase
from nicplug.model.slot_ledger import MigrationSlot
from nicplug.plan.actions import Create, Delete, Kind
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal

PHASES = ("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running")
OTHER = "99999999-dddd-4000-8000-000000000009"
STATES: dict[str, Json | None] = {
    "Pending": None,
    "Scheduling": None,
    "Scheduled": None,
    "PreparingTarget": migration_state(),
    "TargetReady": migration_state(targetNodeAddress="10.0.0.2"),
    "Running": migration_state(targetNodeAddress="10.0.0.2", startTimestamp="2026-01-02T03:04:00Z"),
}


@dataclass(slots=True, kw_only=True)
class Situation:
    """A migration that goes well, and what is changed in it."""

    phase: str
    vmi: Json | None
    pods: list[Json]
    meta: Json = field(default_factory=dict)
    view: Json = field(default_factory=dict)
    seconds: float = 0

    def plan(self) -> Plan:
        """What is decided."""
        raw = migration(self.phase, **self.meta)
        view = migration_view(raw, self.vmi, *self.pods, **self.view)
        # A report that waits for company has waited.
        return plan_migration(replace(view, report_pending_since=later(-99)), now=later(self.seconds))

    def change(self, **status: Any) -> None:
        """Members of the VMI's status."""
        assert self.vmi is not None
        self.vmi["status"] |= status


def a_target(**members: Any) -> Json:
    """The target pod, which was made with blue."""
    return target_pod(networks=[element("blue")], attached=["blue"], **members)


def situation(phase: str) -> Situation:
    """Everything is well: blue is in the guest, and two nodes are there."""
    labels = {"kubevirt.io/nodeName": NODE, "kubevirt.io/migrationTargetNodeName": TARGET_NODE}
    of = vmi(
        primary(),
        nic("blue"),
        rows=[row("blue", "domain", "multus-status")],
        moving=copy.deepcopy(STATES[phase]),
        labels=labels,
    )
    target = {
        "Pending": [],
        "Scheduling": [a_target(phase="Pending", ready=False, creationTimestamp="2026-01-02T03:04:00Z")],
    }.get(phase, [a_target()])
    nodes = {"nodes": [node(NODE), node(TARGET_NODE)]}
    times = [{"phase": phase, "phaseTransitionTimestamp": "2026-01-02T03:04:00Z"}]
    meta = {"status": {"phaseTransitionTimestamps": times}}
    return Situation(phase=phase, vmi=of, pods=[pod(), *target], view=nodes, meta=meta)


def no_vmi(it: Situation) -> None:
    it.vmi = None


def vmi_deleted(it: Situation) -> None:
    assert it.vmi is not None
    it.vmi["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"


def guest_ended(it: Situation) -> None:
    it.change(phase="Succeeded")


def another_vmi_of_its_name(it: Situation) -> None:
    assert it.vmi is not None
    it.vmi["metadata"]["uid"] = "another"
    it.vmi["status"].pop("migrationState", None)
    it.meta["status"]["vmiUid"] = "22222222-bbbb-4000-8000-000000000002"


def cancelled(it: Situation) -> None:
    it.meta["deleting"] = True


def target_pod_deleted(it: Situation) -> None:
    it.pods = [pod()]


def target_pod_being_deleted(it: Situation) -> None:
    it.pods = [pod(), *([a_target(deleting=True)] if len(it.pods) > 1 else [])]


def target_pod_failed(it: Situation) -> None:
    it.pods = [pod(), *([a_target(phase="Failed", ready=False)] if len(it.pods) > 1 else [])]


def target_pod_on_the_source_s_node(it: Situation) -> None:
    it.pods = [pod(), *([a_target(node=NODE)] if len(it.pods) > 1 else [])]
    if it.vmi is not None and it.vmi["status"].get("migrationState"):
        it.vmi["status"]["migrationState"]["targetNode"] = NODE


def source_pod_gone(it: Situation) -> None:
    it.pods = it.pods[1:]


def target_node_gone(it: Situation) -> None:
    it.view["nodes"] = [node(NODE)]


def every_node_cordoned(it: Situation) -> None:
    it.view["nodes"] = [node(NODE, unschedulable=True), node(TARGET_NODE, unschedulable=True)]


def nodes_unreadable(it: Situation) -> None:
    it.view["nodes"] = None


def nad_deleted(it: Situation) -> None:
    it.view["nads"] = []


def quota_exceeded(it: Situation) -> None:
    it.view["refusal"] = Refusal(reason="FailedCreate", message="pods is forbidden: exceeded quota: q")


def image_pull_failure(it: Situation) -> None:
    it.pods = [pod(), *([a_target(ready=False, status=waiting("ImagePullBackOff"))] if len(it.pods) > 1 else [])]


def not_migratable_any_more(it: Situation) -> None:
    it.change(conditions=[{"type": "LiveMigratable", "status": "False", "reason": "R", "message": "m"}])


def state_cleared(it: Situation) -> None:
    it.change(migrationState=None)


def state_of_another_job(it: Situation) -> None:
    it.change(migrationState=migration_state(migration_uid=OTHER, target=target_pod()))


def state_forged_with_our_uid(it: Situation) -> None:
    it.change(migrationState=migration_state(targetPod="virt-launcher-forged", targetNode="node03"))


def end_forged(it: Situation) -> None:
    it.change(migrationState=migration_state(completed=True, endTimestamp="2026-01-02T03:04:05Z"))


def state_of_wrong_types(it: Situation) -> None:
    it.change(migrationState={"migrationUid": 7, "targetPod": ["x"], "completed": "yes", "startTimestamp": {}})


def no_kubevirt_cr(it: Situation) -> None:
    it.view["config"] = None


def gate_switched_off(it: Situation) -> None:
    it.view["config"] = kubevirt("")


def slot_taken_back(it: Situation) -> None:
    it.view["slot"] = MigrationSlot(reason="WaitingForSlot", message="third in line")


def label_removed(it: Situation) -> None:
    it.meta["labels"] = None


def finalizer_removed(it: Situation) -> None:
    it.meta["finalizers"] = []


def our_clock_is_a_minute_ahead(it: Situation) -> None:
    it.seconds = 60


def our_clock_is_a_minute_late(it: Situation) -> None:
    it.seconds = -60


@dataclass(frozen=True, slots=True)
class Fails:
    """It fails, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Says:
    """It goes on, and says this reason."""

    reason: str


Cell = Fails | Says
# What it says in each phase when nothing is wrong.
WELL = (
    Says("CreatingTargetPod"),
    Says("WaitingForTargetPod"),
    Says("PreparingTarget"),
    Says("PreparingTarget"),
    Says("WaitingForSource"),
    Says("Copying"),
)
LOST = Fails("TargetPodLost")
STATE_LOST = Fails("MigrationStateLost")


def but(**cells: Cell) -> tuple[Cell, ...]:
    """As if nothing was wrong, but in these phases."""
    return tuple(cells.get(phase, well) for phase, well in zip(PHASES, WELL, strict=True))


ROWS: tuple[tuple[Callable[[Situation], None], tuple[Cell, ...]], ...] = (
    # Pending, Scheduling, Scheduled, PreparingTarget, TargetReady, Running.
    (no_vmi, (Fails("VmiMissing"),) * 6),
    (another_vmi_of_its_name, (Fails("VmiMissing"),) * 6),
    (guest_ended, (Fails("VmiFinal"),) * 6),
    # Its guest ends, or its node agents stop, and then it is final or gone.
    (vmi_deleted, but(Pending=Says("VmiNotRunning"))),
    (cancelled, (*(Fails("MigrationCanceled"),) * 3, *(Says("Canceling"),) * 3)),
    (target_pod_deleted, (WELL[0], *(LOST,) * 5)),
    # In Running the source's agent has the last word: the guest may have arrived.
    (target_pod_being_deleted, (WELL[0], *(LOST,) * 4, WELL[5])),
    (target_pod_failed, (WELL[0], *(LOST,) * 5)),
    (target_pod_on_the_source_s_node, but(Scheduling=Fails("NoCandidateNode"), Scheduled=Fails("NoCandidateNode"))),
    (source_pod_gone, but(Pending=Says("SeveralLauncherPods"), Scheduled=Says("SeveralLauncherPods"))),
    # From the hand-off on nobody can say whether the guest runs there.
    (target_node_gone, (Says("NoCandidateNode"), *WELL[1:3], *(Says("NodeLost"),) * 3)),
    (every_node_cordoned, but(Pending=Says("NoCandidateNode"))),
    (nodes_unreadable, WELL),
    (nad_deleted, but(Pending=Says("NetworkAttachmentDefinitionMissing"))),
    (quota_exceeded, but(Pending=Says("RejectedByResourceQuota"))),
    (image_pull_failure, but(Scheduling=Says("ImagePullBackOff"), Scheduled=Says("ImagePullBackOff"))),
    (not_migratable_any_more, but(Pending=Says("NotLiveMigratable"))),
    (state_cleared, (*WELL[:3], *(STATE_LOST,) * 3)),
    (state_of_another_job, (*WELL[:3], *(STATE_LOST,) * 3)),
    (state_forged_with_our_uid, (*WELL[:3], *(STATE_LOST,) * 3)),
    (end_forged, (STATE_LOST,) * 6),
    (state_of_wrong_types, (*WELL[:3], *(STATE_LOST,) * 3)),
    (no_kubevirt_cr, WELL),
    (gate_switched_off, WELL),
    (slot_taken_back, but(Pending=Says("WaitingForSlot"), Scheduled=Says("WaitingForSlot"))),
    (label_removed, WELL),
    (finalizer_removed, WELL),
    (our_clock_is_a_minute_ahead, WELL),
    (our_clock_is_a_minute_late, WELL),
)


def cells(*, of: type[Fails] | None = None) -> list[Any]:
    """Misfortune, phase and what follows; only those in which it fails, if asked for."""
    return [
        pytest.param(misfortune, phase, cell, id=f"{misfortune.__name__} in {phase}".replace("_", " "))
        for misfortune, row in ROWS
        for phase, cell in zip(PHASES, row, strict=True)
        if of is None or isinstance(cell, of)
    ]


@pytest.mark.parametrize(("misfortune", "phase", "expected"), cells())
def test_how_it_goes_on(misfortune: Callable[[Situation], None], phase: str, expected: Cell) -> None:
    it = situation(phase)
    misfortune(it)
    plan = it.plan()
    reported = condition(plan, "Progressing")
    is_failed = status(plan).get("phase") == "Failed"
    assert (Fails if is_failed else Says)(reported["reason"]) == expected
    assert reported["message"]
    _check(plan, it)


@pytest.mark.parametrize(("misfortune", "phase", "expected"), cells(of=Fails))
def test_after_a_failure_nothing_is_left_of_it(
    misfortune: Callable[[Situation], None], phase: str, expected: Fails
) -> None:
    """The pass after the one that wrote Failed: the target pod goes, then the finalizer, and the source stays."""
    it = situation(phase)
    misfortune(it)
    written = status(it.plan())
    assert written["phase"] == "Failed"
    it.phase, it.meta["status"] = "Failed", {**it.meta.get("status", {}), **written}
    plan = it.plan()
    _check(plan, it)
    reported = {**it.meta["status"], **status(plan)}
    assert [row["reason"] for row in reported["conditions"] if row["type"] == "Progressing"] == [expected.reason]
    targets = [item for item in it.pods if item["metadata"]["uid"] != pod()["metadata"]["uid"]]
    targets = [item for item in targets if "deletionTimestamp" not in item["metadata"]]
    is_ours = it.vmi is not None and it.vmi["metadata"]["uid"] != "another"
    deleted = {action.uid for action in plan.actions if isinstance(action, Delete) and action.kind is Kind.POD}
    assert deleted == ({item["metadata"]["uid"] for item in targets} if is_ours else set())
    if "kubevirt.io/migrationJobFinalize" in it.meta.get("finalizers", ["kubevirt.io/migrationJobFinalize"]):
        assert names(plan)[-1] == "PatchFinalizers VirtualMachineInstanceMigration"


def _check(plan: Plan, it: Situation) -> None:
    """Never a second pod beside a target, never a hand on the source, never a phase that goes back."""
    created = [action for action in plan.actions if isinstance(action, Create)]
    assert len(created) + len(it.pods) <= 2
    source = pod()["metadata"]["uid"]
    assert not [action for action in plan.actions if isinstance(action, Delete) and action.uid == source]
    phases = [str(phase) for phase in MigrationPhase]
    entered = [item["phase"] for item in status(plan).get("phaseTransitionTimestamps", [])]
    assert entered == sorted(entered, key=phases.index)
