"""Clean-up after a migration has ended: roll back or complete, then delete pods, finalizers and old migrations."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import MIGRATION_FINALIZER
from nicplug.model.pod import LauncherPod
from nicplug.plan.actions import Action, Delete, Kind, patch_finalizers, patch_status
from nicplug.plan.migration.actions import (
    delete_replaced_targets,
    failed_migration,
    leftover_targets,
)
from nicplug.plan.migration.facts import MigrationFacts
from nicplug.plan.migration.hand_off import TARGET_IS_DOWN, check_guest, delete_target, request_abort
from nicplug.plan.migration.phases import copied_state
from nicplug.plan.migration.slots import MigrationPlan
from nicplug.plan.migration.timeouts import describe_lost_node
from nicplug.plan.outcome import Plan, Subject, normal
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.own_pods import announce_leftover, target_key
from nicplug.plan.vmi.state_patches import mark_failed

# Source: KubeVirt 1.9 `migration.go` (`garbageCollectFinalizedMigrations`).

KEPT_PER_VMI = 5


def old_migrations(view: MigrationView) -> Iterator[Delete]:
    """List the finished migrations to delete: all but the newest of the VMI.

    Unlike in KubeVirt, migrations that are being deleted do not count: withdrawn ones would hide how often the guest
    has moved (`plan.nic.path.migration_history`).
    """
    newest_first = [item for item in reversed(view.migrations) if item.is_final and not item.deleting]
    for item in newest_first[KEPT_PER_VMI:]:
        yield Delete(kind=Kind.MIGRATION, key=item.key, uid=item.uid)


# Source: KubeVirt 1.9 `migration.go` (row 1 of its phases, and the action in Failed). KubeVirt keeps the pod until the
# migration is collected.

KEPT_WITHOUT_VMI = timedelta(minutes=10)
# Virt-handler aborts a copy within a second; if it has not answered by then, it is not expected to.
ABORT_PATIENCE = timedelta(minutes=2)


def plan_clean_up(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> MigrationPlan:
    """Plan the rest of an ended migration."""
    is_failed = facts.migration.phase is MigrationPhase.FAILED
    parts = (
        _notify_node_agents(view, facts, now=now) if is_failed else Plan(),
        _delete_target(view, facts, now=now) if is_failed else _delete_source(view, facts),
        _delete_leftovers(view, facts),
        Plan(actions=delete_replaced_targets(view, facts)),
        Plan(actions=tuple(_last_writes(view, facts, now=now))),
        Plan(actions=tuple(old_migrations(view))),
    )
    actions = tuple(action for part in parts for action in part.actions)
    announcements = tuple(item for part in parts for item in part.announcements)
    again_at = _abort_due(view, facts, now=now) if _is_aborting(view, facts, now=now) else None
    return _without_vmi(view, MigrationPlan(actions=actions, announcements=announcements, again_at=again_at), now=now)


def _abort_due(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> datetime | None:
    """When the abort times out; None if the time of the failure is unknown, or forged: clocks do not differ so much.

    While a node is away the guest's location is unknown, and nothing is ended (`plan.migration.timeouts`).
    """
    failed_at = facts.migration.entered_at(MigrationPhase.FAILED)
    if failed_at is None or failed_at - now > ABORT_PATIENCE:
        return None
    return (now if describe_lost_node(view, facts) else failed_at) + ABORT_PATIENCE


def _is_aborting(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> bool:
    """True while only the node agents can abort the copy: the guest may be in the target before they report it.

    Two leaders: one has handed off what the other has failed. If the failure were reported to the agents, they would
    forget a guest that has just arrived, and the target's deletion would end it.
    """
    state, vmi, target, due = facts.state, facts.vmi, facts.target, _abort_due(view, facts, now=now)
    if vmi is None or vmi.is_final or not facts.is_ours or not state.is_active or due is None or now >= due:
        return False
    if state.started_at is None or state.target_ready_at is not None or target is None or target.is_down_or_going:
        return False
    return facts.migration.progress_reason != Reason.TARGET_POD_LOST  # else no node agent answers


def _marks_failed(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> bool:
    """True if the VMI is to be marked failed now, while the copy runs.

    A guest that has arrived stays, unless it has ended. If its pod has ended, so has the guest: its node was lost, and
    its node agent reports nothing any more.
    """
    state, vmi = facts.state, facts.vmi
    if vmi is None or not facts.is_ours or not state.is_active or _is_aborting(view, facts, now=now):
        return False
    is_gone = facts.target is None and target_key(view, vmi, migration_uid=facts.migration.uid) in view.gone_pods
    return state.target_ready_at is None or vmi.is_final or is_gone


def _notify_node_agents(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Plan:
    """Mark the migration failed in the VMI, so that no node agent continues it."""
    if facts.vmi is not None and _is_aborting(view, facts, now=now):
        return Plan(actions=() if facts.state.abort_requested else (request_abort(facts.vmi),))
    if facts.vmi is None or not _marks_failed(view, facts, now=now):
        return Plan()
    is_down = facts.migration.progress_reason == Reason.TARGET_POD_LOST
    reason = TARGET_IS_DOWN if is_down else facts.migration.progress or TARGET_IS_DOWN
    message = f"VirtualMachineInstance migration uid {facts.migration.uid} failed. reason: {reason}"
    return Plan(
        actions=(mark_failed(facts.vmi, reason=reason, now=now),),
        announcements=(failed_migration(Subject.VMI, message),),
    )


def _delete_target(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Plan:
    """Delete the target pod, unless the guest is in it, whatever the status of the migration says.

    Two leaders may have disagreed: one has handed off what the other has failed, and observes the failure only after
    the guest has arrived. So the VMI is read once more, unless the same pass patches the state, which tests it.
    """
    pod, vmi, state = facts.target, facts.vmi, facts.state
    if pod is None or vmi is None or pod.deleting:
        return Plan()
    runs_there = facts.is_ours and state.target_ready_at is not None and not state.failed
    if (runs_there and not pod.is_down) or _may_be_home(facts, pod) or _is_aborting(view, facts, now=now):
        return Plan()
    release, delete = delete_target(vmi, pod)
    return Plan(
        actions=(delete,) if _marks_failed(view, facts, now=now) else (release, delete),
        announcements=(normal(Subject.MIGRATION, "SuccessfulDelete", _why_deleted(facts.migration, pod)),),
    )


def _delete_leftovers(view: MigrationView, facts: MigrationFacts) -> Plan:
    """Delete pods of this migration that were never recorded: no guest runs in one."""
    left = leftover_targets(view, facts)
    return Plan(
        actions=tuple(Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in left),
        announcements=tuple(map(announce_leftover, left)),
    )


def _may_be_home(facts: MigrationFacts, target: LauncherPod) -> bool:
    """True if the guest may be on the target's node, with no other live pod there on which a target was put by mistake.

    A guest that has ended needs no pod: one that still runs there was created at the moment of its end.
    """
    vmi = facts.vmi
    if vmi is None or not vmi.node_name or vmi.node_name != target.node_name:
        return False
    return (not vmi.is_final or target.is_finished) and not any(pod.node_name == vmi.node_name for pod in facts.others)


def _why_deleted(migration: Migration, pod: LauncherPod) -> str:
    if migration.deleting:
        return f"migration canceled and pod {pod.key} is deleted"
    match migration.progress_reason:
        case Reason.TARGET_POD_UNSCHEDULABLE:
            return f"unschedulable pod {pod.key} timeout period exceeded"
        case Reason.TARGET_POD_NOT_READY | Reason.TARGET_POD_LATE | Reason.NO_SLOT_IN_TIME:
            return f"pending pod {pod.key} timeout period exceeded"
        case _:
            return f"migration failed and pod {pod.key} is deleted"


def _delete_source(view: MigrationView, facts: MigrationFacts) -> Plan:
    """Delete the source pod, named by the hand-off, on the source's node, if the VMI is on another node now."""
    vmi, state = facts.vmi, facts.migration.migration_state
    if vmi is None or not state.completed or state.failed or state.migration_uid != facts.migration.uid:
        return Plan()
    present = facts.state
    needed = {present.target_pod} | ({present.source_pod} if present.is_active else set())
    left = [
        pod
        for pod in view.pods
        if (pod.key.name, pod.node_name) == (state.source_pod, state.source_node)
        and pod.node_name != vmi.node_name
        and pod.key.name not in needed
        and not pod.deleting
    ]
    if not left:
        return Plan()
    # A later migration may have brought the guest back.
    return Plan(actions=(check_guest(vmi), *(Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in left)))


def _last_writes(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Iterator[Action]:
    """Copy the node agents' last report into the migration's status, then remove the finalizer."""
    migration = facts.migration
    seen = migration.status.members.get("migrationState")
    for member, wanted in copied_state(facts).items():
        if wanted != seen:
            yield patch_status(migration, {member: wanted})
    # A guest that arrives by a failed migration keeps its slot until the target's agent reports it. Two leaders: one
    # has handed off what the other has failed, and both would forget a released migration.
    is_with_agents = facts.vmi is not None and facts.is_ours and facts.state.is_active
    is_arriving = is_with_agents and not _marks_failed(view, facts, now=now)
    if MIGRATION_FINALIZER in migration.finalizers and not is_arriving:
        kept = tuple(item for item in migration.finalizers if item != MIGRATION_FINALIZER)
        yield patch_finalizers(migration, kept)


def _without_vmi(view: MigrationView, plan: MigrationPlan, *, now: datetime) -> MigrationPlan:
    """End a migration whose VMI is gone. KubeVirt deletes it; here it stays so that users can read why it failed."""
    migration = view.migration
    ended = migration.entered_at(migration.phase)
    if view.vmi is not None or ended is None or migration.deleting:
        return plan
    due = ended + KEPT_WITHOUT_VMI
    if now < due:
        return replace(plan, again_at=due)
    deletion = Delete(kind=Kind.MIGRATION, key=migration.key, uid=migration.uid)
    return plan if deletion in plan.actions else replace(plan, actions=(*plan.actions, deletion))
