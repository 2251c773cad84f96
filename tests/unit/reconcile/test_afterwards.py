"""What a pass leaves for afterwards: the end of a request, beside which its NIC would arrive later."""

import pytest
from tests.build import Json
from tests.sim.cluster import VMIS, VMS
from tests.unit.reconcile.bench import NAME, VM, Bench
from tests.unit.reconcile.requests import add, ask, names, pending, stored

from nicplug.kube.errors import Stale


@pytest.fixture
async def bench() -> Bench:
    """A running VM whose pass has changed template and instance for a request."""
    made = Bench()
    made.make_vm()
    await made.reconciler.reconcile(VM)
    ask(made, add("red"))
    made.api.writes.clear()
    again = await made.reconciler.reconcile(VM)
    assert again == pytest.approx(0.01)
    return made


async def test_the_end_of_a_request_was_written_beside_the_annotation_of_its_pod(bench: Bench) -> None:
    assert bench.api.writes == [("patch", VMS), ("patch", VMIS)]
    assert (names(bench), pending(bench)) == (["default", "blue", "red"], [add("red")])
    bench.cluster.pass_time(0.02)
    assert await bench.reconciler.reconcile(VM) == pytest.approx(0.001), "the VM is looked at again"
    assert bench.api.writes == [("patch", VMS), ("patch", VMIS), ("patch", VMS)]
    assert pending(bench) == []


async def test_nothing_is_done_a_second_time_meanwhile(bench: Bench) -> None:
    """The owner takes the NIC out again: it must not come back for a request that has been carried out."""
    found = stored(bench)
    devices = found["spec"]["template"]["spec"]["domain"]["devices"]
    devices["interfaces"] = [item for item in devices["interfaces"] if item["name"] != "red"]
    bench.cluster.replace(VMS, NAME, found, by="user")
    bench.hear()
    bench.cluster.pass_time(0.005)
    written = list(bench.api.writes)
    assert await bench.reconciler.reconcile(VM) == pytest.approx(0.005)
    assert bench.api.writes == written
    for _ in range(5):
        bench.cluster.pass_time(0.02)
        await bench.reconciler.reconcile(VM)
    assert (names(bench), pending(bench)) == (["default", "blue"], [])


async def test_a_list_that_has_changed_meanwhile_is_decided_on_again(bench: Bench) -> None:
    ask(bench, add("red"), add("green"))
    bench.cluster.pass_time(0.02)
    with pytest.raises(Stale):
        await bench.reconciler.reconcile(VM)
    for _ in range(3):
        await bench.reconciler.reconcile(VM)
        bench.cluster.pass_time(0.02)
    assert (names(bench), pending(bench)) == (["default", "blue", "red", "green"], [])


async def test_an_operator_that_leads_again_much_later_plans_again(bench: Bench) -> None:
    """Another one has ended the request, and the same was made again: it is to be carried out, not ended."""
    found = stored(bench)
    template: Json = found["spec"]["template"]["spec"]
    template["domain"]["devices"]["interfaces"].pop()
    template["networks"].pop()
    bench.cluster.replace(VMS, NAME, found, by="user")
    bench.hear()
    bench.cluster.pass_time(60)
    await bench.reconciler.reconcile(VM)
    assert names(bench) == ["default", "blue", "red"]
