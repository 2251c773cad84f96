"""Pods that are looked for by name, while lines of the watch about them come in between."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.build import NAMESPACE, NOW, POD_NAME, VMI_UID, Json, a_vmi, pod, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube.api import Resource
from nicplug.kube.errors import Gone
from nicplug.model.keys import PodKey, WorkKey
from nicplug.plan.actions import ConfirmPod
from nicplug.reconcile.execute import Executor


class Reads:
    """An API server with one pod."""

    def __init__(self, body: Json | None) -> None:
        self.body = body
        self.at: dict[str, Callable[[], object]] = {}

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        if name in self.at:
            self.at[name]()
        if self.body is None or self.body["metadata"]["name"] != name:
            raise Gone("not found")
        return self.body


CONFIRM = ConfirmPod(
    keys=(PodKey(NAMESPACE, POD_NAME), PodKey(NAMESPACE, "forged")), owner=a_vmi(vmi()).key, owner_uid=VMI_UID
)


async def _is_podless(api: Any, *, in_sight: bool, caches: Caches) -> tuple[bool, list[WorkKey]]:
    caches.observe(CachedKind.VMI, vmi())
    if in_sight:
        caches.observe(CachedKind.POD, pod())
    dirty: list[WorkKey] = []

    def on_dirty(keys: list[WorkKey], *, by: WorkKey | None = None) -> None:
        dirty.extend(keys)

    await Executor(api, caches, on_dirty).execute(CONFIRM, by=CONFIRM.owner)
    (found,) = caches.vmis
    return caches.launchers.podless_since(found) is not None, dirty


@pytest.fixture
def caches() -> Caches:
    return Caches(clock=lambda: NOW)


@pytest.mark.parametrize(
    ("body", "in_sight", "is_podless"),
    [(None, False, True), (pod(), False, False), (pod(), True, True)],
    ids=["none", "one that was out of sight", "one that is in sight, and not the one that was asked for"],
)
async def test_what_is_known_then(caches: Caches, body: Json | None, *, in_sight: bool, is_podless: bool) -> None:
    found, dirty = await _is_podless(Reads(body), in_sight=in_sight, caches=caches)
    assert found == is_podless
    assert CONFIRM.owner in dirty


async def test_one_that_loses_its_label_meanwhile_is_not_gone(caches: Caches) -> None:
    """It was in sight when it was read, and its line came while the next name was asked for: the VMI was failed."""
    api = Reads(pod())
    api.at["forged"] = lambda: caches.forget(CachedKind.POD, pod())
    found, dirty = await _is_podless(api, in_sight=True, caches=caches)
    assert not found
    assert dirty == [CONFIRM.owner]
