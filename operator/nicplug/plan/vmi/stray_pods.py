"""Pods that a migration has left behind and that nobody answers for any more.

The migration controller deletes the target of a migration that failed and the source of one that succeeded, as long
as the migration exists. One that was removed by force, its finalizer taken away by hand, leaves its pods: they would
take up a node, and hold the VMI's networks, as long as the VMI lives.
"""

from datetime import datetime, timedelta

from nicplug.model.migration import MigrationState, migration_state_in
from nicplug.model.pod import LauncherPod
from nicplug.plan.actions import Action, CheckUnchanged, Delete, Kind
from nicplug.plan.outcome import Announcement, Plan, Severity, Subject
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.launcher_pod import launcher_pod_key, target_pod_key

# A pod may be heard of before its migration. Longer than clocks differ: the pod's creation is by the API server's.
_PATIENCE = timedelta(minutes=2)


def plan_stray_pods(view: VmiView, *, active: LauncherPod | None, now: datetime) -> Plan:
    """Delete them, unless the VMI has changed since it was looked at: it may have moved to one of them.

    Args:
        active: the pod that runs the guest; without one that lives, none is taken away.
    """
    if active is None or active.is_down_or_going or not view.vmi.node_name or view.refusal is not None:
        return Plan()
    others = [pod for pod in view.pods if pod.uid != active.uid and not pod.deleting]
    due = {pod.uid: (pod.created or now) + _PATIENCE for pod in others if _is_stray(view, pod)}
    left = [pod for pod in others if pod.uid not in due and _was_left(view, pod, active=active)]
    due |= {pod.uid: max(pod.created or now, active.created or now) + _PATIENCE for pod in left}
    strays = [pod for pod in others if pod.uid in due]
    ripe = [pod for pod in strays if due[pod.uid] <= now]
    check = CheckUnchanged(key=view.vmi.key, uid=view.vmi.uid, version=view.vmi.resource_version)
    deletions: list[Action] = [Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in ripe]
    return Plan(
        actions=(check, *deletions) if deletions else (),
        announcements=tuple(_announce(pod) for pod in ripe),
        again_at=min((due[pod.uid] for pod in strays if due[pod.uid] > now), default=None),
    )


def _is_stray(view: VmiView, pod: LauncherPod) -> bool:
    """It was made for a migration that does not exist, and no node agent is at work on it."""
    state = migration_state_in(view.vmi.status)
    if _answers_for(view, state, pod):
        return False
    is_in_state = pod.key.name in (state.source_pod, state.target_pod)
    if state.is_active and state.started_at is not None and is_in_state:
        return False
    # The label is worth as much as the owner's uid: whoever wrote both made a pod that is ours to delete.
    is_target = bool(pod.migration_uid) or pod.key.name == state.target_pod
    is_source = pod.key.name == state.source_pod and state.completed and not state.failed
    return is_target or is_source


def _was_left(view: VmiView, pod: LauncherPod, *, active: LauncherPod) -> bool:
    """The guest went from it to a target pod, and nothing says any more that it did.

    Somebody wrote over the migration's state before node agents and migration controller had done with the source.
    """
    state = migration_state_in(view.vmi.status)
    is_ours = bool(pod.migration_uid) or pod.key == launcher_pod_key(view.vmi)
    is_elsewhere = bool(active.migration_uid) and active.is_ready and pod.node_name not in ("", view.vmi.node_name)
    is_over = not state.is_active and all(item.is_final for item in view.migrations)
    is_told = pod.key.name in (state.source_pod, state.target_pod)
    return is_ours and is_elsewhere and is_over and not is_told


def _answers_for(view: VmiView, state: MigrationState, pod: LauncherPod) -> bool:
    """A migration that exists, whatever has become of it."""
    uids = {item.uid for item in view.migrations}
    if pod.migration_uid in uids:
        return True
    if state.migration_uid in uids and pod.key.name in (state.source_pod, state.target_pod):
        return True
    return any(pod.key == target_pod_key(view.vmi, migration_uid=uid) for uid in uids)


def _announce(pod: LauncherPod) -> Announcement:
    return Announcement(
        about=Subject.VMI,
        severity=Severity.NORMAL,
        reason="SuccessfulDelete",
        message=f"Deleted virtual machine pod {pod.key.name}, which was left behind by a migration that does not exist",
    )
