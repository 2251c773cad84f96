"""Which kinds are watched in addition to those of Kopf."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest
from tests.build import later

from nicplug.cache.caches import Caches
from nicplug.kube.api import WatchingApi
from nicplug.model.mode import Mode
from nicplug.reconcile.intake import Intake
from nicplug.reconcile.queue import WorkQueue
from nicplug.side_watches import SideWatches


def _spawn(work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
    raise AssertionError(f"{name} is started before `begin`")


@pytest.mark.parametrize(("mode", "watches_budgets"), [(Mode.STANDALONE, True), (Mode.COMPANION, False)])
async def test_a_companion_warned_of_a_permission_that_it_does_not_need(mode: Mode, *, watches_budgets: bool) -> None:
    """It has none for PodDisruptionBudgets: beside KubeVirt they are virt-controller's."""
    caches = Caches(clock=lambda: later(0), mode=mode)
    intake = Intake(caches=caches, queue=WorkQueue(), is_busy=lambda: False, on_bug=lambda: None)
    watches = SideWatches.of(cast(WatchingApi, None), caches=caches, intake=intake, spawn=_spawn)
    kinds = {watch.resource.kind for watch in watches.kinds}
    assert ("PodDisruptionBudget" in kinds) is watches_budgets
    assert kinds >= {"Node", "HotplugPolicy", "NetworkAttachmentDefinition"}
