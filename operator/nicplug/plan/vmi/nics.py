"""The NICs of one VMI in one pass: paths, annotation, records, migrations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from nicplug.model.interface_status import rows_by_name
from nicplug.model.operations import InterfaceOperation, OperationPhase, OperationType
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VmiPhase
from nicplug.plan.actions import Create
from nicplug.plan.nic.annotation import AnnotationDecision, decide_annotation
from nicplug.plan.nic.attachments import unattachable_networks
from nicplug.plan.nic.observed import plan_rows
from nicplug.plan.nic.path.messages import by
from nicplug.plan.nic.path.paths_of_vmi import Chooser
from nicplug.plan.nic.pci_slots import PciSlots, count_slots
from nicplug.plan.nic.phantoms import find_phantoms
from nicplug.plan.nic.records import NicReport, Records, leaving_nics, plan_operations
from nicplug.plan.nic.superseded import find_superseded
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.migration_request import MigrationPlan, plan_migration_request
from nicplug.plan.vmi.moving import leaves_its_pod, migration_in_progress_of, nics_left_behind

LIVE_PHASES = frozenset({VmiPhase.SCHEDULED, VmiPhase.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class NicPlan:
    """Decisions on the NICs.

    Attributes:
        rows: new `status.interfaces`.
        report: the records; none of a guest that does not run.
        migration_request: the migrations that the NICs need, or need no more.
        chooser: the chooser of the paths, which has the evidence.
    """

    rows: Sequence[Mapping[str, Any]]
    annotation: AnnotationDecision
    report: NicReport = field(default_factory=NicReport)
    migration_request: MigrationPlan = field(default_factory=MigrationPlan)
    chooser: Chooser = field(repr=False, compare=False)

    @property
    def operations(self) -> tuple[InterfaceOperation, ...]:
        """The desired records."""
        return self.report.operations

    @property
    def moments(self) -> tuple[datetime | None, ...]:
        """When time alone changes something; None for never."""
        return self.annotation.again_at, self.report.again_at, self.migration_request.again_at

    @property
    def created_migration(self) -> Create | None:
        """The POST of the migration that is being created for NICs; None when none is."""
        return next((item for item in self.migration_request.actions if isinstance(item, Create)), None)


class RequestMigrations(Protocol):
    """Decides which migrations a VMI's NICs need: `plan_migration_request`, or a companion's."""

    def __call__(self, view: VmiView, report: NicReport, *, now: datetime) -> MigrationPlan:
        """Return the changes to the migrations of the VMI."""
        ...


def plan_nics(
    view: VmiView,
    *,
    pod: LauncherPod | None,
    phase: VmiPhase,
    records: Records,
    now: datetime,
    request_migrations: RequestMigrations = plan_migration_request,
) -> NicPlan:
    """Decide on all NICs."""
    chooser = _chooser(view, pod=pod, records=records, now=now)
    annotation = _annotation(chooser, phase=phase)
    if phase is VmiPhase.RUNNING:
        chooser.give_slots(_slots(chooser, annotation))
        if chooser.slots.refused:  # the content of the annotation depends on which NICs have a slot
            annotation = _annotation(chooser, phase=phase)
    rows = _rows(chooser, phase=phase)
    plan = NicPlan(rows=rows, annotation=annotation, chooser=chooser)
    if phase is not VmiPhase.RUNNING:
        return plan
    in_progress = migration_in_progress_of(view)
    report = plan_operations(chooser, rows=rows_by_name(rows), annotation=annotation, in_progress=in_progress)
    plan = replace(plan, report=report, migration_request=request_migrations(view, report, now=now))
    create = plan.created_migration
    return plan if create is None else replace(plan, report=_with_created(report, create.key.name, chooser=chooser))


def _chooser(view: VmiView, *, pod: LauncherPod | None, records: Records, now: datetime) -> Chooser:
    if pod is None:
        return Chooser(view=view, pod=None, records=records, now=now)
    failures = {item.interface: item for item in view.failures if item.pod_uid == pod.uid}
    leaving = leaving_nics(view, view.vmi.status.interfaces)
    return Chooser(
        view=view,
        pod=pod,
        records=records,
        now=now,
        failures=failures,
        superseded=find_superseded(view, pod=pod, records=records, leaving=leaving, failures=failures, now=now),
        phantoms=find_phantoms(view, pod=pod, records=records, failures=failures, now=now),
    )


def _slots(chooser: Chooser, annotation: AnnotationDecision) -> PciSlots:
    """The guest's PCI slots.

    Args:
        annotation: the annotation if there were slots for all: a NIC that it refuses takes no slot.
    """
    refused = {name for name, item in annotation.withheld.items() if item.reason != Reason.ANNOTATION_TOO_LARGE}
    kept = unattachable_networks(chooser.view.vmi, chooser.view.attachments) | chooser.out_of_reach() | refused
    return count_slots(chooser.view.vmi, records=chooser.records, kept=kept)


def _rows(chooser: Chooser, *, phase: VmiPhase) -> Sequence[Mapping[str, Any]]:
    """The rows of `status.interfaces`, which change only with a live pod."""
    view, pod = chooser.view, chooser.pod
    if pod is None or phase not in LIVE_PHASES or pod.is_finished:
        return view.vmi.status.interface_rows
    left_behind = nics_left_behind(view, pod)
    superseded = chooser.superseded.keys()
    return plan_rows(vmi=view.vmi, pod=pod, known=view.attachments, superseded=superseded, left_behind=left_behind)


def _annotation(chooser: Chooser, *, phase: VmiPhase) -> AnnotationDecision:
    """Plan the annotation; only of a ready pod, and only while the gate is on: the controller misses earlier changes.

    A pod that the guest is about to leave is not changed (`plan.vmi.moving`).
    """
    view, pod = chooser.view, chooser.pod
    if pod is None or not pod.is_ready or phase not in LIVE_PHASES or not view.hotplug_enabled or leaves_its_pod(view):
        return AnnotationDecision()
    # If no plug is in progress, the missing addition has been lost: removals count from their own start.
    pending = [item for item in chooser.records.values() if not item.is_settled]
    plugs = [item for item in pending if item.operation == OperationType.PLUG and item.phase != OperationPhase.IN_POD]
    # An addition's time starts at its request to the pod: it may have waited for the pod, or for a migration, before.
    tried = (item.waiting_since or item.last_attempt_time or chooser.now for item in plugs)
    oldest = min(tried if plugs else (item.start_time for item in pending), default=chooser.now)
    return decide_annotation(chooser, pod=pod, additions_due=oldest + view.settings.serialise_limit)


def _with_created(report: NicReport, migration: str, *, chooser: Chooser) -> NicReport:
    """The report with the records of the NICs of the migration as the next pass would write them."""
    records, wanting, now = chooser.records, report.wanting, chooser.now
    operations = tuple(
        _migrating(item, migration, old=records.get(item.name), now=now) if item.name in wanting else item
        for item in report.operations
    )
    why_moved = {name: why for name, why in report.why_moved.items() if name not in wanting}
    return replace(report, operations=operations, why_moved=why_moved)


def with_holds(operations: Sequence[InterfaceOperation], request: MigrationPlan) -> tuple[InterfaceOperation, ...]:
    """Return the records with what the migrations wait for that are not created yet."""
    return tuple(
        replace(
            item,
            reason=hold.reason,
            message=f"{item.message}; {hold.message}",
            next_attempt_time=hold.until,
        )
        if (hold := request.held.get(item.name)) is not None
        else item
        for item in operations
    )


def _migrating(
    operation: InterfaceOperation, migration: str, *, old: InterfaceOperation | None, now: datetime
) -> InterfaceOperation:
    goes_on = old is not None and old.phase == OperationPhase.MIGRATING and old.operation == operation.operation
    return replace(
        operation,
        phase=OperationPhase.MIGRATING,
        migration=migration,
        message=by(operation.message, migration, is_retried_alone=operation.failures.retry_alone),
        last_transition_time=old.last_transition_time if goes_on and old is not None else now,
    )
