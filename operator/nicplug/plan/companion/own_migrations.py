"""The migrations that nicplug creates beside KubeVirt, and when it withdraws one.

Never two active ones for a VMI, never one beside another's. Not marked as a workload update: KubeVirt's updater deletes
each marked one while `MigrationRequired` is not True, which is so for the first 15 s. Without a priority, which only
virt-controller may set. Source: KubeVirt 1.9 `pkg/virt-controller/watch/workload-updater`, `pkg/virt-api/webhooks`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from nicplug.model.conditions import MIGRATION_REQUIRED, TRUE
from nicplug.model.frozen_json import thaw
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.names import COMPANION_PREFIX, MIGRATION_INTERFACES_ANNOTATION
from nicplug.model.times import parse_time
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Create
from nicplug.plan.companion.pending import PENDING_LIMIT, Withdrawn, is_own
from nicplug.plan.companion.silence import Silence
from nicplug.plan.companion.view import SlotShare
from nicplug.plan.companion.virt_controller import LIVE_MIGRATE
from nicplug.plan.nic.path.blame import format_changes
from nicplug.plan.nic.path.migration_history import backoff_until, spaced_until
from nicplug.plan.nic.records import NicReport
from nicplug.plan.outcome import Subject, normal
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.migration_request import (
    Hold,
    MigrationPlan,
    create_migration,
    due_at,
    next_cause,
    withdraw,
)
from nicplug.plan.vmi.moving import brings_unwanted, is_moving

# Seconds after `MigrationRequired` has become True in which the updater creates a migration, if it has a slot for it.
_UPDATERS_TURN = timedelta(seconds=10)
_NONE_WITHDRAWN = Withdrawn()


def plan_own_migrations(
    view: VmiView,
    report: NicReport,
    *,
    slot: SlotShare,
    silence: Silence,
    withdrawn: Withdrawn = _NONE_WITHDRAWN,
    is_recorded: bool = True,
    now: datetime,
) -> MigrationPlan:
    """Compare what the NICs of a running VMI want with all existing migrations, regardless of who created them.

    Args:
        silence: what virt-controller has not acted on: it would serve a migration as late as the request itself.
        withdrawn: those that it has accepted and not begun.
        is_recorded: the report on this VMI exists: whoever cannot report creates none.
    """
    under_way = [item for item in view.migrations if not item.is_final]
    own = [item for item in under_way if is_own(item, vmi_uid=view.vmi.uid)]
    others = [item for item in under_way if item not in own]
    if not report.wanting or others:
        # Another's brings the NICs as well, and two would wait for each other.
        return withdraw(view, own)
    if is_to_leave(view.vmi):
        # A migration that waits blocks the evacuation, which brings the NICs.
        hold = Hold(
            reason=Reason.EVACUATION_FIRST,
            message=f"the evacuation of node {view.vmi.evacuation_node} comes first, and brings the NIC as well",
        )
        return _held(withdraw(view, [item for item in own if not item.has_target]), report, hold)
    if withdrawn.late is not None:
        return _held(withdraw(view, [withdrawn.late]), report, _left_pending(withdrawn))
    if any(item.uid == withdrawn.uid for item in own):
        return _held(MigrationPlan(), report, _left_pending(withdrawn))
    if doomed := [item for item in own if item.is_stuck and brings_unwanted(view)]:
        return withdraw(view, doomed)
    if under_way or is_moving(view) or silence.holds_back(report.wanting, now=now):
        return MigrationPlan(again_at=withdrawn.again_at)
    if (next_at := withdrawn.next_at) is not None and now < next_at:
        return _held(MigrationPlan(again_at=next_at), report, _left_pending(withdrawn))
    plan = _create(view, report, slot=slot, now=now)
    # The pass that writes the report causes the next one.
    return plan if is_recorded or not plan.actions else MigrationPlan()


def is_to_leave(vmi: VirtualMachineInstance) -> bool:
    """True if the VMI is to leave the node that it is on; KubeVirt does not evacuate it from another one.

    Source: KubeVirt 1.9 `pkg/virt-controller/watch/drain/evacuation`.
    """
    return bool(vmi.evacuation_node) and vmi.evacuation_node == vmi.node_name


def _left_pending(withdrawn: Withdrawn) -> Hold:
    minutes = round(PENDING_LIMIT.total_seconds() / 60)
    message = f"virt-controller left the last migration Pending for {minutes} minutes, and the next one waits"
    return Hold(reason=Reason.MIGRATION_LEFT_PENDING, message=message, until=withdrawn.next_at)


def _create(view: VmiView, report: NicReport, *, slot: SlotShare, now: datetime) -> MigrationPlan:
    create = _render(view, report.wanting)
    if now < (due := due_at(view, report)):
        return MigrationPlan(again_at=due)
    if (hold := _backs_off(view, create, now=now)) is not None:
        return _held(MigrationPlan(again_at=hold.until), report, hold)
    if (hold := _updater_migrates(view, now=now)) is not None:
        return _held(MigrationPlan(again_at=hold.until), report, hold)
    if not slot.is_free:
        message = f"it waits for a migration slot: {slot.blocked_by}"
        waits = MigrationPlan(again_at=slot.again_at)
        return _held(waits, report, Hold(reason=Reason.WAITING_FOR_SLOT, message=message))
    name, nics = create.key.name, ", ".join(sorted(report.wanting))
    return MigrationPlan(
        actions=(create,),
        announcements=(normal(Subject.VMI, "SuccessfulCreate", f"Created migration {name} for NICs {nics}"),),
    )


def _render(view: VmiView, wanting: Mapping[str, str]) -> Create:
    annotations = {MIGRATION_INTERFACES_ANNOTATION: format_changes(wanting)}
    cause = next_cause(view, prefix=COMPANION_PREFIX)
    return create_migration(view.vmi, cause=cause, prefix=COMPANION_PREFIX, priority="", annotations=annotations)


def _backs_off(view: VmiView, create: Create, *, now: datetime) -> Hold | None:
    """Return why it must not be created yet: KubeVirt has no back-off for migrations that are not marked."""
    migration: Migration = parse_migration(thaw(create.body))
    migrations = (*view.migrations, migration)
    after_failures = backoff_until(migration, migrations=migrations, vmi=view.vmi, known=view.attachments)
    waits = (
        (Reason.MIGRATION_BACKOFF, after_failures),
        (Reason.MIGRATION_RATE_LIMITED, spaced_until(migration, migrations=migrations, vmi=view.vmi)),
    )
    due = [(found[0], reason, found[1]) for reason, found in waits if found is not None and found[0] > now]
    if not due:
        return None
    until, reason, count = max(due)
    failures = "1 failure" if count == 1 else f"{count} failures"
    is_backoff = reason is Reason.MIGRATION_BACKOFF
    why = f"after {failures}" if is_backoff else f"as {count} have moved the VM within ten minutes"
    return Hold(reason=reason, message=f"the next migration waits, {why}", until=until)


def _updater_migrates(view: VmiView, *, now: datetime) -> Hold | None:
    """Return why KubeVirt's workload updater is left to it: once it may, both would create one at the same moment.

    Not for long: it does nothing while KubeVirt is being installed or updated.
    """
    required = view.vmi.status.condition(MIGRATION_REQUIRED)
    since = parse_time(required.since) if required.status == TRUE else None
    methods = view.config.workload_update_methods if view.config is not None else ()
    if since is None or LIVE_MIGRATE not in methods or now >= since + _UPDATERS_TURN:
        return None
    message = "KubeVirt's workload updater is about to create the migration"
    return Hold(reason=Reason.UPDATERS_TURN, message=message, until=since + _UPDATERS_TURN)


def _held(request: MigrationPlan, report: NicReport, hold: Hold) -> MigrationPlan:
    return MigrationPlan(
        actions=request.actions,
        announcements=request.announcements,
        again_at=request.again_at,
        held=dict.fromkeys(report.wanting, hold),
    )
