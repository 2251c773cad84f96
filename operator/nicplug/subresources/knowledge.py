"""What decisions need to know about the cluster: KubeVirt's configuration, networks, and Multus's isolation.

Kept current by watches, as in the operator, so that a request does not have to read them. VMs and VMIs are read at
each request: caches of them would grow with the cluster.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.multus_configs import MultusConfigWatches
from nicplug.cache.optional_kinds import watch_attachments, watch_policy
from nicplug.cache.optional_watch import Absence, OptionalWatch
from nicplug.kube.api import WatchingApi
from nicplug.kube.resources import KUBEVIRTS
from nicplug.model.attachments import KnownAttachments, referenced_keys
from nicplug.model.keys import ObjectKey
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.metadata import mapping, text
from nicplug.model.networks import Network

_NO_GATE = "until then the feature gate HotplugNICs counts as off"


@dataclass(slots=True)
class KubevirtSink:
    """Keeps the KubeVirt CRs of the effective namespace; a `Sink` of `OptionalWatch`."""

    caches: Caches

    def project(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the KubeVirt CR unchanged."""
        return item

    def replace(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Replace all KubeVirt CRs by those of a list."""
        listed = list(items)
        self._forget_all(but={text(mapping(item.get("metadata")).get("uid")) for item in listed})
        for item in listed:
            self.caches.observe(CachedKind.KUBEVIRT, item)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one event of the watch."""
        apply = self.caches.forget if type_ == "DELETED" else self.caches.observe
        apply(CachedKind.KUBEVIRT, item)

    def lose(self, absence: Absence) -> None:
        """Forget all KubeVirt CRs if the CRD is missing; if they cannot be read, keep what was read."""
        if absence is Absence.NOT_SERVED:
            self._forget_all(but=frozenset())

    def _forget_all(self, *, but: Iterable[str]) -> None:
        for config in [item for item in self.caches.kubevirts.store if item.uid not in but]:
            key = ObjectKey(config.key.namespace, config.key.name)
            self.caches.forget_uid(CachedKind.KUBEVIRT, key=key, uid=config.uid)


class Knowledge:
    """Watches what decisions need.

    Args:
        api: for watches, each of which holds a connection.
        kubevirt_namespace: namespace of the KubeVirt CR.
    """

    def __init__(self, api: WatchingApi, *, kubevirt_namespace: str) -> None:
        self._api = api
        self._caches = Caches(clock=lambda: datetime.now(UTC), kubevirt_namespace=kubevirt_namespace)
        self._kubevirts = OptionalWatch(
            api=api,
            resource=KUBEVIRTS,
            sink=KubevirtSink(self._caches),
            not_served=f"install the CRDs: kubectl apply -f crds/; {_NO_GATE}",
            missing_right=f"right to list and watch kubevirts; {_NO_GATE}",
            namespace=kubevirt_namespace,
        )
        self._policy = watch_policy(api, sink=self._caches.kubevirts.policies)
        self._attachments = watch_attachments(api, sink=self._caches.attachments)
        self._is_complete = False

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            ExceptionGroup: a bug in one of the watches.
        """
        async with asyncio.TaskGroup() as tasks:
            multus = MultusConfigWatches(
                api=self._api,
                configs=self._caches.multus,
                spawn=tasks.create_task,
                later=asyncio.get_running_loop().call_later,
            )
            self._caches.multus.on_namespaces = multus.adjust
            tasks.create_task(self._kubevirts.run(), name="KubeVirt")
            tasks.create_task(self._policy.run(), name="HotplugPolicy")
            tasks.create_task(self._attachments.run(), name="network attachment definitions")
            # The KubeVirt CR lists the namespaces whose Multus configuration counts.
            await self._kubevirts.settled.wait()
            multus.adjust()
            await self._policy.settled.wait()
            await self._attachments.settled.wait()
            await multus.settle()
            self._is_complete = True

    @property
    def problem(self) -> str:
        """Why requests cannot be decided yet; "" if they can."""
        return "" if self._is_complete else "the configuration of KubeVirt and Multus has not been read yet"

    @property
    def caches(self) -> Caches:
        """The caches; callers only read them, and may add only nodes and controllers."""
        return self._caches

    @property
    def config(self) -> KubevirtConfig | None:
        """The effective KubeVirt CR; None if there is none."""
        return self._caches.config()

    def known(self, networks: Iterable[Network], *, namespace: str) -> KnownAttachments:
        """Return what VMs of the namespace may know about these networks; nothing about those that they may not use."""
        access = self._caches.attachment_access()
        keys = referenced_keys(networks, namespace=namespace)
        allowed = [key for key in keys if access.allows(key, namespace=namespace)]
        return self._caches.attachments.known(allowed, access=access)
