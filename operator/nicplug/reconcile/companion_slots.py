"""The migrations that KubeVirt runs at a time, shared among the VMIs whose NICs need one.

A migration that waits in KubeVirt's queue blocks the evacuation of its VMI, so none is created before it has a slot.
As in KubeVirt, all migrations count that have a target pod, regardless of who created them; so do nicplug's own that
are about to get one (`pending`). Only the leader creates any, so the shares are kept in memory.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nicplug.cache.caches import Caches
from nicplug.model.keys import VmiKey
from nicplug.model.migration_configuration import CLUSTER_LIMIT, OUTBOUND_LIMIT
from nicplug.plan.companion.pending import slot_lapses_at, takes_slot
from nicplug.plan.companion.view import SlotShare

# Since when a VMI waits that does not wait yet.
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class CompanionSlots:
    """The slots, and who waits for one.

    Attributes:
        wake: called with each VMI that may have a slot now.
        clock: current time, UTC.
    """

    caches: Caches
    wake: Callable[[VmiKey], None]
    clock: Callable[[], datetime]
    _taken: set[VmiKey] = field(default_factory=set)
    _waiting: dict[VmiKey, datetime] = field(default_factory=dict)

    def share_of(self, key: VmiKey) -> SlotShare:
        """Return whether a migration of this VMI may be created now."""
        if not (blocked_by := self._obstacle(key)):
            return SlotShare()
        return SlotShare(is_free=False, blocked_by=blocked_by, again_at=self._lapses_at())

    def _obstacle(self, key: VmiKey) -> str:
        in_cluster, by_node = self._used()
        limits, node = self.caches.limits(), self._node_of(key)
        if in_cluster >= limits.per_cluster:
            return f"{CLUSTER_LIMIT} is {limits.per_cluster}"
        if by_node[node] >= limits.outbound_per_node:
            return f"{OUTBOUND_LIMIT} of {node} is {limits.outbound_per_node}"
        since = self._waiting.get(key, _LAST)
        return "" if key in self._granted({**self._waiting, key: since}) else "others wait before this VM"

    def _lapses_at(self) -> datetime | None:
        """Return when the first pending migration stops counting: no event tells."""
        now = self.clock()
        counted = (item for item in self.caches.unfinished_migrations() if takes_slot(item, now=now))
        return min((at for item in counted if (at := slot_lapses_at(item)) is not None), default=None)

    def take(self, key: VmiKey) -> None:
        """Take a slot for a migration whose creation is being sent."""
        self._waiting.pop(key, None)
        self._taken.add(key)

    def release(self, key: VmiKey) -> None:
        """Return the slot of a pass that has ended: its migration is cached, or was not created."""
        self._taken.discard(key)

    def wait(self, key: VmiKey, *, since: datetime | None) -> None:
        """Add a VMI to the queue, or remove it.

        Args:
            since: since when it waits; None if it does not.
        """
        if since is None:
            self._waiting.pop(key, None)
        else:
            self._waiting[key] = since

    def offer(self) -> None:
        """Wake the VMIs that have a slot now."""
        for key in self._granted(self._waiting):
            self.wake(key)

    def _used(self) -> tuple[int, Counter[str]]:
        """Return how many slots are taken, in the cluster and by the node that the VMI leaves."""
        leaving = self._leaving()
        return len(leaving), Counter(map(self._node_of, leaving))

    def _leaving(self) -> list[VmiKey]:
        """Return the VMI of each migration that takes a slot or is being created."""
        now = self.clock()
        moving = [item.vmi for item in self.caches.unfinished_migrations() if takes_slot(item, now=now)]
        return [*moving, *(self._taken - set(moving))]

    def _node_of(self, key: VmiKey) -> str:
        vmi = self.caches.vmis.get(key)
        return vmi.node_name if vmi is not None else ""

    def _granted(self, waiting: Mapping[VmiKey, datetime]) -> list[VmiKey]:
        """Return those that have a slot now: of the namespace with the fewest migrations first, then by age.

        Args:
            waiting: since when each VMI waits.
        """
        granted: list[VmiKey] = []
        in_cluster, by_node = self._used()
        running = Counter(key.namespace for key in self._leaving())
        limits, left = self.caches.limits(), {key: self._node_of(key) for key in waiting}
        while in_cluster + len(granted) < limits.per_cluster:
            free = (key for key, node in left.items() if by_node[node] < limits.outbound_per_node)
            key = min(free, key=lambda item: (running[item.namespace], waiting[item], item), default=None)
            if key is None:
                break
            by_node[left.pop(key)] += 1
            running[key.namespace] += 1
            granted.append(key)
        return granted
