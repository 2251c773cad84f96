"""What keeps the target pods of nicplug's migrations from starting, and what that says of a failed one.

virt-controller deletes a target pod that is Pending for 15 minutes. The migration then fails, and nothing tells why. So
the report keeps what is seen while the pod waits, and a migration is read as if its own status had it, as in standalone
mode: the condition `Progressing`, and the NICs at fault. Source: KubeVirt 1.9 `migration.go`
(`handlePendingPodTimeout`, `updateStatus`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.conditions import FALSE, PROGRESSING, drop_condition
from nicplug.model.frozen_json import freeze
from nicplug.model.metadata import objects, text
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.pod import LauncherPod
from nicplug.plan.migration.facts import MigrationFacts, find_start_failure, node_trouble
from nicplug.plan.migration.timeouts import describe_wait, needs_correction
from nicplug.plan.nic.path.blame import blame_nics, may_be_networks_fault
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView

TARGET_PODS_MEMBER = "targetPodFailures"
# Without any report of the kubelet, as if events could not be read: long before virt-controller deletes the pod.
_SUSPECTED_AFTER = timedelta(minutes=5)
_KEPT_MEMBERS = ("interfacesAtFault", "causesAtFault")
_COMPARED_MEMBERS = ("reason", *_KEPT_MEMBERS)
_WAITING = frozenset({MigrationPhase.UNSET, MigrationPhase.PENDING, MigrationPhase.SCHEDULING})
# virt-controller's words, in its event.
_POD_REMOVED = "Migration target pod was removed during active migration."
_QUOTA = "migrationRejectedByResourceQuota"


def target_pod_failures(view: VmiView, *, now: datetime) -> list[dict[str, Any]]:
    """Return the member of the report: what keeps, or kept, the target pod of each of nicplug's migrations waiting.

    A migration that goes on, has succeeded or is gone has none, nor has one before a later one that has succeeded: that
    one brought every NIC.
    """
    known = _by_migration(objects(view.vmi.status.members.get(TARGET_PODS_MEMBER)))
    rows = (_failure(item, view, before=known.get(item.uid), now=now) for item in _own(view))
    return [row for row in rows if row is not None]


def suspected_at(view: VmiView, *, now: datetime) -> datetime | None:
    """Return when a target pod of which nobody says anything is suspected, if that is to come."""
    pods = (_target(item, view) for item in _own(view) if item.phase in _WAITING)
    due = [pod.created + _SUSPECTED_AFTER for pod in pods if pod is not None and pod.created and _is_pending(pod)]
    return min((moment for moment in due if moment > now), default=None)


def with_target_pod_failures(view: VmiView, *, now: datetime) -> VmiView:
    """Return the view with migrations of nicplug's as if their status said why they wait, or have failed."""
    known, own = _by_migration(target_pod_failures(view, now=now)), {item.uid for item in _own(view)}
    migrations = (_read(item, known.get(item.uid), view) if item.uid in own else item for item in view.migrations)
    return replace(view, migrations=tuple(migrations))


def _by_migration(rows: Iterable[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    return {text(row.get("migrationUid")): row for row in rows}


def _own(view: VmiView) -> Iterable[Migration]:
    return (item for item in view.migrations if item.is_workload_update(vmi_uid=view.vmi.uid) and item.brings_every_nic)


def _target(migration: Migration, view: VmiView) -> LauncherPod | None:
    """Return the target pod; None if there is none, or not exactly one: labels prove nothing.

    `view.pods` has only pods that the VMI owns and that virt-controller counts, by uid.
    """
    found = [pod for pod in view.pods if pod.migration_uid == migration.uid and pod.created_by == view.vmi.uid]
    return found[0] if len(found) == 1 else None


def _is_pending(pod: LauncherPod) -> bool:
    return pod.phase in ("", "Pending") and not pod.deleting


def _failure(
    migration: Migration, view: VmiView, *, before: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any] | None:
    kept = dict(before) if before is not None else None
    if migration.phase is MigrationPhase.FAILED:
        later = view.migrations[view.migrations.index(migration) + 1 :]
        return None if any(item.phase is MigrationPhase.SUCCEEDED for item in later) else kept
    pod = _target(migration, view)
    if migration.phase not in _WAITING or pod is None or not _is_pending(pod):
        # A pod that is gone, or is going, has failed; one that has started has not.
        is_going_on = migration.phase not in _WAITING or (pod is not None and not pod.deleting)
        return None if is_going_on else kept
    found = _trouble(migration, pod, view, now=now)
    if found is None or before is None or any(found.get(name) != before.get(name) for name in _COMPARED_MEMBERS):
        return found
    return kept  # the kubelet words each attempt in its own way


def _trouble(migration: Migration, pod: LauncherPod, view: VmiView, *, now: datetime) -> dict[str, Any] | None:
    """Return what keeps a pod from starting; None as long as nothing is known to."""
    if pod.unscheduled is not None:
        message = f"target pod {pod.key.name} found no node: {pod.unscheduled.message}"
        return _row(migration, Reason.TARGET_POD_UNSCHEDULABLE, message)
    failure = find_start_failure(view, pod)
    is_late = pod.created is not None and now >= pod.created + _SUSPECTED_AFTER
    if failure is None and pod.image_error is None and not is_late:
        return None
    facts = MigrationFacts(
        migration=migration,
        vmi=view.vmi,
        is_replaced=False,
        state=view.vmi.migration_state,
        target=pod,
        others=(),
        start_failure=failure.message if failure is not None else "",
        is_networks_fault=may_be_networks_fault(failure, vmi=view.vmi, known=view.attachments),
        node_trouble=node_trouble(view, pod),
    )
    where = f" on {pod.node_name}" if pod.node_name else ""
    message = f"target pod {pod.key.name} did not start{where}: {describe_wait(facts, pod)}"
    if not needs_correction(facts, pod):
        return _row(migration, Reason.TARGET_POD_LATE, message)
    blamed = blame_nics(migration, vmi=view.vmi, failure=failure, missing=(), known=view.attachments)
    return {**_row(migration, Reason.TARGET_POD_NOT_READY, message), **blamed}


def _row(migration: Migration, reason: Reason, message: str) -> dict[str, Any]:
    return {"migrationUid": migration.uid, "reason": str(reason), "message": message}


def _read(migration: Migration, row: Mapping[str, Any] | None, view: VmiView) -> Migration:
    """Return the migration as if its status had what is known of it."""
    row = row if row is not None else _said_by_kubevirt(migration, view)
    if row is None:
        return migration
    condition = {"type": PROGRESSING, "status": FALSE, "reason": row.get("reason"), "message": row.get("message")}
    conditions = [*drop_condition(migration.status.conditions, PROGRESSING), condition]
    blamed = {name: row[name] for name in _KEPT_MEMBERS if name in row}
    status = {**migration.status.members, **blamed, "conditions": conditions}
    return replace(migration, status_text=freeze(status))


def _said_by_kubevirt(migration: Migration, view: VmiView) -> dict[str, Any] | None:
    """Return what KubeVirt leaves of a failure, or of an obstacle; None if that is nothing."""
    if migration.phase is not MigrationPhase.FAILED:
        if migration.is_final or not migration.status.is_true(_QUOTA):
            return None
        return _row(migration, Reason.REJECTED_BY_QUOTA, "a quota of the namespace rejects the target pod")
    states = (migration.migration_state, view.vmi.migration_state)
    state = next((item for item in states if item.migration_uid == migration.uid and item.failed), None)
    if state is not None:
        why = f": {state.failure_reason}" if state.failure_reason else ""
        return _row(migration, Reason.MIGRATION_FAILED, f"source node reported migration failed{why}")
    is_before_hand_off = migration.entered_at(MigrationPhase.PREPARING_TARGET) is None
    if migration.entered_at(MigrationPhase.SCHEDULING) is None or not is_before_hand_off:
        return None
    return _row(migration, Reason.TARGET_POD_LOST, _POD_REMOVED)
