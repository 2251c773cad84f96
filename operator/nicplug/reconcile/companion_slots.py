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
        limits = self.caches.limits()
        if in_cluster >= limits.per_cluster:
            reached = f"{in_cluster} of {limits.per_cluster} migrations exist in the cluster ({CLUSTER_LIMIT})"
            return SlotShare(is_free=False, blocked_by=reached, ahead=self._ahead(key))
        node = self._node_of(key)
        if by_node[node] >= limits.outbound_per_node:
            reached = f"{by_node[node]} of {limits.outbound_per_node} leave node {node} ({OUTBOUND_LIMIT})"
            return SlotShare(is_free=False, blocked_by=reached, ahead=self._ahead(key))
        if key in self._waiting and key in self._next():
            return SlotShare()
        if len(self._next()) < limits.per_cluster - in_cluster and key not in self._waiting:
            return SlotShare()
        return SlotShare(is_free=False, blocked_by="others wait for a slot before it", ahead=self._ahead(key))

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
        for key in list(self._next()):
            self.wake(key)

    def _used(self) -> tuple[int, Counter[str]]:
        """Return how many migrations exist or are being created, in the cluster and by the node that they leave."""
        moving = {item.vmi for item in self.caches.unfinished_migrations()}
        unfinished = [item.vmi for item in self.caches.unfinished_migrations()]
        leaving = [*unfinished, *(key for key in self._taken if key not in moving)]
        return len(leaving), Counter(self._node_of(key) for key in leaving)

    def _node_of(self, key: VmiKey) -> str:
        vmi = self.caches.vmis.get(key)
        return vmi.node_name if vmi is not None else ""

    def _in_order(self) -> list[VmiKey]:
        """Return the queue: namespaces with the fewest migrations first, then by age."""
        running = Counter(item.key.namespace for item in self.caches.unfinished_migrations())
        return sorted(self._waiting, key=lambda key: (running[key.namespace], self._waiting[key], key))

    def _ahead(self, key: VmiKey) -> int:
        order = self._in_order()
        return order.index(key) if key in self._waiting else len(order)

    def _next(self) -> set[VmiKey]:
        return set(self._granted())

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
