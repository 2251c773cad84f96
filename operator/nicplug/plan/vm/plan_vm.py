"""Plans one pass over a VirtualMachine: start and stop its VMI, apply NIC changes to it, report.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/vm/vm.go` and `pkg/network/controllers/vm.go`.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.conditions import Status
from nicplug.model.names import VM_FINALIZER
from nicplug.model.per_pass import planning_pass
from nicplug.model.requests import MEMBER as INTERFACE_REQUESTS
from nicplug.model.vm import RunStrategy, VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, own_vmi
from nicplug.plan.actions import Delete, Kind, patch_finalizers, turn_vm
from nicplug.plan.nic.transitions import SUMMARY_MEMBER
from nicplug.plan.outcome import Plan, Subject, normal, write_pause
from nicplug.plan.reasons import Reason
from nicplug.plan.status_patches import changed_members, decide_status, patience
from nicplug.plan.views import Refusal, VmView
from nicplug.plan.vm.interface_requests import ProcessedRequests, ended_failure, process_requests
from nicplug.plan.vm.live_changes import live_changes
from nicplug.plan.vm.printable_status import PrintableStatus
from nicplug.plan.vm.restart_required import announce_restart, fields_that_need_a_restart
from nicplug.plan.vm.run_strategy import (
    Decision,
    RunAction,
    RunState,
    Start,
    Wait,
    decide,
    run_state_of,
    start_failure,
)
from nicplug.plan.vm.start import adopt_vmi, delete_earlier_revisions, delete_revisions, refuse_template, start_vmi
from nicplug.plan.vm.vm_status import (
    announce_failure,
    announce_unreadable_requests,
    is_of_earlier_generation,
    plan_vm_status,
    with_observed_generation,
)

_URGENT = frozenset({"ready"})
# Members that later decisions depend on, and requests: a user cannot make a second one before the first is gone.
_ALWAYS_URGENT = frozenset({"startFailure", "stateChangeRequests", "interfaceRequests"})
_WHY = frozenset({"conditions", SUMMARY_MEMBER, "desiredGeneration", "observedGeneration"})
# The most that `kubectl wait` on a VM waits after the NICs are ready. Other reports in that time include the
# generation, and several changes cost one write.
_GENERATION_DELAY = timedelta(seconds=5)
# Garbage collection marks an owner whose dependents stay with it: `kubectl delete --cascade=orphan`.
_ORPHAN_FINALIZER = "orphan"


@planning_pass()
def plan_vm(view: VmView, *, now: datetime) -> Plan:
    """Plan one pass over this VM; `now` is compared only with timestamps from objects and from the view."""
    refused = view.refusal if view.refusal is not None and view.refusal.requests else None
    if refused is not None:
        view = replace(view, refusal=None)  # it concerns these requests, and blocks nothing else
    run_state = run_state_of(view.vm, own_vmi(view.vmi, vm_uid=view.vm.uid), now=now)
    if view.vm.deleting:
        return _plan_end(view, run_state, now=now)
    if adoption := adopt_vmi(view):
        return Plan(actions=adoption)
    decision = decide(run_state, now=now)
    if decision is RunAction.REMEMBER_START or _is_witness(view, run_state, now=now):
        return _plan_status(view, run_state, decision, now=now)
    plan = _carry_out(view, run_state, decision)
    if plan.actions:
        return plan
    requests = process_requests(view, run_state.vmi, refused=refused)
    if isinstance(requests, Plan):
        return requests
    if actions := live_changes(view, run_state.vmi):
        return Plan(actions=tuple(actions))
    plan = _plan_status(view, run_state, decision, requests=requests, now=now)
    # Last: they block nothing.
    return replace(plan, actions=(*plan.actions, *delete_earlier_revisions(view, run_state.vmi)))


def _is_witness(view: VmView, run_state: RunState, *, now: datetime) -> bool:
    """Report whether the VMI has ended and affects the next start: that must be recorded before it is deleted."""
    vmi = run_state.vmi
    if vmi is None or not vmi.is_final:
        return False
    status = view.vm.status.members
    failure = start_failure(status=status, strategy=view.vm.run_strategy, vmi=vmi, now=now)
    return failure != (status.get("startFailure") or None)


def _plan_end(view: VmView, run_state: RunState, *, now: datetime) -> Plan:
    """End the VMI first; release the VM once neither VMI nor pods are left."""
    keeps_dependents = _ORPHAN_FINALIZER in view.vm.finalizers
    vmi = run_state.vmi if not keeps_dependents else None
    if vmi is not None:
        stop = _stop(view, vmi)
        return stop if stop.actions else _plan_status(view, run_state, RunAction.NOTHING, now=now)
    kept = tuple(item for item in view.vm.finalizers if item != VM_FINALIZER)
    if kept == view.vm.finalizers:
        return Plan(notes=("waiting for finalizers of others",))
    revisions = () if keeps_dependents else delete_revisions(view)
    return Plan(actions=(*revisions, patch_finalizers(view.vm, kept)))


def _carry_out(view: VmView, run_state: RunState, decision: Decision) -> Plan:
    """Plan the actions of the decision; none while something blocks it, which the status then reports."""
    match decision:
        case Start() if _may_start(view):
            if VM_FINALIZER not in view.vm.finalizers:
                return Plan(actions=(patch_finalizers(view.vm, (*view.vm.finalizers, VM_FINALIZER)),))
            name = view.vm.key.name
            message = f"Started the virtual machine by creating the new virtual machine instance {name}"
            return Plan(
                actions=tuple(start_vmi(view, paused=decision.paused)),
                announcements=(normal(Subject.VM, "SuccessfulCreate", message),),
            )
        case RunAction.STOP if run_state.vmi is not None:
            return _stop(view, run_state.vmi)
        case RunAction.TURN_ON if view.refusal is None:
            return Plan(actions=(turn_vm(view.vm, is_on=True),))
    return Plan()


def _may_start(view: VmView) -> bool:
    """Report whether the name is free, the API server has not rejected it, and KubeVirt's admission would not."""
    is_free = view.vmi is None and (view.refusal is None or view.refusal.reason == Reason.FAILED_DELETE)
    return is_free and refuse_template(view) is None


def _stop(view: VmView, vmi: VirtualMachineInstance) -> Plan:
    is_refused = view.refusal is not None and view.refusal.reason == Reason.FAILED_DELETE
    if vmi.deleting or is_refused:
        return Plan()
    message = f"Stopped the virtual machine by deleting the virtual machine instance {vmi.key.name}"
    # If the VM is ending, it may have been orphaned since: then the finalizer that showed it is gone as well.
    version = vmi.resource_version if view.vm.deleting else None
    return Plan(
        actions=(Delete(kind=Kind.VMI, key=vmi.key, uid=vmi.uid, version=version),),
        announcements=(normal(Subject.VM, "SuccessfulDelete", message),),
    )


def _plan_status(
    view: VmView, run_state: RunState, decision: Decision, *, requests: ProcessedRequests | None = None, now: datetime
) -> Plan:
    """Report; `requests` is the result for the requests for NICs, None if none was processed."""
    vm = view.vm
    waiting = fields_that_need_a_restart(vm=vm, vmi=run_state.vmi, revision=view.revision, config=view.config)
    failure = _failure(view, run_state, decision) or (requests.failure if requests is not None else ended_failure(vm))
    wanted = plan_vm_status(
        view=view,
        run_state=run_state,
        decision=decision,
        failure=failure,
        needs_restart=bool(waiting),
        now=now,
    )
    if requests is not None:
        wanted[INTERFACE_REQUESTS] = [item.to_row() for item in requests.kept] or None
    changes = changed_members(seen=vm.status_text, wanted=wanted)
    if changes.keys() == {SUMMARY_MEMBER} and SUMMARY_MEMBER not in vm.status.members:
        changes = {}  # from a VM of an earlier version, or a CRD without it: waits for another reason to write
    delay = view.settings.report_delay if changes else _GENERATION_DELAY
    if changes.get("printableStatus") == PrintableStatus.RUNNING and not wanted["ready"]:
        delay *= 2  # ready soon, which is reported at once and includes this
    if run_state.vmi is not None:
        changes = _with_generation(vm, run_state.vmi, wanted=wanted, changes=changes)
    if _changes_only_reasons(vm, changes):
        delay = max(delay, write_pause(vm.stored_bytes, nics=len(vm.interfaces)))
    status = decide_status(
        vm,
        changes=changes,
        urgent=_is_urgent(changes, run_state, printable_status=wanted["printableStatus"]),
        pending_since=view.report_pending_since,
        delay=patience(seen=vm.status_text, changes=changes, delay=delay),
        now=now,
    )
    announcements = (
        *announce_restart(vm, waiting),
        *announce_failure(view, failure, changes=changes),
        *announce_unreadable_requests(view, changes=changes),
    )
    return Plan(
        actions=(status.patch,) if status.patch else (),
        announcements=announcements if status.patch else (),
        again_at=status.due or (decision.until if isinstance(decision, Wait) else None),
        withholds_report=status.due is not None,
    )


def _with_generation(
    vm: VirtualMachine, vmi: VirtualMachineInstance, *, wanted: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the changes with the generation that they describe; only that, if a condition has an earlier one."""
    conditions = with_observed_generation(wanted["conditions"], vm=vm, vmi=vmi)
    if not changes and not is_of_earlier_generation(wanted["conditions"], conditions, vm=vm):
        return {}
    reported = {**wanted, "conditions": conditions, "desiredGeneration": vm.generation}
    return changed_members(seen=vm.status_text, wanted=reported)


def _is_urgent(changes: Mapping[str, Any], run_state: RunState, *, printable_status: str) -> bool:
    """Report whether users wait for the change (a started guest), or the next decision depends on it."""
    came_up = printable_status == PrintableStatus.RUNNING and bool(changes.keys() & _URGENT)
    # The VMI stays until its VM has recorded that it was started (`plan.vmi.plan_vmi`).
    is_awaited = run_state.vmi is not None and run_state.vmi.deleting and "runStrategy" in changes
    return came_up or is_awaited or bool(changes.keys() & _ALWAYS_URGENT)


def _changes_only_reasons(vm: VirtualMachine, changes: Mapping[str, Any]) -> bool:
    """Report whether only reasons and messages of conditions change, as one NIC after the other fails."""
    return changes.keys() <= _WHY and Status({**vm.status.members, **changes}).statuses == vm.status.statuses


def _failure(view: VmView, run_state: RunState, decision: Decision) -> Refusal | None:
    """Return what keeps the VM from being what its spec says."""
    if view.refusal is not None:
        return view.refusal
    name = view.vm.key.name
    match run_state.strategy:
        case RunStrategy.CONFLICTING:
            message = "running and runstrategy are mutually exclusive: remove spec.running, which is deprecated"
            return Refusal(reason=Reason.FAILED_CREATE, message=message)
        case RunStrategy.UNKNOWN:
            found = view.vm.read_rest_of_spec().get("runStrategy")
            message = f"unknown runstrategy: {found}. Use Always, RerunOnFailure, Manual, Once or Halted"
            return Refusal(reason=Reason.FAILED_CREATE, message=message)
        case RunStrategy.WAIT_AS_RECEIVER:
            message = "spec.runStrategy WaitAsReceiver is not carried out: no VM is received from another cluster. "
            message += "Use Always, RerunOnFailure, Manual, Once or Halted"
            return Refusal(reason=Reason.RUN_STRATEGY_NOT_SUPPORTED, message=message)
    if isinstance(decision, Start | Wait) and view.vmi is not None:
        return Refusal(
            reason=Reason.NAME_TAKEN,
            message=f'VirtualMachineInstance "{name}" exists and is not of this VM: '
            "delete it, or give the VM another name",
        )
    return refuse_template(view) if isinstance(decision, Start) else None
