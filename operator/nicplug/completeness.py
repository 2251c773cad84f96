"""Decides when the caches are complete, and keeps them correct.

Kopf does not report deletions that happened while a watch was broken.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass

import structlog

from nicplug.cache.kinds import CachedKind, kinds_of
from nicplug.cache.reaper import Reaper, plural_of
from nicplug.garbage_collection import settle_garbage_collector
from nicplug.kube.watch_health import WatchHealth
from nicplug.model.mode import Mode
from nicplug.side_watches import SideWatches
from nicplug.startup import StartError, why_mode_ends

log = structlog.get_logger(__name__)

# A relist comes in pages; the sweep waits until all of them have arrived.
_SETTLE_SECONDS = 2.0
# How long the first decisions wait for optional kinds; nothing is concluded from their absence.
_OPTIONAL_KINDS_SECONDS = 3.0
# After a sweep that found changes which the watches had missed.
_RECHECK_SECONDS = 10.0
# Counts from the last listed object.
_WATCHES_SECONDS = 30.0
_LOOK_SECONDS = 0.02


class ModeEnded(Exception):
    """KubeVirt has been removed or replaced: only a new process can choose another mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """Tracks whether the caches are complete.

    Attributes:
        watches: health of Kopf's watches.
        relisted: set whenever a watch was reopened and deletions may have been missed.
        mode: the mode that the process runs in.
    """

    reaper: Reaper
    watches: WatchHealth
    side_watches: SideWatches
    relisted: asyncio.Event
    sweep_interval_seconds: float
    mode: Mode

    async def reach(self) -> None:
        """Return once no existing object can look missing.

        Raises:
            StartError: Kopf does not even try to watch a kind.
        """
        await self._wait_for_watches()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.side_watches.settle(), timeout=_OPTIONAL_KINDS_SECONDS)
        settle_garbage_collector()

    async def keep(self) -> None:
        """Compare the caches with the API server periodically, and soon after a watch was reopened; never returns.

        Raises:
            ModeEnded: the cluster is no longer one for the mode of this process.
        """
        while True:
            interval = self.sweep_interval_seconds * random.uniform(0.9, 1.1)
            if self.reaper.has_missed():
                interval = min(interval, _RECHECK_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.relisted.wait(), timeout=interval)
                await asyncio.sleep(_SETTLE_SECONDS)
            self.relisted.clear()
            if reason := await why_mode_ends(self.reaper.api, mode=self.mode):
                log.warning("KubeVirt has gone; the process ends, to be started again", reason=reason)
                raise ModeEnded(reason)
            await self.reaper.sweep()
            settle_garbage_collector()

    async def _wait_for_watches(self) -> None:
        """Wait until every watch has opened: each LIST is then stored completely, and later changes are on their way.

        Raises:
            StartError: Kopf does not even try to watch a kind; discovery did not show it in time.
        """
        waited, known = 0.0, 0
        while missing := [kind.value for kind in self._kinds() if not self.watches.has_opened(plural_of(kind))]:
            if waited > _WATCHES_SECONDS and not self.watches.problem():
                raise StartError(f"no watch of {', '.join(missing)} was opened; starting again helps")
            await asyncio.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS
            if (listed := self._size()) != known:
                waited, known = 0.0, listed

    def _kinds(self) -> tuple[CachedKind, ...]:
        return kinds_of(self.reaper.caches.mode)

    def _size(self) -> int:
        return sum(len(self.reaper.caches.store_of(kind)) for kind in self._kinds())
