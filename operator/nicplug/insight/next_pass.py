"""Forecast of the next pass over the NICs of one VMI, with its evidence. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, first_by_name
from nicplug.model.operations import InterfaceOperation, OperationType
from nicplug.model.pci import PciBudget
from nicplug.model.per_pass import planning_pass
from nicplug.model.vmi import VmiPhase
from nicplug.plan.actions import Create
from nicplug.plan.nic.path.evidence import PathEvidence
from nicplug.plan.views import PlanSettings, VmiView
from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.migration_request import plan_migration_request
from nicplug.plan.vmi.nics import RequestMigrations, plan_nics, with_holds

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
        create: the POST of that migration; None when none is created.
        annotation: what the pod's networks annotation would be replaced with; None where it is unchanged.
        again_at: when time alone makes the next pass decide otherwise; None when only a change does.
    """

    operations: tuple[InterfaceOperation, ...] = ()
    evidence: Mapping[str, PathEvidence] = field(default_factory=dict)
    budget: PciBudget | None = None
    create: Create | None = None
    annotation: str | None = None
    again_at: datetime | None = None

    @property
    def migration(self) -> str:
        """Name of the migration that would be created; "" when none is."""
        return self.create.key.name if self.create is not None else ""


@planning_pass()
def foresee(
    view: VmiView, *, now: datetime, request_migrations: RequestMigrations = plan_migration_request
) -> Foreseen:
    """Run the decision of `plan_nics` and return it with its evidence; nothing for a guest that does not run.

    Args:
        view: as it would be, for example with a changed spec.
        request_migrations: what decides on the migrations.
        now: current time, UTC; a later one shows what happens if nothing changes until then.
    """
    vmi = view.vmi
    if vmi.phase is not VmiPhase.RUNNING:
        return Foreseen()
    records = vmi.status.records(now=now)
    plan = plan_nics(
        view, pod=active_pod(view), phase=vmi.phase, records=records, now=now, request_migrations=request_migrations
    )
    evidence: dict[str, PathEvidence] = {}
    interfaces, networks = first_by_name(vmi.interfaces), first_by_name(vmi.networks)
    for operation in plan.operations:
        interface, network = interfaces.get(operation.name), networks.get(operation.name)
        can_go_live = interface is not None and interface.binding in HOTPLUGGABLE_BINDINGS
        if interface is None or not can_go_live or network is None or not network.is_secondary:
            continue
        kind = OperationType(operation.operation)
        found = plan.chooser.choose(operation=kind, interface=interface, network=network).evidence
        evidence[operation.name] = replace(found, candidates=plan.chooser.could_move_to(operation.name))
    return Foreseen(
        operations=with_holds(plan.operations, plan.migration_request),
        evidence=evidence,
        budget=plan.chooser.slots.budget,
        create=plan.created_migration,
        annotation=plan.annotation.text,
        again_at=min((moment for moment in plan.moments if moment is not None and moment > now), default=None),
    )
