"""The condition `Progressing`: what a migration that has not ended waits for."""

from dataclasses import replace
from datetime import datetime

from nicplug.model.migration import MigrationPhase
from nicplug.model.pod import LauncherPod
from nicplug.model.times import format_time
from nicplug.plan.migration.eligibility import POD_REFUSED
from nicplug.plan.migration.facts import MigrationFacts, Progress
from nicplug.plan.migration.phases import still_wanted
from nicplug.plan.migration.target_networks import missing_interfaces, refuse_start
from nicplug.plan.migration.timeouts import (
    agent_deadline,
    describe_lost_node,
    pod_deadline,
    unready_containers,
)
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView

ASKS_FOR_A_SLOT = "a slot for it is looked for"
"""Message until the ledger names the migrations ahead."""


def describe(
    view: MigrationView, facts: MigrationFacts, phase: MigrationPhase, obstacle: Progress | None, *, now: datetime
) -> Progress:
    """Describe what the migration waits for.

    Args:
        phase: the new phase.
        obstacle: what keeps it from getting a target pod while it is Pending.
    """
    migration = facts.migration
    if lost := describe_lost_node(view, facts):
        return Progress(reason=Reason.NODE_LOST, message=lost + _agent_deadline(facts, phase), is_stuck=True)
    if migration.deleting:
        node = facts.state.source_node
        message = f"virt-handler on {node} is to stop the copy" if node else "it is being cancelled"
        return Progress(reason=Reason.CANCELING, message=message)
    match phase:
        case MigrationPhase.PENDING if obstacle is not None:
            return replace(obstacle, message=obstacle.message + _until(obstacle.gives_up_at))
        case MigrationPhase.PENDING if migration.progress_reason in POD_REFUSED:
            # Its timeout continues until there is a pod.
            return Progress(reason=migration.progress_reason, message=migration.progress, is_stuck=True)
        case MigrationPhase.PENDING:
            return _pending(view, facts)
        case MigrationPhase.SCHEDULING:
            return _starting(view, facts, now=now)
        case MigrationPhase.SCHEDULED:
            return _ready(view, facts, now=now)
        case _:
            return _handed_off(facts, phase)


def _pending(view: MigrationView, facts: MigrationFacts) -> Progress:
    if not view.slot.is_granted and (queued := _queued(view)) is not None:
        return queued
    before = facts.migration.progress_reason
    if before in (Reason.REJECTED_BY_QUOTA, Reason.TARGET_POD_REPLACED):
        # It stays until there is a pod: each attempt is short, and may fail as the last one did.
        return Progress(reason=before, message=facts.migration.progress)
    message = "the target pod is being made" if view.slot.is_granted else ASKS_FOR_A_SLOT
    return Progress(reason=Reason.CREATING_TARGET_POD, message=message)


def _until(due: datetime | None) -> str:
    return f"; given up at {format_time(due)}" if due is not None else ""


def _queued(view: MigrationView) -> Progress | None:
    """The queue position in the ledger's words; None until the ledger reports that it waits."""
    slot = view.slot
    return Progress(reason=slot.reason or Reason.WAITING_FOR_SLOT, message=slot.message) if slot.message else None


def _starting(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Progress:
    pod = facts.target
    if pod is None:
        return Progress(reason=Reason.CREATING_TARGET_POD, message="the target pod is being made")
    end = _pod_deadline(facts, pod, now=now)
    if pod.unscheduled is not None:
        message = f"no node takes target pod {pod.key.name}: {pod.unscheduled.message}{end}"
        return Progress(reason=Reason.TARGET_POD_UNSCHEDULABLE, message=message, is_stuck=True)
    if pod.image_error is not None:
        message = f"target pod {pod.key.name}: {pod.image_error.reason}: {pod.image_error.message}{end}"
        return Progress(reason=Reason(pod.image_error.reason), message=message, is_stuck=True)
    refusal = refuse_start(pod, facts.vmi, known=view.attachments) if facts.vmi is not None else None
    if refusal is not None and pod.phase in ("", "Pending"):
        message = f"target pod {pod.key.name} cannot start: {refusal.message}{end}"
        return Progress(reason=Reason(refusal.reason), message=message, is_stuck=True)
    if facts.start_failure:
        message = f"target pod {pod.key.name} cannot start on {pod.node_name}: {facts.start_failure}{end}"
        return Progress(reason=Reason.TARGET_POD_SANDBOX_FAILED, message=message, is_stuck=True)
    if pod.phase not in ("", "Pending") and not pod.is_ready:
        return _not_ready(facts, pod, end)
    where = f" on {pod.node_name}" if pod.node_name else ""
    return Progress(reason=Reason.WAITING_FOR_TARGET_POD, message=f"target pod {pod.key.name} starts{where}")


def _not_ready(facts: MigrationFacts, pod: LauncherPod, end: str) -> Progress:
    """Report an unready container; a slow one only if it was ready before, and timed from its report."""
    message = f"target pod {pod.key.name} runs on {pod.node_name} and is not ready: {unready_containers(pod)}{end}"
    if facts.migration.phase is MigrationPhase.SCHEDULED or any(item.why for item in pod.unready):
        return Progress(reason=Reason.TARGET_POD_CONTAINERS_NOT_READY, message=message, is_stuck=True)
    return Progress(reason=Reason.WAITING_FOR_TARGET_POD, message=message)


def _pod_deadline(facts: MigrationFacts, pod: LauncherPod, *, now: datetime) -> str:
    return _until(pod_deadline(facts, pod, now=now)) if pod.created is not None else ""


def _ready(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Progress:
    pod, vmi = facts.target, facts.vmi
    if pod is None or vmi is None or not pod.is_ready:
        return _starting(view, facts, now=now)
    end = _pod_deadline(facts, pod, now=now)
    if missing := missing_interfaces(pod, vmi):
        what = f"Multus has still to report {', '.join(missing)}"
        message = f"target pod {pod.key.name} runs; {what}{end}"
        return Progress(reason=Reason.WAITING_FOR_TARGET_POD, message=message)
    if view.slot.inbound_node != pod.node_name and (queued := _queued(view)) is not None:
        return replace(queued, message=f"{queued.message}{end}")
    if facts.source is None:
        what = f"exactly one other launcher pod has to be there: {facts.names_of_others}"
        message = f"target pod {pod.key.name} is ready; {what}{end}"
        return Progress(reason=Reason.SEVERAL_LAUNCHER_PODS, message=message)
    return Progress(
        reason=Reason.PREPARING_TARGET,
        message=f"target pod {pod.key.name} is handed to virt-handler on {pod.node_name}",
    )


def _agent_deadline(facts: MigrationFacts, phase: MigrationPhase) -> str:
    return _until(agent_deadline(facts)) if phase is facts.migration.phase else ""


def _handed_off(facts: MigrationFacts, phase: MigrationPhase) -> Progress:
    """Name the node agent that acts next."""
    state, end = facts.state, _agent_deadline(facts, phase)
    if phase is MigrationPhase.PREPARING_TARGET:
        message = f"virt-handler on {state.target_node} prepares target pod {state.target_pod}"
        return Progress(reason=Reason.PREPARING_TARGET, message=message + end)
    if phase is MigrationPhase.TARGET_READY:
        message = f"virt-handler on {state.source_node} is to begin the copy to {state.target_node}"
        return Progress(reason=Reason.WAITING_FOR_SOURCE, message=message + end)
    if state.completed and (condition := still_wanted(facts)):
        message = f"the VM runs on {state.target_node}; its condition {condition} still asks for a migration"
        return Progress(reason=Reason.FINISHING_MIGRATION, message=message)
    if state.target_ready_at is not None:
        message = f"the VM runs on {state.target_node}; virt-handler there finishes"
        return Progress(reason=Reason.FINISHING_MIGRATION, message=message)
    message = f"the VM is copied from {state.source_node} to {state.target_node}"
    return Progress(reason=Reason.COPYING, message=message)
