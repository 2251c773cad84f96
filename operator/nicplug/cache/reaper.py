"""Finds what the watches have missed: deleted objects, and versions that have not arrived.

Kopf relists after a broken watch but reports no deletions (measured: docs/adr/0001, trap B), so a cache filled by its
events would keep ghosts indefinitely. A metadata-only LIST, compared with the store, finds them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind, kinds_of
from nicplug.cache.lost_migrations import forget_unlisted
from nicplug.kube.api import KubeApi, Resource
from nicplug.kube.errors import ApiError
from nicplug.kube.resources import (
    CONTROLLER_REVISIONS,
    INTERFACE_REPORTS,
    KUBEVIRTS,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.keys import WorkKey
from nicplug.model.metadata import mapping, resource_version, sequence, text
from nicplug.model.mode import Mode
from nicplug.model.names import LAUNCHER_SELECTOR, VM_UID_LABEL

log = structlog.get_logger(__name__)

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Watched:
    """A watched kind and the selector of its watch."""

    kind: CachedKind
    resource: Resource
    label_selector: str | None = None


# In the order of their initial LISTs: an object's references are listed after it (`kube.listings`).
WATCHED: tuple[Watched, ...] = (
    Watched(CachedKind.KUBEVIRT, KUBEVIRTS),
    Watched(CachedKind.VM, VIRTUAL_MACHINES),
    Watched(CachedKind.REVISION, CONTROLLER_REVISIONS, VM_UID_LABEL),
    Watched(CachedKind.VMI, VIRTUAL_MACHINE_INSTANCES),
    Watched(CachedKind.MIGRATION, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS),
    Watched(CachedKind.REPORT, INTERFACE_REPORTS),
    Watched(CachedKind.POD, PODS, LAUNCHER_SELECTOR),
)


def watched_in(mode: Mode) -> tuple[Watched, ...]:
    """Return the kinds that are watched in a mode."""
    kinds = kinds_of(mode)
    return tuple(watched for watched in WATCHED if watched.kind in kinds)


def plural_of(kind: CachedKind) -> str:
    """Return the API's plural of a kind."""
    return next(watched.resource.plural for watched in WATCHED if watched.kind is kind)


@dataclass(frozen=True, slots=True)
class Listed:
    """The objects of a kind at one moment: the resourceVersion of each, by uid."""

    resource_version: int
    objects: Mapping[str, int]


@dataclass(slots=True)
class Reaper:
    """Compares the caches with the API server.

    Attributes:
        on_dirty: called with the keys to reconcile.
        drift: number of ghosts that the last comparison found, per kind, for metrics and liveness.
    """

    api: KubeApi
    caches: Caches
    on_dirty: Callable[[list[WorkKey]], None]
    drift: dict[CachedKind, int] = field(default_factory=dict)
    _missed: dict[CachedKind, frozenset[tuple[str, int]]] = field(default_factory=dict)
    _dead: set[CachedKind] = field(default_factory=set)

    def drift_of(self, kind: CachedKind) -> int:
        """Return the number of ghosts of a kind that the last sweep found."""
        return self.drift.get(kind, 0)

    async def _list_or_none(self, watched: Watched) -> Listed | None:
        try:
            return await self.list(watched)
        except ApiError:
            return None

    async def sweep(self) -> None:
        """Drop ghosts and detect missed versions of all kinds; one that cannot be listed waits for the next sweep."""
        for watched in watched_in(self.caches.mode):
            listed = await self._list_or_none(watched)
            if listed is not None:
                self.drift[watched.kind] = self._compare(watched, listed)

    def dead_watches(self) -> list[CachedKind]:
        """Return the kinds whose watch missed the same object versions in two consecutive sweeps."""
        return sorted(self._dead, key=lambda kind: kind.value)

    def has_missed(self) -> bool:
        """True if the last sweep found versions that no watch has delivered: sweep again soon."""
        return any(self._missed.values())

    def _note_missed(self, watched: Watched, listed: Listed) -> None:
        """Record versions that the cache lacks: once is a normal lag, the same version twice means a dead watch."""
        store = self.caches.store_of(watched.kind)
        missed = frozenset((uid, version) for uid, version in listed.objects.items() if store.version_of(uid) < version)
        if missed & self._missed.get(watched.kind, frozenset()):
            self._dead.add(watched.kind)
            log.error("watch is dead", kind=watched.kind.value, missed=len(missed))
        else:
            self._dead.discard(watched.kind)
        self._missed[watched.kind] = missed

    def _compare(self, watched: Watched, listed: Listed) -> int:
        self._note_missed(watched, listed)
        ghosts = 0
        for record in self.caches.store_of(watched.kind):
            # Created after the LIST was answered: not a ghost, only newer than the list.
            if record.uid in listed.objects or record.resource_version > listed.resource_version:
                continue
            ghosts += 1
            log.warning("dropped a ghost", kind=watched.kind.value, object=str(record.key))
            # With a selector, a LIST cannot distinguish a deleted object from one that has lost its label.
            version = record.resource_version if watched.label_selector else math.inf
            keys = self.caches.forget_uid(watched.kind, key=record.key, uid=record.uid, version=version)
            self.on_dirty(keys)
        if watched.kind is CachedKind.MIGRATION:
            lost = forget_unlisted(
                self.caches.vmis,
                migrations=self.caches.migrations,
                listed=listed.objects,
                version=listed.resource_version,
            )
            self.on_dirty([vmi.key for vmi in lost])
        return ghosts

    async def list(self, watched: Watched) -> Listed:
        """List all objects of a kind: metadata only, page by page.

        Raises:
            ApiError: the API server did not answer; `Gone` if the kind does not exist yet.
        """
        objects: dict[str, int] = {}
        token: str | None = None
        first_version = 0
        while True:
            page = await self._page(watched, token)
            metadata = mapping(page.get("metadata"))
            first_version = first_version or resource_version(metadata)
            for item in sequence(page.get("items")):
                meta = mapping(mapping(item).get("metadata"))
                objects[text(meta.get("uid"))] = resource_version(meta)
            token = text(metadata.get("continue")) or None
            if token is None:
                return Listed(first_version, objects)

    async def _page(self, watched: Watched, token: str | None) -> Mapping[str, Any]:
        return await self.api.list(
            watched.resource,
            label_selector=watched.label_selector,
            metadata_only=True,
            limit=_PAGE,
            continue_token=token,
        )
