"""What probes and gauges say of one process: whether it lives, whether it is ready, how full its parts are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nicplug.cache.caches import CachedKind, Caches
from nicplug.cache.controller_watches import ControllerWatches
from nicplug.cache.reaper import Reaper, plural_of
from nicplug.kube.watch_health import WatchHealth
from nicplug.model.keys import WorkKey
from nicplug.model.migration_limits import MigrationLimits
from nicplug.obs.metrics import Metrics
from nicplug.reconcile.queue import Priority, WorkQueue
from nicplug.reconcile.turns import LargeTurns


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Of the parts that the process is made of.

    Attributes:
        is_complete: the caches are.
        may_work: it leads, and nothing keeps it from working.
    """

    caches: Caches
    queue: WorkQueue[WorkKey]
    turns: LargeTurns
    reaper: Reaper
    watches: WatchHealth
    controller_watches: ControllerWatches
    is_complete: Callable[[], bool]
    may_work: Callable[[], bool]

    def healthy(self) -> str:
        """The event loop answers, or this would not run; and no watch has gone silent."""
        dead = [kind.value for kind in self.reaper.dead_watches() if not self._is_known_broken(kind)]
        return f"no news by the watch of {', '.join(dead)}" if dead else ""

    def _is_known_broken(self, kind: CachedKind) -> bool:
        """The API server refuses that watch, as the log says: a new process would fare no better."""
        return self.watches.is_broken(plural_of(kind))

    def _watch_works(self, kind: CachedKind) -> float:
        return 0.0 if self._is_known_broken(kind) else 1.0

    def ready(self) -> str:
        """The caches hold everything that there is, on a standby too."""
        if self.is_complete():
            return ""
        problem = self.watches.problem()
        return "the caches are not complete yet" + (f": {problem}" if problem else "")

    def export(self, metrics: Metrics) -> None:
        """Have the gauges read whenever somebody scrapes them."""
        gauge = metrics.gauge
        for priority in Priority:
            depth = partial(self.queue.depth, priority)
            gauge("nicplug_queue_depth", "Keys that wait for a worker.", depth, priority=priority.name.lower())
        oldest = self.queue.oldest_age_seconds
        gauge("nicplug_queue_oldest_age_seconds", "How long the oldest key has waited.", oldest)
        waiting = self.turns.waiting
        gauge("nicplug_large_objects_waiting", "Keys that wait for their turn to write something large.", waiting)
        for kind in CachedKind:
            size, drift = partial(len, self.caches.store_of(kind)), partial(self.reaper.drift_of, kind)
            gauge("nicplug_cache_objects", "Objects in the cache.", size, kind=kind.value)
            works = partial(self._watch_works, kind)
            gauge("nicplug_watch_works", "1 while the watch of the kind is open.", works, kind=kind.value)
            gauge("nicplug_cache_drift", "Ghosts that the last sweep found.", drift, kind=kind.value)
        attachments = partial(len, self.caches.attachments)
        gauge("nicplug_cache_objects", "Objects in the cache.", attachments, kind="NetworkAttachmentDefinition")
        gauge("nicplug_cache_objects", "Objects in the cache.", partial(len, self.caches.nodes), kind="Node")
        ignored = partial(_count_ignored_kubevirts, self.caches)
        gauge("nicplug_ignored_kubevirts", "KubeVirt CRs that have no effect.", ignored)
        watches = partial(len, self.controller_watches)
        gauge("nicplug_controller_watches", "Watches open for the dynamic networks controller.", watches)
        for state, is_followed in (("followed", True), ("ignored", False)):
            count = partial(_count_controllers, self.caches, is_followed=is_followed)
            text = "Dynamic networks controllers in trusted namespaces; ignored: beyond the limit."
            gauge("nicplug_dynamic_controllers", text, count, state=state)
        gauge("nicplug_leader", "1 while this process works.", self.may_work)
        self._export_migrations(metrics)

    def _export_migrations(self, metrics: Metrics) -> None:
        gauge, caches = metrics.gauge, self.caches
        for state, is_running in (("running", True), ("waiting", False)):
            count = partial(_count_migrations, caches, is_running=is_running)
            gauge("nicplug_migrations", "Migrations that have not ended; running: with a slot.", count, state=state)
        for limit in MigrationLimits().named():
            taken, allowed = partial(caches.slots.taken, limit), partial(_allowed, caches, limit)
            text = "Slots that migrations take up; of a limit per node, on the fullest node. 0 on a standby."
            gauge("nicplug_migration_slots_used", text, taken, limit=limit)
            gauge("nicplug_migration_slots_limit", "Slots that there are.", allowed, limit=limit)


def _count_migrations(caches: Caches, *, is_running: bool) -> int:
    return sum((item.uid in caches.slots.entries) is is_running for item in caches.unfinished_migrations())


def _count_ignored_kubevirts(caches: Caches) -> int:
    return len(caches.kubevirts.ignored())


def _count_controllers(caches: Caches, *, is_followed: bool) -> int:
    followed = len(caches.controllers.followed())
    return followed if is_followed else len(caches.controllers.controllers()) - followed


def _allowed(caches: Caches, limit: str) -> int:
    return caches.limits().named()[limit]
