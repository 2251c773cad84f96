"""What keeps a launcher pod from starting the guest, in the kubelet's words: `Synchronized` of the VMI, and one event.

KubeVirt tells of images alone. A pod whose sandbox cannot be made, mostly for one of its networks, has no container
that could say anything: only the kubelet's events on the pod do, which nobody looks for on a VM.
"""

from collections.abc import Mapping
from typing import Any

from nicplug.model.conditions import SYNCHRONIZED, Row, find_condition
from nicplug.model.metadata import objects, text
from nicplug.model.pod import LauncherPod
from nicplug.plan.outcome import Announcement, Severity, Subject
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmiView
from nicplug.plan.vmi.phase import guarantees_resources, is_starting

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
    return (
        Announcement(
            about=Subject.VMI,
            severity=Severity.WARNING,
            reason=Reason.POD_SANDBOX_FAILED,
            message=text(told.get("message")),
            is_urgent=True,
        ),
    )


def _told(conditions: Any) -> Row | None:
    row = find_condition(objects(conditions), SYNCHRONIZED)
    return row if row is not None and row.get("reason") == Reason.POD_SANDBOX_FAILED else None
