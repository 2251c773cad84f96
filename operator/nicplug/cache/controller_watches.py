"""Watches for the dynamic networks controller: the DaemonSets of trusted namespaces, and the controllers' pods.

Each watch holds a connection, so their number is bounded: by the namespaces that a policy may list, and by
`MOST_FOLLOWED` controllers. No tenant can open one: only namespaces that the cluster admin trusts are watched.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from nicplug.cache.dynamic_controllers import MOST_FOLLOWED, DynamicControllers
from nicplug.cache.optional_kinds import watch_controller_pods, watch_daemon_sets
from nicplug.cache.optional_watch import OptionalWatch
from nicplug.kube.api import WatchingApi
from nicplug.model.trusted_namespaces import TRUSTED_NAMESPACES_FIELD

log = structlog.get_logger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
_Open = dict[str, tuple[OptionalWatch, asyncio.Task[None]]]

_NONE_FOUND_REMEDY = (
    "NICs arrive by migration; to plug them in place, deploy it in a trusted namespace, or add its namespace to "
    f"{TRUSTED_NAMESPACES_FIELD} of the KubeVirt CR, if no tenant may create DaemonSets there"
)
_BY_DEFAULT_REMEDY = (
    f"list the namespaces that you trust in {TRUSTED_NAMESPACES_FIELD} of the KubeVirt CR, without those in which a "
    "tenant may create DaemonSets"
)
_TOO_MANY_REMEDY = (
    "set spec.configuration.network.hotplug.dynamicController of the KubeVirt CR so that it matches fewer DaemonSets"
)


@dataclass(slots=True)
class ControllerWatches:
    """Opens and closes watches as trusted namespaces and controllers come and go.

    Attributes:
        spawn: starts a task and handles its failure.
    """

    api: WatchingApi
    controllers: DynamicControllers
    spawn: Spawn
    _daemon_sets: _Open = field(default_factory=dict)
    _pods: _Open = field(default_factory=dict)
    _reported: tuple[tuple[str, ...], int, tuple[str, ...]] | None = None

    def adjust(self) -> None:
        """Open missing watches, and stop those that are no longer needed."""
        namespaces, followed = self.controllers.namespaces(), self.controllers.followed()
        daemon_sets = partial(watch_daemon_sets, self.api)
        self._match(self._daemon_sets, {name: partial(daemon_sets, sink=sink) for name, sink in namespaces.items()})
        pods = partial(watch_controller_pods, self.api)
        self._match(self._pods, {uid: partial(pods, sink=sink, daemon_set=it) for uid, (it, sink) in followed.items()})
        self._report()

    async def settle(self) -> None:
        """Wait until the controllers and their pods are known, or known to be unreadable."""
        for watches in (self._daemon_sets, self._pods):
            await asyncio.gather(*(watch.settled.wait() for watch, _ in list(watches.values())))

    def __len__(self) -> int:
        """Return the number of open watches."""
        return len(self._daemon_sets) + len(self._pods)

    def _match(self, open_: _Open, wanted: Mapping[str, Callable[[], OptionalWatch]]) -> None:
        for name in open_.keys() - wanted.keys():
            open_.pop(name)[1].cancel()
        for name in wanted.keys() - open_.keys():
            watch = wanted[name]()
            open_[name] = (watch, self.spawn(watch.run()))

    def _report(self) -> None:
        """Log once which controllers were found; only a namespace that the admin trusts can change the result."""
        if not self.controllers.is_known():
            return
        found = tuple(sorted(str(item.key) for item in self.controllers.controllers()))
        ignored = max(0, len(found) - MOST_FOLLOWED)
        by_default = self._trusted_by_default()
        if self._reported == (found, ignored, by_default):
            return
        self._reported = (found, ignored, by_default)
        if not found:
            trusted = sorted(self.controllers.namespaces())
            log.warning("no dynamic networks controller found", trusted_namespaces=trusted, remedy=_NONE_FOUND_REMEDY)
        elif ignored:
            log.warning(
                "too many dynamic networks controllers; the oldest are followed",
                followed=MOST_FOLLOWED,
                found=len(found),
                remedy=_TOO_MANY_REMEDY,
            )
        else:
            log.info("dynamic networks controllers found", daemon_sets=found)
        if by_default:
            log.warning(
                "a dynamic networks controller is in a namespace that the cluster admin has not named",
                namespaces=by_default,
                remedy=_BY_DEFAULT_REMEDY,
            )

    def _trusted_by_default(self) -> tuple[str, ...]:
        """Return the namespaces of controllers trusted only by default; only admins can create in kube-system."""
        if not self.controllers.trusts_by_default():
            return ()
        return tuple(sorted({item.key.namespace for item in self.controllers.controllers()} - {"kube-system"}))
