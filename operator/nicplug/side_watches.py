"""Watches that Kopf does not keep: of kinds that may be missing or forbidden, and of objects named in other objects."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from nicplug.cache.caches import Caches
from nicplug.cache.controller_watches import ControllerWatches
from nicplug.cache.multus_configs import MultusConfigWatches
from nicplug.cache.optional_kinds import (
    watch_attachments,
    watch_budgets,
    watch_nodes,
    watch_pod_failures,
    watch_policy,
)
from nicplug.cache.optional_watch import OptionalWatch
from nicplug.kube.api import WatchingApi
from nicplug.model.mode import Mode
from nicplug.reconcile.intake import Intake


class Spawn(Protocol):
    """Starts a task that ends with the process."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start the task; `name` appears in the log."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SideWatches:
    """All watches in addition to Kopf's.

    Attributes:
        kinds: watches of whole kinds, which may be missing or forbidden.
        pod_failures: watches of pod events, which are dropped while the pods are unknown.
        multus: watches of Multus's namespace isolation, where the cluster admin allows nicplug to read it.
        controllers: watches of the dynamic networks controllers.
    """

    kinds: tuple[OptionalWatch, ...]
    pod_failures: tuple[OptionalWatch, ...]
    multus: MultusConfigWatches
    controllers: ControllerWatches
    spawn: Spawn

    @classmethod
    def of(cls, api: WatchingApi, *, caches: Caches, intake: Intake, spawn: Spawn) -> "SideWatches":
        """Create the watches and connect their changes to the intake; starts none."""
        caches.attachments.on_change = intake.attachments_changed
        caches.pod_failures.on_change = intake.pod_failed
        caches.nodes.on_change = intake.nodes_changed
        caches.budgets.on_change = intake.budgets_changed
        caches.kubevirts.on_policy = intake.policy_changed
        caches.controllers.on_change = intake.controllers_changed
        multus = MultusConfigWatches(
            api=api,
            configs=caches.multus,
            spawn=partial(spawn, name="Multus's configuration"),
            later=asyncio.get_running_loop().call_later,
        )
        caches.multus.on_change = partial(intake.attachments_changed, None)
        caches.multus.on_namespaces = multus.adjust
        controllers = ControllerWatches(
            api=api, controllers=caches.controllers, spawn=partial(spawn, name="dynamic networks controllers")
        )
        caches.controllers.on_found = controllers.adjust
        kinds = (
            watch_attachments(api, sink=caches.attachments),
            watch_nodes(api, sink=caches.nodes),
            watch_policy(api, sink=caches.kubevirts.policies),
        )
        # Beside KubeVirt the budgets are virt-controller's, and nicplug has no permission for them.
        budgets = (watch_budgets(api, sink=caches.budgets),) if caches.mode is Mode.STANDALONE else ()
        return cls(
            kinds=(*kinds, *budgets),
            pod_failures=watch_pod_failures(api, sink=caches.pod_failures),
            multus=multus,
            controllers=controllers,
            spawn=spawn,
        )

    def begin(self) -> None:
        """Start all watches except those that need the pods to be known."""
        for watch in self.kinds:
            self.spawn(watch.run(), name=watch.resource.kind)
        self.multus.adjust()
        self.controllers.adjust()

    async def settle(self) -> None:
        """Wait until each kind has been read, or is known to be unreadable."""
        for watch in self.kinds:
            await watch.settled.wait()
        await self.controllers.settle()
        await self.multus.settle()

    def follow_pod_failures(self) -> None:
        """Watch pod events; call it once the pods are known."""
        for watch in self.pod_failures:
            self.spawn(watch.run(), name="pod events")
