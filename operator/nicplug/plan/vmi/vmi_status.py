"""The desired status of a VMI, and how long a report of it may be delayed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.conditions import (
    EVICTION_REQUESTED,
    FALSE,
    INTERFACES_READY,
    INVALID_HOTPLUG_POLICY,
    OUTDATED_ATTACHMENTS,
    PAUSED,
    POD_SCHEDULED,
    PROVISIONING,
    READY,
    SYNCHRONIZED,
    TRUE,
    Condition,
    Row,
    Status,
    merge_condition,
    with_condition,
)
from nicplug.model.operations import InterfaceOperation, OperationPhase
from nicplug.model.pod import LAUNCHER_PODS_MEMBER, LauncherPod
from nicplug.model.vmi import VmiPhase
from nicplug.plan.nic.records import unsettled
from nicplug.plan.nic.transitions import Transitions
from nicplug.plan.outcome import Announcement, Subject, warning, write_pause
from nicplug.plan.reasons import Reason
from nicplug.plan.views import PlanSettings, VmiView
from nicplug.plan.vmi.active_pod import has_moved_to
from nicplug.plan.vmi.evacuation import MARKED, Evacuation
from nicplug.plan.vmi.outdated_attachments import outdated_attachments, outdated_condition
from nicplug.plan.vmi.own_pods import pods_to_record
from nicplug.plan.vmi.phase import OWNED_BY_NODE_AGENT, is_starting, members_of, start_failure, what_ends

# How long a report in a VMI's status may be delayed, and which must not be (docs/adr/0006, docs/adr/0024).


def report_delay(
    *,
    before: Mapping[str, InterfaceOperation],
    after: Sequence[InterfaceOperation],
    stored_bytes: int,
    settings: PlanSettings,
) -> timedelta:
    """How long a report is delayed to be batched; the first one about an operation is never late, whatever the load.

    Args:
        before: the records as they are.
        after: the desired records.
        stored_bytes: the size of the VMI, where that is large.
    """
    known = {(item.name, item.operation) for item in before.values()}
    unsettled = sum(item.phase != OperationPhase.READY for item in after)
    pause = write_pause(stored_bytes, nics=unsettled)
    if any((item.name, item.operation) not in known for item in after):
        # The next turn of several NICs of a large VMI is counted from their records (`plan.nic.attempts`).
        return timedelta(0) if pause and unsettled > 1 else settings.first_report_delay
    return max(settings.report_delay, pause)


def is_awaited(transitions: Transitions, *, stored_bytes: int) -> bool:
    """True if users wait for one of these results. On a large VMI, failures are batched."""
    is_expensive = bool(write_pause(stored_bytes, nics=1))
    return (replace(transitions, stuck=()) if is_expensive else transitions) != Transitions()


# Policy annotations of a VM's owner that have no effect: reported in a condition while they exist, and in one event.
#
# No schema validates an annotation, so no other component reports them.


def policy_problems(view: VmiView) -> Condition | None:
    """`InvalidHotplugPolicy`, present only while there is something to report."""
    if not view.policy.problems:
        return None
    return Condition(
        type=INVALID_HOTPLUG_POLICY,
        status=TRUE,
        reason=Reason.INVALID_HOTPLUG_POLICY,
        message=". ".join(view.policy.problems),
        observed_generation=view.vmi.generation,
    )


def announce_policy_problems(view: VmiView, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """The event, when the condition reports something new."""
    before = view.vmi.status.condition(INVALID_HOTPLUG_POLICY).message
    after = Status(changes).condition(INVALID_HOTPLUG_POLICY).message
    if not after or after == before:
        return ()
    return (warning(Subject.VMI, Reason.INVALID_HOTPLUG_POLICY, after),)


# Source: KubeVirt 1.9 `pkg/virt-controller/watch/vmi/lifecycle.go`. Up to Scheduled and in final phases the operator
# owns the VMI; in Scheduled and Running the node agent does.

_MESSAGE_NICS = 3
# The kubelet's reason for a pod that waits only for its readiness gates.
_GATE_IS_SHUT = "ReadinessGatesNotReady"
# While the node agent owns the VMI, it sets `Synchronized` too: only these reasons are nicplug's.
_OWN_REASONS = frozenset(
    {
        Reason.FAILED_CREATE,
        Reason.FAILED_DELETE,
        Reason.FAILED_CHANGE_ABORTION,
        Reason.FAILED_POD_PATCH,
        Reason.HOTPLUG_ERROR,
        Reason.NAME_TAKEN,
        Reason.ERR_IMAGE_PULL,
        Reason.IMAGE_PULL_BACK_OFF,
        Reason.FAILED_GUARANTEE,
        Reason.POD_SANDBOX_FAILED,
        Reason.NETWORK_NOT_ALLOWED,
        Reason.INVALID_ATTACHMENT_REFERENCE,
        Reason.ATTACHMENT_DEFINITION_MISSING,
        Reason.ATTACHMENT_DEFINITION_INVALID,
        Reason.MULTUS_NOT_INSTALLED,
    }
)


def plan_conditions(
    view: VmiView,
    *,
    pod: LauncherPod | None,
    phase: VmiPhase,
    interfaces: Sequence[Row],
    operations: Sequence[InterfaceOperation],
    evacuation: Evacuation,
    now: datetime,
) -> list[dict[str, Any]]:
    """Return the conditions, with those that the operator owns updated."""
    outdated = outdated_attachments(view, pod=pod, phase=phase, interfaces=interfaces, operations=operations)
    wanted = {
        INTERFACES_READY: interfaces_ready(view=view, phase=phase, operations=operations),
        INVALID_HOTPLUG_POLICY: policy_problems(view),
        OUTDATED_ATTACHMENTS: outdated_condition(view, outdated),
        EVICTION_REQUESTED: _eviction(view, evacuation),
    }
    if pod is not None and is_starting(view.vmi):
        wanted |= {PROVISIONING: None, POD_SCHEDULED: _unscheduled(pod)}
    rows = with_ready(view, pod=pod, phase=phase, now=now)
    for type_, condition in wanted.items():
        rows = with_condition(rows, type_, condition, now=now)
    return with_synchronized(rows, view=view, pod=pod, now=now)


def with_ready(view: VmiView, *, pod: LauncherPod | None, phase: VmiPhase, now: datetime) -> list[dict[str, Any]]:
    """Return the conditions with `Ready`, which follows the pod's once the guest runs.

    A guest that has just been migrated stays ready: the kubelet has not processed its new pod's readiness gate yet.
    """
    status = view.vmi.status
    if pod is not None and status.is_true(READY) and _is_about_to_open(view, pod):
        return [dict(row) for row in status.conditions]
    return merge_condition(status.conditions, _ready_condition(pod=pod, phase=phase), now=now)


def _is_about_to_open(view: VmiView, pod: LauncherPod) -> bool:
    waits = pod.ready_condition is not None and pod.ready_condition.reason == _GATE_IS_SHUT
    waits = waits and pod.has_unpaused_gate and not pod.is_down_or_going
    return waits and not view.vmi.status.is_true(PAUSED) and has_moved_to(view, pod)


def _ready_condition(*, pod: LauncherPod | None, phase: VmiPhase) -> Condition:
    if pod is None:
        return _not_ready("PodNotExists", "virt-launcher pod has not yet been scheduled")
    if pod.is_down_or_going:
        return _not_ready("PodTerminating", "virt-launcher pod is terminating")
    if phase is not VmiPhase.RUNNING:
        return _not_ready("GuestNotRunning", "Guest VM is not reported as running")
    if pod.ready_condition is None:
        return _not_ready("PodConditionMissing", "virt-launcher pod is missing the Ready condition")
    status, reason, message, _ = pod.ready_condition
    return Condition(type=READY, status=status, reason=reason, message=message)


def _not_ready(reason: str, message: str) -> Condition:
    return Condition(type=READY, status=FALSE, reason=reason, message=message)


def interfaces_ready(*, view: VmiView, phase: VmiPhase, operations: Sequence[InterfaceOperation]) -> Condition:
    """True when every NIC of the spec is in the guest and none is being plugged or unplugged."""
    waiting = unsettled(operations)
    if phase is not VmiPhase.RUNNING:
        status, reason, message = FALSE, Reason.GUEST_NOT_RUNNING, "the guest is not running"
    elif waiting:
        status, reason, message = FALSE, Reason(waiting[0].reason), _list_nics(waiting)
    elif refused := [item for item in operations if item.reason == Reason.NOT_ADMITTED]:
        status, reason, message = TRUE, Reason.NOT_ADMITTED, _list_nics(refused)
    else:
        # Without their number: the VM mirrors this condition, and must not be written for each NIC.
        status, reason, message = TRUE, Reason.ALL_INTERFACES_READY, "every NIC of the spec is in the guest"
    return Condition(
        type=INTERFACES_READY,
        status=status,
        reason=reason,
        message=message,
        observed_generation=view.vmi.generation,
    )


def _list_nics(operations: Sequence[InterfaceOperation]) -> str:
    shown = "; ".join(f'NIC "{operation.name}": {operation.sentence}' for operation in operations[:_MESSAGE_NICS])
    more = len(operations) - _MESSAGE_NICS
    return f"{shown}; and {more} more in status.interfaceOperations" if more > 0 else shown


def _eviction(view: VmiView, evacuation: Evacuation) -> Condition | None:
    """`EvictionRequested` while the eviction webhook marks the node to leave, with what the guest waits for."""
    if not view.vmi.evacuation_node or evacuation.has_left:
        return None
    message = f"{MARKED}: {evacuation.waits_for}" if evacuation.waits_for else MARKED
    return Condition(
        type=EVICTION_REQUESTED, status=TRUE, reason=EVICTION_REQUESTED, message=message, message_counts=True
    )


def _unscheduled(pod: LauncherPod) -> Condition | None:
    """The scheduler's `PodScheduled` False; removed once the pod has a node."""
    if pod.unscheduled is None:
        return None
    reason, message = pod.unscheduled
    return Condition(type=POD_SCHEDULED, status=FALSE, reason=reason, message=message)


def with_synchronized(
    rows: Sequence[Row], *, view: VmiView, pod: LauncherPod | None, now: datetime
) -> list[dict[str, Any]]:
    """Set `Synchronized` to False with the cause while the VMI cannot reach its desired state; removed otherwise."""
    present = view.vmi.status.condition(SYNCHRONIZED)
    is_theirs = bool(present.status) and present.reason not in _OWN_REASONS
    if is_theirs and view.vmi.phase in OWNED_BY_NODE_AGENT:
        return [dict(row) for row in rows]
    condition = None
    if (failure := start_failure(view, pod) or view.refusal) is not None:
        reason, message, members = failure.reason, failure.message, members_of(failure, pod)
        condition = Condition(type=SYNCHRONIZED, status=FALSE, reason=reason, message=message, members=members)
    return with_condition(rows, SYNCHRONIZED, condition, now=now)


def pod_members(view: VmiView, *, pod: LauncherPod | None, phase: VmiPhase, now: datetime) -> dict[str, Any]:
    """The phase and the members that follow from the pods, without conditions and NICs."""
    records = pods_to_record(view, pod=pod)
    members: dict[str, Any] = {
        "activePods": {item.uid: item.node_name for item in view.pods} or None,
        LAUNCHER_PODS_MEMBER: [record.to_row() for record in records] or None,
    }
    if phase is not view.vmi.phase:
        members["phase"] = str(phase)
        members["phaseTransitionTimestamps"] = view.vmi.status.with_phase_times([phase], now=now)
    if pod is not None:
        members["launcherContainerImageVersion"] = pod.compute_image
    elif phase is VmiPhase.FAILED or view.vmi.is_final:
        members["launcherContainerImageVersion"] = None
    if pod is not None and is_starting(view.vmi):
        members["qosClass"] = pod.qos_class or None
    if phase is VmiPhase.SCHEDULED and pod is not None:
        members |= {"nodeName": pod.node_name, "migrationTransport": "Unix"}
    if end := what_ends(view, pod=pod, phase=phase):
        # The first cause stays: whatever follows an eviction is only its consequence.
        members["reason"] = view.vmi.status.reason or end.reason
    elif pod is not None and phase is VmiPhase.RUNNING and has_moved_to(view, pod):
        members["reason"] = None  # the guest has left the pod that was about to end
    return members
