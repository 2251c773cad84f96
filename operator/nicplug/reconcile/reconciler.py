"""One pass over one key: gather, plan, execute, record."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from nicplug.cache.caches import WorkKey
from nicplug.kube.errors import ApiError, Denied, Rejected
from nicplug.model.keys import VmiKey, VmKey
from nicplug.plan.actions import Action, Create, Delete, Kind, LabelNode, PatchInterfaces, PatchNetworksAnnotation
from nicplug.plan.outcome import Announcement, Completion, Plan, Severity, Subject
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmiView, VmView
from nicplug.plan.vm import plan_vm
from nicplug.plan.vmi import plan_vmi
from nicplug.reconcile.announce import Announcer
from nicplug.reconcile.execute import Executor
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory

log = structlog.get_logger(__name__)

# KubeVirt's reasons for a refused create and a refused spec patch.
_REFUSED_CREATE = Reason.FAILED_CREATE
_REFUSED_PATCH = Reason.HOTPLUG_ERROR


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings one object closer to what its spec says."""

    gatherer: Gatherer
    executor: Executor
    memory: Memory
    announcer: Announcer
    on_completion: Callable[[Completion], None]
    clock: Callable[[], datetime]

    async def reconcile(self, key: WorkKey) -> float | None:
        """Do what is to be done now.

        Returns:
            Seconds after which only time will have changed the answer; None when nothing waits for time.

        Raises:
            ApiError: from the first action that failed; the actions before it have been done.
            PlanRepeats: what is wanted does not come about although every write succeeds.
        """
        view = self._view(key)
        if view is None:
            self.memory.forget(key)
            return None
        plan = self._plan(view)
        self.memory.planned(key, plan)
        if not plan.is_empty:
            log.debug("plan", key=str(key), actions=len(plan.actions), notes=plan.notes)
        await self._carry_out(key, view, plan)
        moments = [moment for moment in (plan.again_at, self.memory.refused_until(key)) if moment is not None]
        return max(0.001, (min(moments) - self.clock()).total_seconds()) if moments else None

    def note_refusal(self, key: WorkKey, error: Denied | Rejected, *, seconds: float) -> bool:
        """Keep what was refused, so that the next plan can say so in the object's status.

        Returns:
            Whether this is news; telling it may be refused as well, and must not go round in circles.
        """
        view = self._view(key)
        if view is None:
            return False
        if error.reason == Reason.NAME_TAKEN and isinstance(view, VmView) and view.vmi is not None:
            return True  # the namesake is in the cache by now: its end is heard, a memory of it would outlive it
        # Of the plan, not of the view: the spec may have been corrected while the request was on its way.
        generation = self.memory.attempted(key, default=_generation(view))
        refusal = Refusal(reason=error.reason or _REFUSED_PATCH, message=str(error))
        is_news = self.memory.refusal(key, generation=generation) != refusal
        self.memory.refuse(key, refusal, generation=generation, seconds=seconds)
        return is_news

    def _view(self, key: WorkKey) -> VmView | VmiView | None:
        return (
            self.gatherer.vm_view(key)
            if isinstance(key, VmKey)
            else self.gatherer.vmi_view(VmiKey(key.namespace, key.name))
        )

    def _plan(self, view: VmView | VmiView) -> Plan:
        now = self.clock()
        return plan_vm(view, now=now) if isinstance(view, VmView) else plan_vmi(view, now=now)

    async def _carry_out(self, key: WorkKey, view: VmView | VmiView, plan: Plan) -> None:
        try:
            for action in plan.actions:
                await self.executor.execute(action)
                _log_effect(key, action)
        except (Denied, Rejected) as error:
            self.memory.failed(key, generation=_generation(view))
            self._announce_refusal(view, action, error)
            raise
        except ApiError:
            self.memory.failed(key, generation=_generation(view))
            raise
        for announcement in plan.announcements:
            self.announcer.announce(view, announcement)
        for completion in plan.completions:
            self.on_completion(completion)

    def _announce_refusal(self, view: VmView | VmiView, action: Action, error: ApiError) -> None:
        """A refused action becomes a reason of the field: FailedCreate for objects, else the hot-plug error."""
        if error.reason != Reason.NAME_TAKEN:
            error.reason = _REFUSED_CREATE if isinstance(action, Create) else _REFUSED_PATCH
        about = Subject.VM if isinstance(view, VmView) else Subject.VMI
        what = {Kind.VM: "virtual machine", Kind.VMI: "virtual machine instance", Kind.POD: "pod"}[action.kind]
        verb = "creating" if isinstance(action, Create) else "deleting" if isinstance(action, Delete) else "patching"
        text = f"Error {verb} {what}: {error}"
        announcement = Announcement(about=about, severity=Severity.WARNING, reason=error.reason, message=text)
        self.announcer.announce(view, announcement)


def _generation(view: VmView | VmiView) -> int:
    return view.vm.generation if isinstance(view, VmView) else view.vmi.generation


def _log_effect(key: WorkKey, action: Action) -> None:
    """INFO for what changes a VM, DEBUG for what only reports."""
    match action:
        case Create() | Delete():
            log.info(f"{type(action).__name__.lower()}d", kind=action.kind.value, object=str(action.key), key=str(key))
        case PatchNetworksAnnotation():
            log.info("networks annotation patched", vmi=str(key), pod=str(action.key))
        case PatchInterfaces():
            log.info("interfaces patched", kind=action.kind.value, object=str(action.key))
        case LabelNode():
            log.info("launcher pod ready", vmi=str(key), node=action.node)
        case _:
            log.debug("patched", kind=action.kind.value, object=str(action.key), what=type(action).__name__)
