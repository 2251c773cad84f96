"""Decides how long a key waits before it is reconciled or retried."""

import random
from dataclasses import dataclass, field

from nicplug.cache.caches import Caches
from nicplug.kube.errors import (
    AlreadyExists,
    ApiError,
    Denied,
    Gone,
    Rejected,
    RejectedForNow,
    Stale,
    Throttled,
    Unavailable,
)
from nicplug.model.keys import SLOTS, VmiKey, VmKey, WorkKey
from nicplug.model.requests import MEMBER as INTERFACE_REQUESTS
from nicplug.model.vmi import VmiPhase
from nicplug.plan.reasons import Reason
from nicplug.reconcile.memory import PlanRepeats

# Delays before a pass, so that one pass serves events in quick succession.
#
# A hot-plug on a running VM causes some ten events within a tenth of a second, each of which affects VM and VMI. What
# users wait for is never delayed: an object that another client has changed is reconciled at once, and so is
# everything that starts, stops or migrates a guest. Figures are in docs/performance.md.

# A pass over a neighbour would precede the write that matters, and often be repeated a moment later.
NEIGHBOUR_SECONDS = 0.003
# Of a hundred migrations created at once, those within this time of each other share one write of the ledger.
SLOTS_SECONDS = 0.005
# A pass that only confirms the answer to its own write; within this time the node side has usually answered too.
ECHO_SECONDS = 0.02
# A VM whose status only repeats what its instance reports: one pass for a whole hot-plug.
REPORT_SECONDS = 0.1
# As above, while more keys wait than there are workers: the events of one hot-plug are then further apart, and a pass
# that finds nothing to do delays other keys.
BUSY_ECHO_SECONDS = 0.2
BUSY_REPORT_SECONDS = 1.0
# A VM whose pass has written its instance's spec: the instance's events arrive earlier, as it carries out the change.
CARRIED_OUT_SECONDS = 1.0
_REQUESTS = ("stateChangeRequests", INTERFACE_REQUESTS)


def delay_seconds(key: WorkKey, *, of: WorkKey, by: WorkKey | None, caches: Caches, is_busy: bool = False) -> float:
    """Return how long the key may wait, in seconds.

    Args:
        of: the key of the changed object.
        by: the key whose pass changed it; None if another client did, or if a pass found it changed.
        is_busy: more keys wait than there are workers.
    """
    if key == SLOTS:
        return SLOTS_SECONDS
    is_own, is_neighbour = key == by, key != of
    if isinstance(key, VmKey) and (is_own or is_neighbour) and _has_only_to_report(key, caches):
        if is_own and is_neighbour:
            return CARRIED_OUT_SECONDS
        return BUSY_REPORT_SECONDS if is_busy else REPORT_SECONDS
    if isinstance(key, VmiKey) and (is_own or isinstance(of, VmKey)) and _is_steady(key, caches):
        return BUSY_ECHO_SECONDS if is_busy else ECHO_SECONDS
    return NEIGHBOUR_SECONDS if is_neighbour else 0.0


def _is_steady(key: VmiKey, caches: Caches) -> bool:
    """Report whether the guest runs and nothing stops or migrates it: any further work is triggered by an event."""
    vmi = caches.vmis.get(key)
    if vmi is None or vmi.deleting or vmi.phase is not VmiPhase.RUNNING:
        return False
    return all(migration.is_final for migration in caches.migrations_of(key))


def _has_only_to_report(key: VmKey, caches: Caches) -> bool:
    """Report whether the VM runs and reports so, and none of its requests waits for its instance."""
    vm = caches.vms.get(key)
    if vm is None or vm.deleting or not _is_steady(VmiKey(key.namespace, key.name), caches):
        return False
    status = vm.status.members
    return status.get("ready") is True and not any(status.get(member) for member in _REQUESTS)


# When to retry: one error class, one meaning (docs/architecture.md, "Errors").

MAXIMUM_STALE_IN_A_ROW = 5
_STALE_SECONDS = 0.01
_STALE_BASE_SECONDS = 0.05
_UNAVAILABLE_BASE_SECONDS = 0.05
_UNAVAILABLE_CAP_SECONDS = 30.0
_FIRST_DENIED_SECONDS = 0.5
_DENIED_BASE_SECONDS = 5.0
# A user who has just granted the permission is watching.
_DENIED_CAP_SECONDS = 30.0
_BUG_BASE_SECONDS = 1.0
# No event reports the deletion of a foreign pod with our name.
_NAME_TAKEN_SECONDS = 10.0
RESYNC_SECONDS = 600.0
# Beyond this the cap is reached anyway, and 2**n would overflow a float at n = 1024.
_MAXIMUM_EXPONENT = 30


@dataclass(slots=True)
class RetryPolicy:
    """Counts consecutive failures per key and computes the delay before the next attempt."""

    randomness: random.Random = field(default_factory=random.Random)
    _failures: dict[WorkKey, int] = field(default_factory=dict)
    _denied: set[WorkKey] = field(default_factory=set)
    _reported: dict[WorkKey, str] = field(default_factory=dict)

    def succeeded(self, key: WorkKey) -> list[WorkKey]:
        """Reset the failures of a reconciled key.

        Returns:
            All other denied keys if this one had been denied too: the permission may have been granted.
        """
        self._failures.pop(key, None)
        self._reported.pop(key, None)
        if key not in self._denied:
            return []
        self._denied.discard(key)
        return list(self._denied)

    def delay_seconds(self, key: WorkKey, error: Exception) -> float:
        """Count a failure; returns the seconds until the key is reconciled again, 0 for immediately."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if isinstance(error, Denied):
            self._denied.add(key)
        match error:
            case Throttled() | PlanRepeats():
                return error.after
            case Stale() | AlreadyExists() | Gone():
                # The watch event that made it stale is on its way and triggers a pass sooner.
                if failures < MAXIMUM_STALE_IN_A_ROW:
                    return _STALE_SECONDS * 2.0**failures
                return self._backoff(_STALE_BASE_SECONDS, failures)
            case Unavailable():
                return self._backoff(_UNAVAILABLE_BASE_SECONDS, failures)
            case Denied() | RejectedForNow():
                return self._after_refusal(error, failures)
            case Rejected(reason=Reason.NAME_TAKEN):
                return _NAME_TAKEN_SECONDS
            case Rejected() | ApiError():
                return RESYNC_SECONDS
            case _:
                return self._backoff(_BUG_BASE_SECONDS, failures)

    def must_be_reported(self, key: WorkKey, error: Exception) -> bool:
        """Report whether the object's status must show the error; call it after `delay_seconds` has counted the error.

        Excludes the first denial: a kube-apiserver that has just started denies everything until it has read its roles.
        """
        return isinstance(error, Rejected) or (isinstance(error, Denied) and self._failures.get(key, 0) > 1)

    def is_news(self, key: WorkKey, error: Exception) -> bool:
        """Report whether this error is new for the key, and remember it."""
        is_news = self._reported.get(key) != str(error)
        self._reported[key] = str(error)
        return is_news

    def _after_refusal(self, error: Denied | RejectedForNow, failures: int) -> float:
        """Return a delay with little jitter: the refusal must be in the status before the next attempt."""
        limit = _limit(_UNAVAILABLE_BASE_SECONDS, failures)
        if isinstance(error, Denied):
            if failures == 0:
                return _FIRST_DENIED_SECONDS
            limit = min(_DENIED_BASE_SECONDS * 2.0 ** min(failures - 1, _MAXIMUM_EXPONENT), _DENIED_CAP_SECONDS)
        return self.randomness.uniform(limit * 0.8, limit)

    def _backoff(self, base_seconds: float, failures: int) -> float:
        """Return an exponential delay with full jitter, so that a thousand keys do not retry at the same time."""
        return self.randomness.uniform(0, _limit(base_seconds, failures))


def _limit(base_seconds: float, failures: int) -> float:
    return min(base_seconds * 2.0 ** min(failures, _MAXIMUM_EXPONENT), _UNAVAILABLE_CAP_SECONDS)
