"""How long a key waits until it is looked at, or tried again."""

import random
from dataclasses import dataclass, field

from nicplug.cache.caches import Caches
from nicplug.kube.errors import AlreadyExists, ApiError, Denied, Gone, Rejected, Stale, Throttled, Unavailable
from nicplug.model.keys import SLOTS, VmiKey, VmKey, WorkKey
from nicplug.model.requests import MEMBER as INTERFACE_REQUESTS
from nicplug.model.vmi import VmiPhase
from nicplug.plan.reasons import Reason
from nicplug.reconcile.memory import PlanRepeats

# How long a key waits until it is looked at, so that one pass serves events that follow each other closely.
#
# A hot-plug on a running VM is some ten events within a tenth of a second, and each makes VM and VMI look again. What
# people wait for is never delayed: the object itself looks at once when somebody else has changed it, and so does
# what starts, stops or moves a guest. Figures are in docs/performance.md.

# A pass over a neighbour would run in front of the write that matters, and often be repeated a moment later.
NEIGHBOUR_SECONDS = 0.003
# Of a hundred migrations made at once, those that come within so long of each other cost one write of the ledger.
SLOTS_SECONDS = 0.005
# A pass that only confirms what its own write has answered; within this time the node side has mostly answered, too.
ECHO_SECONDS = 0.02
# The VM that repeats in its status what its instance says: one pass for a whole hot-plug.
REPORT_SECONDS = 0.1
# The same while more keys wait than there are workers: the events of one hot-plug come further apart, and a pass that
# finds nothing to do keeps others waiting.
BUSY_ECHO_SECONDS = 0.2
BUSY_REPORT_SECONDS = 1.0
# The VM whose pass has written its instance's spec: the events of the instance, which carries it out, come before.
CARRIED_OUT_SECONDS = 1.0
_REQUESTS = ("stateChangeRequests", INTERFACE_REQUESTS)


def never_busy() -> bool:
    """Be the `is_busy` of those without a queue."""
    return False


def delay_seconds(key: WorkKey, *, of: WorkKey, by: WorkKey | None, caches: Caches, is_busy: bool = False) -> float:
    """How long the key may wait.

    Args:
        of: the key of the object that has changed.
        by: the key whose pass has changed it; None when somebody else has, or a pass has found it changed.
        is_busy: more keys wait than there are workers.
    """
    if key == SLOTS:
        return SLOTS_SECONDS
    is_own, is_neighbour = key == by, key != of
    if isinstance(key, VmKey) and (is_own or is_neighbour) and has_only_to_report(key, caches):
        if is_own and is_neighbour:
            return CARRIED_OUT_SECONDS
        return BUSY_REPORT_SECONDS if is_busy else REPORT_SECONDS
    if isinstance(key, VmiKey) and (is_own or isinstance(of, VmKey)) and is_steady(key, caches):
        return BUSY_ECHO_SECONDS if is_busy else ECHO_SECONDS
    return NEIGHBOUR_SECONDS if is_neighbour else 0.0


def is_steady(key: VmiKey, caches: Caches) -> bool:
    """Its guest runs, and nothing ends or moves it: what there is to do next comes with an event of its own."""
    vmi = caches.vmis.get(key)
    if vmi is None or vmi.deleting or vmi.phase is not VmiPhase.RUNNING:
        return False
    return all(migration.is_final for migration in caches.migrations_of(key))


def has_only_to_report(key: VmKey, caches: Caches) -> bool:
    """It runs as it shall, and says so, and nothing that it was asked for waits for its instance."""
    vm = caches.vms.get(key)
    if vm is None or vm.deleting or not is_steady(VmiKey(key.namespace, key.name), caches):
        return False
    status = vm.read_status()
    return status.get("ready") is True and not any(status.get(member) for member in _REQUESTS)


# When to try again: one error class, one meaning (docs/architecture.md, "Errors").

MAXIMUM_STALE_IN_A_ROW = 5
_STALE_SECONDS = 0.01
_STALE_BASE_SECONDS = 0.05
_UNAVAILABLE_BASE_SECONDS = 0.05
_UNAVAILABLE_CAP_SECONDS = 30.0
_FIRST_DENIED_SECONDS = 0.5
_DENIED_BASE_SECONDS = 5.0
# A person who has granted the right is looking at the screen.
_DENIED_CAP_SECONDS = 30.0
_BUG_BASE_SECONDS = 1.0
# Nobody tells when somebody else's pod of our name is gone.
_NAME_TAKEN_SECONDS = 10.0
RESYNC_SECONDS = 600.0
# Beyond this the cap is reached anyway, and 2**n would overflow a float at n = 1024.
_MAXIMUM_EXPONENT = 30


@dataclass(slots=True)
class RetryPolicy:
    """Counts failures in a row per key and turns the next one into a delay."""

    randomness: random.Random = field(default_factory=random.Random)
    _failures: dict[WorkKey, int] = field(default_factory=dict)
    _denied: set[WorkKey] = field(default_factory=set)
    _told: dict[WorkKey, str] = field(default_factory=dict)

    def succeeded(self, key: WorkKey) -> list[WorkKey]:
        """The key was reconciled: its next failure is a first one.

        Returns:
            Keys that were denied something, when this one was too: the permission may have been given.
        """
        self._failures.pop(key, None)
        self._told.pop(key, None)
        if key not in self._denied:
            return []
        self._denied.discard(key)
        return list(self._denied)

    def delay_seconds(self, key: WorkKey, error: Exception) -> float:
        """How long to wait before the key is looked at again; 0 for at once."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if isinstance(error, Denied):
            self._denied.add(key)
        match error:
            case Throttled() | PlanRepeats():
                return error.after
            case Stale() | AlreadyExists() | Gone():
                # The watch line that made it stale is on its way and brings the key back sooner.
                if failures < MAXIMUM_STALE_IN_A_ROW:
                    return _STALE_SECONDS * 2.0**failures
                return self._backoff(_STALE_BASE_SECONDS, failures)
            case Unavailable():
                return self._backoff(_UNAVAILABLE_BASE_SECONDS, failures)
            case Denied():
                if failures == 0:
                    return _FIRST_DENIED_SECONDS
                limit = min(_DENIED_BASE_SECONDS * 2.0 ** min(failures - 1, _MAXIMUM_EXPONENT), _DENIED_CAP_SECONDS)
                return self.randomness.uniform(limit * 0.8, limit)
            case Rejected(reason=Reason.NAME_TAKEN):
                return _NAME_TAKEN_SECONDS
            case Rejected() | ApiError():
                return RESYNC_SECONDS
            case _:
                return self._backoff(_BUG_BASE_SECONDS, failures)

    def is_worth_telling(self, key: WorkKey, error: Exception) -> bool:
        """The object's status shall say it; asked after `delay_seconds` has counted the error.

        Not the first denial: a kube-apiserver that has just started denies everything until it has read its roles.
        """
        return isinstance(error, Rejected) or (isinstance(error, Denied) and self._failures.get(key, 0) > 1)

    def is_news(self, key: WorkKey, error: Exception) -> bool:
        """A person has not been told yet; from now on he has."""
        is_news = self._told.get(key) != str(error)
        self._told[key] = str(error)
        return is_news

    def _backoff(self, base_seconds: float, failures: int) -> float:
        """Exponential with full jitter, so that a thousand keys do not come back together."""
        limit = min(base_seconds * 2.0 ** min(failures, _MAXIMUM_EXPONENT), _UNAVAILABLE_CAP_SECONDS)
        return self.randomness.uniform(0, limit)
