"""The watches that Kopf does not keep: of kinds that may be missing or forbidden, and of what others have named."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from nicplug.cache.caches import Caches
from nicplug.cache.controller_watches import ControllerWatches
from nicplug.cache.multus_configs import MultusConfigWatches
from nicplug.cache.optional_kinds import watch_attachments, watch_budgets, watch_nodes, watch_pod_failures
from nicplug.cache.optional_watch import OptionalWatch
from nicplug.kube.api import WatchingApi
from nicplug.reconcile.intake import Intake


class Spawn(Protocol):
    """Starts a task that ends with the process."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """`name`: for the log."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SideWatches:
    """What is watched beside Kopf's kinds.

    Attributes:
        kinds: that may be missing or forbidden, as a whole.
        pod_failures: events of pods, which are dropped while the pods are not known.
        multus: what Multus enforces between namespaces, where the cluster admin says that it may be read.
        controllers: the dynamic networks controllers.
    """

    kinds: tuple[OptionalWatch, ...]
    pod_failures: tuple[OptionalWatch, ...]
    multus: MultusConfigWatches
    controllers: ControllerWatches
    spawn: Spawn

    @classmethod
    def of(cls, api: WatchingApi, *, caches: Caches, intake: Intake, spawn: Spawn) -> "SideWatches":
        """Made, and what they bring told to the intake; none is begun."""
        caches.attachments.on_change = intake.attachments_changed
        caches.pod_failures.on_change = intake.pod_failed
        caches.nodes.on_change = intake.nodes_changed
        caches.budgets.on_change = intake.budgets_changed
        caches.controllers.on_change = intake.controllers_changed
        multus = MultusConfigWatches(
            api=api,
            configs=caches.multus,
            spawn=partial(spawn, name="Multus's configuration"),
            later=asyncio.get_running_loop().call_later,
        )
        caches.multus.on_change, caches.multus.on_namespaces = intake.isolation_changed, multus.adjust
        controllers = ControllerWatches(
            api=api, controllers=caches.controllers, spawn=partial(spawn, name="dynamic networks controllers")
        )
        caches.controllers.on_found = controllers.adjust
        return cls(
            kinds=(
                watch_attachments(api, sink=caches.attachments),
                watch_nodes(api, sink=caches.nodes),
                watch_budgets(api, sink=caches.budgets),
            ),
            pod_failures=watch_pod_failures(api, sink=caches.pod_failures),
            multus=multus,
            controllers=controllers,
            spawn=spawn,
        )

    def begin(self) -> None:
        """All but those that wait for the pods to be known."""
        for watch in self.kinds:
            self.spawn(watch.run(), name=watch.resource.kind)
        self.multus.adjust()
        self.controllers.adjust()

    async def settle(self) -> None:
        """Until each kind is known, or known to be unreadable."""
        for watch in self.kinds:
            await watch.settled.wait()
        await self.controllers.settle()
        await self.multus.settle()

    def follow_pod_failures(self) -> None:
        """Not before the pods are known."""
        for watch in self.pod_failures:
            self.spawn(watch.run(), name="pod events")
