"""The NICs of one VMI in one pass: paths, annotation, records, migrations; and a forecast of the next pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.interface_status import rows_by_name
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, first_by_name
from nicplug.model.operations import InterfaceOperation, OperationPhase, OperationType
from nicplug.model.pci import PciBudget
from nicplug.model.per_pass import planning_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VmiPhase
from nicplug.plan.actions import Create
from nicplug.plan.nic.annotation import AnnotationDecision, decide_annotation
from nicplug.plan.nic.attachments import unattachable_networks
from nicplug.plan.nic.observed import plan_rows
from nicplug.plan.nic.path.evidence import PathEvidence
from nicplug.plan.nic.path.messages import by
from nicplug.plan.nic.path.paths_of_vmi import Chooser
from nicplug.plan.nic.pci_slots import PciSlots, count_slots
from nicplug.plan.nic.phantoms import find_phantoms
from nicplug.plan.nic.records import NicReport, Records, leaving_nics, plan_operations
from nicplug.plan.nic.superseded import find_superseded
from nicplug.plan.reasons import Reason
from nicplug.plan.views import PlanSettings, VmiView
from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.migration_request import MigrationRequest, plan_migration_request
from nicplug.plan.vmi.moving import leaves_its_pod, migration_in_progress_of, nics_left_behind

LIVE_PHASES = frozenset({VmiPhase.SCHEDULED, VmiPhase.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class NicPlan:
    """Decisions on the NICs.

    Attributes:
        rows: new `status.interfaces`.
        rolled_back: the NICs that are or were rolled back, and what was requested.
        why_moved: why NICs are plugged by a migration, for an event, where their message says more than that.
        moments: when time alone changes something; None for never.
        budget: the guest's PCI slots; None while they cannot be counted.
        chooser: the chooser of the paths, which has the evidence.
    """

    rows: Sequence[Mapping[str, Any]]
    annotation: AnnotationDecision
    operations: tuple[InterfaceOperation, ...]
    migration_request: MigrationRequest = field(default_factory=MigrationRequest)
    moments: tuple[datetime | None, ...]
    budget: PciBudget | None = None
    rolled_back: Mapping[str, OperationType] = field(default_factory=dict)
    why_moved: Mapping[str, str] = field(default_factory=dict)
    chooser: Chooser | None = field(default=None, repr=False, compare=False)


def plan_nics(view: VmiView, *, pod: LauncherPod | None, phase: VmiPhase, records: Records, now: datetime) -> NicPlan:
    """Decide on all NICs.

    Args:
        pod: the pod that runs the guest.
        phase: phase after this pass.
    """
    chooser = _chooser(view, pod=pod, records=records, now=now)
    annotation = _annotation(chooser, phase=phase)
    if phase is VmiPhase.RUNNING:
        chooser.give_slots(_slots(chooser, annotation))
        if chooser.slots.refused:  # the content of the annotation depends on which NICs have a slot
            annotation = _annotation(chooser, phase=phase)
    rows = _rows(chooser, phase=phase)
    if phase is not VmiPhase.RUNNING:
        return NicPlan(rows=rows, annotation=annotation, operations=(), moments=(annotation.again_at,))
    in_progress = migration_in_progress_of(view)
    report = plan_operations(chooser, rows=rows_by_name(rows), annotation=annotation, in_progress=in_progress)
    request = plan_migration_request(view, report, now=now)
    made_for = report.wanting if request.made else {}
    return NicPlan(
        rows=rows,
        annotation=annotation,
        operations=_with_made(report, request.made, records=records, now=now),
        migration_request=request,
        budget=chooser.slots.budget,
        moments=(annotation.again_at, report.again_at, request.again_at),
        rolled_back=report.rolled_back,
        why_moved={name: why for name, why in report.why_moved.items() if name not in made_for},
        chooser=chooser,
    )


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


def _with_made(report: NicReport, migration: str, *, records: Records, now: datetime) -> tuple[InterfaceOperation, ...]:
    """The records; those that a migration is being created for as the next pass would write them."""
    if not migration:
        return report.operations
    return tuple(
        _migrating(item, migration, old=records.get(item.name), now=now) if item.name in report.wanting else item
        for item in report.operations
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


# Forecast of the next pass over a VMI's NICs, with its evidence.

AT_ONCE = PlanSettings(
    report_delay=timedelta(), first_report_delay=timedelta(), attachment_patience=timedelta(), batch_window=timedelta()
)
"""For one-off views: no batching."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """NICs of one VMI after the next pass.

    Attributes:
        operations: the records as they would be.
        evidence: the evidence for the path of each NIC that has a record and can go live; with the nodes that the VM
            could move to, even where it need not.
        budget: the guest's PCI slots then; None while they cannot be counted.
        migration: name of the migration that would be created; "" when none is.
        create: the POST of that migration; None when none is created.
        annotation: what the pod's networks annotation would be replaced with; None where it is unchanged.
        again_at: when time alone makes the next pass decide otherwise; None when only a change does.
    """

    operations: tuple[InterfaceOperation, ...] = ()
    evidence: Mapping[str, PathEvidence] = field(default_factory=dict)
    budget: PciBudget | None = None
    migration: str = ""
    create: Create | None = None
    annotation: str | None = None
    again_at: datetime | None = None


@planning_pass()
def foresee(view: VmiView, *, now: datetime) -> Foreseen:
    """Run the decision of `plan_nics` and return it with its evidence; nothing for a guest that does not run.

    Args:
        view: as it would be, for example with a changed spec.
        now: current time, UTC; a later one shows what happens if nothing changes until then.
    """
    vmi = view.vmi
    if vmi.phase is not VmiPhase.RUNNING:
        return Foreseen()
    records = vmi.status.records(now=now)
    plan = plan_nics(view, pod=active_pod(view), phase=vmi.phase, records=records, now=now)
    evidence: dict[str, PathEvidence] = {}
    interfaces, networks = first_by_name(vmi.interfaces), first_by_name(vmi.networks)
    for operation in plan.operations:
        interface, network = interfaces.get(operation.name), networks.get(operation.name)
        can_go_live = interface is not None and interface.binding in HOTPLUGGABLE_BINDINGS
        if plan.chooser is None or interface is None or not can_go_live or network is None or not network.is_secondary:
            continue
        kind = OperationType(operation.operation)
        found = plan.chooser.choose(operation=kind, interface=interface, network=network).evidence
        evidence[operation.name] = replace(found, candidates=plan.chooser.could_move_to(operation.name))
    return Foreseen(
        operations=plan.operations,
        evidence=evidence,
        budget=plan.budget,
        migration=plan.migration_request.made,
        create=next((item for item in plan.migration_request.actions if isinstance(item, Create)), None),
        annotation=plan.annotation.text,
        again_at=min((moment for moment in plan.moments if moment is not None and moment > now), default=None),
    )
