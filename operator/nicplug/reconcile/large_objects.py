"""Large objects in memory: grants turns to load one, and restores what records contain only as marks."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube import elision, object_text
from nicplug.kube.api import Json, Resource, TextApi
from nicplug.kube.errors import Gone, Stale
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import ObjectKey, VmiKey, WorkKey
from nicplug.model.metadata import controller_reference, mapping
from nicplug.model.names import VM_KIND, VMI_KIND
from nicplug.plan.actions import Create, Kind, Patch

# Turns to load a large object: one key at a time, and fair between namespaces.
#
# A key that must wait gives up its worker at once: otherwise sixteen large VMs of one tenant would block all others
# (docs/adr/0018). It is handed out again when its turn comes.


class TurnTaken(Exception):
    """Another key has the turn; the requesting key is in the waiting list and will be handed out again."""


@dataclass(slots=True)
class LargeTurns:
    """Grants the turn, and keeps the keys that wait for it.

    Attributes:
        on_turn: called with the key that gets the turn. The key keeps it until `leave`, so it must be reconciled.
    """

    on_turn: Callable[[WorkKey], None]
    _holder: WorkKey | None = None
    _waiting: OrderedDict[str, OrderedDict[WorkKey, None]] = field(default_factory=OrderedDict)

    def take(self, key: WorkKey) -> None:
        """Begin or continue to use a large object; the turn lasts until `leave`.

        Raises:
            TurnTaken: another key has the turn.
        """
        # Without a holder no key waits either: `leave` passes the turn on.
        if self._holder is None:
            self._holder = key
        if self._holder != key:
            self._waiting.setdefault(key.namespace, OrderedDict())[key] = None
            raise TurnTaken(f"{key} waits for its turn to have a large object in memory")

    def leave(self, key: WorkKey) -> None:
        """Give up the turn, or the place in the waiting list: a pass over the key has ended."""
        namespace = key.namespace
        if (waiting := self._waiting.get(namespace)) is not None:
            waiting.pop(key, None)
            if not waiting:
                del self._waiting[namespace]
        if self._holder == key:
            self._pass_on(namespace)

    def waiting(self) -> int:
        """Return the number of waiting keys."""
        return sum(map(len, self._waiting.values()))

    def _pass_on(self, last: str) -> None:
        """Pass the turn to the next namespace in order; never twice in a row to the last one while another waits."""
        self._holder = None
        if not self._waiting:
            return
        namespace = next((name for name in self._waiting if name != last), last)
        waiting = self._waiting.pop(namespace)
        key, _ = waiting.popitem(last=False)
        if waiting:
            self._waiting[namespace] = waiting
        self._holder = key
        self.on_turn(key)


# Replaces marks with their content, before a write that derives from a record (docs/adr/0018).
#
# Apart from `ConfirmPod` and `FindPod` these are the only reads, and only of objects too large to keep: of the VM for
# its revision and its VMI, of the VMI for its pods. One key at a time, so that only one such object is in memory.

_SOURCES: dict[str, tuple[Resource, CachedKind]] = {
    VM_KIND: (VIRTUAL_MACHINES, CachedKind.VM),
    VMI_KIND: (VIRTUAL_MACHINE_INSTANCES, CachedKind.VMI),
}


@dataclass(frozen=True, slots=True)
class _Source:
    """An object that may contain what a mark stands for."""

    kind: str
    key: ObjectKey
    uid: str


@dataclass(frozen=True, slots=True)
class Expander:
    """Sends writes that contain marks.

    Attributes:
        on_dirty: called with the keys to reconcile after a read.
        turns: grants the turn to load a large object; a key keeps it until the end of its pass.
    """

    api: TextApi
    caches: Caches
    on_dirty: Callable[[list[WorkKey]], None]
    turns: LargeTurns

    async def create(self, action: Create, resource: Resource, *, by: WorkKey) -> Json:
        """POST the expanded body.

        Raises:
            TurnTaken: another key has the turn; nothing has been done.
            Stale: the object that the body derives from has changed.
            ApiError: any other class of `kube.errors`.
        """
        self.turns.take(by)
        body = thaw(action.body)
        owner = controller_reference(mapping(body.get("metadata")))
        sources = [_Source(owner.kind, ObjectKey(action.key.namespace, owner.name), owner.uid)] if owner else []
        async with self._filled(body, iter(sources)) as text:
            return await self.api.create_text(resource, text, namespace=action.key.namespace)

    async def patch(self, action: Patch, operations: list[Any], resource: Resource, *, by: WorkKey) -> Json:
        """Send the expanded JSON patch; raises like `create`."""
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
        """Return the object itself, then the object it was created from."""
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
        """Return the contents of an object's marks; empty if the object is missing or has another uid."""
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
