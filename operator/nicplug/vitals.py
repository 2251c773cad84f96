"""Probes and gauges of one process: liveness, readiness, and the sizes of its parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from nicplug.cache.caches import Caches
from nicplug.cache.controller_watches import ControllerWatches
from nicplug.cache.kinds import CachedKind, kinds_of
from nicplug.cache.reaper import Reaper, plural_of
from nicplug.kube.resources import NETWORK_ATTACHMENT_DEFINITIONS, NODES, POD_DISRUPTION_BUDGETS
from nicplug.kube.watch_health import WatchHealth
from nicplug.model.keys import WorkKey
from nicplug.model.migration import Migration
from nicplug.model.migration_configuration import MigrationLimits
from nicplug.model.times import format_micro_time
from nicplug.obs.catalogue import STUCK_AGES, WAITING_PHASE
from nicplug.obs.instruments import Instruments, Sample
from nicplug.reconcile.large_objects import LargeTurns
from nicplug.reconcile.queue import Priority, WorkQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Reads the state of the process from its parts.

    Attributes:
        is_complete: returns whether the caches are complete.
        may_work: returns whether the process leads and nothing prevents it from working.
        clock: current time, UTC.
    """

    caches: Caches
    queue: WorkQueue[WorkKey]
    turns: LargeTurns
    reaper: Reaper
    watches: WatchHealth
    controller_watches: ControllerWatches
    is_complete: Callable[[], bool]
    may_work: Callable[[], bool]
    clock: Callable[[], datetime]

    def healthy(self) -> str:
        """Return which watches have gone silent; "" if none has. The event loop works, or this would not run."""
        dead = [kind.value for kind in self.reaper.dead_watches() if not self._is_known_broken(kind)]
        return f"no news by the watch of {', '.join(dead)}" if dead else ""

    def _is_known_broken(self, kind: CachedKind) -> bool:
        """Report whether the API server rejects that watch, which the log shows: a restart would not help."""
        return self.watches.is_broken(plural_of(kind))

    def _watch_works(self, kind: CachedKind) -> float:
        return 0.0 if self._is_known_broken(kind) else 1.0

    def ready(self) -> str:
        """Return why the caches are incomplete; "" if they hold every object, on a standby too."""
        if self.is_complete():
            return ""
        problem = self.watches.problem()
        return "the caches are not complete yet" + (f": {problem}" if problem else "")

    def export(self, instruments: Instruments) -> None:
        """Register the gauges, which are read at scrape time."""
        gauge, caches = instruments.gauge, self.caches
        for priority in Priority:
            depth = partial(self.queue.depth, priority)
            gauge("nicplug_queue_depth", partial(self._of_leader, depth), priority.name.lower())
        gauge("nicplug_queue_oldest_age_seconds", partial(self._of_leader, self.queue.oldest_age_seconds))
        gauge("nicplug_large_objects_waiting", self.turns.waiting)
        for kind in kinds_of(caches.mode):
            gauge("nicplug_cache_objects", partial(len, caches.store_of(kind)), kind.value)
            gauge("nicplug_watch_works", partial(self._watch_works, kind), kind.value)
            gauge("nicplug_cache_drift", partial(self.reaper.drift_of, kind), kind.value)
        gauge("nicplug_cache_objects", partial(len, caches.attachments), NETWORK_ATTACHMENT_DEFINITIONS.kind)
        gauge("nicplug_cache_objects", partial(len, caches.nodes), NODES.kind)
        gauge("nicplug_cache_objects", partial(len, caches.budgets), POD_DISRUPTION_BUDGETS.kind)
        gauge("nicplug_ignored_kubevirts", partial(_count_ignored_kubevirts, caches))
        gauge("nicplug_controller_watches", partial(len, self.controller_watches))
        for state, is_followed in (("followed", True), ("ignored", False)):
            gauge("nicplug_dynamic_controllers", partial(_count_controllers, caches, is_followed=is_followed), state)
        gauge("nicplug_leader", self.may_work)
        instruments.samples("nicplug_nics", self._nics)
        instruments.samples("nicplug_operations_stuck", self._stuck)
        for state, is_running in (("running", True), ("queued", False)):
            gauge("nicplug_migrations", partial(_count_migrations, caches, is_running=is_running), state)
        for limit in MigrationLimits().named():
            gauge("nicplug_migration_slots_used", partial(caches.slots.taken, limit), limit)
            gauge("nicplug_migration_slots_limit", partial(_allowed, caches, limit), limit)

    def _of_leader(self, read: Callable[[], float]) -> float:
        """Return 0 on a standby: its queue grows while its workers wait for the Lease, which delays no one."""
        return read() if self.may_work() else 0.0

    def _nics(self) -> Iterator[Sample]:
        yield from self.caches.operations.by_phase_and_reason().items()

    def _stuck(self) -> Iterator[Sample]:
        """Return every series, including those that are 0: an alert that has fired must resolve."""
        limits = [format_micro_time(self.clock() - timedelta(seconds=seconds)) for seconds in STUCK_AGES.values()]
        found = self.caches.operations.waiting_since(limits)
        for phase in WAITING_PHASE.values:
            for index, age in enumerate(STUCK_AGES):
                yield (phase, age), found.get((phase, index), 0)


def _count_migrations(caches: Caches, *, is_running: bool) -> int:
    return sum(_is_running(item, caches) is is_running for item in caches.unfinished_migrations())


def _is_running(migration: Migration, caches: Caches) -> bool:
    """Report whether a migration is running; a standby, which grants no slots, infers it from the target pod."""
    return migration.uid in caches.slots.entries or migration.has_target or migration.is_between_targets


def _count_ignored_kubevirts(caches: Caches) -> int:
    return len(caches.kubevirts.ignored())


def _count_controllers(caches: Caches, *, is_followed: bool) -> int:
    followed = len(caches.controllers.followed())
    return followed if is_followed else len(caches.controllers.controllers()) - followed


def _allowed(caches: Caches, limit: str) -> int:
    return caches.limits().named()[limit]
