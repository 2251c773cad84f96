"""Reports wait longer for company while more keys wait than there are workers."""

from datetime import UTC, datetime, timedelta

import pytest

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.model.keys import VmiKey, VmKey
from nicplug.plan.views import PlanSettings
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory
from nicplug.reconcile.queue import WorkQueue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = PlanSettings(report_delay=timedelta(milliseconds=300))


@pytest.mark.parametrize(("busy", "vm_delay", "vmi_delay"), [(False, 0.3, 0.3), (True, 6.0, 3.0)])
def test_reports_of_a_burst_wait_longer(busy: bool, vm_delay: float, vmi_delay: float) -> None:
    caches = Caches(clock=lambda: NOW)
    metadata = {"namespace": "default", "name": "vm", "uid": "u1", "resourceVersion": "1"}
    for kind in (CachedKind.VM, CachedKind.VMI):
        caches.observe(kind, {"metadata": {**metadata, "uid": kind.value}, "spec": {}})
    gatherer = Gatherer(caches, Memory(clock=lambda: NOW), SETTINGS, is_busy=lambda: busy)
    vm, vmi = gatherer.vm_view(VmKey("default", "vm")), gatherer.vmi_view(VmiKey("default", "vm"))
    assert vm is not None
    assert vm.settings.report_delay.total_seconds() == vm_delay
    assert vmi is not None
    assert vmi.settings.report_delay.total_seconds() == vmi_delay
    assert vmi.settings.first_report_delay.total_seconds() == min(vmi_delay, 0.8), "the first word is never late"


async def test_queue_tells_how_many_keys_wait() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert queue.waiting() == 2
    await queue.get()
    assert queue.waiting() == 1
