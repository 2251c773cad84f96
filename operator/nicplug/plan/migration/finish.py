"""After the end of a migration: the VM is as it was or where it shall be; pods, finalizers and old migrations go."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from nicplug.model.frozen_json import freeze
from nicplug.model.metadata import text
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import MIGRATION_FINALIZER
from nicplug.model.pod import LauncherPod
from nicplug.plan.actions import Action, Delete, Kind, PatchStatus, patch_finalizers
from nicplug.plan.migration.actions import (
    Effects,
    announce_failure,
    delete_replaced_targets,
    leftover_targets,
)
from nicplug.plan.migration.facts import MigrationFacts
from nicplug.plan.migration.hand_off import TARGET_IS_DOWN, check_guest, delete_target, request_abort
from nicplug.plan.migration.phases import copied_state
from nicplug.plan.migration.slots import MigrationPlan
from nicplug.plan.migration.timeouts import progressing_condition, tell_lost_node
from nicplug.plan.outcome import Subject, normal
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.own_pods import announce_leftover, target_key
from nicplug.plan.vmi.state_patches import mark_failed

# Migrations that have ended: the newest of each VMI are kept.
#
# Source: KubeVirt 1.9 `migration.go` (`garbageCollectFinalizedMigrations`).

KEPT_PER_VMI = 5


def old_migrations(view: MigrationView) -> Iterator[Delete]:
    """Those beyond the newest.

    Unlike KubeVirt, what is going anyway pushes none out: what was withdrawn would hide how often the guest has moved
    (`plan.nic.path.backoff`).
    """
    newest_first = [item for item in reversed(view.migrations) if item.is_final and not item.deleting]
    for item in newest_first[KEPT_PER_VMI:]:
        yield Delete(kind=Kind.MIGRATION, key=item.key, uid=item.uid)


# After the end: the VM is as it was or where it shall be, the pod that nobody needs goes, then the finalizer.
#
# Source: KubeVirt 1.9 `migration.go` (ladder row 1, and the action in Failed). KubeVirt keeps the pod until the
# migration is collected.

KEPT_WITHOUT_VMI = timedelta(minutes=10)
# Virt-handler breaks a copy off within a second; one that does not answer so long will not.
ABORT_PATIENCE = timedelta(minutes=2)


def plan_end(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> MigrationPlan:
    """What is left to do for a migration that has ended."""
    is_failed = facts.migration.phase is MigrationPhase.FAILED
    parts = (
        _tell_node_agents(view, facts, now=now) if is_failed else Effects(),
        _delete_target(view, facts, now=now) if is_failed else _delete_source(view, facts),
        _delete_leftovers(view, facts),
        Effects(actions=delete_replaced_targets(view, facts)),
        Effects(actions=tuple(_last_writes(view, facts, now=now))),
        Effects(actions=tuple(old_migrations(view))),
    )
    actions = tuple(action for part in parts for action in part.actions)
    announcements = tuple(item for part in parts for item in part.announcements)
    again_at = _abort_due(view, facts, now=now) if _is_aborting(view, facts, now=now) else None
    return _without_vmi(view, MigrationPlan(actions=actions, announcements=announcements, again_at=again_at), now=now)


def _abort_due(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> datetime | None:
    """None: it is not known when it failed, or it is forged, as clocks do not differ so much.

    While a node is away nobody can say where the guest is, and nothing is ended (`plan.migration.timeouts`).
    """
    failed_at = facts.migration.entered_at(MigrationPhase.FAILED)
    if failed_at is None or failed_at - now > ABORT_PATIENCE:
        return None
    return (now if tell_lost_node(view, facts) else failed_at) + ABORT_PATIENCE


def _is_aborting(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> bool:
    """The copy runs, which only its node agents can break off: the guest may be in the target before they say so.

    Two leaders: one has handed off what the other has failed. Told that it has failed, the agents would forget a guest
    that has just arrived, and the target's deletion would end it.
    """
    state, vmi, target, due = facts.state, facts.vmi, facts.target, _abort_due(view, facts, now=now)
    if vmi is None or vmi.is_final or not facts.is_ours or not state.is_active or due is None or now >= due:
        return False
    if state.started_at is None or state.target_ready_at is not None or target is None or target.is_down_or_going:
        return False
    return text(progressing_condition(facts.migration).get("reason")) != Reason.TARGET_POD_LOST  # else nobody answers


def _is_told_now(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> bool:
    """The copy goes on. A guest that has arrived has moved, and nobody takes that back, unless it has ended since.

    With its pod it ends for certain: its node was lost, and its node agent will say nothing any more.
    """
    state, vmi = facts.state, facts.vmi
    if vmi is None or not facts.is_ours or not state.is_active or _is_aborting(view, facts, now=now):
        return False
    is_gone = facts.target is None and target_key(view, vmi, migration_uid=facts.migration.uid) in view.gone_pods
    return state.target_ready_at is None or vmi.is_final or is_gone


def _is_arriving(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> bool:
    """The guest comes by what has failed here: it holds its slot until the target's node agent says that it is there.

    Two leaders: one has handed off what the other has failed, and both would forget a migration that is let go.
    """
    return facts.vmi is not None and facts.is_ours and facts.state.is_active and not _is_told_now(view, facts, now=now)


def _tell_node_agents(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Effects:
    """No node agent may go on with what has failed here."""
    if facts.vmi is not None and _is_aborting(view, facts, now=now):
        return Effects(actions=() if facts.state.abort_requested else (request_abort(facts.vmi),))
    if facts.vmi is None or not _is_told_now(view, facts, now=now):
        return Effects()
    told = progressing_condition(facts.migration)
    is_down = text(told.get("reason")) == Reason.TARGET_POD_LOST
    reason = TARGET_IS_DOWN if is_down else text(told.get("message")) or TARGET_IS_DOWN
    message = f"VirtualMachineInstance migration uid {facts.migration.uid} failed. reason: {reason}"
    return Effects(
        actions=(mark_failed(facts.vmi, reason=reason, now=now),),
        announcements=(announce_failure(Subject.VMI, message),),
    )


def _delete_target(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Effects:
    """Never the pod that the guest is in, whatever the status of the migration says.

    Two leaders may have disagreed: one has handed off what the other has failed, and hears of it later than the guest
    arrives. So the VMI is looked at once more, unless its node agents are told in the same pass, which tests the state.
    """
    pod, vmi, state = facts.target, facts.vmi, facts.state
    if pod is None or vmi is None or pod.deleting:
        return Effects()
    runs_there = facts.is_ours and state.target_ready_at is not None and not state.failed
    if (runs_there and not pod.is_down) or _may_be_home(facts, pod) or _is_aborting(view, facts, now=now):
        return Effects()
    release, delete = delete_target(vmi, pod)
    return Effects(
        actions=(delete,) if _is_told_now(view, facts, now=now) else (release, delete),
        announcements=(normal(Subject.MIGRATION, "SuccessfulDelete", _why_deleted(facts.migration, pod)),),
    )


def _delete_leftovers(view: MigrationView, facts: MigrationFacts) -> Effects:
    """Pods for this migration that nobody has recorded, and nobody will: no guest runs in one."""
    left = leftover_targets(view, facts)
    return Effects(
        actions=tuple(Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in left),
        announcements=tuple(map(announce_leftover, left)),
    )


def _may_be_home(facts: MigrationFacts, target: LauncherPod) -> bool:
    """The guest's node is the target's, and no other live pod is there, on which a target may have been put by mistake.

    A guest that has ended needs none: what still runs there was made in the moment of its end.
    """
    vmi = facts.vmi
    if vmi is None or not vmi.node_name or vmi.node_name != target.node_name:
        return False
    return (not vmi.is_final or target.is_finished) and not any(pod.node_name == vmi.node_name for pod in facts.others)


def _why_deleted(migration: Migration, pod: LauncherPod) -> str:
    if migration.deleting:
        return f"migration canceled and pod {pod.key} is deleted"
    match text(progressing_condition(migration).get("reason")):
        case Reason.TARGET_POD_UNSCHEDULABLE:
            return f"unschedulable pod {pod.key} timeout period exceeded"
        case Reason.TARGET_POD_NOT_READY | Reason.TARGET_POD_LATE | Reason.NO_SLOT_IN_TIME:
            return f"pending pod {pod.key} timeout period exceeded"
        case _:
            return f"migration failed and pod {pod.key} is deleted"


def _delete_source(view: MigrationView, facts: MigrationFacts) -> Effects:
    """The pod that the guest has left: named by the hand-off, on the source's node, where the VMI is no more."""
    vmi, state = facts.vmi, facts.migration.migration_state
    if vmi is None or not state.completed or state.failed or state.migration_uid != facts.migration.uid:
        return Effects()
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
        return Effects()
    # A later migration may have brought the guest back.
    return Effects(actions=(check_guest(vmi), *(Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in left)))


def _last_writes(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Iterator[Action]:
    """What the node agents say last, for whoever looks later; then nothing holds it any more."""
    migration = facts.migration
    seen = migration.read_status().get("migrationState")
    for member, wanted in copied_state(facts).items():
        if wanted != seen:
            yield PatchStatus(
                kind=Kind.MIGRATION,
                key=migration.key,
                uid=migration.uid,
                version=migration.resource_version,
                seen=freeze({member: seen}),
                wanted=freeze({member: wanted}),
            )
    if MIGRATION_FINALIZER in migration.finalizers and not _is_arriving(view, facts, now=now):
        kept = tuple(item for item in migration.finalizers if item != MIGRATION_FINALIZER)
        yield patch_finalizers(migration, kept)


def _without_vmi(view: MigrationView, plan: MigrationPlan, *, now: datetime) -> MigrationPlan:
    """KubeVirt deletes a migration together with its VMI; here a person has time to read why it failed."""
    migration = view.migration
    ended = migration.entered_at(migration.phase)
    if view.vmi is not None or ended is None or migration.deleting:
        return plan
    due = ended + KEPT_WITHOUT_VMI
    if now < due:
        return replace(plan, again_at=due)
    deletion = Delete(kind=Kind.MIGRATION, key=migration.key, uid=migration.uid)
    return plan if deletion in plan.actions else replace(plan, actions=(*plan.actions, deletion))
