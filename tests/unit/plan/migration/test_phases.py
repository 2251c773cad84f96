"""KubeVirt's phase ladder, row by row (reference: `updateStatus` of its migration controller)."""

import pytest
from tests.build import (
    NOW,
    TARGET_NODE,
    Json,
    later,
    migration,
    migration_state,
    migration_view,
    pod,
    target_pod,
    vmi,
)
from tests.unit.plan.migration.failures import DONE, FAILURES, OTHER, STARTED, World, running
from tests.unit.plan.migration.outcome import condition, events, names, progressing, status

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import PatchFinalizers
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import MigrationEnded


@pytest.mark.parametrize(("world", "reason", "event"), FAILURES)
def test_rows_that_fail(world: World, reason: str, event: str) -> None:
    raw = migration(world.phase, deleting=world.deleting, **world.members)
    plan = plan_migration(migration_view(raw, world.vmi, *world.pods, others=world.others), now=NOW)
    assert status(plan)["phase"] == "Failed"
    assert status(plan)["phaseTransitionTimestamps"][-1] == {
        "phase": "Failed",
        "phaseTransitionTimestamp": "2026-01-02T03:04:05Z",
    }
    assert (progressing(plan)["status"], progressing(plan)["reason"]) == ("False", reason)
    assert event.rstrip(".") in progressing(plan)["message"]
    assert events(plan) == [("FailedMigration", event)]
    assert plan.measures == (MigrationEnded(phase="Failed", reason=reason),)
    # What follows from the failure is done once it is written; the VMI is told by a watch of its own, perhaps later.
    may_be_with_agents = world.phase in ("Scheduled", "PreparingTarget", "TargetReady", "Running")
    # What the node agents have said is no question any more.
    is_reported = event == "source node reported migration failed"
    reasons = ("MigrationStateLost", "TargetPodLost", "MigrationCanceled")
    is_doubtful = may_be_with_agents and not is_reported and reason in reasons
    checked = ["CheckGuest VirtualMachineInstance"] if is_doubtful else []
    assert names(plan) == [*checked, "PatchStatus VirtualMachineInstanceMigration"]


def test_row_1_a_final_migration_gets_the_state_and_loses_its_finalizer() -> None:
    state = migration_state(**DONE)
    view = migration_view(migration("Succeeded"), vmi(node=TARGET_NODE, moving=state), target_pod())
    plan = plan_migration(view, now=NOW)
    assert status(plan) == {"migrationState": state}
    assert names(plan)[-1] == "PatchFinalizers VirtualMachineInstanceMigration"


def test_row_1_the_state_of_another_migration_is_not_copied() -> None:
    state = migration_state(migration_uid=OTHER, target=target_pod())
    plan = plan_migration(migration_view(migration("Failed"), vmi(moving=state), pod()), now=NOW)
    assert names(plan) == ["PatchFinalizers VirtualMachineInstanceMigration"]


@pytest.mark.parametrize("phase", ["PreparingTarget", "TargetReady", "Running"])
def test_row_10_a_cancelled_one_that_was_handed_off_says_so(phase: str) -> None:
    members: Json = {} if phase == "PreparingTarget" else {"targetNodeAddress": "10.0.0.2"}
    members |= STARTED if phase == "Running" else {}
    view = migration_view(migration(phase, deleting=True), vmi(moving=migration_state(**members)), pod(), target_pod())
    plan = plan_migration(view, now=NOW)
    assert condition(plan, "migrationAbortRequested")["status"] == "True"
    assert "phase" not in status(plan)


STEPS = [
    pytest.param("", vmi(), (pod(),), ["Pending"], id="unset -> Pending: it can migrate"),
    pytest.param("Pending", vmi(), (pod(), target_pod(ready=False)), ["Scheduling"], id="Pending -> Scheduling"),
    pytest.param("Scheduling", vmi(), (pod(), target_pod()), ["Scheduled"], id="Scheduling -> Scheduled"),
    pytest.param(
        "Scheduled",
        vmi(moving=migration_state()),
        (pod(), target_pod()),
        ["PreparingTarget"],
        id="Scheduled -> PreparingTarget: handed off",
    ),
    pytest.param(
        "PreparingTarget",
        vmi(moving=migration_state(targetNodeAddress="10.0.0.2")),
        (pod(), target_pod()),
        ["TargetReady"],
        id="PreparingTarget -> TargetReady: the target has an address",
    ),
    pytest.param("TargetReady", running(), (pod(), target_pod()), ["Running"], id="TargetReady -> Running: started"),
    pytest.param(
        "Running",
        vmi(node=TARGET_NODE, moving=migration_state(**DONE)),
        (pod(), target_pod()),
        ["Succeeded"],
        id="Running -> Succeeded: completed",
    ),
    pytest.param(
        "Pending",
        vmi(),
        (pod(), target_pod()),
        ["Scheduling", "Scheduled"],
        id="two steps at once when the pod was faster",
    ),
    pytest.param(
        "Scheduled",
        vmi(node=TARGET_NODE, moving=migration_state(**DONE)),
        (pod(), target_pod()),
        ["PreparingTarget", "TargetReady", "Running", "Succeeded"],
        id="all steps at once after a pause of the operator",
    ),
    pytest.param("Pending", vmi(), (pod(),), [], id="Pending stays without a pod"),
    pytest.param("Scheduling", vmi(), (pod(), target_pod(ready=False)), [], id="Scheduling stays until ready"),
    pytest.param("Scheduled", vmi(), (pod(), target_pod()), [], id="Scheduled stays until handed off"),
    pytest.param(
        "PreparingTarget", vmi(moving=migration_state()), (pod(), target_pod()), [], id="PreparingTarget stays"
    ),
    pytest.param(
        "TargetReady",
        vmi(moving=migration_state(targetNodeAddress="10.0.0.2")),
        (pod(), target_pod()),
        [],
        id="TargetReady stays",
    ),
    pytest.param("Running", running(), (pod(), target_pod()), [], id="Running stays until completed"),
    pytest.param(
        "Running",
        vmi(moving=migration_state(**DONE)),
        (pod(), target_pod()),
        [],
        id="Running stays until the VMI says that the guest is on the target",
    ),
]


@pytest.mark.parametrize(("phase", "of", "pods", "entered"), STEPS)
def test_steps(phase: str, of: Json, pods: tuple[Json, ...], entered: list[str]) -> None:
    plan = plan_migration(migration_view(migration(phase), of, *pods), now=NOW)
    written = status(plan)
    assert [row["phase"] for row in written.get("phaseTransitionTimestamps", [])] == entered
    assert written.get("phase") == (entered[-1] if entered else None)
    ended = (MigrationEnded(phase="Succeeded", reason="MigrationSucceeded"),) if "Succeeded" in entered else ()
    assert plan.measures == ended


@pytest.mark.parametrize(
    ("condition_", "ends"),
    [
        pytest.param(
            {"type": "MigrationRequired", "status": "True"},
            True,
            id="MigrationRequired True: a NIC waits for the next migration, which waits for the end of this one",
        ),
        pytest.param({"type": "MigrationRequired", "status": "False"}, True, id="MigrationRequired False"),
        pytest.param({"type": "HotVCPUChange", "status": "False"}, False, id="HotVCPUChange at all"),
        pytest.param({"type": "HotMemoryChange", "status": "True"}, False, id="HotMemoryChange True"),
        pytest.param({"type": "HotMemoryChange", "status": "False"}, True, id="HotMemoryChange False"),
    ],
)
def test_what_keeps_a_completed_migration_from_having_succeeded(condition_: Json, ends: bool) -> None:
    of = vmi(node=TARGET_NODE, moving=migration_state(**DONE), conditions=[condition_])
    plan = plan_migration(migration_view(migration("Running"), of, pod(), target_pod()), now=NOW)
    assert (status(plan).get("phase") == "Succeeded") is ends
    if ends:
        assert events(plan)[-1] == ("SuccessfulMigration", "Source node reported migration succeeded")
        assert progressing(plan)["message"] == "the VM has moved from node01 to node02"


def test_a_phase_of_somebody_else_is_left_alone() -> None:
    for phase in ("WaitingForSync", "Synchronizing", "FromTheFuture"):
        assert plan_migration(migration_view(migration(phase), vmi(), pod()), now=NOW).is_empty


FOREIGN = ("WaitingForSync", "Synchronizing", "FromTheFuture")


@pytest.mark.parametrize("phase", FOREIGN)
def test_one_that_is_deleted_in_a_phase_of_somebody_else_goes(phase: str) -> None:
    """nicplug's finalizer held it for ever, and with it every migration of its VM."""
    view = migration_view(migration(phase, deleting=True), vmi(), pod(), target_pod())
    ended = plan_migration(view, now=NOW)
    assert (status(ended)["phase"], progressing(ended)["reason"]) == ("Failed", "MigrationCanceled")
    after = migration_view(migration("Failed", deleting=True), vmi(), pod())
    assert [
        thaw(item.wanted) for item in plan_migration(after, now=NOW).actions if isinstance(item, PatchFinalizers)
    ] == [{"finalizers": []}]
    nobody_s = migration(phase, deleting=True, finalizers=["example.com/theirs"])
    assert plan_migration(migration_view(nobody_s, vmi(), pod()), now=NOW).is_empty


def test_one_that_is_deleted_in_a_phase_of_somebody_else_ends_first_what_the_node_agents_have() -> None:
    deleted = migration("FromTheFuture", deleting=True)
    assert plan_migration(migration_view(deleted, running(), pod(), target_pod()), now=NOW).is_empty
    arrived = vmi(node=TARGET_NODE, moving=migration_state(**DONE))
    assert (
        status(plan_migration(migration_view(deleted, arrived, pod(), target_pod()), now=NOW))["phase"] == "Succeeded"
    )


def test_the_state_is_shown_on_the_way_with_whatever_else_is_written() -> None:
    state = migration_state(targetNodeAddress="10.0.0.2")
    view = migration_view(migration("PreparingTarget"), vmi(moving=state), pod(), target_pod())
    assert status(plan_migration(view, now=NOW))["migrationState"] == state


def test_times_of_a_writer_whose_clock_is_a_minute_ahead() -> None:
    ahead = later(60).strftime("%Y-%m-%dT%H:%M:%SZ")
    of = vmi(node=TARGET_NODE, moving=migration_state(**{**DONE, "startTimestamp": ahead, "endTimestamp": ahead}))
    plan = plan_migration(migration_view(migration("TargetReady"), of, pod(), target_pod()), now=NOW)
    assert status(plan)["phase"] == "Succeeded"
