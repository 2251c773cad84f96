"""A whole pass over the largest objects, without a network: gather, plan, and execute up to the bytes of each request.

For the test that counts its steps, and for the bench, which times it.
"""

import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests import many_nics
from tests.build import NAME, NAMESPACE, NOW, Json, kubevirt, nad, nic, pod, primary, vm, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube import go_json
from nicplug.kube.api import JsonPatch, Resource
from nicplug.kube.errors import Gone
from nicplug.kube.object_text import ObjectText
from nicplug.kube.recorder import ObjectReference
from nicplug.model.keys import VmiKey, VmKey, WorkKey
from nicplug.plan.views import PlanSettings
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.large_objects import Expander, LargeTurns
from nicplug.reconcile.memory import Memory
from nicplug.reconcile.reconciler import Reconciler

_PLURALS = {CachedKind.VM: "virtualmachines", CachedKind.VMI: "virtualmachineinstances", CachedKind.POD: "pods"}


@dataclass(slots=True)
class Sink:
    """An API server at the other end of no wire: encodes each body as the client does, and answers little.

    Attributes:
        stored: what is read, by plural.
        sent: bytes of each request.
    """

    stored: dict[str, bytes] = field(default_factory=dict)
    sent: list[int] = field(default_factory=list)

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        raise Gone("not found")

    async def list(self, resource: Resource, **_: object) -> Json:
        raise AssertionError("a pass asks the caches")

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        return self._encode(body, is_compared=resource.plural == "controllerrevisions")

    async def patch(self, resource: Resource, patch: JsonPatch, **_: object) -> Json:
        return self._encode(patch, is_compared=True)

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        return self._encode(body)

    async def delete(self, resource: Resource, **_: object) -> Json:
        return {}

    async def read(self, resource: Resource, *, name: str, namespace: str | None = None) -> bytes:
        return self.stored[resource.plural]

    async def create_text(self, resource: Resource, body: bytes, *, namespace: str | None = None) -> Json:
        return self._count(body)

    async def patch_text(self, resource: Resource, patch: bytes, **_: object) -> Json:
        return self._count(patch)

    async def close(self) -> None:
        """Nothing to close."""

    def event(
        self, regarding: ObjectReference, *, type: str, reason: str, message: str, is_urgent: bool = False
    ) -> None:
        """Drop it."""

    def _encode(self, body: Any, *, is_compared: bool = False) -> Json:
        text = json.dumps(body).encode()
        if is_compared and go_json.needs_encoding(text):
            text = go_json.encode(json.loads(text))
        return self._count(text)

    def _count(self, text: bytes) -> Json:
        self.sent.append(len(text))
        return {"metadata": {}}


@dataclass(frozen=True, slots=True)
class WholePass:
    """What a process knows of one object, ready for a pass over its key."""

    key: WorkKey
    sink: Sink
    reconciler: Reconciler

    def run(self) -> list[int]:
        """One pass; the bytes of each request that it sent."""
        finish(self.reconciler.reconcile(self.key))
        return self.sink.sent


def finish(work: Coroutine[Any, Any, Any]) -> None:
    """Run what waits for nothing, without an event loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


def _prepare(key: WorkKey, objects: Mapping[CachedKind, Json], *, nads: int, is_elided: bool) -> WholePass:
    sink, caches = Sink(), Caches(clock=lambda: NOW)
    caches.observe(CachedKind.KUBEVIRT, kubevirt())
    caches.attachments.replace([caches.attachments.project(nad(f"n{number}-net")) for number in range(nads)])
    for kind, raw in objects.items():
        text = json.dumps(raw, separators=(",", ":"), sort_keys=True).encode()
        sink.stored[_PLURALS[kind]] = text
        caches.observe(kind, ObjectText(_PLURALS[kind]).read(text) if is_elided else raw)
    gatherer = Gatherer(caches, Memory(clock=lambda: NOW), PlanSettings())

    def on_dirty(_keys: list[WorkKey], *, by: WorkKey | None = None) -> None:
        """Nobody else looks."""

    expander = Expander(sink, caches, on_dirty, LargeTurns(on_turn=lambda _: None))
    reconciler = Reconciler(
        api=sink,
        gatherer=gatherer,
        recorder=sink,
        namespace="nicplug-system",
        on_dirty=on_dirty,
        expander=expander,
    )
    return WholePass(key, sink, reconciler)


def vmi_with_new_nics(nics: int, size: int) -> WholePass:
    """All NICs of a running VMI have just been asked for; nothing of it is elided. It writes annotation and status."""
    raw = vmi(primary(), *(nic(f"n{number}") for number in range(nics)), generation=2)
    raw["spec"]["architecture"] = "s390x"  # there nobody counts PCI slots, of which no guest has so many
    if size:
        raw["spec"]["volumes"] = many_nics.preserved(size)
    objects = {CachedKind.VMI: raw, CachedKind.POD: pod()}
    return _prepare(VmiKey(NAMESPACE, NAME), objects, nads=nics, is_elided=False)


def large_vm_that_starts(nics: int, size: int) -> WholePass:
    """The template of a VM is too large to be kept; it is filled in for its revision and its VMI."""
    raw = vm(primary(), *(nic(f"n{number}") for number in range(nics)))
    if size:
        raw["spec"]["template"]["spec"]["volumes"] = many_nics.preserved(size)
    return _prepare(VmKey(NAMESPACE, NAME), {CachedKind.VM: raw}, nads=nics, is_elided=True)


WHOLE_PASSES = (vmi_with_new_nics, large_vm_that_starts)
