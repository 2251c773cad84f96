"""The watches of the pods of each dynamic networks controller, opened and closed as the controllers come and go."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from nicplug.cache.dynamic_controllers import DynamicControllers
from nicplug.cache.optional_kinds import watch_controller_pods
from nicplug.cache.optional_watch import OptionalWatch
from nicplug.kube.api import WatchingApi
from nicplug.model.daemon_set import DaemonSet

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@dataclass(slots=True)
class ControllerPodsWatches:
    """One optional watch for each DaemonSet that is a controller: of its namespace, by its selector.

    Attributes:
        spawn: starts a task, and sees to it if it fails.
    """

    api: WatchingApi
    controllers: DynamicControllers
    spawn: Spawn
    _open: dict[str, tuple[OptionalWatch, asyncio.Task[None]]] = field(default_factory=dict)

    def adjust(self) -> None:
        """Open and close watches: other DaemonSets are controllers now."""
        wanted = self.controllers.controllers()
        for uid in self._open.keys() - wanted.keys():
            self._open.pop(uid)[1].cancel()
        for uid in wanted.keys() - self._open.keys():
            self._follow(wanted[uid])

    async def settle(self) -> None:
        """Wait until the pods of the controllers are known, or known to be unreadable."""
        await asyncio.gather(*(watch.settled.wait() for watch, _ in self._open.values()))

    def _follow(self, daemon_set: DaemonSet) -> None:
        pods = self.controllers.pods_of(daemon_set.uid)
        if pods is not None:
            watch = watch_controller_pods(self.api, sink=pods, daemon_set=daemon_set)
            self._open[daemon_set.uid] = (watch, self.spawn(watch.run()))
