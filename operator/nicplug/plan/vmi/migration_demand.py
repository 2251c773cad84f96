"""The migrations that the NICs of a VMI need: made when one of them does, taken back when none does any more.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/workload-updater`: its objects and its events, but at once and for a
VMI at a time. What was made for one NIC serves all: the target pod is made from the spec as it then is.
"""

from dataclasses import dataclass
from datetime import datetime

from nicplug.model.frozen_json import freeze
from nicplug.model.migration import Migration
from nicplug.model.names import MIGRATION_INTERFACES_ANNOTATION, WORKLOAD_UPDATE_PREFIX
from nicplug.plan.actions import Action, Delete, Kind, PatchAnnotations
from nicplug.plan.nic.operations import NicReport
from nicplug.plan.nic.path.causes import causes_of, format_causes, is_same_cause
from nicplug.plan.outcome import Announcement, Severity, Subject
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.migration_job import create_migration, next_cause, workload_update
from nicplug.plan.vmi.moving import brings_unwanted, is_moving, leaves_its_pod, migration_state

# However long somebody goes on writing NICs one by one, the first of them waits no longer than so many windows.
_LONGEST_WAIT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is to be done about migrations.

    Attributes:
        made: name of the migration that is being made; "" when none is.
        again_at: when one is to be made; NICs asked for until then come with it.
    """

    actions: tuple[Action, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    made: str = ""
    again_at: datetime | None = None


def plan_demand(view: VmiView, report: NicReport, *, now: datetime) -> Demand:
    """Compare what the NICs of a running VMI want with the migrations there are."""
    under_way = [item for item in view.migrations if not item.is_final]
    if not report.wanting:
        return _take_back(view, under_way)
    if under_way:
        if doomed := [item for item in under_way if item.is_stuck and brings_unwanted(view)]:
            return _take_back(view, doomed)
        changes = (_with_what_it_is_for(item, view, report) for item in _waiting(view, under_way))
        return Demand(actions=tuple(item for item in changes if item is not None))
    if is_moving(view):
        return Demand()  # by a migration that does not exist: its end, or that of its target pod, comes first
    due = _due(view, report)
    if now < due:
        return Demand(again_at=due)
    return _make(view, report)


def _due(view: VmiView, report: NicReport) -> datetime:
    """A moment after the last change of the spec: who asks for two NICs by two commands is migrated once."""
    window = view.settings.batch_window
    oldest = min(item.start_time for item in report.operations if item.name in report.wanting)
    return min(view.spec_seen_at + window, oldest + _LONGEST_WAIT * window)


def _waiting(view: VmiView, under_way: list[Migration]) -> list[Migration]:
    """Those of our own that may have another target pod yet: whatever is asked for until then comes with them.

    One that the node agents are through with is none, though its own status does not say so yet: it would be said to
    have failed for a NIC that it was never to bring.
    """
    if leaves_its_pod(view):
        return []
    over = migration_state(view).migration_uid
    own = [item for item in under_way if item.is_automatic(vmi_uid=view.vmi.uid)]
    return [item for item in own if not item.deleting and item.uid != over]


def _with_what_it_is_for(migration: Migration, view: VmiView, report: NicReport) -> PatchAnnotations | None:
    """Another NIC that comes with it, or a corrected one: what failed before is no reason to wait any longer.

    Or one less: what it fails of is held against those that it says it was for.
    """
    known = causes_of(migration)
    # What a target pod was made for stays: it fails of that, or of what the pod that takes its place has besides.
    wanting = {**report.wanting, **known} if is_moving(view) else report.wanting
    if known.keys() == wanting.keys() and all(
        is_same_cause(known.get(name, ""), cause) for name, cause in wanting.items()
    ):
        return None
    return PatchAnnotations(
        kind=Kind.MIGRATION,
        key=migration.key,
        uid=migration.uid,
        seen=freeze({MIGRATION_INTERFACES_ANNOTATION: migration.annotation(MIGRATION_INTERFACES_ANNOTATION)}),
        wanted=freeze({MIGRATION_INTERFACES_ANNOTATION: format_causes(wanting)}),
    )


def _make(view: VmiView, report: NicReport) -> Demand:
    cause = next_cause(view, prefix=WORKLOAD_UPDATE_PREFIX)
    create = create_migration(vmi=view.vmi, cause=cause, job=workload_update(report.wanting))
    name = create.key.name
    return Demand(
        actions=(create,),
        announcements=(_event("SuccessfulCreate", f"Created Migration {name} for automated workload update"),),
        made=name,
    )


def _take_back(view: VmiView, under_way: list[Migration]) -> Demand:
    """As long as no node agent has it. A refusal of a write for the VM hides what the NICs want, and is no reason."""
    if view.vm_refusal is not None:
        return Demand()
    found = [item for item in under_way if _may_be_taken_back(item, view)]
    return Demand(
        actions=tuple(Delete(kind=Kind.MIGRATION, key=item.key, uid=item.uid) for item in found),
        announcements=tuple(
            _event("SuccessfulChangeAbortion", f"Aborted change for vmi: {view.vmi.key.name}") for _ in found
        ),
    )


def _may_be_taken_back(migration: Migration, view: VmiView) -> bool:
    # Heard of late, a migration may not say yet that it has been handed off, or is over: the VMI has it first.
    is_with_agents = migration.is_handed_off or migration_state(view).migration_uid == migration.uid
    return migration.is_automatic(vmi_uid=view.vmi.uid) and not migration.deleting and not is_with_agents


def _event(reason: str, message: str) -> Announcement:
    return Announcement(about=Subject.VMI, severity=Severity.NORMAL, reason=reason, message=message)
