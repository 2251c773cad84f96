"""Who may migrate: counted in the cluster itself, for all operators at once."""

from collections import Counter
from dataclasses import dataclass, field, replace

from tests.sim.cluster import MIGRATIONS, Cluster, Json
from tests.sim.migration_invariants import FINAL, limits_of

from nicplug.model.keys import MigrationKey
from nicplug.model.migration_slot import MigrationSlot
from nicplug.plan.migration.eligibility import find_obstacle
from nicplug.plan.migration.facts import gather_facts
from nicplug.plan.views import MigrationView
from nicplug.reconcile.gather import Gatherer


@dataclass(slots=True)
class Slots:
    """What has been granted, by the uid of the migration: the node that it leaves, and the one that it goes to."""

    cluster: Cluster
    _from: dict[str, str] = field(default_factory=dict)
    _to: dict[str, str] = field(default_factory=dict)

    def slot_of(self, view: MigrationView) -> MigrationSlot:
        """Grant what there is."""
        self._forget()
        per_cluster, outbound, inbound = limits_of(self.cluster)
        uid, facts = view.migration.uid, gather_facts(view)
        jobs = {body["metadata"]["uid"] for body in self._unfinished()}
        if uid not in jobs or facts.vmi is None:
            return MigrationSlot()
        if uid not in self._from:
            source = facts.vmi.node_name
            is_full = len(self._from) >= per_cluster or Counter(self._from.values())[source] >= outbound
            if is_full or find_obstacle(view, now=self.cluster.now) is not None:
                return MigrationSlot()
            self._from[uid] = source
        node = facts.target.node_name if facts.target is not None else ""
        if node and uid not in self._to and Counter(self._to.values())[node] < inbound:
            self._to[uid] = node
        return MigrationSlot(is_granted=True, inbound_node=self._to.get(uid, ""))

    def _unfinished(self) -> list[Json]:
        return [body for body in self.cluster.all(MIGRATIONS) if (body.get("status") or {}).get("phase") not in FINAL]

    def _forget(self) -> None:
        jobs = {body["metadata"]["uid"] for body in self._unfinished()}
        for granted in (self._from, self._to):
            for uid in granted.keys() - jobs:
                del granted[uid]


@dataclass(frozen=True, slots=True)
class SimGatherer(Gatherer):
    """Asks these slots."""

    slots: Slots | None = None

    def migration_view(self, key: MigrationKey) -> MigrationView | None:
        view = Gatherer.migration_view(self, key)
        return replace(view, slot=self.slots.slot_of(view)) if view and self.slots else view
