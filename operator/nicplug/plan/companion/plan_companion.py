"""Plans one pass beside KubeVirt: the migrations that a VM's NICs need, and the report on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from nicplug.model.conditions import INVALID_HOTPLUG_POLICY, find_condition
from nicplug.model.interface_report import InterfaceReport
from nicplug.model.metadata import objects, text
from nicplug.model.operations import InterfaceOperation
from nicplug.model.per_pass import planning_pass
from nicplug.model.times import format_time
from nicplug.plan.actions import Action, Delete, Kind
from nicplug.plan.companion.nudge import Nudges, plan_nudges
from nicplug.plan.companion.own_migrations import is_to_leave, plan_own_migrations
from nicplug.plan.companion.pending import Withdrawn, find_withdrawn
from nicplug.plan.companion.report import (
    create_report,
    is_of_an_earlier_one,
    known_status,
    report_status,
    restore_ownership,
    runs,
)
from nicplug.plan.companion.silence import Silence, explain_wait, find_silence
from nicplug.plan.companion.target_pods import suspected_at, with_target_pod_failures
from nicplug.plan.companion.updater import MIGRATIONS_IN_VAIN
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.companion.virt_controller import EVICT
from nicplug.plan.nic.transitions import Transitions, announce, find_transitions, measure_nics, staying_nics
from nicplug.plan.outcome import Announcement, Plan, Subject, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.status_patches import changed_members, decide_status, patience
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.migration_request import MigrationPlan
from nicplug.plan.vmi.nics import NicPlan, plan_nics, with_holds
from nicplug.plan.vmi.vmi_status import is_awaited, report_delay

_Records = dict[str, InterfaceOperation]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nics:
    """The NICs of a guest after this pass.

    Attributes:
        before: the stored records.
        operations: the desired ones.
        plan: None while the guest does not run.
        withdrawn: nicplug's migrations that virt-controller did not begin.
        again_at: when virt-controller has been silent for too long, or a target pod.
    """

    before: _Records
    operations: tuple[InterfaceOperation, ...] = ()
    plan: NicPlan | None = None
    withdrawn: Withdrawn = field(default_factory=Withdrawn)
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionDecision:
    """What a pass beside KubeVirt decides.

    Attributes:
        waits_for_slot_since: since when a NIC of the VM needs a migration for which there is no slot; None if none
            does.
    """

    plan: Plan
    waits_for_slot_since: datetime | None = None


@planning_pass()
def decide_companion(view: CompanionView, *, now: datetime) -> CompanionDecision:
    """Return what nicplug does for a VM or a bare VMI that virt-controller runs.

    It creates and withdraws migrations of its own, and reports; it writes nothing else.
    """
    if view.guest is not None:
        view = replace(view, guest=with_target_pod_failures(view.guest, now=now))
    nics = _plan_guest(view, view.guest, now=now) if view.guest is not None else _Nics(before={})
    report = _plan_report(view, nics, now=now)
    if nics.plan is None:
        return CompanionDecision(plan=report)
    request = nics.plan.migration_request
    is_refused_creation = view.refusal is not None and nics.plan.created_migration is not None
    announcements = () if is_refused_creation else request.announcements
    moments = [item for item in (report.again_at, nics.again_at, *nics.plan.moments) if item is not None]
    plan = replace(
        report,
        actions=_ordered(view, request, report, counts_withdrawal=nics.withdrawn.late is not None),
        announcements=(*report.announcements, *announcements),
        again_at=min(moments, default=None),
    )
    waiting = {name for name, hold in request.held.items() if hold.reason is Reason.WAITING_FOR_SLOT}
    since = [item.start_time for item in nics.operations if item.name in waiting]
    return CompanionDecision(plan=plan, waits_for_slot_since=min(since, default=None))


def _ordered(
    view: CompanionView, request: MigrationPlan, report: Plan, *, counts_withdrawal: bool
) -> tuple[Action, ...]:
    """Return the writes in their order: one that is refused keeps those after it back.

    Args:
        counts_withdrawal: the report counts a migration that is withdrawn now.
    """
    deletions = tuple(item for item in request.actions if isinstance(item, Delete))
    if view.guest is not None and is_to_leave(view.guest.vmi):
        # A migration that waits blocks the evacuation, whether or not the report can be written.
        return (*deletions, *report.actions)
    if view.refusal is not None:
        # The refusal is reported first. None is created, but one that stands in the way of others is withdrawn.
        return (*report.actions, *deletions)
    if counts_withdrawal:
        return (*report.actions, *request.actions)
    return (*request.actions, *report.actions)


def _plan_guest(view: CompanionView, guest: VmiView, *, now: datetime) -> _Nics:
    before = guest.vmi.status.records(now=now)
    if not runs(guest):
        return _Nics(before=before)
    silence = find_silence(guest, records=before)
    withdrawn = find_withdrawn(guest, known=known_status(view), now=now)
    plan = plan_nics(
        guest,
        pod=active_pod(guest),
        phase=guest.vmi.phase,
        records=before,
        now=now,
        request_migrations=partial(
            plan_own_migrations,
            slot=view.slot,
            silence=silence,
            withdrawn=withdrawn,
            is_recorded=view.is_recorded,
        ),
    )
    held = with_holds(plan.operations, plan.migration_request)
    known = (explain_wait(item, guest) for item in held)
    operations = tuple(_warn(item, guest) for item in known)
    if silence.lasts(now):
        operations = tuple(_wait(item, silence) for item in operations)
    if not plan.report.wanting:
        withdrawn = Withdrawn()
    moments = [item for item in (silence.again_at(now), suspected_at(guest, now=now)) if item is not None]
    again_at = min(moments, default=None)
    return _Nics(before=before, operations=operations, plan=plan, withdrawn=withdrawn, again_at=again_at)


def _wait(operation: InterfaceOperation, silence: Silence) -> InterfaceOperation:
    """The record of a NIC that virt-controller has not acted on."""
    is_concerned = operation.name in silence.nics or operation.migration in silence.migrations
    if operation.is_settled or not is_concerned or silence.since is None:
        return operation
    what = f"migration {operation.migration}" if operation.migration in silence.migrations else "it"
    message = f"KubeVirt's virt-controller has not acted on {what} since {format_time(silence.since)}"
    remedy = "See whether virt-controller runs: kubectl get deployments -A -l kubevirt.io=virt-controller"
    return replace(operation, reason=Reason.VIRT_CONTROLLER_SILENT, message=message, remedy=remedy)


def _warn(operation: InterfaceOperation, guest: VmiView) -> InterfaceOperation:
    """The record of a NIC for which KubeVirt may end the guest, since it cannot migrate it."""
    methods = guest.config.workload_update_methods if guest.config is not None else ()
    if operation.reason != Reason.NOT_LIVE_MIGRATABLE or EVICT not in methods:
        return operation
    warned = f"{operation.message}. KubeVirt may end the guest for it, as workloadUpdateMethods lists {EVICT}"
    return replace(operation, message=warned)


def _plan_report(view: CompanionView, nics: _Nics, *, now: datetime) -> Plan:
    """Create, replace, update or remove the report."""
    report, subject = view.report, view.subject
    if not _has_nics(view) and not nics.operations:
        if report is None or report.deleting:
            return Plan()
        return _with_news(_transitions(nics, view.guest), nics, now=now, action=_delete(report))
    if report is None or subject is None:
        create = create_report(view)
        # The status follows at once, as a POST cannot contain it.
        return Plan(actions=(create,), again_at=now) if create is not None else Plan()
    if is_of_an_earlier_one(view, report):
        # It is created again by the next pass.
        return Plan(actions=(_delete(report),) if not report.deleting else ())
    plan = _update(view, nics, now=now)
    restore = restore_ownership(view, report)
    return replace(plan, actions=(restore, *plan.actions)) if restore is not None else plan


def _has_nics(view: CompanionView) -> bool:
    networks = (
        *(view.vm.networks if view.vm is not None else ()),
        *(view.guest.vmi.networks if view.guest is not None else ()),
    )
    return any(network.is_secondary for network in networks)


def _update(view: CompanionView, nics: _Nics, *, now: datetime) -> Plan:
    report = view.report
    if report is None:
        return Plan()
    budget = nics.plan.chooser.slots.budget if nics.plan is not None else None
    nudges = _nudges(view, nics, now=now)
    wanted = report_status(
        view, operations=nics.operations, budget=budget, nudges=nudges, withdrawn=nics.withdrawn, now=now
    )
    changes = changed_members(seen=report.status_text, wanted=wanted)
    changes = {} if changes.keys() <= {"pciBudget"} else changes
    transitions = _transitions(nics, view.guest)
    delay = _delay(view, nics)
    is_first = view.guest is not None and not view.is_recorded
    is_urgent = is_first or nics.plan is None or nudges.action is not None or nics.withdrawn.late is not None
    status = decide_status(
        report,
        changes=changes,
        urgent=is_urgent or is_awaited(transitions, stored_bytes=0),
        pending_since=view.report_pending_since,
        delay=patience(seen=report.status_text, changes=changes, delay=delay),
        now=now,
    )
    if status.patch is None:
        moments = [item for item in (status.due, nudges.again_at) if item is not None]
        return Plan(again_at=min(moments, default=None), withholds_report=status.due is not None)
    plan = _with_news(transitions, nics, now=now, action=status.patch)
    news = (*_announce_problems(report, changes), *_announce_repeats(report, changes))
    # After the report, which counts the nudge: one that is lost with this process is better than one too many.
    actions = (*plan.actions, nudges.action) if nudges.action is not None else plan.actions
    # What had to wait for the first report follows at once.
    again_at = now if is_first and nics.plan is not None else nudges.again_at
    return replace(plan, actions=actions, announcements=(*plan.announcements, *news), again_at=again_at)


def _nudges(view: CompanionView, nics: _Nics, *, now: datetime) -> Nudges:
    if not view.may_nudge or view.guest is None or nics.plan is None or not view.is_recorded:
        return Nudges()
    return plan_nudges(view.guest, operations=nics.operations, known=known_status(view), now=now)


def _delete(report: InterfaceReport) -> Delete:
    return Delete(kind=Kind.REPORT, key=report.key, uid=report.uid)


def _with_news(transitions: Transitions, nics: _Nics, *, now: datetime, action: Action) -> Plan:
    """The plan with this write of the report, and the events and measures of the transitions that it records."""
    chooser = nics.plan.chooser if nics.plan is not None else None
    return Plan(
        actions=(action,),
        announcements=announce(
            transitions, why_moved=nics.plan.report.why_moved if nics.plan is not None else {}, now=now
        ),
        measures=measure_nics(
            transitions,
            before=nics.before,
            after=nics.operations,
            reasons=chooser.reasons() if chooser is not None else {},
            now=now,
        ),
    )


def _announce_problems(report: InterfaceReport, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """The event about policies that have no effect, when there is something new to say."""
    after = find_condition(objects(changes.get("conditions")), INVALID_HOTPLUG_POLICY)
    before = find_condition(report.status.conditions, INVALID_HOTPLUG_POLICY)
    if after is None or (before is not None and before.get("message") == after.get("message")):
        return ()
    return (warning(Subject.VMI, Reason.INVALID_HOTPLUG_POLICY, text(after.get("message"))),)


def _announce_repeats(report: InterfaceReport, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """The event about the workload updater's failing migrations, once."""
    after = find_condition(objects(changes.get("conditions")), MIGRATIONS_IN_VAIN)
    before = find_condition(report.status.conditions, MIGRATIONS_IN_VAIN)
    if after is None or before is not None:
        return ()
    return (warning(Subject.VMI, Reason.UPDATER_REPEATS, text(after.get("message"))),)


def _delay(view: CompanionView, nics: _Nics) -> timedelta:
    known = {(item.name, item.operation) for item in nics.before.values()}
    if view.guest is None or any((item.name, item.operation) not in known for item in nics.operations):
        # What is done before its first record leaves no trace: a NIC in the guest is then one that it was started with.
        return timedelta()
    return report_delay(before=nics.before, after=nics.operations, stored_bytes=0, settings=view.guest.settings)


def _transitions(nics: _Nics, guest: VmiView | None) -> Transitions:
    if guest is None or nics.plan is None:
        return Transitions()
    rows = nics.plan.rows
    staying = staying_nics(guest.vmi, rows=rows, records=nics.before)
    return find_transitions(before=nics.before, after=nics.operations, staying=staying, is_running=True)
