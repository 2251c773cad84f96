"""The phase of a migration: the ladder of section 5.2, the first rung that matches. Pure."""

from datetime import datetime
from typing import Final

from nicplug_sandbox.kubevirt.migration_rules import (
    View,
    can_migrate,
    is_handed_off,
    is_target_created,
)
from nicplug_sandbox.kubevirt.objects import (
    MIGRATION_FINALIZER,
    Json,
    annotations_of,
    condition_of,
    is_being_deleted,
    is_condition,
    is_final,
    is_pod_down,
    is_pod_ready,
    merged,
    phase_of,
    status_of,
    text_of,
)
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Event, Write, pointer, write

KIND: Final = "VirtualMachineInstanceMigration"
ABORT_REQUESTED = "migrationAbortRequested"
REJECTED_BY_QUOTA = "migrationRejectedByResourceQuota"
TARGET_READY = "kubevirt.io/migration-target-ready-timestamp"
SUCCEEDED = "Source node reported migration succeeded"
NOT_ELIGIBLE = "VMI is not eligible for migration because another migration job is in progress."


def status(view: View, *, now: datetime, is_quota_exceeded: bool = False) -> Decision:
    """Bring the migration's status one step forward.

    Args:
        view: as the actions of the same pass saw it.
        is_quota_exceeded: the target pod was refused by a quota just now.
    """
    migration = view.migration
    if is_final(migration):
        return _finish(view)
    if failure := failure_of(view):
        aborted = is_being_deleted(migration) and not is_handed_off(migration)
        wanted = _aborting(migration, now=now) if aborted and failure.endswith("being canceled") else migration
        return _moved(wanted, "Failed", now=now, event=_event(migration, "FailedMigration", failure, "Warning"))
    if is_being_deleted(migration) and condition_of(migration, ABORT_REQUESTED) is None:
        return Decision(writes=(write("update-status", KIND, _aborting(migration, now=now)),))
    return _step(view, now=now, is_quota_exceeded=is_quota_exceeded)


def failure_of(view: View) -> str:
    """Why the migration has failed (rungs 2 to 9); "" when it has not."""
    migration, vmi, target, state = view.migration, view.vmi, view.target, view.state
    if vmi is None:
        return "Migration failed because vmi does not exist."
    if is_final(vmi):
        return "Migration failed vmi shutdown during migration."
    if is_being_deleted(migration) and not is_handed_off(migration):
        return "Migration failed due to being canceled"
    if target is not None and is_pod_down(target):
        return "Migration failed because target pod shutdown during migration"
    if is_target_created(migration) and target is None:
        return "Migration target pod was removed during active migration."
    if is_handed_off(migration) and not state:
        return "VMI's migration state was cleared during the active migration."
    if is_handed_off(migration) and not view.is_ours:
        return "VMI's migration state was taken over by another migration job during active migration."
    if view.is_ours and state.get("failed"):
        return "source node reported migration failed"
    return ""


def _finish(view: View) -> Decision:
    """Rung 1: keep what the node agents told, then let the object go."""
    migration = view.migration
    if view.is_ours and status_of(migration).get("migrationState") != view.state:
        wanted = {**migration, "status": {**status_of(migration), "migrationState": view.state}}
        return Decision(writes=(write("update-status", KIND, wanted),))
    finalizers = migration["metadata"].get("finalizers") or []
    if MIGRATION_FINALIZER not in finalizers:
        return NOTHING
    kept = [item for item in finalizers if item != MIGRATION_FINALIZER]
    return Decision(
        writes=(write("update", KIND, {**migration, "metadata": {**migration["metadata"], "finalizers": kept}}),)
    )


def _step(view: View, *, now: datetime, is_quota_exceeded: bool) -> Decision:
    """Rung 12: one phase per pass."""
    migration, target, state = view.migration, view.target, view.state
    match phase_of(migration):
        case "":
            if can_migrate(view):
                return _moved(migration, "Pending", now=now)
            return _moved(
                migration, "Failed", now=now, event=_event(migration, "FailedMigration", NOT_ELIGIBLE, "Warning")
            )
        case "Pending":
            if target is not None:
                return _moved(migration, "Scheduling", now=now)
            return _rejected(migration, now=now) if is_quota_exceeded else NOTHING
        case "Scheduling" if target is not None and is_pod_ready(target):
            return _moved(_without(migration, REJECTED_BY_QUOTA), "Scheduled", now=now)
        case "Scheduled" if view.is_ours and state.get("targetNode"):
            return _moved(migration, "PreparingTarget", now=now)
        case "PreparingTarget" if state.get("targetNodeAddress"):
            return _moved(migration, "TargetReady", now=now)
        case "TargetReady" if state.get("startTimestamp"):
            return _moved(migration, "Running", now=now)
        case "Running":
            return _running(view, now=now)
    return NOTHING


def _running(view: View, *, now: datetime) -> Decision:
    migration, target, vmi = view.migration, view.target, view.vmi
    assert vmi is not None
    waiting = (
        condition_of(vmi, "HotVCPUChange") is not None
        or is_condition(vmi, "HotMemoryChange")
        or is_condition(vmi, "MigrationRequired")
    )
    ready_at = view.state.get("targetNodeDomainReadyTimestamp")
    marks: tuple[Write, ...] = ()
    if ready_at and target is not None and TARGET_READY not in annotations_of(target):
        patch: list[Json] = [{"op": "add", "path": f"/metadata/annotations/{pointer(TARGET_READY)}", "value": ready_at}]
        marks = (write("patch", "Pod", target, body=patch),)
    if not view.state.get("completed") or waiting:
        return Decision(writes=marks)
    done = _moved(migration, "Succeeded", now=now, event=_event(migration, "SuccessfulMigration", SUCCEEDED))
    return Decision(writes=(*marks, *done.writes))


def _moved(migration: Json, phase: str, *, now: datetime, event: Event | None = None) -> Decision:
    present = status_of(migration)
    here = {"phase": phase, "phaseTransitionTimestamp": text_of(now)}
    times = [*(present.get("phaseTransitionTimestamps") or ()), here]
    wanted = {**migration, "status": {**present, "phase": phase, "phaseTransitionTimestamps": times}}
    return Decision(writes=(write("update-status", KIND, wanted, said=event),))


def _event(migration: Json, reason: str, message: str, kind: str = "Normal") -> Event:
    warns = kind == "Warning"
    return Event(about=migration, kind=KIND, reason=reason, message=message, type="Warning" if warns else "Normal")


def _with_condition(migration: Json, kind: str, *, now: datetime) -> Json:
    conditions = merged(status_of(migration).get("conditions") or (), [{"type": kind, "status": "True"}], now=now)
    return {**migration, "status": {**status_of(migration), "conditions": conditions}}


def _aborting(migration: Json, *, now: datetime) -> Json:
    return _with_condition(migration, ABORT_REQUESTED, now=now)


def _rejected(migration: Json, *, now: datetime) -> Decision:
    wanted = _with_condition(migration, REJECTED_BY_QUOTA, now=now)
    return NOTHING if wanted == migration else Decision(writes=(write("update-status", KIND, wanted),))


def _without(migration: Json, kind: str) -> Json:
    present = status_of(migration)
    if condition_of(migration, kind) is None:
        return migration
    kept = [item for item in present["conditions"] if item["type"] != kind]
    return {**migration, "status": {**present, "conditions": kept}}
