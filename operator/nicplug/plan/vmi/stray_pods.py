"""Pods that are left behind, and that nobody answers for any more.

The migration controller deletes the target of a migration that failed and the source of one that succeeded, as long
as the migration exists. One that was removed by force, its finalizer taken away by hand, leaves its pods: they would
take up a node, and hold the VMI's networks, as long as the VMI lives. So would a pod whose maker died before it could
record it.
"""

from datetime import datetime, timedelta

from nicplug.model.migration import MigrationState
from nicplug.model.pod import LauncherPod
from nicplug.plan.actions import Action, CheckUnchanged, Delete, Kind
from nicplug.plan.outcome import Announcement, Plan, Severity, Subject
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.own_pods import leftovers, migration_of

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
    unrecorded = leftovers(view, view.vmi)
    due |= {pod.uid: (pod.created or now) + _PATIENCE for pod in unrecorded}
    due |= {pod.uid: max(pod.created or now, active.created or now) + _PATIENCE for pod in left}
    strays = [pod for pod in (*others, *unrecorded) if pod.uid in due]
    ripe = [pod for pod in strays if due[pod.uid] <= now]
    check = CheckUnchanged(key=view.vmi.key, uid=view.vmi.uid, version=view.vmi.resource_version)
    deletions: list[Action] = [Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in ripe]
    return Plan(
        actions=(check, *deletions) if deletions else (),
        announcements=tuple(announce_leftover(pod) if pod in unrecorded else _announce(pod) for pod in ripe),
        again_at=min((due[pod.uid] for pod in strays if due[pod.uid] > now), default=None),
    )


def _is_stray(view: VmiView, pod: LauncherPod) -> bool:
    """It was made for a migration that does not exist, and no node agent is at work on it."""
    state = view.vmi.migration_state
    if _answers_for(view, state, pod):
        return False
    is_in_state = pod.key.name in (state.source_pod, state.target_pod)
    if state.is_active and state.started_at is not None and is_in_state:
        return False
    is_target = bool(_made_for(view, pod)) or pod.key.name == state.target_pod
    is_source = pod.key.name == state.source_pod and state.completed and not state.failed
    return is_target or is_source


def _was_left(view: VmiView, pod: LauncherPod, *, active: LauncherPod) -> bool:
    """The guest went from it to a target pod, and nothing says any more that it did.

    Somebody wrote over the migration's state before node agents and migration controller had done with the source. Its
    node may be the guest's again, which has moved on and come back: a pod that has ended has no guest.
    """
    state = view.vmi.migration_state
    is_apart = pod.is_finished or pod.node_name not in ("", view.vmi.node_name)
    is_elsewhere = bool(_made_for(view, active)) and active.is_ready and is_apart
    is_over = not state.is_active and all(item.is_final for item in view.migrations)
    is_told = pod.key.name in (state.source_pod, state.target_pod)
    return is_elsewhere and is_over and not is_told


def _answers_for(view: VmiView, state: MigrationState, pod: LauncherPod) -> bool:
    """A migration that exists, whatever has become of it."""
    uids = {item.uid for item in view.migrations}
    if _made_for(view, pod) in uids:
        return True
    return state.migration_uid in uids and pod.key.name in (state.source_pod, state.target_pod)


def _made_for(view: VmiView, pod: LauncherPod) -> str:
    """The uid of a migration; by the label of a pod that was made before there was a record."""
    return migration_of(view, pod) or pod.migration_uid


def announce_leftover(pod: LauncherPod) -> Announcement:
    """The event of a pod that looks like one of nicplug's, and that no status records."""
    return Announcement(
        about=Subject.VMI,
        severity=Severity.NORMAL,
        reason="SuccessfulDelete",
        message=f"Deleted pod {pod.key.name}, which looks like a virtual machine pod, and which no status records",
    )


def _announce(pod: LauncherPod) -> Announcement:
    return Announcement(
        about=Subject.VMI,
        severity=Severity.NORMAL,
        reason="SuccessfulDelete",
        message=f"Deleted virtual machine pod {pod.key.name}, which was left behind by a migration that does not exist",
    )
