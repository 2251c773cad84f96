"""The migrations that KubeVirt runs at a time, shared among the VMIs whose NICs need one.

A migration that waits in KubeVirt's queue blocks the evacuation of its VMI, so none is created before it has a slot.
All migrations count, whoever created them. Only the leader creates any, so the shares are kept in memory.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from nicplug.cache.caches import Caches
from nicplug.model.keys import VmiKey
from nicplug.model.migration_configuration import CLUSTER_LIMIT, OUTBOUND_LIMIT
from nicplug.plan.companion.view import SlotShare


@dataclass(slots=True)
class CompanionSlots:
    """The slots, and who waits for one.

    Attributes:
        wake: called with each VMI that may have a slot now.
    """

    caches: Caches
    wake: Callable[[VmiKey], None]
    _taken: set[VmiKey] = field(default_factory=set)
    _waiting: dict[VmiKey, datetime] = field(default_factory=dict)

    def share_of(self, key: VmiKey) -> SlotShare:
        """Return whether a migration of this VMI may be created now."""
        in_cluster, by_node = self._used()
        limits, node = self.caches.limits(), self._node_of(key)
        if in_cluster >= limits.per_cluster:
            return SlotShare(is_free=False, blocked_by=f"{CLUSTER_LIMIT} is {limits.per_cluster}")
        if by_node[node] >= limits.outbound_per_node:
            return SlotShare(is_free=False, blocked_by=f"{OUTBOUND_LIMIT} of {node} is {limits.outbound_per_node}")
        granted = set(self._granted())
        is_next = key in granted if key in self._waiting else len(granted) < limits.per_cluster - in_cluster
        return SlotShare() if is_next else SlotShare(is_free=False, blocked_by="others wait before this VM")

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
        for key in list(self._granted()):
            self.wake(key)

    def _used(self) -> tuple[int, Counter[str]]:
        """Return how many migrations exist or are being created, in the cluster and by the node that they leave."""
        moving = [item.vmi for item in self.caches.unfinished_migrations()]
        leaving = [*moving, *(self._taken - set(moving))]
        return len(leaving), Counter(self._node_of(key) for key in leaving)

    def _node_of(self, key: VmiKey) -> str:
        vmi = self.caches.vmis.get(key)
        return vmi.node_name if vmi is not None else ""

    def _in_order(self) -> list[VmiKey]:
        """Return the queue: namespaces with the fewest migrations first, then by age."""
        running = Counter(item.key.namespace for item in self.caches.unfinished_migrations())
        return sorted(self._waiting, key=lambda key: (running[key.namespace], self._waiting[key], key))

    def _granted(self) -> Iterator[VmiKey]:
        """Yield the VMIs of the queue that have a slot now."""
        if not self._waiting:
            return
        in_cluster, by_node = self._used()
        limits = self.caches.limits()
        for key in self._in_order():
            node = self._node_of(key)
            if in_cluster >= limits.per_cluster:
                return
            if by_node[node] < limits.outbound_per_node:
                in_cluster, by_node[node] = in_cluster + 1, by_node[node] + 1
                yield key
