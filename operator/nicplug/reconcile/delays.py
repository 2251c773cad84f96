"""How long a key waits until it is looked at, so that one pass serves events that follow each other closely.

A hot-plug on a running VM is some ten events within a tenth of a second, and each makes VM and VMI look again. What
people wait for is never delayed: the object itself looks at once when somebody else has changed it, and so does what
starts, stops or moves a guest. Figures are in docs/performance.md.
"""

from nicplug.cache.caches import Caches
from nicplug.model.interface_requests import MEMBER as INTERFACE_REQUESTS
from nicplug.model.keys import SLOTS, VmiKey, VmKey, WorkKey
from nicplug.model.vmi import VmiPhase

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
    if isinstance(key, VmKey) and (is_own or is_neighbour) and _has_only_to_report(key, caches):
        if is_own and is_neighbour:
            return CARRIED_OUT_SECONDS
        return BUSY_REPORT_SECONDS if is_busy else REPORT_SECONDS
    if isinstance(key, VmiKey) and (is_own or isinstance(of, VmKey)) and _is_steady(key, caches):
        return BUSY_ECHO_SECONDS if is_busy else ECHO_SECONDS
    return NEIGHBOUR_SECONDS if is_neighbour else 0.0


def _is_steady(key: VmiKey, caches: Caches) -> bool:
    """Its guest runs, and nothing ends or moves it: what there is to do next comes with an event of its own."""
    vmi = caches.vmis.get(key)
    if vmi is None or vmi.deleting or vmi.phase is not VmiPhase.RUNNING:
        return False
    return all(migration.is_final for migration in caches.migrations_of(key))


def _has_only_to_report(key: VmKey, caches: Caches) -> bool:
    """It runs as it shall, and says so, and nothing that it was asked for waits for its instance."""
    vm = caches.vms.get(key)
    if vm is None or vm.deleting or not _is_steady(VmiKey(key.namespace, key.name), caches):
        return False
    status = vm.read_status()
    return status.get("ready") is True and not any(status.get(member) for member in _REQUESTS)
