"""One pass beside KubeVirt: plans, executes, and shares the migration slots."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from nicplug.kube.errors import ApiError, Denied, RejectedForNow, Stale, Unavailable
from nicplug.model.keys import VmiKey, VmKey, WorkKey
from nicplug.plan.actions import Create, Kind
from nicplug.plan.companion.plan_companion import decide_companion
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.outcome import Plan, Subject
from nicplug.plan.reasons import Reason
from nicplug.reconcile.companion_gather import CompanionGatherer
from nicplug.reconcile.companion_slots import CompanionSlots
from nicplug.reconcile.reconciler import CREATING_MIGRATION, ObjectReconciler, Parts, Reconcilers

# What virt-api's webhook says while a migration exists that is not cached here yet, or is cached there still. Source:
# KubeVirt 1.9 `pkg/virt-api/webhooks/validating-webhook/admitters/migration-create-admitter.go`.
_IN_FLIGHT = "in-flight migration detected"
# Such refusals pass within moments, unless something is wrong. Reported from this one in a row on.
_REPORTED_FROM = 6
_WEBHOOK_DOWN = re.compile(r'failed calling webhook "([^"]{1,253})"')
# As `reconciler` describes the only write of a pod.
_NUDGING = "patching pod"


def companion_keys(keys: Iterable[WorkKey]) -> list[WorkKey]:
    """Return the keys that a companion reconciles: VM, VMI and report of one name share one."""
    found = (VmiKey(key.namespace, key.name) if isinstance(key, VmKey) else key for key in keys)
    return list(dict.fromkeys(key for key in found if isinstance(key, VmiKey)))


@dataclass(frozen=True, slots=True)
class CompanionReconciler:
    """Reconciles the NICs of one VM; the slots that its pass takes are counted until its migration is cached."""

    gatherer: CompanionGatherer
    slots: CompanionSlots
    inner: ObjectReconciler[VmiKey, CompanionView]
    _in_a_row: dict[VmiKey, int] = field(default_factory=dict)

    async def reconcile(self, key: VmiKey) -> float | None:
        """Do one pass."""
        memory = self.inner.gatherer.memory
        try:
            again = await self.inner.reconcile(key)
            if memory.refused_until(key) is None:
                self._in_a_row.pop(key, None)
            return again
        except Exception as error:
            # It joins the queue again with the next pass; until then others go before it.
            self.slots.wait(key, since=None)
            if isinstance(error, ApiError) and memory.attempt(key).what == CREATING_MIGRATION:
                raise self._translated(key, error) from error
            raise
        finally:
            self.slots.release(key)
            self.slots.offer()

    def _translated(self, key: VmiKey, error: ApiError) -> ApiError:
        """Return the error of a creation that virt-api keeps from being made, by what it means; else the error."""
        found = _passing_refusal(error)
        if found is None:
            return error
        count = self._in_a_row[key] = self._in_a_row.get(key, 0) + 1
        if count >= _REPORTED_FROM:
            return found
        # No event may follow: virt-api learns of the end of a migration later than nicplug.
        return Stale(str(error), status=error.status, request=error.request) if error.status < 500 else error

    def note_refusal(self, key: VmiKey, error: ApiError, *, seconds: float) -> bool:
        """Keep a refusal, but not of a nudge: nothing else depends on it."""
        if isinstance(error, Denied) and self.inner.gatherer.memory.attempt(key).what == _NUDGING:
            self.gatherer.deny_nudge()
            return False
        return self.inner.note_refusal(key, error, seconds=seconds)

    def note_bug(self, key: VmiKey, error: Exception) -> None:
        """Announce a bug in nicplug."""
        self.inner.note_bug(key, error)


def _passing_refusal(error: ApiError) -> RejectedForNow | None:
    """Return the refusal to report if the error persists; None if it does not pass without a change."""
    if _IN_FLIGHT in str(error):
        return RejectedForNow(
            str(error),
            remedy="Wait for the migration that the message names, or delete it",
            status=error.status,
            reason=Reason.MIGRATION_IN_FLIGHT,
            request=error.request,
        )
    webhook = _WEBHOOK_DOWN.search(str(error))
    if webhook is None or not isinstance(error, Unavailable):
        return None
    # Without the rest, which differs from attempt to attempt: an address, a time-out.
    return RejectedForNow(
        f'the webhook "{webhook[1]}", which has to admit the migration, cannot be called',
        remedy="See whether virt-api runs: kubectl get pods -A -l kubevirt.io=virt-api",
        status=error.status,
        reason=Reason.WEBHOOK_UNAVAILABLE,
        request=error.request,
    )


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
) -> Reconcilers:
    """Return the reconcilers of a companion.

    Args:
        wake: called with each VMI that may have a migration slot now.
        allowed_version: the newer minor version of KubeVirt beside which nicplug may act; "" for none.
    """
    slots = CompanionSlots(parts.gatherer.caches, wake, parts.gatherer.memory.clock)
    gatherer = CompanionGatherer(parts.gatherer, slots, allowed_version)
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
