"""One pass over one key: gather, plan, execute, record."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from nicplug.kube.errors import ApiError, Denied, Rejected
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import BudgetKey, MigrationKey, SlotsKey, VmiKey, VmKey, WorkKey
from nicplug.model.names import NODE_NAME_LABEL, VM_GENERATION_ANNOTATION
from nicplug.plan.actions import (
    Action,
    AdoptVmi,
    ConfirmPod,
    Create,
    Delete,
    FindPod,
    HandOffStep,
    Kind,
    PatchBudget,
    PatchAnnotations,
    PatchInterfaces,
    PatchLabels,
    PatchMigrationState,
    PatchNetworksAnnotation,
    PatchPodCondition,
    PatchSpec,
    PatchStatus,
    TurnVm,
)
from nicplug.plan.migration.decide import plan_migration
from nicplug.plan.outcome import Announcement, Measure, Plan, Severity, Subject
from nicplug.plan.pace import pass_rest
from nicplug.plan.reasons import Reason
from nicplug.plan.views import BudgetView, MigrationView, Refusal, VmiView, VmView
from nicplug.plan.vm.decide import plan_vm
from nicplug.plan.vmi.decide import plan_vmi
from nicplug.plan.vmi.disruption_budget import plan_budget
from nicplug.reconcile.announce import Announcer
from nicplug.reconcile.execute import Executor
from nicplug.reconcile.gather import MIGRATION_GENERATION, Gatherer
from nicplug.reconcile.memory import Attempt, Memory
from nicplug.reconcile.slots import SlotKeeper
from nicplug.reconcile.turns import TurnTaken

log = structlog.get_logger(__name__)

View = VmView | VmiView | MigrationView | BudgetView

_NAMES = {
    Kind.VM: "virtual machine",
    Kind.VMI: "virtual machine instance",
    Kind.MIGRATION: "migration",
    Kind.POD: "pod",
    Kind.REVISION: "controller revision",
    Kind.BUDGET: "pod disruption budget",
}


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings one object closer to what its spec says."""

    gatherer: Gatherer
    executor: Executor
    memory: Memory
    announcer: Announcer
    slots: SlotKeeper
    on_measure: Callable[[Measure], None]
    clock: Callable[[], datetime]

    async def reconcile(self, key: WorkKey) -> float | None:
        """Do what is to be done now.

        Returns:
            Seconds after which only time will have changed the answer; None when nothing waits for time.

        Raises:
            ApiError: from the first action that failed; the actions before it have been done.
            TurnTaken: the next action is large and has to wait; the key is looked at again when its turn has come.
            PlanRepeats: what is wanted does not come about although every write succeeds.
        """
        if isinstance(key, SlotsKey):
            return await self.slots.reconcile()
        view = self._view(key)
        if view is None:
            if isinstance(key, MigrationKey):
                self.slots.note(key)
            self.memory.forget(key)
            return None
        owed_at = self.memory.owed_at(key)
        if owed_at is not None and owed_at > self.clock():
            return (owed_at - self.clock()).total_seconds()  # planned now, it would be done a second time
        plan = self.memory.take_owed(key) or self._plan(view)
        if isinstance(view, MigrationView):
            self.slots.note(view.migration.key, view, plan)
        self.memory.planned(key, plan)
        if not plan.is_empty:
            log.debug("plan", key=str(key), actions=len(plan.actions), notes=plan.notes)
        await self._carry_out(key, view, plan)
        again = (plan.again_at, self.memory.refused_until(key), self.memory.owed_at(key), owed_at)
        moments = [moment for moment in again if moment is not None]
        return max(0.001, (min(moments) - self.clock()).total_seconds()) if moments else None

    def rest_seconds(self, key: WorkKey) -> float:
        """How long the key is not looked at again, as a pass over it is so dear; 0 for an ordinary one."""
        return pass_rest(self.gatherer.nics_of(key)).total_seconds()

    def note_refusal(self, key: WorkKey, error: ApiError, *, seconds: float) -> bool:
        """Keep what was refused, so that the next plan can say so in the object's status, and announce it.

        Returns:
            Whether this is news; telling it may be refused as well, and must not go round in circles.
        """
        if isinstance(key, SlotsKey):
            self.slots.note_refusal(error)
            return False
        view = self._view(key)
        if view is None:
            return False
        attempt = self.memory.attempt(key)
        if error.reason == Reason.NAME_TAKEN and isinstance(view, VmView) and view.vmi is not None:
            # The namesake is in the cache by now: its end is heard, a memory of it would outlive it. The next plan
            # tells of it, by its status and an event.
            return True
        # Of the plan, not of the view: the spec may have been corrected while the request was on its way.
        refusal = Refusal(reason=error.reason, message=str(error), requests=attempt.requests)
        is_news = self.memory.refusal(key, generation=attempt.generation) != refusal
        self.memory.refuse(key, refusal, generation=attempt.generation, seconds=seconds)
        if is_news and not attempt.requests:  # these are reported when they end
            self._announce_refusal(view, attempt, error)
        return is_news

    def is_refused(self, key: WorkKey) -> bool:
        """Something that the object needs was refused, and its time to be asked for again has not come."""
        return self.memory.refused_until(key) is not None

    def forget_refusal(self, key: WorkKey) -> None:
        """Ask again now, not when its time has come."""
        self.memory.forget_refusal(key)

    def note_bug(self, key: WorkKey, error: Exception) -> None:
        """Announce a bug of ours on the object that it was met on; the log has the trace."""
        if (view := self._view(key)) is not None:
            text = f"a bug in nicplug: {type(error).__name__}. It is tried again; the operator's log has the trace"
            about = _subject(view)
            announcement = Announcement(about=about, severity=Severity.WARNING, reason="InternalError", message=text)
            self.announcer.announce(view, announcement)

    def _view(self, key: WorkKey) -> View | None:
        match key:
            case VmKey():
                return self.gatherer.vm_view(key)
            case VmiKey():
                return self.gatherer.vmi_view(key)
            case MigrationKey():
                return self.gatherer.migration_view(key)
            case BudgetKey():
                return self.gatherer.budget_view(key)
            case SlotsKey():
                return None

    def _plan(self, view: View) -> Plan:
        now = self.clock()
        match view:
            case VmView():
                return plan_vm(view, now=now)
            case VmiView():
                return plan_vmi(view, now=now)
            case MigrationView():
                return plan_migration(view, now=now)
            case BudgetView():
                return plan_budget(view, now=now)

    async def _carry_out(self, key: WorkKey, view: View, plan: Plan) -> None:
        try:
            for action in plan.actions:
                await self.executor.execute(action, by=key)
                _log_effect(key, action)
        except TurnTaken:
            self.memory.put_off(key)
            raise
        except ApiError as error:
            if isinstance(error, (Denied, Rejected)) and error.reason != Reason.NAME_TAKEN:
                # A reason of the field instead of the HTTP one.
                error.reason = _reason_of(action, view)
            requests = plan.requests if isinstance(action, PatchInterfaces) and _is_final(error) else ""
            self.memory.failed(key, Attempt(generation=_generation(view), what=_describe(action), requests=requests))
            raise
        self.memory.carried_out(key, plan)
        if _has_ended_requests(view, plan):
            self.memory.forget_refusal(key)  # the next request may be the same, and nothing is in its way any more
        for announcement in plan.announcements:
            self.announcer.announce(view, announcement)
        for measure in plan.measures:
            self.on_measure(measure)

    def _announce_refusal(self, view: View, attempt: Attempt, error: ApiError) -> None:
        match error.reason:
            case Reason.FAILED_HAND_OVER:
                text = f"Failed to set MigrationStat in VMI status. :{error}"
            case Reason.FAILED_CHANGE_ABORTION:
                text = f"Failed to abort change for vmi: {_name_of(view)}: {error}"
            case _:
                text = f"Error {attempt.what}: {error}"
        # A pod that cannot be made is the VMI's trouble, whoever wants it: so KubeVirt has it.
        about = Subject.VMI if _is_about_pod(view, error) else _subject(view)
        announcement = Announcement(about=about, severity=Severity.WARNING, reason=error.reason, message=text)
        self.announcer.announce(view, announcement)


def _is_final(error: ApiError) -> bool:
    """Sent again, it would be refused again: by a schema, a policy or a webhook, and not for want of a right."""
    return isinstance(error, Rejected) or (isinstance(error, Denied) and not error.is_missing_right)


def _has_ended_requests(view: View, plan: Plan) -> bool:
    """The requests that were refused have left the list, or the first of them has been tried alone."""
    is_of_requests = view.refusal is not None and bool(view.refusal.requests)
    return is_of_requests and any(isinstance(action, PatchStatus) for action in plan.actions)


def _reason_of(action: Action, view: View) -> Reason:
    match action:
        case Create():
            return Reason.FAILED_CREATE
        case Delete(kind=Kind.MIGRATION) if isinstance(view, VmiView):
            return Reason.FAILED_CHANGE_ABORTION
        case Delete():
            return Reason.FAILED_DELETE
        case ConfirmPod() | FindPod() | PatchLabels(kind=Kind.POD) | PatchPodCondition():
            return Reason.FAILED_POD_PATCH
        case PatchAnnotations() if VM_GENERATION_ANNOTATION in thaw(action.wanted):
            return Reason.FAILED_UPDATE
        case TurnVm() | AdoptVmi() | PatchBudget():
            return Reason.FAILED_UPDATE
        case PatchMigrationState():
            return Reason.FAILED_HAND_OVER if action.step is HandOffStep.HAND_OFF else Reason.FAILED_ABORT
        case _:
            return Reason.HOTPLUG_ERROR


def _describe(action: Action) -> str:
    """As KubeVirt's events put it: "creating pod", "deleting virtual machine instance vmi-fedora"."""
    if isinstance(action, Create) and action.kind is Kind.MIGRATION:
        return "creating a Migration for automated workload update"
    verbs: dict[type[Action], str] = {Create: "creating", Delete: "deleting", ConfirmPod: "reading", FindPod: "reading"}
    name = f" {action.key.name}" if isinstance(action, Delete) else ""
    return f"{verbs.get(type(action), 'patching')} {_NAMES[action.kind]}{name}"


def _is_about_pod(view: View, error: ApiError) -> bool:
    return isinstance(view, MigrationView) and error.reason == Reason.FAILED_CREATE


def _name_of(view: View) -> str:
    match view:
        case VmView():
            return view.vm.key.name
        case VmiView():
            return view.vmi.key.name
        case MigrationView():
            return view.migration.key.name
        case BudgetView():
            return view.vmi.key.name


def _generation(view: View) -> int:
    match view:
        case VmView():
            return view.vm.generation
        case VmiView() | BudgetView():
            return view.vmi.generation
        case MigrationView():
            return MIGRATION_GENERATION


def _subject(view: View) -> Subject:
    match view:
        case VmView():
            return Subject.VM
        case VmiView() | BudgetView():
            return Subject.VMI
        case MigrationView():
            return Subject.MIGRATION


def _log_effect(key: WorkKey, action: Action) -> None:
    """INFO for what changes a VM, DEBUG for what only reports."""
    match action:
        case Create() | Delete():
            log.info(f"{type(action).__name__.lower()}d", kind=action.kind.value, object=str(action.key), key=str(key))
        case PatchNetworksAnnotation():
            log.info("networks annotation patched", vmi=str(key), pod=str(action.key))
        case PatchInterfaces():
            log.info("interfaces patched", kind=action.kind.value, object=str(action.key))
        case PatchSpec():
            log.info("placement patched", vmi=str(key))
        case ConfirmPod():
            log.info("launcher pod looked for", vmi=str(key), pod=str(action.key))
        case PatchLabels(kind=Kind.POD):
            log.info("labels of the launcher pod restored", vmi=str(key), pod=str(action.key))
        case TurnVm():
            log.info("run strategy set to Always as requested", vm=str(action.key))
        case PatchMigrationState():
            log.info(f"migration: {action.step.value}", vmi=str(action.key), migration=str(key))
        case PatchLabels() if NODE_NAME_LABEL in (labels := thaw(action.wanted)):
            log.info("launcher pod ready", vmi=str(key), node=labels[NODE_NAME_LABEL])
        case PatchLabels() | PatchAnnotations():
            names = ", ".join(thaw(action.wanted))
            log.debug("patched", kind=action.kind.value, object=str(action.key), what=type(action).__name__, names=names)
        case _:
            log.debug("patched", kind=action.kind.value, object=str(action.key), what=type(action).__name__)
