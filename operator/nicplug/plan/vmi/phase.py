"""The phase of a VMI that follows from its launcher pod, and why the pod does not start or has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.conditions import SYNCHRONIZED, Row, find_condition
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_conditions import Explanation
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.outcome import Announcement, Subject, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmiView

# The phase of a VMI that follows from its launcher pod.
#
# ``` Pending --pod made--> Scheduling --pod ready--> Scheduled --node agent--> Running --node agent--> final \__ pod
# lost __________________________________________________/ ``` Source: KubeVirt 1.9
# `pkg/virt-controller/watch/vmi/lifecycle.go`. A pod that is ready when it is first seen is Scheduled at once: nobody
# acts on a Scheduling in between.

OWNED_BY_NODE_AGENT = frozenset({VmiPhase.SCHEDULED, VmiPhase.RUNNING})
# The node agent tells how a guest has ended, or that it has arrived. One that has not done so by now is not there; the
# pod has ended for certain, so no second guest can come of it. Longer than clocks differ: the moment of the end is the
# node's.
_NODE_AGENT_SILENCE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseDecision:
    """The phase as it shall be; `again_at` when only time can change the answer."""

    phase: VmiPhase
    again_at: datetime | None = None


def is_starting(vmi: VirtualMachineInstance) -> bool:
    """The operator owns the VMI and its pod has still to become ready."""
    return vmi.is_unprocessed or vmi.phase is VmiPhase.SCHEDULING


def decide_phase(
    *,
    vmi: VirtualMachineInstance,
    pod: LauncherPod | None,
    moving_since: datetime | None = None,
    is_renewed: bool = False,
    now: datetime,
) -> PhaseDecision:
    """The phase that follows from the launcher pod.

    Args:
        pod: the pod that runs the guest; None when it is known that there is none.
        moving_since: since when it is known that the pod is gone and the guest may be in its target pod; else None.
        is_renewed: the pod has never had a guest, and makes room for another one.
    """
    if is_renewed or (vmi.is_unprocessed and pod is None):
        return PhaseDecision(phase=VmiPhase.PENDING)
    if is_starting(vmi):
        return PhaseDecision(phase=_phase_of_new_pod(vmi, pod))
    if vmi.phase not in OWNED_BY_NODE_AGENT:
        return PhaseDecision(phase=vmi.phase)
    since = pod.ended_at if pod is not None else moving_since
    if since is None:
        return PhaseDecision(phase=vmi.phase if pod is not None else VmiPhase.FAILED)
    due = since + _NODE_AGENT_SILENCE
    return PhaseDecision(phase=VmiPhase.FAILED) if now >= due else PhaseDecision(phase=vmi.phase, again_at=due)


def _phase_of_new_pod(vmi: VirtualMachineInstance, pod: LauncherPod | None) -> VmiPhase:
    if pod is None:
        return VmiPhase.FAILED
    if pod.is_ready and guarantees_resources(vmi, pod):
        return VmiPhase.SCHEDULED
    # A pod that dies before the VMI has been seen with it is a start that failed, too.
    return VmiPhase.FAILED if pod.is_down_or_going else VmiPhase.SCHEDULING


def guarantees_resources(vmi: VirtualMachineInstance, pod: LauncherPod) -> bool:
    """Pinned CPUs need a pod of QoS class Guaranteed; KubeVirt keeps any other from being scheduled."""
    if pod.qos_class in ("", "Guaranteed"):
        return True
    cpu = mapping(mapping(vmi.read_spec().get("domain")).get("cpu"))
    return cpu.get("dedicatedCpuPlacement") is not True


# Why a VMI loses its launcher pod, for people: `status.reason`, and one event.
#
# KubeVirt leaves `status.reason` empty but for a node that does not answer; its conditions say only that the pod is
# going. What evicted, preempted or crashed it is in the pod, which is gone when somebody looks.

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
    message = f"{what}: {end.reason}: {end.message}" if end.message else f"{what}: {end.reason}"
    return warning(Subject.VMI, Reason.LAUNCHER_POD_LOST, message, is_urgent=True)


# What keeps a launcher pod from starting the guest, in the kubelet's words: `Synchronized` of the VMI, and one event.
#
# KubeVirt tells of images alone. A pod whose sandbox cannot be made, mostly for one of its networks, has no container
# that could say anything: only the kubelet's events on the pod do, which nobody looks for on a VM.

POD_MEMBER = "pod"
"""Of the condition: uid of the launcher pod that does not start."""


def start_failure(view: VmiView, pod: LauncherPod | None) -> Refusal | None:
    """Why the pod does not start the guest; None while nothing is known to be in its way."""
    if pod is None or not is_starting(view.vmi):
        return None
    if pod.image_error is not None:
        return Refusal(reason=pod.image_error.reason, message=pod.image_error.message)
    if pod.is_ready and not guarantees_resources(view.vmi, pod):
        return Refusal(reason=Reason.FAILED_GUARANTEE, message="failed to guarantee pod resources")
    return _sandbox_failure(view, pod) if _waits_for_sandbox(pod) else None


def _waits_for_sandbox(pod: LauncherPod) -> bool:
    """It has a node, and no networks yet: what Multus tells of them it tells when the sandbox is there."""
    return bool(pod.node_name) and pod.phase in ("", "Pending") and pod.network_status_annotation is None


def _sandbox_failure(view: VmiView, pod: LauncherPod) -> Refusal | None:
    where = f"pod {pod.key.name} cannot start on {pod.node_name}: "
    if failure := next((item for item in view.start_failures if item.pod_uid == pod.uid), None):
        return Refusal(reason=Reason.POD_SANDBOX_FAILED, message=f"{where}{failure.message}")
    told = _told(view.vmi.read_status().get("conditions"))
    # A new leader has still to hear of it, and an event is gone after an hour: what was told of this pod holds. An
    # earlier version did not say of which: it goes, until the kubelet tries again.
    if told is not None and told.get(POD_MEMBER) == pod.uid:
        return Refusal(reason=Reason.POD_SANDBOX_FAILED, message=text(told.get("message")))
    return None


def members_of(failure: Refusal, pod: LauncherPod | None) -> Mapping[str, Any]:
    """The members of `Synchronized` that are nicplug's own."""
    is_of_pod = failure.reason == Reason.POD_SANDBOX_FAILED and pod is not None
    return {POD_MEMBER: pod.uid} if is_of_pod and pod is not None else {}


def announce_start_failure(view: VmiView, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """Once, with the status that begins to say it: the kubelet tries again and again."""
    told = _told(changes.get("conditions"))
    if told is None or _told(view.vmi.read_status().get("conditions")) is not None:
        return ()
    return (warning(Subject.VMI, Reason.POD_SANDBOX_FAILED, text(told.get("message")), is_urgent=True),)


def _told(conditions: Any) -> Row | None:
    row = find_condition(objects(conditions), SYNCHRONIZED)
    return row if row is not None and row.get("reason") == Reason.POD_SANDBOX_FAILED else None
