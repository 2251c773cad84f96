"""The end of a VMI: pods first, then the finalizers. It stays visible until none of its pods runs."""

from dataclasses import replace
from datetime import datetime

from nicplug.model.names import VM_FINALIZER, VMI_FINALIZER
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import FOREIGN_PHASES, VmiPhase
from nicplug.plan.actions import Action, Delete, Kind, PatchFinalizers, patch_finalizers
from nicplug.plan.outcome import Announcement, Plan, Subject, normal
from nicplug.plan.reasons import Reason
from nicplug.plan.status_patches import StatusDecision, changed_members, decide_status
from nicplug.plan.views import VmiView
from nicplug.plan.vm.run_strategy import is_recorded
from nicplug.plan.vmi.active_pod import active_pod, confirm_pods, restore_labels
from nicplug.plan.vmi.own_pods import all_replaced_pods, leftovers
from nicplug.plan.vmi.phase import announce_end, what_ends
from nicplug.plan.vmi.vmi_status import pod_members, with_ready, with_synchronized


def plan_end(view: VmiView, *, now: datetime) -> Plan:
    """Plan the end of a VMI that is being deleted."""
    # Unrecorded pods are deleted too, but not waited for: one may be another controller's, and has no guest.
    doubtful = leftovers(view, view.vmi) if view.refusal is None else ()
    if view.pods or view.orphans or all_replaced_pods(view):
        return _plan_pods_end(view, doubtful, now=now)
    plan = _plan_last(view, now=now)
    doomed = [pod for pod in doubtful if not pod.deleting]
    deletions = [Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in doomed]
    announcements = (*plan.announcements, *map(_deleted, doomed))
    return replace(plan, actions=(*plan.actions, *deletions), announcements=announcements)


def _plan_last(view: VmiView, *, now: datetime) -> Plan:
    """Plan the rest once no pod is left."""
    vmi = view.vmi
    # Pods were only created while this finalizer was set.
    if VMI_FINALIZER in vmi.finalizers and not view.is_podless:
        return Plan(actions=(confirm_pods(view),), notes=("no pod in sight: asks before the VMI is let go",))
    if view.vm is not None and not is_recorded(view.vm):
        return Plan(notes=("waiting until the VM has written down that it was started",))
    kept = tuple(item for item in vmi.finalizers if item not in (VMI_FINALIZER, VM_FINALIZER))
    if kept != vmi.finalizers:
        return Plan(actions=(patch_finalizers(vmi, kept),))
    if not kept:
        return Plan(notes=("gone with its last finalizer",))
    phase = vmi.phase if vmi.is_final else VmiPhase.FAILED
    return _with_status(view, [], pod=None, phase=phase, now=now, note="waiting for finalizers of others")


def release_final(view: VmiView) -> PatchFinalizers | None:
    """Release a final VMI without pods: its later deletion needs no controller."""
    vmi = view.vmi
    if not vmi.is_final or view.pods or all_replaced_pods(view) or not view.is_podless:
        return None
    ours = {VMI_FINALIZER} if view.vm is not None else {VMI_FINALIZER, VM_FINALIZER}
    kept = tuple(item for item in vmi.finalizers if item not in ours)
    return patch_finalizers(vmi, kept) if kept != vmi.finalizers else None


def _plan_pods_end(view: VmiView, doubtful: tuple[LauncherPod, ...], *, now: datetime) -> Plan:
    """Delete the pods; a slow end is reported, a quick one is over before the report is due."""
    pods = (*view.pods, *view.orphans, *all_replaced_pods(view))
    labels = [patch for pod in pods if (patch := restore_labels(pod, vmi_uid=view.vmi.uid)) is not None]
    refused = view.refusal is not None and view.refusal.reason == Reason.FAILED_DELETE
    doomed = [pod for pod in (*pods, *doubtful) if not pod.deleting and not refused]
    deletions = [Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in doomed]
    actions: list[Action] = [*labels, *deletions]
    pod = active_pod(view) or next(iter(pods), None)
    announcements = (*_crash(view, pod), *map(_deleted, doomed))
    return _with_status(view, actions, pod=pod, phase=view.vmi.phase, now=now, announcements=announcements)


def _crash(view: VmiView, pod: LauncherPod | None) -> tuple[Announcement, ...]:
    """Explain why the guest was started again; announced once, as the pod is being deleted in the next pass."""
    end = what_ends(view, pod=pod, phase=view.vmi.phase)
    is_news = end is not None and view.refusal is None and not view.vmi.status.reason
    return (announce_end(end, pod=pod),) if end is not None and is_news else ()


def _deleted(pod: LauncherPod) -> Announcement:
    return normal(Subject.VMI, "SuccessfulDelete", f"Deleted virtual machine pod {pod.key.name}")


def _with_status(
    view: VmiView,
    actions: list[Action],
    *,
    pod: LauncherPod | None,
    phase: VmiPhase,
    now: datetime,
    announcements: tuple[Announcement, ...] = (),
    note: str = "",
) -> Plan:
    status = _decide_status(view, pod=pod, phase=phase, now=now)
    return Plan(
        actions=(*actions, *([status.patch] if status.patch is not None else [])),
        announcements=announcements,
        again_at=status.due,
        withholds_report=status.due is not None,
        notes=(note,) if note else (),
    )


def _decide_status(view: VmiView, *, pod: LauncherPod | None, phase: VmiPhase, now: datetime) -> StatusDecision:
    """Phase, pods, `Ready` and `Synchronized`, which KubeVirt maintains until the end."""
    vmi, status = view.vmi, view.vmi.status
    if vmi.phase in FOREIGN_PHASES:
        return StatusDecision()
    conditions = with_ready(view, pod=pod, phase=phase, now=now)
    wanted = {
        **status.members,
        **pod_members(view, pod=pod, phase=phase, now=now),
        "conditions": with_synchronized(conditions, view=view, pod=pod, now=now),
    }
    changes = changed_members(seen=vmi.status_text, wanted=wanted)
    return decide_status(
        vmi,
        changes=changes,
        urgent=view.refusal is not None or "phase" in changes,
        pending_since=view.report_pending_since,
        delay=view.settings.report_delay,
        now=now,
    )
