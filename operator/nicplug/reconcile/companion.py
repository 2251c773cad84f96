"""One pass beside KubeVirt: gathers what virt-controller sees, plans, executes, and shares the migration slots."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from nicplug.kube.errors import ApiError, Denied, Stale
from nicplug.model.frozen_json import freeze, read_object
from nicplug.model.interface_report import InterfaceReport
from nicplug.model.keys import ReportKey, VmiKey, VmKey, WorkKey
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Create, Kind
from nicplug.plan.companion.plan_companion import decide_companion
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.outcome import Plan, Subject
from nicplug.plan.views import VmiView
from nicplug.reconcile.companion_slots import CompanionSlots
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.guest_view import guest_view
from nicplug.reconcile.reconciler import ObjectReconciler, Parts, Reconcilers

log = structlog.get_logger(__name__)

# What virt-api's webhook says while a migration exists that is not cached here yet, or is cached there still. Source:
# KubeVirt 1.9 `pkg/virt-api/webhooks/validating-webhook/admitters/migration-create-admitter.go`.
_IN_FLIGHT = "in-flight migration detected"
# As `reconciler` describes the only write of a pod.
_NUDGING = "patching pod"
_NUDGE_DENIED = timedelta(minutes=10)
_NUDGE_REMEDY = (
    "Grant it (docs/beside-kubevirt.md, The nudge), or set spec.companion.nudge of the HotplugPolicy to false"
)


def companion_keys(keys: Iterable[WorkKey]) -> list[WorkKey]:
    """Return the keys that a companion reconciles: VM, VMI and report of one name share one."""
    found = (VmiKey(key.namespace, key.name) if isinstance(key, VmKey) else key for key in keys)
    return list(dict.fromkeys(key for key in found if isinstance(key, VmiKey)))


@dataclass(slots=True)
class CompanionGatherer:
    """Builds the view of a VM from the caches of a companion.

    Attributes:
        allowed_version: the newer minor version of KubeVirt beside which nicplug may act; "" for none.
        ignores_methods: returns whether nicplug may migrate although KubeVirt's CR does not list LiveMigrate.
        may_nudge: returns whether nicplug may write a pod's networks annotation once more.
        nudge_denied_until: until when the permission for that is known to be missing; None if it is not.
    """

    gatherer: Gatherer
    slots: CompanionSlots
    allowed_version: str = ""
    ignores_methods: Callable[[], bool] = lambda: False
    may_nudge: Callable[[], bool] = lambda: False
    nudge_denied_until: datetime | None = None
    _merged: dict[VmiKey, tuple[VirtualMachineInstance, InterfaceReport | None, VirtualMachineInstance]] = field(
        default_factory=dict
    )

    def view(self, key: VmiKey) -> CompanionView | None:
        """Return the view; None if neither VM nor VMI exists, whose report Kubernetes then removes."""
        caches, memory = self.gatherer.caches, self.gatherer.memory
        vm, vmi = caches.vms.get(VmKey(key.namespace, key.name)), caches.vmis.get(key)
        if vm is None and vmi is None:
            self._merged.pop(key, None)
            self.slots.wait(key, since=None)
            return None
        guest = self._guest(vmi) if vmi is not None else None
        if vm is not None and guest is not None and guest.vm is None:
            guest = None  # a VMI of another owner: the VM waits for its name
        generation = guest.vmi.generation if guest is not None else vm.generation if vm is not None else 0
        return CompanionView(
            key=key,
            guest=guest,
            vm=vm,
            report=caches.reports.get(ReportKey(key.namespace, key.name)),
            interfaces_hash=caches.digest_of(guest.vmi) if guest is not None else "",
            slot=self.slots.share_of(key),
            may_nudge=self._may_nudge(),
            refusal=memory.refusal(key, generation=generation),
            report_pending_since=memory.pending_since(key),
        )

    def _may_nudge(self) -> bool:
        denied = self.nudge_denied_until
        return self.may_nudge() and (denied is None or self.gatherer.memory.clock() >= denied)

    def deny_nudge(self) -> None:
        """Give no nudge for a while: the permission to patch pods is missing."""
        if self._may_nudge():
            log.warning("cannot nudge: the permission to patch pods is missing", remedy=_NUDGE_REMEDY)
        self.nudge_denied_until = self.gatherer.memory.clock() + _NUDGE_DENIED

    def _guest(self, vmi: VirtualMachineInstance) -> VmiView:
        return guest_view(
            self.gatherer,
            self._with_records(vmi),
            allowed_version=self.allowed_version,
            ignores_methods=self.ignores_methods(),
        )

    def _with_records(self, vmi: VirtualMachineInstance) -> VirtualMachineInstance:
        """Return the VMI as if its status had the records of its report, and the pods that KubeVirt counts."""
        caches = self.gatherer.caches
        report = caches.reports.get(ReportKey(vmi.key.namespace, vmi.key.name))
        known = self._merged.get(vmi.key)
        if known is None or known[0] is not vmi or known[1] is not report:
            known = (vmi, report, _merge(vmi, report, digest=caches.digest_of(vmi)))
            self._merged[vmi.key] = known
        return known[2]


def _merge(vmi: VirtualMachineInstance, report: InterfaceReport | None, *, digest: str) -> VirtualMachineInstance:
    if report is None or report.vmi_uid != vmi.uid:
        return replace(vmi, generation=1)
    known = report.status.members
    members = {name: known[name] for name in ("interfaceOperations", "pciBudget") if name in known}
    generation = report.generation_of(vmi_uid=vmi.uid, digest=digest)
    return replace(vmi, generation=generation, status_text=freeze({**read_object(vmi.status_text), **members}))


@dataclass(frozen=True, slots=True)
class CompanionReconciler:
    """Reconciles the NICs of one VM; the slots that its pass takes are counted until its migration is cached."""

    gatherer: CompanionGatherer
    slots: CompanionSlots
    inner: ObjectReconciler[VmiKey, CompanionView]

    async def reconcile(self, key: VmiKey) -> float | None:
        """Do one pass."""
        try:
            return await self.inner.reconcile(key)
        except Exception as error:
            # It joins the queue again with the next pass; until then others go before it.
            self.slots.wait(key, since=None)
            if isinstance(error, ApiError) and _IN_FLIGHT in str(error):
                # No event may follow: virt-api learns of the end of a migration later than nicplug.
                raise Stale(str(error), status=error.status, request=error.request) from error
            raise
        finally:
            self.slots.release(key)
            self.slots.offer()

    def note_refusal(self, key: VmiKey, error: ApiError, *, seconds: float) -> bool:
        """Keep a refusal, but not of a nudge: nothing else depends on it."""
        if isinstance(error, Denied) and self.inner.gatherer.memory.attempt(key).what == _NUDGING:
            self.gatherer.deny_nudge()
            return False
        return self.inner.note_refusal(key, error, seconds=seconds)

    def note_bug(self, key: VmiKey, error: Exception) -> None:
        """Announce a bug in nicplug."""
        self.inner.note_bug(key, error)


@dataclass(frozen=True, slots=True)
class SlotPlanner:
    """Plans, and takes the slot of a planned migration before any other pass can."""

    slots: CompanionSlots

    def __call__(self, view: CompanionView, /, *, now: datetime) -> Plan:
        """Return the plan for a view."""
        decision = decide_companion(view, now=now)
        self.slots.wait(view.key, since=decision.waits_for_slot_since)
        if any(isinstance(item, Create) and item.kind is Kind.MIGRATION for item in decision.plan.actions):
            self.slots.take(view.key)
        return decision.plan


def companion_reconcilers(
    parts: Parts,
    *,
    wake: Callable[[VmiKey], None],
    allowed_version: str = "",
    ignores_methods: Callable[[], bool] = lambda: False,
    may_nudge: Callable[[], bool] = lambda: False,
) -> Reconcilers:
    """Return the reconcilers of a companion.

    Args:
        wake: called with each VMI that may have a migration slot now.
        allowed_version: the newer minor version of KubeVirt beside which nicplug may act; "" for none.
        ignores_methods: returns whether nicplug may migrate although KubeVirt's CR does not list LiveMigrate.
        may_nudge: returns whether nicplug may write a pod's networks annotation once more.
    """
    slots = CompanionSlots(parts.gatherer.caches, wake)
    gatherer = CompanionGatherer(parts.gatherer, slots, allowed_version, ignores_methods, may_nudge)
    inner = ObjectReconciler(
        parts.gatherer,
        parts.executor,
        parts.announcer,
        parts.on_measure,
        gatherer.view,
        SlotPlanner(slots),
        Subject.VMI,
        _generation,
    )
    return {VmiKey: CompanionReconciler(gatherer, slots, inner)}


def _generation(view: CompanionView) -> int:
    if view.guest is not None:
        return view.guest.vmi.generation
    return view.vm.generation if view.vm is not None else 0
