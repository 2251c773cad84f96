"""Forecasts the NICs of a VM: runs the operator's own planners on evidence before anything is changed.

Pure except for the caches in `Evidence`, which belong to the question.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from nicplug.cache.kinds import CachedKind
from nicplug.insight.at_restart import other_fields, waiting_changes, waiting_fields
from nicplug.insight.at_start import nics_at_start
from nicplug.insight.changes import with_requests
from nicplug.insight.companion import gatherer_of, requests_of
from nicplug.insight.evidence import Evidence, networks_in
from nicplug.insight.guest_release import (
    leaving_guest,
    leaving_pod,
    merged_after_release,
    merged_after_request,
    vmi_after_release,
    with_annotation,
    with_records,
)
from nicplug.insight.held_requests import held_nics
from nicplug.insight.known import Known, known_of, networks_of
from nicplug.insight.leaving_nics import leaving_nics
from nicplug.insight.next_pass import Foreseen, foresee
from nicplug.insight.outcome import NicForecast, Outcome, VmForecast
from nicplug.insight.patched import patched
from nicplug.insight.running_nics import running_nics
from nicplug.insight.slots import budget_after_unplug, possible_slots, slots_of
from nicplug.insight.stuck_migrations import with_stuck_migrations
from nicplug.model.attachments import referenced_keys
from nicplug.model.conditions import RESTART_REQUIRED
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.keys import AttachmentKey, VmiKey
from nicplug.model.metadata import mapping
from nicplug.model.mode import Mode
from nicplug.model.nad_policy import NadRules
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.model.times import format_time
from nicplug.model.vmi import VmiPhase
from nicplug.plan.actions import Delete, Kind
from nicplug.plan.nic.pci_slots import PciSlots
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vm.restart_required import RestartField


def forecast(
    evidence: Evidence, *, changed: Mapping[str, Any] | None, named: Collection[str] = (), now: datetime
) -> VmForecast:
    """Return what the operator would do next, for the VM as it is or as it would be.

    Args:
        changed: the VM, or the VMI without a VM, as it would be; None: as it is.
        named: NICs that the change requests: whether they arrive counts, even if they are requested already.
        now: current time, UTC.

    Raises:
        ValueError: a network of the changed VM was not looked up when the evidence was read.
    """
    if changed is not None and (unread := _unread(evidence, changed)):
        raise ValueError(f"the evidence was read without {', '.join(map(str, unread))}")
    before, known = _foresee(evidence, now=now), known_of(evidence)
    unchanged, present = before, known.present
    if known.requested and changed is not None:
        unchanged, present = _without_change(evidence, now=now)
    waited = _waiting_fields(evidence)
    if changed is not None:
        kind = CachedKind.VM if changed.get("kind") == CachedKind.VM.value else CachedKind.VMI
        evidence.put(kind, changed)
    _let_vm_act(evidence, now=now)
    after = _foresee(evidence, now=now)
    later = _foresee_deadline(evidence, after, now=now)
    vm_forecast = _render(evidence, before=before, unchanged=unchanged, after=after, later=later, known=known, now=now)
    vm_forecast = _with_stuck(vm_forecast, evidence, after=after, now=now)
    vm_forecast = _with_leaving(vm_forecast, evidence, known=known, present=present)
    vm_forecast = _with_restart(vm_forecast, evidence, waited=waited, known=known)
    vm_forecast = replace(
        vm_forecast, nics=(*vm_forecast.nics, *held_nics(evidence, covered={nic.name for nic in vm_forecast.nics}))
    )
    return replace(vm_forecast, nics=_requested_first(vm_forecast.nics, named=named, is_whole=changed is None))


def _requested_first(
    nics: Collection[NicForecast], *, named: Collection[str], is_whole: bool
) -> tuple[NicForecast, ...]:
    """Put the effects of the change first, then its requests without an effect, then what happens anyway."""
    if is_whole:
        return tuple(replace(nic, is_affected=True) for nic in nics)
    ordered = sorted(nics, key=lambda nic: (not nic.is_affected, nic.name not in named))
    return tuple(replace(nic, is_affected=nic.is_affected or nic.name in named) for nic in ordered)


def _unread(evidence: Evidence, changed: Mapping[str, Any]) -> list[AttachmentKey]:
    """Return the networks that the VM may use and that were not looked up."""
    namespace, access = evidence.target.namespace, evidence.caches.attachment_access()
    keys = referenced_keys(networks_in(changed), namespace=namespace)
    if evidence.asked is None:
        return []
    return [key for key in keys if access.allows(key, namespace=namespace) and key not in evidence.asked]


def _let_vm_act(evidence: Evidence, *, now: datetime) -> None:
    """Apply what the VM controller does: requests go into the template, and live changes to the VMI."""
    vm = evidence.parsed_vm
    view = gatherer_of(evidence).vm_view(vm.key) if vm is not None and evidence.vmi is not None else None
    if view is None:
        return
    actions = plan_vm(view, now=now).actions
    if evidence.vm is not None and any(isinstance(action, Delete) and action.kind is Kind.VMI for action in actions):
        _stop(evidence)
        return
    for kind, raw in ((Kind.VM, evidence.vm), (Kind.VMI, evidence.vmi)):
        changed = dict(raw or {})
        for action in actions:
            if getattr(action, "kind", None) is kind and getattr(action, "subresource", "-") is None:
                changed = patched(changed, action.json_patch())  # type: ignore[union-attr]
        if changed != raw:
            evidence.put(CachedKind.VM if kind is Kind.VM else CachedKind.VMI, changed)


def _stop(evidence: Evidence) -> None:
    """End the instance; the next one starts from the template, with what is requested for it."""
    vm, vmi, config = evidence.vm or {}, evidence.vmi or {}, evidence.caches.config()
    if config is not None and config.hotplug_enabled and evidence.parsed_vm is not None:
        evidence.put(CachedKind.VM, with_requests(vm, (), vmi=None, binding=config.default_binding)[1])
    metadata = {**mapping(vmi.get("metadata")), "deletionTimestamp": format_time(evidence.clock())}
    evidence.put(CachedKind.VMI, {**vmi, "metadata": metadata})


def _without_change(evidence: Evidence, *, now: datetime) -> tuple[Foreseen, tuple[str, ...]]:
    """Return what the recorded requests lead to without the change, and the NICs that exist then."""
    vm, vmi = evidence.vm, evidence.vmi
    _let_vm_act(evidence, now=now)
    found, present = _foresee(evidence, now=now), known_of(evidence).present
    for kind, raw in ((CachedKind.VM, vm), (CachedKind.VMI, vmi)):
        if raw is not None:
            evidence.put(kind, raw)
    return found, present


def _foresee(evidence: Evidence, *, now: datetime) -> Foreseen:
    found = _foresee_passes(evidence, now=now)
    if evidence.vmi is None or not (leaving := leaving_guest(found.operations)):
        return found
    kept = evidence.vmi
    evidence.put(CachedKind.VMI, vmi_after_release(kept, found.operations))
    then = _foresee_passes(evidence, now=now)
    evidence.put(CachedKind.VMI, kept)
    return merged_after_release(found, then, names=leaving)


def _foresee_passes(evidence: Evidence, *, now: datetime) -> Foreseen:
    """Forecast the next pass, and the one after it for the NICs that it removes from the pod's annotation."""
    found = _foresee_pass(evidence, now=now)
    if evidence.vmi is None or found.annotation is None or not leaving_pod(found.operations):
        return found
    kept = evidence.vmi
    evidence.put(CachedKind.VMI, with_records(kept, found.operations))
    then = _foresee_pass(evidence, now=now, annotation=found.annotation)
    evidence.put(CachedKind.VMI, kept)
    return merged_after_request(found, then)


def _foresee_pass(evidence: Evidence, *, now: datetime, annotation: str | None = None) -> Foreseen:
    """Forecast one pass of the operator.

    Args:
        annotation: the new networks annotation of the pod; None if it is as it was read.
    """
    view = gatherer_of(evidence).vmi_view(VmiKey(evidence.target.namespace, evidence.target.name))
    if view is None or view.vmi.deleting:
        return Foreseen()
    view = view if annotation is None else with_annotation(view, annotation)
    return foresee(view, now=now, request_migrations=requests_of(evidence))


def _foresee_deadline(evidence: Evidence, after: Foreseen, *, now: datetime) -> tuple[datetime, Foreseen] | None:
    """Forecast what follows if the dynamic networks controller does not answer before its timeout."""
    waiting = [item for item in after.operations if item.path == OperationPath.DYNAMIC and not item.is_settled]
    deadlines = [after.evidence[item.name].deadline for item in waiting if item.name in after.evidence]
    if evidence.vmi is None or not deadlines or (deadline := max(deadlines)) <= now:
        return None
    kept = evidence.vmi
    evidence.put(CachedKind.VMI, vmi_after_release(kept, after.operations))
    if leaving_guest(after.operations):
        # The controller's timeout starts with the pass that requests the detachment of the NIC.
        evidence.put(CachedKind.VMI, with_records(evidence.vmi, _foresee_pass(evidence, now=now).operations))
    later = _foresee_pass(evidence, now=deadline + timedelta(milliseconds=1))
    evidence.put(CachedKind.VMI, kept)
    return deadline, later


def _render(
    evidence: Evidence,
    *,
    before: Foreseen,
    unchanged: Foreseen,
    after: Foreseen,
    later: tuple[datetime, Foreseen] | None,
    known: Known,
    now: datetime,
) -> VmForecast:
    vm, vmi = evidence.parsed_vm, evidence.parsed_vmi
    key = vm.key if vm is not None else VmiKey(evidence.target.namespace, evidence.target.name)
    view = gatherer_of(evidence).vmi_view(vmi.key) if vmi is not None else None
    vm_view = gatherer_of(evidence).vm_view(vm.key) if vm is not None else None
    policy = view.policy if view is not None else vm_view.policy if vm_view is not None else HotplugPolicy()
    is_ending = vm is not None and vmi is not None and vmi.deleting
    is_running = vmi is not None and vmi.phase is VmiPhase.RUNNING and not is_ending
    slots = slots_of(view, now=now) if view is not None and is_running else PciSlots()
    nics = (
        tuple(running_nics(evidence, before, after, later, unchanged=unchanged, slots=slots, now=now))
        if is_running
        else tuple(nics_at_start(evidence, before=known.named | known.requested))
    )
    leaving = [nic.name for nic in nics if nic.operation == OperationType.UNPLUG and nic.outcome.arrives]
    left = budget_after_unplug(after.budget, vmi, names=leaving) if vmi is not None else None
    return VmForecast(
        kind="VirtualMachine" if vm is not None else "VirtualMachineInstance",
        key=key,
        node=vmi.node_name if vmi is not None else "",
        policy=policy,
        nad_rules=_nad_rules(evidence),
        nics=nics,
        slots_before=before.budget,
        slots_after=left,
        possible_before=possible_slots(before.budget.to_row(), vmi) if before.budget is not None else 0,
        possible_after=possible_slots(left.to_row(), vmi) if left is not None else 0,
        migration=after.migration,
        again_at=after.again_at,
    )


def _nad_rules(evidence: Evidence) -> NadRules:
    config = evidence.caches.config()
    return config.nad_rules if config is not None else NadRules()


def _with_stuck(vm_forecast: VmForecast, evidence: Evidence, *, after: Foreseen, now: datetime) -> VmForecast:
    """Add what keeps the migration for NICs from starting; beside KubeVirt, virt-controller decides that."""
    if evidence.mode is Mode.COMPANION:
        return vm_forecast
    nics = with_stuck_migrations(vm_forecast.nics, evidence, gatherer_of(evidence), create=after.create, now=now)
    return replace(vm_forecast, nics=tuple(nics))


def _with_leaving(vm_forecast: VmForecast, evidence: Evidence, *, known: Known, present: Collection[str]) -> VmForecast:
    """Add the NICs that leave the VM and have no record that says so."""
    named = {nic.name for nic in vm_forecast.nics}
    more = leaving_nics(evidence, known=known, policy=vm_forecast.policy, recorded=named, present=present)
    return replace(vm_forecast, nics=(*vm_forecast.nics, *more))


def _waiting_fields(evidence: Evidence) -> tuple[RestartField, ...]:
    vm = evidence.parsed_vm
    return waiting_fields(gatherer_of(evidence).vm_view(vm.key)) if vm is not None else ()


def _with_restart(
    vm_forecast: VmForecast, evidence: Evidence, *, waited: Collection[RestartField], known: Known
) -> VmForecast:
    """Add what waits for a restart of the VM and has no record that says so."""
    vm, vmi, fields = evidence.parsed_vm, evidence.parsed_vmi, _waiting_fields(evidence)
    if not fields or vm is None or vmi is None or vmi.deleting:
        return vm_forecast
    interfaces = (*vmi.interfaces, *vm.interfaces)
    networks = {**known.networks, **networks_of(evidence)}
    named = {nic.name for nic in vm_forecast.nics if nic.outcome is Outcome.NEEDS_RESTART}
    more = (
        NicForecast(
            name=item.name,
            operation=item.operation,
            network=networks.get(item.name, ("", ""))[0],
            binding=networks.get(item.name, ("", ""))[1],
            outcome=Outcome.NEEDS_RESTART,
            path=str(OperationPath.RESTART),
            phase=str(OperationPhase.PENDING),
            reason=RESTART_REQUIRED,
            message=item.message,
            remedy=item.remedy,
            is_affected=item.is_new,
            is_side_effect=item.is_side_effect,
        )
        for item in waiting_changes(fields, before=waited, interfaces=interfaces)
        if item.name not in named
    )
    others = other_fields(fields, nics={item.name for item in interfaces})
    return replace(vm_forecast, nics=(*vm_forecast.nics, *more), restart_fields=others)
