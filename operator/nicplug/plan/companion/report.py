"""The status of an InterfaceReport, and the object itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from nicplug.model.conditions import (
    FALSE,
    INTERFACES_READY,
    INVALID_HOTPLUG_POLICY,
    Condition,
    Row,
    merge_condition,
    with_condition,
)
from nicplug.model.frozen_json import freeze, read
from nicplug.model.interface_report import REPORT_API_VERSION, REPORT_KIND, InterfaceReport
from nicplug.model.keys import ReportKey
from nicplug.model.metadata import text
from nicplug.model.names import KUBEVIRT_API_VERSION, MANAGED_BY, MANAGED_BY_LABEL, VM_KIND, VMI_KIND
from nicplug.model.operations import InterfaceOperation
from nicplug.model.pci import PciBudget
from nicplug.model.times import format_time
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.actions import Create, Kind, PatchOwnership, patch_members
from nicplug.plan.companion.nudge import NUDGE_MEMBER, Nudges
from nicplug.plan.companion.pending import WITHDRAWN_MEMBER, Withdrawn
from nicplug.plan.companion.target_pods import TARGET_PODS_MEMBER, target_pod_failures
from nicplug.plan.companion.updater import (
    MIGRATIONS_IN_VAIN,
    UPDATER_MEMBER,
    UpdaterMigrations,
    count_updater_migrations,
    in_vain_condition,
)
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.nic.records import unsettled
from nicplug.plan.nic.transitions import summarise
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.vmi_status import interfaces_ready, policy_problems

_NOT_RUNNING = "the guest is not running"
_CONDITIONS = frozenset({INTERFACES_READY, MIGRATIONS_IN_VAIN, INVALID_HOTPLUG_POLICY})


def runs(guest: VmiView) -> bool:
    """Report whether the guest runs and is not being stopped: only then its NICs are planned."""
    return guest.vmi.phase is VmiPhase.RUNNING and not guest.vmi.deleting


def create_report(view: CompanionView) -> Create | None:
    """Render the POST of the report; None if there is nothing to report on."""
    subject = view.subject
    if subject is None:
        return None
    key = ReportKey(view.key.namespace, view.key.name)
    body = {
        "apiVersion": REPORT_API_VERSION,
        "kind": REPORT_KIND,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY},
            "ownerReferences": [_owner_row(subject)],
        },
    }
    return Create(kind=Kind.REPORT, key=key, owner_uid=subject.uid, body=freeze(body))


def _owner_row(subject: VirtualMachine | VirtualMachineInstance) -> dict[str, Any]:
    return {
        "apiVersion": KUBEVIRT_API_VERSION,
        "kind": VM_KIND if isinstance(subject, VirtualMachine) else VMI_KIND,
        "name": subject.key.name,
        "uid": subject.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def is_of_an_earlier_one(view: CompanionView, report: InterfaceReport) -> bool:
    """Report whether neither owner nor status of the report names the VM or VMI as it is now: it has its name only."""
    present = {item.uid for item in (view.vm, view.guest.vmi if view.guest is not None else None) if item is not None}
    owner_uid = report.owner.uid if report.owner is not None else ""
    return not present & {owner_uid, report.vm_uid, report.vmi_uid}


def restore_ownership(view: CompanionView, report: InterfaceReport) -> PatchOwnership | None:
    """Return the patch of label and owner after an edit; None if they are as nicplug wrote them.

    A new report would lack what only this one knows: the records, and what was counted.
    """
    subject = view.subject
    if subject is None or report.deleting:
        return None
    labels, owners = read(report.labels) or None, read(report.owners) or None
    wanted: dict[str, Any] = {}
    if not report.is_labelled:
        wanted["labels"] = {**(labels or {}), MANAGED_BY_LABEL: MANAGED_BY}
    if report.owner is None or report.owner.uid != subject.uid:
        wanted["ownerReferences"] = [_owner_row(subject)]
    if not wanted:
        return None
    present = {"labels": labels, "ownerReferences": owners}
    return patch_members(PatchOwnership, report, present=present, wanted=wanted, version=report.resource_version)


def known_status(view: CompanionView) -> Mapping[str, Any]:
    """Return what the report on this very VMI says; empty if there is none."""
    return view.report.status.members if view.report is not None and view.is_recorded else {}


def report_status(
    view: CompanionView,
    *,
    operations: Sequence[InterfaceOperation],
    budget: PciBudget | None,
    nudges: Nudges,
    withdrawn: Withdrawn,
    now: datetime,
) -> dict[str, Any]:
    """Return the whole status.

    Args:
        operations: the records of the NICs; empty while the guest does not run.
        budget: the guest's PCI slots; None while they cannot be counted.
    """
    guest, vm = view.guest, view.vm
    waiting = unsettled(operations)
    first = waiting[0] if waiting else None
    repeats = UpdaterMigrations()
    if guest is not None:
        repeats = count_updater_migrations(guest, known=known_status(view), operations=operations)
    attempts = [item.next_attempt_time for item in operations if item.next_attempt_time is not None]
    status: dict[str, Any] = {
        "vmUid": vm.uid if vm is not None else None,
        "observedGeneration": vm.generation if vm is not None else None,
        "reason": str(first.reason) if first is not None else None,
        "message": f'NIC "{first.name}": {first.sentence}' if first is not None else None,
        "nextAttemptTime": format_time(min(attempts)) if attempts else None,
        "interfaceOperations": [item.to_row() for item in operations],
        UPDATER_MEMBER: repeats.to_row(),
        NUDGE_MEMBER: nudges.to_row(),
        TARGET_PODS_MEMBER: (target_pod_failures(guest, now=now) or None) if guest is not None else None,
        WITHDRAWN_MEMBER: withdrawn.to_row(),
        "conditions": _conditions(view, operations=operations, repeats=repeats, now=now),
        "pciBudget": budget.to_row() if budget is not None else None,
    }
    if guest is None or not runs(guest):
        status |= {"reason": str(Reason.GUEST_NOT_RUNNING), "message": _NOT_RUNNING}
    if guest is not None:
        status |= {
            "vmiUid": guest.vmi.uid,
            "interfacesHash": view.interfaces_hash,
            "interfacesGeneration": guest.vmi.generation,
            "ready": summarise(guest.vmi, operations)["ready"] if runs(guest) else None,
        }
    return status


def _conditions(
    view: CompanionView, *, operations: Sequence[InterfaceOperation], repeats: UpdaterMigrations, now: datetime
) -> list[dict[str, Any]]:
    rows = _written_rows(view.report.status.conditions) if view.report is not None else ()
    guest = view.guest
    if guest is not None and runs(guest):
        condition = interfaces_ready(view=guest, phase=guest.vmi.phase, operations=operations)
    else:
        condition = Condition(
            type=INTERFACES_READY, status=FALSE, reason=Reason.GUEST_NOT_RUNNING, message=_NOT_RUNNING
        )
    generation = view.vm.generation if view.vm is not None else guest.vmi.generation if guest is not None else None
    condition = replace(condition, observed_generation=generation)
    merged = merge_condition(rows, condition, now=now)
    problems = policy_problems(guest) if guest is not None else None
    if problems is not None:
        problems = replace(problems, observed_generation=view.vm.generation if view.vm is not None else None)
    for type_, found in ((MIGRATIONS_IN_VAIN, in_vain_condition(repeats)), (INVALID_HOTPLUG_POLICY, problems)):
        merged = with_condition(merged, type_, found, now=now)
    return merged


def _written_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the conditions that nicplug writes, each once: others are an edit, and nobody would ever remove them."""
    found: dict[str, Row] = {}
    for row in rows:
        if (type_ := text(row.get("type"))) in _CONDITIONS:
            found.setdefault(type_, row)
    return list(found.values())
