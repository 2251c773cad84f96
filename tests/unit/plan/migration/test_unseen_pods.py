"""A pod that is out of sight may only have lost the label by which pods are watched: it is asked for by name first."""

from typing import Any

import pytest
from tests.build import (
    MIGRATION_UID,
    NOW,
    TARGET_NODE,
    VMI_UID,
    Json,
    migration,
    migration_state,
    migration_view,
    pod,
    target_pod,
    vmi,
)
from tests.unit.plan.migration.outcome import names, progressing

from nicplug.model.keys import MigrationKey, PodKey
from nicplug.plan.actions import FindPod
from nicplug.plan.migration.plan_migration import plan_migration

TARGET = target_pod()["metadata"]["name"]
SOURCE = pod()["metadata"]["name"]
STATE = migration_state(targetNodeAddress="10.0.0.2", startTimestamp="2026-01-02T03:04:00Z")
DONE = {**STATE, "completed": True, "targetNodeDomainReadyTimestamp": "2026-01-02T03:04:03Z"}


def accepted(phase: str, **status: Any) -> Json:
    """A migration that was Pending once."""
    times = [{"phase": item, "phaseTransitionTimestamp": "2026-01-02T03:04:00Z"} for item in ("Pending", phase)]
    return {"status": {"phaseTransitionTimestamps": times, **status}}


def find(name: str) -> tuple[FindPod, ...]:
    """The question for that pod."""
    key = MigrationKey("default", "migration-job")
    return (FindPod(key=PodKey("default", name), migration=key, migration_uid=MIGRATION_UID, owner_uid=VMI_UID),)


ASKED = [
    pytest.param("Scheduling", vmi(), (pod(),), TARGET, id="Scheduling"),
    pytest.param("Scheduled", vmi(), (pod(),), TARGET, id="Scheduled"),
    pytest.param("PreparingTarget", vmi(moving=migration_state()), (pod(),), TARGET, id="PreparingTarget"),
    pytest.param("Running", vmi(moving=STATE), (pod(),), TARGET, id="Running"),
    pytest.param("Failed", vmi(), (pod(),), TARGET, id="before a failed one lets its finalizer go"),
    pytest.param(
        "Succeeded", vmi(node=TARGET_NODE, moving=DONE), (target_pod(),), SOURCE, id="the source, after a success"
    ),
]


@pytest.mark.parametrize(("phase", "of", "pods", "name"), ASKED)
def test_it_is_asked_for_before_anything_is_concluded(phase: str, of: Json, pods: tuple[Json, ...], name: str) -> None:
    meta = accepted(phase, **({"migrationState": DONE} if phase == "Succeeded" else {}))
    asked = plan_migration(migration_view(migration(phase, **meta), of, *pods, gone=False), now=NOW)
    assert asked.actions == find(name)
    answered = plan_migration(migration_view(migration(phase, **meta), of, *pods), now=NOW)
    if phase in ("Failed", "Succeeded"):
        assert names(answered)[-1] == "PatchFinalizers VirtualMachineInstanceMigration"
    else:
        assert progressing(answered)["reason"] == "TargetPodLost"


NOT_ASKED = [
    pytest.param("Pending", {}, vmi(), (pod(),), id="it was not made yet"),
    pytest.param("Scheduling", {}, vmi(phase="Failed"), (pod(),), id="the guest has ended"),
    pytest.param("Scheduling", {}, None, (), id="the VMI is gone, and its pods with it"),
    pytest.param("Failed", {}, vmi(), (pod(),), id="a failed one that was never accepted"),
    pytest.param("Failed", {**accepted("Failed"), "finalizers": []}, vmi(), (pod(),), id="it is through with its pods"),
    pytest.param("Succeeded", accepted("Succeeded"), vmi(), (pod(),), id="a success that names no source"),
]


@pytest.mark.parametrize(("phase", "meta", "of", "pods"), NOT_ASKED)
def test_nothing_is_asked_where_nothing_depends_on_it(
    phase: str, meta: Json, of: Json | None, pods: tuple[Json, ...]
) -> None:
    plan = plan_migration(migration_view(migration(phase, **meta), of, *pods, gone=False), now=NOW)
    assert not [action for action in plan.actions if isinstance(action, FindPod)]
