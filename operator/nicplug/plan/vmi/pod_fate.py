"""Why a VMI loses its launcher pod, for people: `status.reason`, and one event.

KubeVirt leaves `status.reason` empty but for a node that does not answer; its conditions say only that the pod
is going. What evicted, preempted or crashed it is in the pod, which is gone when somebody looks.
"""

from nicplug.model.pod import LauncherPod
from nicplug.model.pod_conditions import Explanation
from nicplug.model.vmi import VmiPhase
from nicplug.plan.outcome import Announcement, Severity, Subject
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView

_GONE = Explanation(
    Reason.LAUNCHER_POD_LOST, "the pod does not exist any more: somebody has deleted it, or its node is gone"
)


def what_ends(view: VmiView, *, pod: LauncherPod | None, phase: VmiPhase) -> Explanation | None:
    """Who or what takes the pod from a VMI that nobody asked to stop; None while nothing does."""
    if phase is VmiPhase.PENDING:  # with a pod only while that makes room for another one
        return None
    if view.vmi.deleting:
        return _crash_before_deletion(view, pod)
    if pod is None:
        return _GONE if phase is VmiPhase.FAILED and not view.vmi.is_final else None
    if not pod.is_down_or_going:
        return None
    if pod.ending is not None:
        return pod.ending
    # An end of its own accord is told by the node agent.
    if pod.deleting and not view.vmi.is_final:
        return Explanation(Reason.LAUNCHER_POD_LOST, "somebody deletes the pod")
    return None


def _crash_before_deletion(view: VmiView, pod: LauncherPod | None) -> Explanation | None:
    """The node agent's `Failed` may be heard first: then the VM's controller has deleted the VMI for its next start."""
    is_crash = view.vmi.phase is VmiPhase.FAILED and pod is not None and not pod.deleting
    return pod.ending if is_crash and pod is not None else None


def announce_end(end: Explanation, *, pod: LauncherPod | None) -> Announcement:
    """The event of a lost pod."""
    what = f"pod {pod.key.name}" if pod is not None else "launcher pod"
    return Announcement(
        about=Subject.VMI,
        severity=Severity.WARNING,
        reason=Reason.LAUNCHER_POD_LOST,
        message=f"{what}: {end.reason}: {end.message}" if end.message else f"{what}: {end.reason}",
        is_urgent=True,
    )
