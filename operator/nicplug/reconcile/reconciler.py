"""One pass over one key: gather, plan, execute, record; the type of the key selects the steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import structlog

from nicplug.kube.api import KubeApi
from nicplug.kube.errors import ApiError, Denied, Rejected, RejectedForNow
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import BudgetKey, MigrationKey, SlotsKey, VmiKey, VmKey, WorkKey
from nicplug.model.names import VM_GENERATION_ANNOTATION
from nicplug.plan.actions import (
    Action,
    AdoptVmi,
    ConfirmPod,
    Create,
    Delete,
    FindPod,
    HandOffStep,
    Kind,
    PatchAnnotations,
    PatchBudget,
    PatchInterfaces,
    PatchLabels,
    PatchMigrationState,
    PatchPodCondition,
    PatchSpec,
    PatchStatus,
)
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.outcome import Announcement, Measure, Plan, Severity, Subject, pass_rest
from nicplug.plan.reasons import Reason
from nicplug.plan.views import BudgetView, MigrationView, Refusal, VmiView, VmView
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.disruption_budget import plan_budget
from nicplug.plan.vmi.plan_vmi import plan_vmi
from nicplug.reconcile.announce import Announcer, Recorder
from nicplug.reconcile.execute import Executor, OnDirty
from nicplug.reconcile.gather import MIGRATION_GENERATION, Gatherer
from nicplug.reconcile.large_objects import Expander, TurnTaken
from nicplug.reconcile.memory import Attempt
from nicplug.reconcile.slots import SlotKeeper

log = structlog.get_logger(__name__)

View = VmView | VmiView | MigrationView | BudgetView | CompanionView
KeyT = TypeVar("KeyT", bound=VmKey | VmiKey | MigrationKey | BudgetKey)
ViewT = TypeVar("ViewT", bound=View)
AnyKeyT = TypeVar("AnyKeyT", contravariant=True)

CREATING_MIGRATION = "creating a Migration for automated workload update"
"""What an `Attempt` says about a migration, in KubeVirt's words."""
_NAMES = {
    Kind.VM: "virtual machine",
    Kind.VMI: "virtual machine instance",
    Kind.MIGRATION: "migration",
    Kind.POD: "pod",
    Kind.REVISION: "controller revision",
    Kind.BUDGET: "pod disruption budget",
    Kind.REPORT: "interface report",
}


class KeyReconciler(Protocol[AnyKeyT]):
    """Reconciles keys of one type; the methods are those of `Reconciler`."""

    async def reconcile(self, key: AnyKeyT) -> float | None:
        """Do one pass."""
        ...

    def note_refusal(self, key: AnyKeyT, error: ApiError, *, seconds: float) -> bool:
        """Handle a refused request of a pass."""
        ...

    def note_bug(self, key: AnyKeyT, error: Exception) -> None:
        """Handle a pass that failed because of a bug in nicplug."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the reconcilers of all keys share.

    Attributes:
        namespace: the operator's own namespace, which contains the ledger of migration slots.
        on_dirty: called with the keys to reconcile after a response.
    """

    api: KubeApi
    gatherer: Gatherer
    executor: Executor
    announcer: Announcer
    namespace: str
    on_dirty: OnDirty
    on_measure: Callable[[Measure], None]


Reconcilers = Mapping[type[WorkKey], KeyReconciler[Any]]
"""The reconciler of each type of key."""


def standalone_reconcilers(parts: Parts) -> Reconcilers:
    """Return the reconcilers of a nicplug that runs the virtual machines."""
    gatherer = parts.gatherer
    slots = SlotKeeper(
        api=parts.api,
        caches=gatherer.caches,
        gatherer=gatherer,
        namespace=parts.namespace,
        on_dirty=parts.on_dirty,
        clock=gatherer.memory.clock,
    )
    common = (gatherer, parts.executor, parts.announcer, parts.on_measure)
    return {
        VmKey: ObjectReconciler(*common, gatherer.vm_view, plan_vm, Subject.VM, lambda view: view.vm.generation),
        VmiKey: ObjectReconciler(*common, gatherer.vmi_view, plan_vmi, Subject.VMI, _generation_of_vmi),
        MigrationKey: ObjectReconciler(
            *common, slots.view, slots.plan, Subject.MIGRATION, lambda _: MIGRATION_GENERATION
        ),
        BudgetKey: ObjectReconciler(*common, gatherer.budget_view, plan_budget, Subject.VMI, _generation_of_vmi),
        SlotsKey: slots,
    }


class Reconciler:
    """Reconciles keys of every type.

    Args:
        namespace: the operator's own namespace, which contains the ledger of migration slots.
        on_dirty: called with the keys to reconcile after a response.
        expander: sends writes that contain marks; None if there are never any.
        make: returns the reconcilers of this mode.
    """

    def __init__(
        self,
        *,
        api: KubeApi,
        gatherer: Gatherer,
        recorder: Recorder,
        namespace: str,
        on_dirty: OnDirty,
        on_measure: Callable[[Measure], None] = lambda _: None,
        expander: Expander | None = None,
        make: Callable[[Parts], Reconcilers] = standalone_reconcilers,
    ) -> None:
        self.gatherer, self._memory = gatherer, gatherer.memory
        self.executor = Executor(api, gatherer.caches, on_dirty, expander)
        self._by_type = make(
            Parts(
                api=api,
                gatherer=gatherer,
                executor=self.executor,
                announcer=Announcer(recorder),
                namespace=namespace,
                on_dirty=on_dirty,
                on_measure=on_measure,
            )
        )

    async def reconcile(self, key: WorkKey) -> float | None:
        """Do one pass over the key.

        Returns:
            Seconds until the passage of time alone changes the result; None if nothing waits for time.

        Raises:
            ApiError: from the first action that failed; the actions before it have been done.
            TurnTaken: the next action is large and must wait; the key is handed out again when its turn comes.
            PlanRepeats: every write succeeds, but the desired state does not last.
        """
        return await self._by_type[type(key)].reconcile(key)

    def note_refusal(self, key: WorkKey, error: ApiError, *, seconds: float) -> bool:
        """Keep a refusal, so that the next plan can show it in the object's status, and announce it.

        Returns:
            Whether it is new: writing the status may be refused as well, which must not cause a loop.
        """
        return self._by_type[type(key)].note_refusal(key, error, seconds=seconds)

    def note_bug(self, key: WorkKey, error: Exception) -> None:
        """Announce a bug in nicplug on the object whose pass failed; the log contains the trace."""
        self._by_type[type(key)].note_bug(key, error)

    def rest_seconds(self, key: WorkKey) -> float:
        """Return how long the key rests after a pass, which depends on its cost; 0 for an ordinary one."""
        return pass_rest(self.gatherer.nics_of(key)).total_seconds()

    def is_refused(self, key: WorkKey) -> bool:
        """Report whether a request for the object was refused and its retry time has not come."""
        return self._memory.refused_until(key) is not None

    def forget_refusal(self, key: WorkKey) -> None:
        """Retry a refused request at the next pass, not at its retry time."""
        self._memory.forget_refusal(key)


@dataclass(frozen=True, slots=True)
class ObjectReconciler(Generic[KeyT, ViewT]):
    """Reconciles one object with its spec.

    Attributes:
        view: returns what is known about the object; None if it is deleted.
        plan: the planner, from a view and the time.
        subject: which object its Events are about.
        generation: returns the generation of the spec; a refusal applies until it changes.
    """

    gatherer: Gatherer
    executor: Executor
    announcer: Announcer
    on_measure: Callable[[Measure], None]
    view: Callable[[KeyT], ViewT | None]
    plan: Callable[..., Plan]
    subject: Subject
    generation: Callable[[ViewT], int]

    async def reconcile(self, key: KeyT) -> float | None:
        """Do one pass."""
        memory = self.gatherer.memory
        view, clock = self.view(key), memory.clock
        if view is None:
            memory.forget(key)
            return None
        owed_at = memory.owed_at(key)
        if owed_at is not None and owed_at > clock():
            return (owed_at - clock()).total_seconds()  # a new plan would repeat the pending writes
        now = clock()
        plan = memory.take_owed(key) or self.plan(view, now=now)
        memory.planned(key, plan, now=now)
        if not plan.is_empty:
            log.debug("plan", key=str(key), actions=len(plan.actions), notes=plan.notes)
        await self._carry_out(key, view, plan)
        again = (plan.again_at, memory.refused_until(key), memory.owed_at(key), owed_at)
        moments = [moment for moment in again if moment is not None]
        return max(0.001, (min(moments) - clock()).total_seconds()) if moments else None

    def note_refusal(self, key: KeyT, error: ApiError, *, seconds: float) -> bool:
        """Keep a refusal, and announce it."""
        view, memory = self.view(key), self.gatherer.memory
        if view is None:
            return False
        attempt = memory.attempt(key)
        if error.reason == Reason.NAME_TAKEN and isinstance(view, VmView) and view.vmi is not None:
            # The namesake is cached in the meantime, so its deletion causes an event; a remembered refusal would
            # outlast it. The next plan reports it, in the status and by an Event.
            return True
        # Uses the plan's generation, not the view's: the spec may have been corrected while the request was in flight.
        remedy = error.remedy if isinstance(error, RejectedForNow) else ""
        refusal = Refusal(reason=error.reason, message=str(error), remedy=remedy, requests=attempt.requests)
        is_news = memory.refusal(key, generation=attempt.generation) != refusal
        memory.refuse(key, refusal, generation=attempt.generation, seconds=seconds)
        is_announced = memory.announces(key, refusal, generation=attempt.generation)
        if is_announced and not attempt.requests:  # these are reported when they end
            # As in KubeVirt, a pod that cannot be created is reported on the VMI, whichever object needs the pod.
            is_about_pod = isinstance(view, MigrationView) and error.reason == Reason.FAILED_CREATE
            about = Subject.VMI if is_about_pod else self.subject
            self._warn(view, about=about, reason=error.reason, message=_text_of_refusal(error, attempt, name=key.name))
        return is_news

    def note_bug(self, key: KeyT, error: Exception) -> None:
        """Announce a bug in nicplug."""
        if (view := self.view(key)) is not None:
            text = f"a bug in nicplug: {type(error).__name__}. It is tried again; the operator's log has the trace"
            self._warn(view, about=self.subject, reason="InternalError", message=text)

    def _warn(self, view: ViewT, *, about: Subject, reason: str, message: str) -> None:
        announcement = Announcement(about=about, severity=Severity.WARNING, reason=reason, message=message)
        self.announcer.announce(view, announcement)

    async def _carry_out(self, key: KeyT, view: ViewT, plan: Plan) -> None:
        memory = self.gatherer.memory
        try:
            for action in plan.actions:
                await self.executor.execute(action, by=key)
        except TurnTaken:
            memory.put_off(key)
            raise
        except ApiError as error:
            if isinstance(error, (Denied, Rejected)) and error.reason != Reason.NAME_TAKEN:
                # A domain reason instead of the HTTP reason.
                error.reason = _reason_of(action, by=key)
            requests = plan.requests if isinstance(action, PatchInterfaces) and _is_final(error) else ""
            attempt = Attempt(generation=self.generation(view), what=_describe(action), requests=requests)
            memory.failed(key, attempt)
            raise
        memory.carried_out(key, plan)
        if _has_ended_requests(view, plan):
            memory.forget_refusal(key)  # the next request may be identical, and nothing blocks it any more
        for announcement in plan.announcements:
            self.announcer.announce(view, announcement)
        for measure in plan.measures:
            self.on_measure(measure)


def _generation_of_vmi(view: VmiView | BudgetView) -> int:
    return view.vmi.generation


def _is_final(error: ApiError) -> bool:
    """Report whether a retry would fail again: because of a schema, a policy or a webhook, not a missing permission."""
    return isinstance(error, Rejected) or (isinstance(error, Denied) and not error.is_missing_right)


def _has_ended_requests(view: View, plan: Plan) -> bool:
    """Report whether the plan removes refused requests from the list, or has retried the first of them alone."""
    is_of_requests = view.refusal is not None and bool(view.refusal.requests)
    return is_of_requests and any(isinstance(action, PatchStatus) for action in plan.actions)


def _text_of_refusal(error: ApiError, attempt: Attempt, *, name: str) -> str:
    match error.reason:
        case Reason.FAILED_HAND_OVER:
            return f"Failed to set MigrationStat in VMI status. :{error}"
        case Reason.FAILED_CHANGE_ABORTION:
            return f"Failed to abort change for vmi: {name}: {error}"
        case _:
            return f"Error {attempt.what}: {error}"


def _reason_of(action: Action, *, by: WorkKey) -> Reason:
    match action:
        case Create():
            return Reason.FAILED_CREATE
        case Delete(kind=Kind.MIGRATION) if isinstance(by, VmiKey):
            return Reason.FAILED_CHANGE_ABORTION
        case Delete():
            return Reason.FAILED_DELETE
        case ConfirmPod() | FindPod() | PatchLabels(kind=Kind.POD) | PatchPodCondition():
            return Reason.FAILED_POD_PATCH
        case PatchAnnotations() if VM_GENERATION_ANNOTATION in thaw(action.wanted):
            return Reason.FAILED_UPDATE
        case PatchSpec(kind=Kind.VM) | AdoptVmi() | PatchBudget():
            return Reason.FAILED_UPDATE
        case PatchMigrationState():
            return Reason.FAILED_HAND_OVER if action.step is HandOffStep.HAND_OFF else Reason.FAILED_ABORT
        case _:
            return Reason.HOTPLUG_ERROR


def _describe(action: Action) -> str:
    """Describe an action as KubeVirt's Events do: "creating pod", "deleting virtual machine instance vmi-fedora"."""
    if isinstance(action, Create) and action.kind is Kind.MIGRATION:
        return CREATING_MIGRATION
    verbs: dict[type[Action], str] = {Create: "creating", Delete: "deleting", ConfirmPod: "reading", FindPod: "reading"}
    name = f" {action.key.name}" if isinstance(action, Delete) else ""
    return f"{verbs.get(type(action), 'patching')} {_NAMES[action.kind]}{name}"
