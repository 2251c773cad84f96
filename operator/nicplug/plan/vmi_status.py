"""The status of a VMI as it shall be: phase, conditions, rows, records.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/vmi/lifecycle.go`. Up to Scheduled and in final phases
the operator owns the phase; in Scheduled and Running the node agent does.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nicplug.model.conditions import (
    FALSE,
    INTERFACES_READY,
    POD_SCHEDULED,
    READY,
    SYNCHRONIZED,
    TRUE,
    Condition,
    drop_condition,
    find_condition,
    merge_condition,
)
from nicplug.model.operations import InterfaceOperation
from nicplug.model.pod import LauncherPod
from nicplug.model.times import format_time
from nicplug.model.vmi import UNPROCESSED_PHASES, VmiPhase
from nicplug.plan.operations import unsettled
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmiView

_OWNED_BY_NODE_AGENT = frozenset({VmiPhase.SCHEDULED, VmiPhase.RUNNING, VmiPhase.UNKNOWN})
_MESSAGE_NICS = 3


def next_phase(*, phase: VmiPhase, pod: LauncherPod | None) -> VmiPhase:
    """The phase that follows from the launcher pod.

    Args:
        pod: the newest pod of the VMI; None when it has none.
    """
    if phase in UNPROCESSED_PHASES:
        if pod is None:
            return VmiPhase.PENDING
        return _phase_of_new_pod(pod)
    if phase is VmiPhase.SCHEDULING:
        return VmiPhase.FAILED if pod is None or pod.deleting else _phase_of_new_pod(pod)
    if phase in _OWNED_BY_NODE_AGENT and pod is None:
        return VmiPhase.FAILED
    return phase


def _phase_of_new_pod(pod: LauncherPod) -> VmiPhase:
    if pod.is_finished:
        return VmiPhase.FAILED
    return VmiPhase.SCHEDULED if pod.is_ready else VmiPhase.SCHEDULING


def plan_conditions(
    *,
    view: VmiView,
    pod: LauncherPod | None,
    phase: VmiPhase,
    operations: Sequence[InterfaceOperation],
    conditions: Sequence[Mapping[str, Any]],
    now: datetime,
) -> list[dict[str, Any]]:
    """The conditions with those that the operator owns brought up to date."""
    rows = merge_condition(conditions, _ready_condition(pod=pod, phase=phase), now=now)
    interfaces_ready = _interfaces_ready(view=view, phase=phase, operations=operations)
    rows = merge_condition(rows, interfaces_ready, now=now)
    rows = _with_scheduling(rows, pod=pod, now=now)
    return _with_synchronized(rows, refusal=view.refusal, now=now)


def _ready_condition(*, pod: LauncherPod | None, phase: VmiPhase) -> Condition:
    if pod is None:
        return _not_ready("PodNotExists", "virt-launcher pod has not yet been scheduled")
    if pod.deleting:
        return _not_ready("PodTerminating", "virt-launcher pod is terminating")
    if phase is not VmiPhase.RUNNING:
        return _not_ready("GuestNotRunning", "Guest VM is not reported as running")
    if pod.ready_condition is None:
        return _not_ready("PodConditionMissing", "virt-launcher pod is missing the Ready condition")
    status, reason, message = pod.ready_condition
    return Condition(type=READY, status=status, reason=reason, message=message)


def _not_ready(reason: str, message: str) -> Condition:
    return Condition(type=READY, status=FALSE, reason=reason, message=message)


def _interfaces_ready(*, view: VmiView, phase: VmiPhase, operations: Sequence[InterfaceOperation]) -> Condition:
    """True when every NIC of the spec is in the guest and none is on its way in or out."""
    waiting = unsettled(operations)
    if phase is not VmiPhase.RUNNING:
        status, reason, message = FALSE, Reason.GUEST_NOT_RUNNING, "the guest is not running"
    elif waiting:
        status, reason, message = FALSE, Reason(waiting[0].reason), _list_nics(waiting)
    else:
        count = sum(not interface.is_absent for interface in view.vmi.interfaces)
        status, reason, message = (
            TRUE,
            Reason.ALL_INTERFACES_READY,
            f"{count} of {count} NICs are in the guest",
        )
    return Condition(
        type=INTERFACES_READY,
        status=status,
        reason=reason,
        message=message,
        observed_generation=view.vmi.generation,
    )


def _list_nics(operations: Sequence[InterfaceOperation]) -> str:
    shown = "; ".join(f'NIC "{operation.name}": {operation.message}' for operation in operations[:_MESSAGE_NICS])
    more = len(operations) - _MESSAGE_NICS
    return f"{shown}; and {more} more in status.interfaceOperations" if more > 0 else shown


def _with_scheduling(rows: list[dict[str, Any]], *, pod: LauncherPod | None, now: datetime) -> list[dict[str, Any]]:
    """`PodScheduled` False while the scheduler finds no node; gone once it does."""
    if pod is not None and pod.unschedulable:
        condition = Condition(type=POD_SCHEDULED, status=FALSE, reason="Unschedulable", message=pod.unschedulable)
        return merge_condition(rows, condition, now=now)
    present = find_condition(rows, POD_SCHEDULED)
    return drop_condition(rows, POD_SCHEDULED) if present and present.get("status") == FALSE else rows


def _with_synchronized(rows: list[dict[str, Any]], *, refusal: Refusal | None, now: datetime) -> list[dict[str, Any]]:
    """`Synchronized` False with what the API server refused; gone once it accepts."""
    if refusal is None:
        return drop_condition(rows, SYNCHRONIZED)
    condition = Condition(type=SYNCHRONIZED, status=FALSE, reason=refusal.reason, message=refusal.message)
    return merge_condition(rows, condition, now=now)


def with_phase_timestamp(
    timestamps: Sequence[Mapping[str, Any]], *, phase: VmiPhase, now: datetime
) -> list[dict[str, Any]]:
    """The list with the moment at which `phase` began; the first one stays."""
    rows = [dict(row) for row in timestamps]
    if any(row.get("phase") == phase for row in rows):
        return rows
    return [*rows, {"phase": str(phase), "phaseTransitionTimestamp": format_time(now)}]
