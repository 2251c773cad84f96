r"""Plans one VirtualMachineInstanceMigration.

```
"" -> Pending -> Scheduling -> Scheduled -> PreparingTarget -> TargetReady -> Running -> Succeeded
       target pod: made         ready        handed off         answered       copying
         <----------- replaced: the VM's NICs have changed
                 \__ from everywhere: Failed, and the VM as it was ______________________________/
```
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.conditions import PROGRESSING
from nicplug.model.migration import (
    FOREIGN_MIGRATION_PHASES,
    TARGET_RENEWAL_MEMBER,
    VMI_UID_MEMBER,
    MigrationPhase,
    TargetRenewal,
)
from nicplug.model.names import MIGRATION_FINALIZER
from nicplug.model.per_pass import planning_pass
from nicplug.model.pod import TARGET_POD_MEMBER
from nicplug.plan.actions import Action
from nicplug.plan.migration.actions import (
    act,
    adopt,
    delete_leftover_targets,
    delete_replaced_targets,
    failed_migration,
    give_up_leftover_targets,
    leftover_targets,
    make_target_pod,
)
from nicplug.plan.migration.eligibility import (
    POD_REFUSED,
    find_obstacle,
    find_refusal,
)
from nicplug.plan.migration.facts import (
    CANCELED,
    Ending,
    MigrationFacts,
    Progress,
    find_start_failure,
    gather_migration_facts,
)
from nicplug.plan.migration.finish import plan_clean_up
from nicplug.plan.migration.hand_off import check_guest
from nicplug.plan.migration.phases import copied_state, find_ending, is_complete, steps, with_conditions, with_phases
from nicplug.plan.migration.progress import describe
from nicplug.plan.migration.slots import MigrationPlan
from nicplug.plan.migration.target import Renewal, find_renewal, find_unseen_pod
from nicplug.plan.migration.target_networks import missing_interfaces
from nicplug.plan.migration.timeouts import agent_deadline, pod_deadline
from nicplug.plan.nic.path.blame import blame_nics
from nicplug.plan.outcome import Announcement, Measure, MigrationEnded, Plan, Subject, normal, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.status_patches import changed_members, decide_status
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.own_pods import waits_for_record

# A VMI created a moment before its migration is observed through another watch.
VMI_PATIENCE = timedelta(seconds=2)
# Longer than other messages wait (`plan.status_patches`): each migration that ends changes the queue position of all
# waiting ones, and their records, VMIs and VMs repeat it.
_PLACE_DELAY = timedelta(seconds=2)
_BEFORE_READY = (MigrationPhase.UNSET, MigrationPhase.PENDING, MigrationPhase.SCHEDULING)
_BEFORE_HAND_OFF = (MigrationPhase.PENDING, MigrationPhase.SCHEDULING, MigrationPhase.SCHEDULED)
# The executor announces what was refused.
_ANNOUNCED_BY_EXECUTOR = (*POD_REFUSED, Reason.REJECTED_BY_QUOTA)


@planning_pass()
def plan_migration(view: MigrationView, *, now: datetime) -> MigrationPlan:
    """Plan one pass over this migration; `now` is compared only with timestamps from objects and from the view."""
    migration = view.migration
    is_foreign = migration.phase in FOREIGN_MIGRATION_PHASES
    if is_foreign and not (migration.deleting and MIGRATION_FINALIZER in migration.finalizers):
        return MigrationPlan(notes=("a phase of somebody else's",))
    facts = gather_migration_facts(view)
    if (unseen := find_unseen_pod(view, facts)) is not None:
        notes = ("a pod is out of sight: asks before it is taken for lost",)
        return MigrationPlan(actions=(unseen,), notes=notes, wants_slot=migration.is_between_targets)
    if migration.is_final:
        return plan_clean_up(view, facts, now=now)
    if is_foreign:
        return _release(view, facts, now=now)
    if migration.phase is MigrationPhase.UNSET:
        return _plan_admission(view, facts, now=now)
    return _plan_life(view, facts, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """Decisions of one pass.

    Attributes:
        entered: phases entered, in order; the last one is the new phase.
        moments: when the answer changes without any other event.
        wants_slot: nothing but the limits keeps it from having a target pod.
        renewal: the new record of its target pods, if the present one is to be replaced.
    """

    entered: Sequence[MigrationPhase] = ()
    progress: Progress
    ending: Ending | None = None
    effects: Plan = field(default_factory=Plan)
    moments: tuple[datetime | None, ...] = ()
    wants_slot: bool = False
    renewal: TargetRenewal | None = None


def _release(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> MigrationPlan:
    """Release a deleted migration in a phase that nicplug does not handle, and that has our finalizer.

    The node agents finish first what has been handed to them.
    """
    if facts.is_ours and facts.state.is_active:
        return MigrationPlan(notes=("a phase of somebody else's, and the node agents have it",))
    if is_complete(facts):
        outcome = _Outcome(entered=(MigrationPhase.SUCCEEDED,), progress=_succeeded(facts))
        return _assemble(view, facts, outcome, now=now)
    return _fail(view, facts, CANCELED, now=now)


def _plan_admission(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> MigrationPlan:
    """Accept it, or refuse it with the message of KubeVirt's webhook."""
    refusal = find_refusal(view, facts)
    if refusal is not None and refusal.reason is Reason.VMI_MISSING and not facts.is_replaced:
        patience = (view.report_pending_since or now) + VMI_PATIENCE
        if now < patience:
            notes = ("the VMI may not have been heard of yet",)
            return MigrationPlan(again_at=patience, withholds_report=True, notes=notes)
    if refusal is not None:
        return _fail(view, facts, refusal, now=now)
    obstacle = find_obstacle(view, now=now)
    progress = describe(view, facts, MigrationPhase.PENDING, obstacle, now=now)
    outcome = _Outcome(
        entered=(MigrationPhase.PENDING,),
        progress=progress,
        effects=Plan(actions=tuple(adopt(facts))),
        wants_slot=obstacle is None,  # it is found while the migration is being accepted
    )
    return _assemble(view, facts, outcome, now=now)


def _plan_life(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> MigrationPlan:
    if (ending := find_ending(view, facts, now=now)) is not None:
        return _fail(view, facts, ending, now=now)
    if (renewal := find_renewal(view, facts, now=now)) is not None:
        return _renew(view, facts, renewal, now=now)
    phase, entered = facts.migration.phase, steps(facts)
    is_waiting = phase is MigrationPhase.PENDING and not entered
    obstacle = find_obstacle(view, now=now) if is_waiting else None
    if obstacle is not None and obstacle.gives_up_at is not None and now >= obstacle.gives_up_at:
        event = f"Migration failed because it could not begin: {obstacle.message}"
        return _fail(view, facts, Ending(reason=Reason(obstacle.reason), event=event), now=now)
    if is_waiting:
        make = make_target_pod if obstacle is None else delete_leftover_targets
        effects = make(view, facts, now=now)
        effects = replace(effects, actions=(*delete_replaced_targets(view, facts), *effects.actions))
    else:
        effects = act(view, facts, now=now)
    last = entered[-1] if entered else phase
    is_over = last is MigrationPhase.SUCCEEDED
    outcome = _Outcome(
        entered=entered,
        progress=_succeeded(facts) if is_over else describe(view, facts, last, obstacle, now=now),
        effects=Plan(actions=(*adopt(facts), *effects.actions), announcements=effects.announcements),
        moments=(
            *_moments(facts, obstacle, now=now),
            waits_for_record(view, leftover_targets(view, facts), now=now) if is_waiting else None,
        ),
        wants_slot=is_waiting and obstacle is None,
    )
    return _assemble(view, facts, outcome, now=now)


def _renew(view: MigrationView, facts: MigrationFacts, renewal: Renewal, *, now: datetime) -> MigrationPlan:
    """Write only the status: afterwards no leader hands the VM over to that pod, and it can be deleted.

    Back in Pending, the migration keeps its slot and has precedence over all other migrations of the VM.
    """
    outcome = _Outcome(
        entered=(MigrationPhase.PENDING,),
        progress=Progress(reason=Reason.TARGET_POD_REPLACED, message=renewal.message),
        effects=Plan(
            actions=tuple(adopt(facts)), announcements=(normal(Subject.MIGRATION, "SuccessfulDelete", renewal.message),)
        ),
        renewal=renewal.record,
    )
    return _assemble(view, facts, outcome, now=now)


def _succeeded(facts: MigrationFacts) -> Progress:
    state = facts.state
    message = f"the VM has moved from {state.source_node} to {state.target_node}"
    return Progress(reason=Reason.MIGRATION_SUCCEEDED, message=message, is_stuck=True)


def _moments(facts: MigrationFacts, obstacle: Progress | None, *, now: datetime) -> tuple[datetime | None, ...]:
    """When to plan again if nothing changes."""
    pod = facts.target
    waits_for_pod = pod is not None and facts.migration.phase in _BEFORE_HAND_OFF
    return (
        *((obstacle.again_at, obstacle.gives_up_at) if obstacle is not None else ()),
        pod_deadline(facts, pod, now=now) if waits_for_pod and pod is not None else None,
        agent_deadline(facts),
    )


def _fail(view: MigrationView, facts: MigrationFacts, ending: Ending, *, now: datetime) -> MigrationPlan:
    """Write only the failed status; whoever is the leader then acts on it.

    Unrecorded pods are deleted before that, or the next migration would create its target pod in addition to them.
    """
    left = give_up_leftover_targets(view, facts)
    outcome = _Outcome(
        entered=(MigrationPhase.FAILED,),
        progress=Progress(reason=ending.reason, message=ending.explanation, is_stuck=True),
        ending=ending,
        effects=Plan(actions=(*_make_sure(facts, ending), *left.actions), announcements=left.announcements),
    )
    return _assemble(view, facts, outcome, now=now)


def _make_sure(facts: MigrationFacts, ending: Ending) -> Iterator[Action]:
    """Check the guest before a failure that the VMI may contradict.

    A new leader may observe the migration as handed off before it observes the hand-off, as the VMI has a watch of its
    own: the copy would continue while the migration is reported as failed. And if the node agents give up, their target
    pod ends: their report has more information than its end, and may be observed later.
    """
    may_be_with_agents = facts.is_handed_off or facts.migration.phase not in _BEFORE_READY
    reasons = (Reason.MIGRATION_STATE_LOST, Reason.TARGET_POD_LOST, Reason.MIGRATION_CANCELED)
    if facts.vmi is not None and may_be_with_agents and ending.reason in reasons and not facts.state.failed:
        yield check_guest(facts.vmi)


def _assemble(view: MigrationView, facts: MigrationFacts, outcome: _Outcome, *, now: datetime) -> MigrationPlan:
    migration = facts.migration
    phase = outcome.entered[-1] if outcome.entered else migration.phase
    is_aborted = outcome.ending == CANCELED if outcome.ending is not None else migration.deleting
    status = migration.status.members
    conditions = with_conditions(migration, outcome.progress, phase=phase, is_aborted=is_aborted, now=now)
    wanted = {**status, "conditions": conditions, **with_phases(migration, outcome.entered, now=now)}
    if migration.phase is MigrationPhase.UNSET and facts.vmi is not None and outcome.ending is None:
        wanted[VMI_UID_MEMBER] = facts.vmi.uid
    wanted |= _blame(view, facts, outcome.ending) | _pod_members(facts, outcome)
    changes = changed_members(seen=migration.status_text, wanted=wanted)
    # Missing for a pod that an earlier version created: it is added with the next phase.
    changes = {} if changes.keys() == {TARGET_POD_MEMBER} else changes
    if changes:  # in between it is a copy for users, which is not worth a write of its own
        changes |= changed_members(seen=migration.status_text, wanted={**status, **copied_state(facts)})
    before = migration.status.condition(PROGRESSING)
    is_new = before.reason != outcome.progress.reason
    # That its pod is to be created is not important: its obstacle, or its slot, is reported soon.
    is_prompt = is_new or before.reason == Reason.CREATING_TARGET_POD
    delay = view.settings.report_delay if is_prompt else max(view.settings.report_delay, _PLACE_DELAY)
    decision = decide_status(
        migration,
        changes=changes,
        urgent=bool(outcome.entered) or before.status != outcome.progress.status,
        pending_since=view.report_pending_since,
        delay=delay,
        now=now,
    )
    announced = _announce(view, outcome, is_new=is_new) if decision.patch is not None else ()
    ended = _ended(outcome) if decision.patch is not None else ()
    actions: tuple[Action, ...] = (*outcome.effects.actions, *((decision.patch,) if decision.patch else ()))
    return MigrationPlan(
        actions=actions,
        announcements=(*outcome.effects.announcements, *announced),
        measures=ended,
        again_at=min((moment for moment in (decision.due, *outcome.moments) if moment), default=None),
        withholds_report=decision.due is not None,
        wants_slot=outcome.wants_slot,
    )


def _ended(outcome: _Outcome) -> tuple[Measure, ...]:
    """Measurement of an ended migration for the metric."""
    if outcome.ending is not None:
        return (MigrationEnded(phase=MigrationPhase.FAILED, reason=outcome.ending.reason),)
    is_over = MigrationPhase.SUCCEEDED in outcome.entered
    return (MigrationEnded(phase=MigrationPhase.SUCCEEDED, reason=Reason.MIGRATION_SUCCEEDED),) if is_over else ()


def _blame(view: MigrationView, facts: MigrationFacts, ending: Ending | None) -> dict[str, Any]:
    """Record which NICs kept the target pod from starting."""
    pod, vmi = facts.target, facts.vmi
    if pod is None or vmi is None or ending is None or ending.reason is not Reason.TARGET_POD_NOT_READY:
        return {}
    # Multus reports only after it has attached everything: before the pod runs, a missing interface means nothing.
    missing = missing_interfaces(pod, vmi) if pod.is_ready else ()
    failure = find_start_failure(view, pod)
    return blame_nics(facts.migration, vmi=vmi, failure=failure, missing=missing, known=view.attachments)


def _pod_members(facts: MigrationFacts, outcome: _Outcome) -> dict[str, Any]:
    """Record which pod the VM moves to, and which pods it does not move to any more."""
    migration, pod = facts.migration, facts.target
    if outcome.renewal is not None:
        return {TARGET_POD_MEMBER: None, TARGET_RENEWAL_MEMBER: outcome.renewal.to_row()}
    if pod is None or migration.target_pod is not None:
        return {}
    members: dict[str, Any] = {TARGET_POD_MEMBER: {"name": pod.key.name, "uid": pod.uid}}
    if any(record.uid == pod.uid for record in migration.renewal.replaced):
        members[TARGET_RENEWAL_MEMBER] = migration.renewal.without(pod.uid).to_row()
    return members


def _announce(view: MigrationView, outcome: _Outcome, *, is_new: bool) -> tuple[Announcement, ...]:
    """Events for what the status reports for the first time; sent with its write."""
    if outcome.ending is not None:
        return (failed_migration(Subject.MIGRATION, outcome.ending.event),)
    if MigrationPhase.SUCCEEDED in outcome.entered:
        return (normal(Subject.MIGRATION, "SuccessfulMigration", "Source node reported migration succeeded"),)
    progress, key = outcome.progress, view.migration.vmi
    if not is_new or progress.reason in _ANNOUNCED_BY_EXECUTOR:
        return ()
    if progress.reason == Reason.MIGRATION_BACKOFF:
        return (warning(Subject.VMI, progress.reason, f"backoff migrating vmi {key}"),)
    if progress.reason == Reason.TARGET_POD_UNSCHEDULABLE:
        text_ = f"Migration target pod for VMI [{key}] is currently unschedulable."
        return (warning(Subject.MIGRATION, "migrationTargetPodUnschedulable", text_),)
    return (warning(Subject.MIGRATION, progress.reason, progress.message),) if progress.is_stuck else ()
