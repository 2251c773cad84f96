"""The VM moves to the pod that nicplug has made for its migration, and to no other (finding "pod impersonation")."""

from dataclasses import replace
from typing import Any

import pytest
from tests.build import (
    MIGRATION_UID,
    NAMESPACE,
    NODE,
    NOW,
    POD_NAME,
    POD_UID,
    TARGET_NODE,
    TARGET_POD_UID,
    Json,
    later,
    migration,
    migration_view,
    pod,
    target_pod,
    vmi,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.frozen_json import thaw
from nicplug.model.keys import PodKey
from nicplug.model.slot_ledger import MigrationSlot
from nicplug.plan.actions import CheckUnchanged, Create, Delete, FindPod, Kind, PatchMigrationState, PatchStatus
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.migration.slots import contender_of
from nicplug.plan.views import MigrationView

EVIL = "evil"
DIGEST = {"nicplug.io/pod-spec": "0123456789abcdef"}
TARGET_NAME = target_pod()["metadata"]["name"]
RECORD = {"name": TARGET_NAME, "uid": TARGET_POD_UID}
GRANTED = MigrationSlot(is_granted=True)
WAITS = MigrationSlot(reason="WaitingForSlot", message="1st in the queue")
TIMES = [{"phase": "Pending", "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"}]


def running() -> Json:
    raw = vmi(conditions=[{"type": "LiveMigratable", "status": "True"}])
    raw["status"] |= {"launcherPods": [{"name": POD_NAME, "uid": POD_UID}], "activePods": {POD_UID: NODE}}
    return raw


def pending(*foreign: Json, slot: MigrationSlot = GRANTED, **more: Any) -> MigrationView:
    raw = migration("Pending", status={"phaseTransitionTimestamps": TIMES})
    return migration_view(raw, running(), pod(), foreign=foreign, slot=slot, **more)


def test_a_foreign_target_jumps_no_queue() -> None:
    view = pending(target_pod(uid=EVIL), slot=WAITS)
    plan = plan_migration(view, now=NOW)
    assert not [item for item in plan.actions if isinstance(item, (Create, Delete))]
    assert all("phase" not in thaw(item.wanted) for item in plan.actions if isinstance(item, PatchStatus))
    contender = contender_of(view, plan=plan)
    assert contender is not None
    assert (contender.holds, contender.wants) == (False, True)


def test_a_foreign_target_is_passed_over() -> None:
    plan = plan_migration(pending(target_pod(uid=EVIL)), now=NOW)
    create = next(item for item in plan.actions if isinstance(item, Create))
    assert create.key.name != TARGET_NAME
    assert create.made_for == MIGRATION_UID
    assert [item.reason for item in plan.announcements] == ["SuccessfulCreate", "ForeignPod"]


def test_another_leader_has_time_to_record_his_target() -> None:
    doubtful = target_pod(uid=EVIL, annotations={**DIGEST})
    early = plan_migration(pending(doubtful, unrecorded={EVIL: NOW}), now=later(4))
    assert not [item for item in early.actions if isinstance(item, (Create, Delete))]
    assert early.again_at is not None
    assert early.again_at <= later(5)
    late = plan_migration(pending(doubtful, unrecorded={EVIL: NOW}), now=later(5))
    assert [type(item) for item in late.actions if isinstance(item, (Create, Delete))] == [Delete, Create]
    assert [item.reason for item in late.announcements] == ["SuccessfulDelete", "SuccessfulCreate", "ForeignPod"]


def test_many_that_look_so_keep_no_vm_from_moving() -> None:
    """Only the first few are given time (`cache.made_pods`); the others are deleted when the migration has ended.

    One of them may be of a leader that is about to record it, and to move the guest there.
    """
    plan = plan_migration(pending(target_pod(uid="4th", annotations={**DIGEST}), unrecorded={EVIL: NOW}), now=later(1))
    assert [type(item) for item in plan.actions if isinstance(item, (Create, Delete))] == [Create]
    assert [item.reason for item in plan.announcements] == ["SuccessfulCreate", "ForeignPod"]


def test_the_record_is_written_with_the_phase() -> None:
    raw = migration("Pending", status={"phaseTransitionTimestamps": TIMES})
    status = status_of(plan_migration(migration_view(raw, running(), pod(), target_pod(ready=False)), now=NOW))
    assert status["phase"] == "Scheduling"
    assert status["targetPod"] == RECORD


def test_the_memory_of_the_guest_goes_to_no_pod_that_was_put_in_place_of_the_target() -> None:
    raw = migration("Scheduled", status={"targetPod": RECORD, "phaseTransitionTimestamps": TIMES})
    replaced = target_pod(uid=EVIL, annotations={**DIGEST})
    plan = plan_migration(migration_view(raw, running(), pod(), foreign=[replaced]), now=NOW)
    assert not [item for item in plan.actions if isinstance(item, PatchMigrationState)]
    assert status_of(plan)["phase"] == "Failed"


def test_a_foreign_pod_beside_the_source_keeps_no_vm_from_moving() -> None:
    raw = migration("Scheduled", status={"targetPod": RECORD, "phaseTransitionTimestamps": TIMES})
    view = migration_view(raw, running(), pod(), target_pod(), foreign=[pod(name="web-0", uid=EVIL)])
    (hand_off,) = [item for item in plan_migration(view, now=NOW).actions if isinstance(item, PatchMigrationState)]
    wanted = thaw(hand_off.wanted)
    assert wanted["activePods"] == {POD_UID: NODE, TARGET_POD_UID: TARGET_NODE}
    assert [row["uid"] for row in wanted["launcherPods"]] == [POD_UID, TARGET_POD_UID]


def test_a_target_out_of_sight_is_asked_for_by_its_uid() -> None:
    raw = migration("Scheduled", status={"targetPod": RECORD, "phaseTransitionTimestamps": TIMES})
    (find,) = plan_migration(migration_view(raw, running(), pod(), gone=False), now=NOW).actions
    assert isinstance(find, FindPod)
    assert find.key == PodKey(NAMESPACE, TARGET_NAME)
    assert find.uids == frozenset({POD_UID, TARGET_POD_UID})


def test_a_target_of_an_earlier_version_is_recorded_with_the_next_phase() -> None:
    raw = migration("Scheduling", status={"phaseTransitionTimestamps": TIMES})
    status = status_of(plan_migration(migration_view(raw, running(), pod(), target_pod()), now=NOW))
    assert (status["phase"], status["targetPod"]) == ("Scheduled", RECORD)


def test_what_nobody_has_recorded_goes_with_a_migration_that_has_failed() -> None:
    raw = migration("Failed", status={"phaseTransitionTimestamps": TIMES})
    left = target_pod(uid=EVIL, annotations={**DIGEST})
    other = target_pod(uid="b", name="b")
    plan = plan_migration(migration_view(raw, running(), pod(), foreign=[left, other]), now=NOW)
    assert [item.uid for item in plan.actions if isinstance(item, Delete)] == [EVIL]


def test_a_third_pod_ran_beside_the_target_of_the_next_migration() -> None:
    """The maker of the first target died before it recorded it, and its migration gave way to the next one."""
    left = target_pod(uid=EVIL, annotations={**DIGEST})
    view = pending(left, unrecorded={EVIL: NOW})
    ending = replace(view, migration=replace(view.migration, deleting=True))
    actions = plan_migration(ending, now=NOW).actions
    order = [item for item in actions if isinstance(item, (CheckUnchanged, Delete, PatchStatus))]
    assert [type(item) for item in order] == [CheckUnchanged, Delete, PatchStatus]
    assert [item.uid for item in order if isinstance(item, Delete)] == [EVIL]
    assert status_of(plan_migration(ending, now=NOW))["phase"] == "Failed"


def test_what_nobody_has_recorded_does_not_run_on_while_the_migration_waits() -> None:
    left = target_pod(uid=EVIL, annotations={**DIGEST})
    waiting = pending(left, slot=WAITS, unrecorded={EVIL: NOW})
    assert not [item for item in plan_migration(waiting, now=later(4)).actions if isinstance(item, Delete)]
    late = plan_migration(waiting, now=later(5))
    assert [item.uid for item in late.actions if isinstance(item, Delete)] == [EVIL]
    assert [item.reason for item in late.announcements] == ["SuccessfulDelete"]
    stopped = replace(waiting, vmi=replace(waiting.vmi, deleting=True)) if waiting.vmi is not None else waiting
    assert [item.uid for item in plan_migration(stopped, now=later(5)).actions if isinstance(item, Delete)] == [EVIL]


@pytest.mark.parametrize(("slot", "made"), [(WAITS, ()), (GRANTED, (Create,))], ids=["waits", "goes on"])
def test_a_target_was_deleted_that_a_slow_leader_had_recorded_since(
    slot: MigrationSlot, made: tuple[type[Create], ...]
) -> None:
    left = target_pod(uid=EVIL, annotations={**DIGEST})
    view = pending(left, slot=slot, unrecorded={EVIL: NOW})
    actions = plan_migration(view, now=later(5)).actions
    check, *others = [item for item in actions if isinstance(item, (CheckUnchanged, Delete, Create))]
    assert isinstance(check, CheckUnchanged)
    assert (check.kind, check.key, check.uid) == (Kind.MIGRATION, view.migration.key, MIGRATION_UID)
    assert check.version == view.migration.resource_version
    assert [type(item) for item in others] == [Delete, *made]
    assert not [item for item in plan_migration(pending(), now=later(5)).actions if isinstance(item, CheckUnchanged)]


def test_a_look_alike_that_was_made_for_something_else_is_left_to_it() -> None:
    """A pod of another migration, or of the start: who needs it knows whether it waits for its record."""
    others = [
        target_pod(uid="b", name="b", annotations={**DIGEST}, labels={"kubevirt.io/migrationJobUID": "other"}),
        pod(uid="c", name="c", annotations={**DIGEST}),
    ]
    for slot in (WAITS, GRANTED):
        plan = plan_migration(pending(*others, slot=slot, unrecorded={"b": NOW, "c": NOW}), now=later(5))
        assert not [item for item in plan.actions if isinstance(item, Delete)]
    failed = migration("Failed", status={"phaseTransitionTimestamps": TIMES})
    plan = plan_migration(migration_view(failed, running(), pod(), foreign=others), now=NOW)
    assert not [item for item in plan.actions if isinstance(item, Delete)]
