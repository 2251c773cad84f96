"""What a pass leaves to others before it reports."""

import asyncio

from tests.sim.cluster import VMIS, VMS
from tests.unit.reconcile.test_reconciler import VM, Bench
from tests.unit.reconcile.test_refused_requests import add, ask, pending


async def test_the_pass_that_a_changed_instance_wakes_goes_before_the_end_of_the_request() -> None:
    """The NIC waits for the annotation of the pod; nobody waits for the list of requests."""
    bench = Bench()
    bench.make_vm()
    await bench.reconciler.reconcile(VM)
    ask(bench, add("red"))
    bench.api.writes.clear()
    woken: list[asyncio.Task[None]] = []

    async def go() -> None:
        bench.api.writes.append(("pass over", VMIS))

    bench.api.after = [lambda: None, lambda: woken.append(asyncio.create_task(go()))]
    await bench.reconciler.reconcile(VM)
    assert bench.api.writes == [("patch", VMS), ("patch", VMIS), ("pass over", VMIS), ("patch", VMS)]
    assert pending(bench) == []
