"""Actions of each phase, apart from the status. Source: KubeVirt 1.9 `migration.go` (`sync`)."""

from collections.abc import Iterator
from datetime import datetime

from nicplug.model.frozen_json import read_object, thaw
from nicplug.model.migration import MigrationPhase
from nicplug.model.migration_configuration import migration_configuration
from nicplug.model.names import MIGRATION_FINALIZER, MIGRATION_TARGET_READY_ANNOTATION, MIGRATION_VMI_LABEL
from nicplug.model.pod import LauncherPod
from nicplug.model.times import format_time
from nicplug.model.vmi import vmi_id
from nicplug.plan.actions import (
    Action,
    CheckUnchanged,
    Delete,
    Kind,
    PatchAnnotations,
    check_unchanged,
    patch_finalizers,
    patch_label,
    patch_members,
)
from nicplug.plan.migration.facts import MigrationFacts
from nicplug.plan.migration.hand_off import delete_target, hand_off, label_target_node, request_abort
from nicplug.plan.migration.target import create_target_pod
from nicplug.plan.migration.target_networks import missing_interfaces
from nicplug.plan.migration.timeouts import NODE_AGENT_PATIENCE, agent_deadline
from nicplug.plan.outcome import Announcement, Plan, Subject, normal, warning
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.disruption_budget import raise_budget
from nicplug.plan.vmi.own_pods import (
    announce_leftover,
    announce_taken_name,
    discard,
    leftovers,
    next_target_key,
    record_of,
    replaced_pods,
    waits_for_record,
)
from nicplug.plan.vmi.state_patches import mark_failed


def adopt(facts: MigrationFacts) -> Iterator[Action]:
    """Set the finalizer before anything is created, and keep the label correct, as KubeVirt's webhooks do."""
    migration = facts.migration
    if MIGRATION_FINALIZER not in migration.finalizers and not migration.deleting:
        yield patch_finalizers(migration, (*migration.finalizers, MIGRATION_FINALIZER))
    wanted = vmi_id(migration.vmi.name)
    if read_object(migration.labels).get(MIGRATION_VMI_LABEL) != wanted:
        yield patch_label(migration, MIGRATION_VMI_LABEL, wanted)


def make_target_pod(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Plan:
    """Create the target pod of a Pending migration, once no obstacle is left and there is a slot."""
    if facts.vmi is None or facts.target is not None:
        return Plan()
    if not view.slot.is_granted:
        return delete_leftover_targets(view, facts, now=now)
    migration, unrecorded = facts.migration, leftover_targets(view, facts)
    if waits_for_record(view, unrecorded, now=now) is not None:
        return Plan()
    deletions = discard(view, unrecorded)
    create = create_target_pod(view, facts.vmi)
    wanted = next_target_key(facts.vmi, view.migrations, migration_uid=migration.uid)
    return Plan(
        actions=(*_check_unrecorded(facts, deletions), *deletions, *raise_budget(view, facts.vmi), create),
        announcements=(
            *(announce_leftover(pod) for pod in unrecorded if pod.uid in view.unrecorded),
            normal(Subject.MIGRATION, "SuccessfulCreate", f"Created migration target pod {create.key.name}"),
            *announce_taken_name(create, wanted, about=Subject.MIGRATION),
        ),
    )


def delete_leftover_targets(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Plan:
    """Delete unrecorded target pods while the migration waits for another reason: they are unused."""
    if waits_for_record(view, leftover_targets(view, facts), now=now) is not None:
        return Plan()
    return give_up_leftover_targets(view, facts)


def give_up_leftover_targets(view: MigrationView, facts: MigrationFacts) -> Plan:
    """Delete unrecorded target pods that will never be recorded.

    Only while the migration is unchanged: a delayed leader may have recorded one since.
    """
    unrecorded = leftover_targets(view, facts)
    deletions = tuple(Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in unrecorded)
    return Plan(
        actions=(*_check_unrecorded(facts, deletions), *deletions),
        announcements=tuple(map(announce_leftover, unrecorded)),
    )


def _check_unrecorded(facts: MigrationFacts, deletions: tuple[Delete, ...]) -> tuple[CheckUnchanged, ...]:
    """Check that the migration is unchanged: one more request, sent only if there is something to delete."""
    return (check_unchanged(facts.migration),) if deletions else ()


def delete_replaced_targets(view: MigrationView, facts: MigrationFacts) -> tuple[Action, ...]:
    """Delete the pods that the next target pod replaces; the replacement is already recorded."""
    if facts.vmi is None:
        return ()
    vmi = facts.vmi
    return tuple(action for pod in replaced_pods(view) for action in delete_target(vmi, pod))


def leftover_targets(view: MigrationView, facts: MigrationFacts) -> tuple[LauncherPod, ...]:
    """Target pods that claim to be nicplug's for this migration, and that no status records."""
    if facts.vmi is None:
        return ()
    return tuple(pod for pod in leftovers(view, facts.vmi) if pod.migration_uid == facts.migration.uid)


def act(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Plan:
    """Plan the actions of a migration that has a target pod and continues."""
    match facts.migration.phase:
        case MigrationPhase.SCHEDULED:
            return _hand_off(view, facts)
        case MigrationPhase.PREPARING_TARGET | MigrationPhase.TARGET_READY:
            return _before_copy(facts, now=now)
        case MigrationPhase.RUNNING:
            return _during_copy(facts)
        case _:
            return Plan()


def _hand_off(view: MigrationView, facts: MigrationFacts) -> Plan:
    vmi, source, target = facts.vmi, facts.source, facts.target
    if vmi is None or source is None or target is None or facts.is_handed_off or facts.migration.deleting:
        return Plan()
    if not facts.can_move or not target.is_ready or missing_interfaces(target, vmi):
        return Plan()
    if view.slot.inbound_node != target.node_name:
        return Plan()
    return Plan(
        actions=hand_off(
            vmi,
            migration=facts.migration,
            source=source,
            target=target,
            made=(record_of(pod, view, vmi) for pod in (source, target)),
            configuration=thaw(
                view.config.migration_configuration if view.config is not None else migration_configuration({})
            ),
        ),
        announcements=(
            normal(
                Subject.MIGRATION,
                "SuccessfulHandOver",
                "Migration target pod is ready for preparation by virt-handler.",
            ),
        ),
    )


def _before_copy(facts: MigrationFacts, *, now: datetime) -> Plan:
    """End a cancelled migration, or one that gets no answer, before the copy begins.

    Until the copy has begun, KubeVirt only notes the cancellation; it waits indefinitely for an answer.
    """
    state, vmi = facts.state, facts.vmi
    if vmi is None or not facts.is_ours or not state.is_active:
        return Plan()
    if state.started_at is None:
        if facts.migration.deleting:
            return Plan(
                actions=(mark_failed(vmi, reason="Migration canceled before it had begun", now=now),),
                announcements=(_announce_abort(),),
            )
        due = agent_deadline(facts)
        if due is not None and now >= due:
            return Plan(actions=(mark_failed(vmi, reason=_unanswered(facts), now=now),))
    label = label_target_node(vmi, state.target_node)
    return Plan(actions=(label,)) if label is not None else Plan()


def _unanswered(facts: MigrationFacts) -> str:
    state, seconds = facts.state, NODE_AGENT_PATIENCE.total_seconds()
    if facts.migration.phase is MigrationPhase.PREPARING_TARGET:
        return f"virt-handler on {state.target_node} did not prepare the target pod within {seconds:.0f} s"
    return f"virt-handler on {state.source_node} did not begin the copy within {seconds:.0f} s"


def _during_copy(facts: MigrationFacts) -> Plan:
    state, vmi, pod = facts.state, facts.vmi, facts.target
    if vmi is None or not facts.is_ours:
        return Plan()
    actions: list[Action] = []
    announced: tuple[Announcement, ...] = ()
    if facts.migration.deleting and state.is_active and not state.abort_requested:
        actions, announced = [request_abort(vmi)], (_announce_abort(),)
    if state.target_ready_at is not None and pod is not None and pod.target_ready is None:
        actions.append(
            patch_members(
                PatchAnnotations,
                pod,
                present={} if pod.has_annotations else None,
                wanted={MIGRATION_TARGET_READY_ANNOTATION: format_time(state.target_ready_at)},
            )
        )
    return Plan(actions=tuple(actions), announcements=announced)


def _announce_abort() -> Announcement:
    return normal(Subject.MIGRATION, "SuccessfulAbortMigration", "Migration is ready to be canceled by virt-handler.")


def failed_migration(about: Subject, message: str) -> Announcement:
    """KubeVirt's event of a failed migration."""
    return warning(about, "FailedMigration", message, is_urgent=True)
