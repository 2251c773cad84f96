"""What to do for one VirtualMachine: start and stop its VMI, carry NIC changes to it, report.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/vm/vm.go` and `pkg/network/controllers/vm.go`.
"""

from datetime import datetime
from typing import Any

from nicplug.model.names import VM_FINALIZER
from nicplug.model.vm import RunStrategy, VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, Delete, Kind, PatchFinalizers
from nicplug.plan.live_changes import live_changes
from nicplug.plan.outcome import Announcement, Plan, Severity, Subject
from nicplug.plan.reasons import Reason
from nicplug.plan.restart_required import announce_restart, fields_that_need_a_restart
from nicplug.plan.start_backoff import start_failure, start_not_before
from nicplug.plan.status import changed_members, decide_status
from nicplug.plan.views import Refusal, VmView
from nicplug.plan.vm_start import start_vmi
from nicplug.plan.vm_status import PrintableStatus, plan_vm_status

_URGENT = frozenset({"ready"})
_ALWAYS_URGENT = frozenset({"startFailure"})


def plan_vm(view: VmView, *, now: datetime) -> Plan:
    """Decide everything that is to be done for this VM now."""
    vmi = own_vmi(view)
    if view.vm.deleting:
        return _plan_end(view, vmi)
    if VM_FINALIZER not in view.vm.finalizers and _wants_vmi(view.vm):
        return Plan(actions=(_finalizers(view.vm, (*view.vm.finalizers, VM_FINALIZER)),))
    failure = start_failure(status=view.vm.read_status(), vmi=vmi, now=now)
    if failure != (view.vm.read_status().get("startFailure") or None) and vmi is not None and vmi.is_final:
        # Before the VMI goes: it is the only witness of its failure.
        return _plan_status(view, vmi, now=now)
    actions, announcements = _plan_run_strategy(view, vmi, now=now)
    if not actions:
        actions = live_changes(view, vmi)
    if actions:
        return Plan(actions=tuple(actions), announcements=tuple(announcements))
    return _plan_status(view, vmi, now=now)


def own_vmi(view: VmView) -> VirtualMachineInstance | None:
    """The VMI of the VM's name, if this very VM controls it."""
    vmi = view.vmi
    if vmi is None or vmi.owner is None or vmi.owner.uid != view.vm.uid:
        return None
    return vmi


def _wants_vmi(vm: VirtualMachine) -> bool:
    return vm.run_strategy is RunStrategy.ALWAYS


def _finalizers(vm: VirtualMachine, wanted: tuple[str, ...]) -> PatchFinalizers:
    return PatchFinalizers(kind=Kind.VM, key=vm.key, uid=vm.uid, seen=vm.finalizers, wanted=wanted)


def _plan_end(view: VmView, vmi: VirtualMachineInstance | None) -> Plan:
    """The VMI first; the VM goes when nothing of it runs."""
    if vmi is not None:
        actions, announcements = _stop(vmi)
        return Plan(actions=tuple(actions), announcements=tuple(announcements))
    kept = tuple(item for item in view.vm.finalizers if item != VM_FINALIZER)
    if kept == view.vm.finalizers:
        return Plan(notes=("waiting for finalizers of others",))
    return Plan(actions=(_finalizers(view.vm, kept),))


def _plan_run_strategy(
    view: VmView, vmi: VirtualMachineInstance | None, *, now: datetime
) -> tuple[list[Action], list[Announcement]]:
    if view.vm.run_strategy is RunStrategy.HALTED:
        return _stop(vmi) if vmi is not None else ([], [])
    if not _wants_vmi(view.vm) or view.refusal is not None:
        return [], []
    if vmi is None:
        due = start_not_before(view.vm.read_status())
        may_start = view.vmi is None and (due is None or now >= due)
        return _start(view) if may_start else ([], [])
    return _stop(vmi) if vmi.is_final else ([], [])


def _start(view: VmView) -> tuple[list[Action], list[Announcement]]:
    name = view.vm.key.name
    message = f"Started the virtual machine by creating the new virtual machine instance {name}"
    return start_vmi(view), [_announce("SuccessfulCreate", message)]


def _stop(vmi: VirtualMachineInstance) -> tuple[list[Action], list[Announcement]]:
    if vmi.deleting:
        return [], []
    message = f"Stopped the virtual machine by deleting the virtual machine instance {vmi.key.name}"
    return [Delete(kind=Kind.VMI, key=vmi.key, uid=vmi.uid)], [_announce("SuccessfulDelete", message)]


def _announce(reason: str, message: str) -> Announcement:
    return Announcement(about=Subject.VM, severity=Severity.NORMAL, reason=reason, message=message)


def _plan_status(view: VmView, vmi: VirtualMachineInstance | None, *, now: datetime) -> Plan:
    vm = view.vm
    waiting = fields_that_need_a_restart(vm=vm, vmi=vmi, revision=view.revision, config=view.config)
    failure = _failure(view, vmi)
    wanted = plan_vm_status(view=view, vmi=vmi, failure=failure, needs_restart=bool(waiting), now=now)
    changes = changed_members(seen=vm.status, wanted=wanted)
    if changes and vm.read_status().get("desiredGeneration") != vm.generation:
        changes["desiredGeneration"] = vm.generation
    decision = decide_status(
        kind=Kind.VM,
        key=vm.key,
        uid=vm.uid,
        seen=vm.status,
        changes=changes,
        urgent=_is_urgent(changes, printable_status=wanted["printableStatus"]),
        pending_since=view.report_pending_since,
        delay=view.settings.report_delay,
        now=now,
    )
    return Plan(
        actions=(decision.patch,) if decision.patch else (),
        announcements=announce_restart(vm, waiting) if decision.patch else (),
        again_at=decision.due or _next_start(view, vmi, now=now),
        withholds_report=decision.due is not None,
    )


def _is_urgent(changes: dict[str, Any], *, printable_status: str) -> bool:
    """A guest that came up is what people wait for; a failed start is what the next decision stands on."""
    came_up = printable_status == PrintableStatus.RUNNING and bool(changes.keys() & _URGENT)
    return came_up or bool(changes.keys() & _ALWAYS_URGENT)


def _next_start(view: VmView, vmi: VirtualMachineInstance | None, *, now: datetime) -> datetime | None:
    """When a VM that backs off is to be looked at again."""
    due = start_not_before(view.vm.read_status())
    return due if vmi is None and _wants_vmi(view.vm) and due is not None and due > now else None


def _failure(view: VmView, vmi: VirtualMachineInstance | None) -> Refusal | None:
    """What keeps the VM from being what its spec says."""
    vm = view.vm
    if view.refusal is not None:
        return view.refusal
    if vm.run_strategy not in (RunStrategy.ALWAYS, RunStrategy.HALTED):
        return Refusal(reason=Reason.RUN_STRATEGY_NOT_SUPPORTED, message=_run_strategy_message(vm))
    if vmi is None and view.vmi is not None and _wants_vmi(vm):
        return Refusal(
            reason=Reason.NAME_TAKEN,
            message=f'VirtualMachineInstance "{vm.key.name}" exists and is not of this VM: '
            "delete it, or give the VM another name",
        )
    return None


def _run_strategy_message(vm: VirtualMachine) -> str:
    if vm.run_strategy is RunStrategy.INVALID:
        return "spec.running and spec.runStrategy exclude each other: keep runStrategy, as Always or Halted"
    return f"spec.runStrategy {vm.run_strategy} is not carried out by this version: use Always or Halted"
