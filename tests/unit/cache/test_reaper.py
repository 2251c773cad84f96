"""The reaper: what the watches did not tell."""

from collections.abc import Mapping
from typing import Any

from tests.build import NAME, NAMESPACE, NOW, Json, pod, vm, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind, kinds_of
from nicplug.cache.reaper import WATCHED, Reaper
from nicplug.kube.api import JsonPatch, Resource
from nicplug.kube.errors import Unavailable
from nicplug.model.keys import VmiKey, VmKey, WorkKey
from nicplug.model.mode import Mode

VM, VMI = VmKey(NAMESPACE, NAME), VmiKey(NAMESPACE, NAME)


class ListApi:
    """Answers LIST from a few objects, in pages of two; every other verb is a mistake."""

    def __init__(self, *objects: tuple[str, Json], version: int = 100) -> None:
        self.objects = list(objects)
        self.version = version
        self.failures: list[Exception] = []
        self.requests: list[Mapping[str, Any]] = []

    async def list(self, resource: Resource, **options: Any) -> Json:
        self.requests.append({"plural": resource.plural, **options})
        if self.failures:
            raise self.failures.pop(0)
        found = [raw for plural, raw in self.objects if plural == resource.plural]
        start = int(options["continue_token"] or 0)
        rest = {"continue": str(start + 2)} if start + 2 < len(found) else {}
        items = [{"metadata": raw["metadata"]} for raw in found[start : start + 2]]
        return {"metadata": {"resourceVersion": str(self.version), **rest}, "items": items}

    async def get(self, resource: Resource, **_: Any) -> Json:
        raise AssertionError("the reaper only lists")

    async def create(self, resource: Resource, body: Json, **_: Any) -> Json:
        raise AssertionError("the reaper only lists")

    async def patch(self, resource: Resource, patch: JsonPatch, **_: Any) -> Json:
        raise AssertionError("the reaper only lists")

    async def replace(self, resource: Resource, body: Json, **_: Any) -> Json:
        raise AssertionError("the reaper only lists")

    async def delete(self, resource: Resource, **_: Any) -> Json:
        raise AssertionError("the reaper only lists")

    async def close(self) -> None:
        """Nothing to close."""


def _reaper(api: ListApi, *objects: tuple[CachedKind, Json]) -> tuple[Reaper, Caches, list[WorkKey]]:
    caches, dirty = Caches(clock=lambda: NOW), list[WorkKey]()
    for kind, raw in objects:
        caches.observe(kind, raw)
    return Reaper(api=api, caches=caches, on_dirty=dirty.extend), caches, dirty


async def test_what_is_listed_stays() -> None:
    api = ListApi(("virtualmachines", vm()), ("pods", pod()), ("virtualmachineinstances", vmi()))
    reaper, caches, dirty = _reaper(api, (CachedKind.VM, vm()), (CachedKind.POD, pod()), (CachedKind.VMI, vmi()))
    await reaper.sweep()
    assert (len(caches.vms), len(caches.vmis), len(caches.launchers.store), dirty) == (1, 1, 1, [])
    assert set(reaper.drift.values()) == {0}


async def test_a_ghost_goes_and_its_neighbours_look_again() -> None:
    """Kopf tells nothing of what was deleted while its watch was broken (docs/adr/0001, trap B)."""
    reaper, caches, dirty = _reaper(ListApi(), (CachedKind.VMI, vmi()), (CachedKind.POD, pod()))
    await reaper.sweep()
    assert (len(caches.vmis), len(caches.launchers.store)) == (0, 0)
    assert set(dirty) == {VM, VMI}
    assert reaper.drift == {kind: int(kind in (CachedKind.VMI, CachedKind.POD)) for kind in kinds_of(Mode.STANDALONE)}


async def test_a_ghost_whose_name_was_taken_again_goes_too() -> None:
    reaper, caches, _ = _reaper(ListApi(("pods", pod(uid="new"))), (CachedKind.POD, pod(uid="old")))
    await reaper.sweep()
    assert len(caches.launchers.store) == 0


async def test_what_is_younger_than_the_list_is_no_ghost() -> None:
    reaper, caches, dirty = _reaper(ListApi(version=100), (CachedKind.VM, vm(version=101)))
    await reaper.sweep()
    assert len(caches.vms) == 1
    assert dirty == []


async def test_pages_are_followed() -> None:
    vms = [vm(name=f"vm-{index}", uid=f"uid-{index}") for index in range(5)]
    api = ListApi(*(("virtualmachines", raw) for raw in vms))
    reaper, caches, _ = _reaper(api, *((CachedKind.VM, raw) for raw in vms))
    await reaper.sweep()
    assert len(caches.vms) == 5
    assert sum(request["plural"] == "virtualmachines" for request in api.requests) == 3


async def test_a_list_that_fails_drops_nothing() -> None:
    api = ListApi()
    api.failures = [Unavailable("no answer") for _ in WATCHED]
    reaper, caches, _ = _reaper(api, (CachedKind.VM, vm()))
    await reaper.sweep()
    assert len(caches.vms) == 1


async def test_only_metadata_of_launcher_pods_is_asked_for() -> None:
    api = ListApi()
    reaper, _, _ = _reaper(api)
    await reaper.sweep()
    assert all(request["metadata_only"] for request in api.requests)
    (pods,) = (request for request in api.requests if request["plural"] == "pods")
    assert pods["label_selector"] == "kubevirt.io=virt-launcher"
