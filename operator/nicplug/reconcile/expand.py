"""Puts back what a record has only marks for, before something made of the record is written (docs/adr/0018).

The only reads beside `ConfirmPod` and `FindPod`, and only for objects that are too large to be kept: of the VM for its
revision and its VMI, of the VMI for its pods. One key at a time (`reconcile.turns`), so that one such object is in
memory.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from nicplug.cache.caches import CachedKind, Caches
from nicplug.elided import ELIDED, has_elided
from nicplug.kube import elision, object_text
from nicplug.kube.api import Json, Resource, TextApi
from nicplug.kube.errors import Gone, Stale
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import ObjectKey, VmiKey, WorkKey
from nicplug.model.metadata import controller_reference, mapping
from nicplug.model.names import VM_KIND, VMI_KIND
from nicplug.plan.actions import Create, Kind, Patch
from nicplug.reconcile.turns import LargeTurns

_SOURCES: dict[str, tuple[Resource, CachedKind]] = {
    VM_KIND: (VIRTUAL_MACHINES, CachedKind.VM),
    VMI_KIND: (VIRTUAL_MACHINE_INSTANCES, CachedKind.VMI),
}


@dataclass(frozen=True, slots=True)
class _Source:
    """An object that may have what a mark stands for."""

    kind: str
    key: ObjectKey
    uid: str


@dataclass(frozen=True, slots=True)
class Expander:
    """Sends what has marks.

    Attributes:
        on_dirty: told which keys have to look again after what was read.
        turns: who may have a large object in memory; a key keeps its turn until the end of its pass.
    """

    api: TextApi
    caches: Caches
    on_dirty: Callable[[list[WorkKey]], None]
    turns: LargeTurns

    async def create(self, action: Create, resource: Resource, *, by: WorkKey) -> Json:
        """POST the whole of it.

        Args:
            by: the key whose pass this is.

        Raises:
            TurnTaken: another key has its turn; nothing has been done.
            Stale: the object that it is made of is no longer what it was.
            ApiError: any other class of `kube.errors`.
        """
        self.turns.take(by)
        body = thaw(action.body)
        owner = controller_reference(mapping(body.get("metadata")))
        sources = [_Source(owner.kind, ObjectKey(action.key.namespace, owner.name), owner.uid)] if owner else []
        async with self._filled(body, iter(sources)) as text:
            return await self.api.create_text(resource, text, namespace=action.key.namespace)

    async def patch(self, action: Patch, operations: list[Any], resource: Resource, *, by: WorkKey) -> Json:
        """Send the whole of a JSON patch; raises as `create` does."""
        self.turns.take(by)
        async with self._filled(operations, self._sources_of(action)) as text:
            return await self.api.patch_text(
                resource,
                text,
                name=action.key.name,
                namespace=action.key.namespace,
                subresource=action.subresource,
            )

    def _sources_of(self, action: Patch) -> Iterator[_Source]:
        """The object itself, then what it was made of."""
        if action.kind not in (Kind.VM, Kind.VMI):
            return
        yield _Source(action.kind.value, action.key, action.uid)
        vmi = self.caches.vmis.get(VmiKey(action.key.namespace, action.key.name))
        if action.kind is Kind.VMI and vmi is not None and vmi.owner is not None:
            yield _Source(vmi.owner.kind, ObjectKey(action.key.namespace, vmi.owner.name), vmi.owner.uid)

    @asynccontextmanager
    async def _filled(self, value: Any, sources: Iterator[_Source]) -> AsyncIterator[bytes]:
        contents: dict[str, bytes] = {}
        problem = "nothing is known of what it was made of"
        for source in sources:
            contents |= await self._read(source)
            try:
                text = elision.fill(value, contents)
            except elision.Lost as lost:
                problem = str(lost)
                continue
            yield text
            return
        raise Stale(f"cannot be made as planned, since its source has changed: {problem}")

    async def _read(self, source: _Source) -> dict[str, bytes]:
        """What the marks of an object stand for; nothing if it is not the one that was meant."""
        if source.kind not in _SOURCES:
            return {}
        resource, kind = _SOURCES[source.kind]
        try:
            text = await self.api.read(resource, name=source.key.name, namespace=source.key.namespace)
        except Gone:
            return {}
        value, contents = object_text.contents(text, resource=resource.plural)
        self.on_dirty(self.caches.observe(kind, value))
        return contents if mapping(value.get("metadata")).get("uid") == source.uid else {}


def needs_expansion(action: Create) -> bool:
    """Whether any part of the body is elided; looks at the text first, which nearly always tells."""
    return ELIDED in action.body and has_elided(thaw(action.body))
