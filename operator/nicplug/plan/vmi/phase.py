"""The phase of a VMI as its launcher pod implies, and why the pod does not start or has ended."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.conditions import SYNCHRONIZED, Condition, Status
from nicplug.model.metadata import mapping
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_conditions import Explanation
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.outcome import Announcement, Subject, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmiView

# Pending --pod created--> Scheduling --pod ready--> Scheduled --node agent--> Running --node agent--> final
#    \__ pod lost __________________________________________________________________________________/
#
# Source: KubeVirt 1.9 `pkg/virt-controller/watch/vmi/lifecycle.go`. A pod that is ready when it is first observed is
# Scheduled at once: no component acts on a Scheduling in between.

OWNED_BY_NODE_AGENT = frozenset({VmiPhase.SCHEDULED, VmiPhase.RUNNING})
# The node agent reports how a guest has ended, or that it has arrived. If it has not done so by now it is not running;
# the pod has certainly ended, so no second guest can result. Longer than clocks differ: the time of the end is the
# node's.
_NODE_AGENT_SILENCE = timedelta(minutes=2)


def is_starting(vmi: VirtualMachineInstance) -> bool:
    """True while the operator owns the VMI and its pod is not ready yet."""
    return vmi.is_unprocessed or vmi.phase is VmiPhase.SCHEDULING


def decide_phase(
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod | None,
    moving_since: datetime | None = None,
    is_renewed: bool = False,
    now: datetime,
) -> tuple[VmiPhase, datetime | None]:
    """Derive the phase from the launcher pod, and when time alone changes it.

    Args:
        pod: the pod that runs the guest; None when it is known not to exist.
        moving_since: since when the pod is known to be gone while the guest may be in its target pod; else None.
        is_renewed: the pod never had a guest, and is being recreated.
    """
    if is_renewed or (vmi.is_unprocessed and pod is None):
        return VmiPhase.PENDING, None
    if is_starting(vmi):
        return _phase_of_new_pod(vmi, pod), None
    if vmi.phase not in OWNED_BY_NODE_AGENT:
        return vmi.phase, None
    since = pod.ended_at if pod is not None else moving_since
    if since is None:
        return vmi.phase if pod is not None else VmiPhase.FAILED, None
    due = since + _NODE_AGENT_SILENCE
    return (VmiPhase.FAILED, None) if now >= due else (vmi.phase, due)


def _phase_of_new_pod(vmi: VirtualMachineInstance, pod: LauncherPod | None) -> VmiPhase:
    if pod is None:
        return VmiPhase.FAILED
    if pod.is_ready and guarantees_resources(vmi, pod):
        return VmiPhase.SCHEDULED
    # A pod that ends before the VMI was observed with it is a failed start, too.
    return VmiPhase.FAILED if pod.is_down_or_going else VmiPhase.SCHEDULING


def guarantees_resources(vmi: VirtualMachineInstance, pod: LauncherPod) -> bool:
    """True if the pod has the QoS class Guaranteed that pinned CPUs need; KubeVirt does not schedule any other."""
    if pod.qos_class in ("", "Guaranteed"):
        return True
    cpu = mapping(mapping(vmi.read_spec().get("domain")).get("cpu"))
    return cpu.get("dedicatedCpuPlacement") is not True


# `status.reason` and one event report why a VMI loses its launcher pod. KubeVirt leaves `status.reason` empty except
# for an unresponsive node; its conditions say only that the pod is terminating. The cause (eviction, preemption,
# crash) is in the pod, which is soon gone.

_GONE = Explanation(
    Reason.LAUNCHER_POD_LOST, "the pod does not exist any more: somebody has deleted it, or its node is gone"
)


def what_ends(view: VmiView, *, pod: LauncherPod | None, phase: VmiPhase) -> Explanation | None:
    """Explain what removes the pod of a VMI that was not asked to stop; None while nothing does."""
    if phase is VmiPhase.PENDING:  # with a pod only while that is being recreated
        return None
    if view.vmi.deleting:
        return _crash_before_deletion(view, pod)
    if pod is None:
        return _GONE if phase is VmiPhase.FAILED and not view.vmi.is_final else None
    if not pod.is_down_or_going:
        return None
    if pod.ending is not None:
        return pod.ending
    # The node agent reports an end of the guest's own accord.
    if pod.deleting and not view.vmi.is_final:
        return Explanation(Reason.LAUNCHER_POD_LOST, "somebody deletes the pod")
    return None


def _crash_before_deletion(view: VmiView, pod: LauncherPod | None) -> Explanation | None:
    """A crash: if the node agent's `Failed` came first, the VM's controller has deleted the VMI to restart it."""
    is_crash = view.vmi.phase is VmiPhase.FAILED and pod is not None and not pod.deleting
    return pod.ending if is_crash and pod is not None else None


def announce_end(end: Explanation, *, pod: LauncherPod | None) -> Announcement:
    """The event of a lost pod."""
    what = f"pod {pod.key.name}" if pod is not None else "launcher pod"
    message = f"{what}: {end.reason}: {end.message}" if end.message else f"{what}: {end.reason}"
    return warning(Subject.VMI, Reason.LAUNCHER_POD_LOST, message, is_urgent=True)


# Reports the kubelet's error when a launcher pod cannot start the guest: `Synchronized` of the VMI, and one event.
#
# KubeVirt reports only images. A pod whose sandbox cannot be created, mostly because of a network, has no container
# with a state: only the kubelet's events on the pod explain it, where users of a VM do not look.

POD_MEMBER = "pod"
"""Member of the condition: uid of the launcher pod that does not start."""


def start_failure(view: VmiView, pod: LauncherPod | None) -> Refusal | None:
    """Why the pod does not start the guest; None while no cause is known."""
    if pod is None or not is_starting(view.vmi):
        return None
    if pod.image_error is not None:
        return Refusal(reason=pod.image_error.reason, message=pod.image_error.message)
    if pod.is_ready and not guarantees_resources(view.vmi, pod):
        return Refusal(reason=Reason.FAILED_GUARANTEE, message="failed to guarantee pod resources")
    return _sandbox_failure(view, pod) if _waits_for_sandbox(pod) else None


def _waits_for_sandbox(pod: LauncherPod) -> bool:
    """True if it has a node and no networks yet: Multus reports them once the sandbox exists."""
    return bool(pod.node_name) and pod.phase in ("", "Pending") and pod.network_status_annotation is None


def _sandbox_failure(view: VmiView, pod: LauncherPod) -> Refusal | None:
    where = f"pod {pod.key.name} cannot start on {pod.node_name}: "
    if failure := next((item for item in view.start_failures if item.pod_uid == pod.uid), None):
        return Refusal(reason=Reason.POD_SANDBOX_FAILED, message=f"{where}{failure.message}")
    reported = _reported_sandbox_failure(view.vmi.status)
    # A new leader has not observed it yet, and events expire after an hour: an earlier report about this pod stays. An
    # earlier version did not name the pod: its report is dropped, until the kubelet retries.
    if reported is not None and reported.members.get(POD_MEMBER) == pod.uid:
        return Refusal(reason=Reason.POD_SANDBOX_FAILED, message=reported.message)
    return None


def members_of(failure: Refusal, pod: LauncherPod | None) -> Mapping[str, Any]:
    """nicplug's own members of `Synchronized`."""
    is_of_pod = failure.reason == Reason.POD_SANDBOX_FAILED and pod is not None
    return {POD_MEMBER: pod.uid} if is_of_pod and pod is not None else {}


def announce_start_failure(view: VmiView, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """Announce once, with the status that first reports it: the kubelet retries repeatedly."""
    reported = _reported_sandbox_failure(Status(changes))
    if reported is None or _reported_sandbox_failure(view.vmi.status) is not None:
        return ()
    return (warning(Subject.VMI, Reason.POD_SANDBOX_FAILED, reported.message, is_urgent=True),)


def _reported_sandbox_failure(status: Status) -> Condition | None:
    condition = status.condition(SYNCHRONIZED)
    return condition if condition.reason == Reason.POD_SANDBOX_FAILED else None
