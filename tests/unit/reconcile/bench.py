"""A reconciler of which all is real but the wire, on the cluster of the simulation."""

from collections.abc import Callable
from datetime import datetime

from tests.build import Json, kubevirt, nic, primary, vmi_spec
from tests.build import vm as a_vm
from tests.sim.cluster import KUBEVIRTS, NAMESPACE, VMIS, VMS, Cluster
from tests.sim.operators import CACHED

from nicplug.cache.caches import Caches
from nicplug.kube.api import JsonPatch, Resource
from nicplug.kube.errors import ApiError, Gone
from nicplug.kube.recorder import ObjectReference
from nicplug.model.keys import VmiKey, VmKey, WorkKey
from nicplug.plan.views import PlanSettings
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory
from nicplug.reconcile.reconciler import Reconciler

NAME = "a"


VM, VMI = VmKey(NAMESPACE, NAME), VmiKey(NAMESPACE, NAME)


class PlainApi:
    """The cluster as `KubeApi`; the next write may fail, before it is done or after."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []
        self.writes: list[tuple[str, str]] = []

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        found = self.cluster.get(resource.plural, name)
        if found is None:
            raise Gone("not found")
        return found

    async def list(self, resource: Resource, **_: object) -> Json:
        raise AssertionError("a pass asks the caches")

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        return self._write("create", resource, lambda: self.cluster.create(resource.plural, body, by="operator"))

    async def patch(
        self,
        resource: Resource,
        patch: JsonPatch,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> Json:
        def write() -> Json:
            return self.cluster.patch(resource.plural, name, patch, by="operator", subresource=subresource)

        return self._write("patch", resource, write)

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        raise AssertionError("nothing here sends a PUT")

    async def delete(
        self,
        resource: Resource,
        *,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        version: int | None = None,
    ) -> Json:
        return self._write(
            "delete",
            resource,
            lambda: self.cluster.delete(resource.plural, name, by="operator", uid=uid, version=version),
        )

    async def close(self) -> None:
        """Nothing to close."""

    def _write(self, verb: str, resource: Resource, write: Callable[[], Json]) -> Json:
        self.writes.append((verb, resource.plural))
        for hook in (self.before.pop(0),) if self.before else ():
            hook()
        answer = write()
        for hook in (self.after.pop(0),) if self.after else ():
            hook()
        return answer


class Recorded:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.messages: list[str] = []

    def event(
        self, regarding: ObjectReference, *, type: str, reason: str, message: str, is_urgent: bool = False
    ) -> None:
        self.events.append((regarding.kind, type, reason))
        self.messages.append(message)


class Bench:
    """A cluster, an operator's core beside it, and what it said."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self._watched = 0
        self.cluster.create(KUBEVIRTS, {**kubevirt(), "metadata": {"name": "kubevirt"}}, by="admin")
        self.api, self.recorded, self.dirty = PlainApi(self.cluster), Recorded(), list[WorkKey]()
        self.caches = Caches(clock=self._clock)
        gatherer = Gatherer(self.caches, Memory(clock=self._clock), PlanSettings())
        self.reconciler = Reconciler(
            api=self.api,
            gatherer=gatherer,
            recorder=self.recorded,
            namespace=NAMESPACE,
            on_dirty=self._look_at,
        )

    def _clock(self) -> datetime:
        return self.cluster.now

    def _look_at(self, keys: list[WorkKey], *, by: WorkKey | None = None) -> None:
        self.dirty += keys

    def hear(self) -> None:
        """Everything that exists, as a list tells it."""
        for plural, kind in CACHED.items():
            for body in self.cluster.all(plural):
                self.caches.observe(kind, body)

    def watch(self) -> None:
        """Every change since the last call, as a watch tells it."""
        lines, self._watched = self.cluster.history[self._watched :], len(self.cluster.history)
        for plural, type_, body in lines:
            if type_ == "DELETED":
                self.caches.forget(CACHED[plural], body)
            else:
                self.caches.observe(CACHED[plural], body)

    def make_vm(self) -> None:
        body = {"metadata": {"name": NAME, "finalizers": ["kubevirt.io/virtualMachineControllerFinalize"]}}
        self.cluster.create(VMS, {**body, "spec": a_vm(primary(), nic("blue"))["spec"]}, by="user")
        self.hear()

    def make_vmi(self, *owners: Json) -> None:
        finalizers = ["kubevirt.io/foregroundDeleteVirtualMachine"]
        body = {"metadata": {"name": NAME, "finalizers": finalizers, "ownerReferences": list(owners)}}
        self.cluster.create(VMIS, {**body, "spec": vmi_spec([primary()])}, by="somebody")


def fail(error: ApiError) -> Callable[[], None]:
    def hook() -> None:
        raise error

    return hook
