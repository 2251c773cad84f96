"""What decisions need of the cluster as a whole: KubeVirt's configuration, networks, what Multus enforces.

Followed by watches, as the operator does, so that a request costs no read of them. VMs and VMIs are read at each
request: their caches would grow with the cluster.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nicplug.cache.caches import CachedKind, Caches
from nicplug.cache.multus_configs import MultusConfigWatches
from nicplug.cache.optional_kinds import watch_attachments
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
    """The KubeVirt CRs of the namespace that counts; a `Sink` of `OptionalWatch`."""

    caches: Caches

    def project(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """A KubeVirt CR of a list."""
        return item

    def replace(self, items: Iterable[Mapping[str, Any]]) -> None:
        """All there are."""
        listed = list(items)
        self._forget_all(but={text(mapping(item.get("metadata")).get("uid")) for item in listed})
        for item in listed:
            self.caches.observe(CachedKind.KUBEVIRT, item)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch."""
        take_in = self.caches.forget if type_ == "DELETED" else self.caches.observe
        take_in(CachedKind.KUBEVIRT, item)

    def lose(self, absence: Absence) -> None:
        """The CRD is missing; or KubeVirt CRs must not be read, and what was read stays."""
        if absence is Absence.NOT_SERVED:
            self._forget_all(but=frozenset())

    def _forget_all(self, *, but: Iterable[str]) -> None:
        for config in [item for item in self.caches.kubevirts.store if item.uid not in but]:
            key = ObjectKey(config.key.namespace, config.key.name)
            self.caches.forget_uid(CachedKind.KUBEVIRT, key=key, uid=config.uid)


class Knowledge:
    """Follows what decisions need.

    Args:
        api: for watches, each of which holds a connection.
        kubevirt_namespace: where the KubeVirt CR lies.
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
        self._attachments = watch_attachments(api, sink=self._caches.attachments)
        self._is_complete = False

    async def run(self) -> None:
        """Follow until cancelled.

        Raises:
            ExceptionGroup: by a bug.
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
            tasks.create_task(self._attachments.run(), name="network attachment definitions")
            # The namespaces in which Multus's word counts are in the KubeVirt CR.
            await self._kubevirts.settled.wait()
            multus.adjust()
            await self._attachments.settled.wait()
            await multus.settle()
            self._is_complete = True

    @property
    def problem(self) -> str:
        """What keeps requests from being decided; "" for nothing."""
        return "" if self._is_complete else "the configuration of KubeVirt and Multus has not been read yet"

    @property
    def caches(self) -> Caches:
        """What is followed; those who ask read it, and put nothing into it but the node side."""
        return self._caches

    @property
    def config(self) -> KubevirtConfig | None:
        """The KubeVirt CR that counts."""
        return self._caches.config()

    def known(self, networks: Iterable[Network], *, namespace: str) -> KnownAttachments:
        """What VMs of the namespace may know of these networks: of one that they may not use, nothing."""
        access = self._caches.attachment_access()
        keys = referenced_keys(networks, namespace=namespace)
        allowed = [key for key in keys if access.allows(key, namespace=namespace)]
        return self._caches.attachments.known(allowed, access=access)
