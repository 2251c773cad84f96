"""Requests for NICs whose change the API server refuses: they end, and nothing but they is kept from being done."""

import pytest
from tests.unit.reconcile.bench import VM, VMI, Bench
from tests.unit.reconcile.requests import add, ask, names, pending, stored

from nicplug.kube.errors import ApiError, Denied, Rejected

REASON = "HotPlugNetworkInterfaceError"
POLICY = Rejected("policy says no", status=422)
WEBHOOK = Denied('admission webhook "nics" denied the request: no', status=403)
NO_RIGHT = Denied('virtualmachines "a" is forbidden: User "x" cannot patch resource', status=403)


def refuse(bench: Bench, error: ApiError) -> None:
    """The next write is refused."""

    def hook() -> None:
        raise error

    bench.api.before = [hook]


async def refused(bench: Bench, error: ApiError) -> None:
    """One pass whose first write is refused."""
    refuse(bench, error)
    with pytest.raises(type(error)):
        await bench.reconciler.reconcile(VM)
    assert bench.reconciler.note_refusal(VM, error, seconds=600)


async def carry_out(bench: Bench) -> None:
    """A pass that changes template and instance, and the end of the requests, which waits for a moment."""
    for _ in range(2):
        await bench.reconciler.reconcile(VM)
        bench.cluster.pass_time(0.02)


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    made.make_vm()
    await made.reconciler.reconcile(VM)
    return made


@pytest.mark.parametrize("error", [POLICY, WEBHOOK], ids=["policy", "webhook"])
async def test_the_request_ends_and_is_reported_once(bench: Bench, error: ApiError) -> None:
    ask(bench, add("red"))
    await refused(bench, error)
    await bench.reconciler.reconcile(VM)
    assert (pending(bench), names(bench)) == ([], ["default", "blue"])
    (failure,) = [row for row in stored(bench)["status"]["conditions"] if row["type"] == "Failure"]
    text = f"error encountered while handling dynamic interface request: {error}"
    assert (failure["reason"], failure["message"]) == (REASON, text)
    reported = [
        message
        for (_, _, reason), message in zip(bench.recorded.events, bench.recorded.messages, strict=True)
        if reason == REASON
    ]
    assert reported == [text]


async def test_it_can_be_made_again_at_once(bench: Bench) -> None:
    """What was refused is kept for ten minutes where it is the spec's."""
    ask(bench, add("red"))
    await refused(bench, POLICY)
    await bench.reconciler.reconcile(VM)
    ask(bench, add("red"))
    await carry_out(bench)
    assert (pending(bench), names(bench)) == ([], ["default", "blue", "red"])


async def test_of_several_one_alone_is_at_fault(bench: Bench) -> None:
    ask(bench, add("red"), add("green"))
    await refused(bench, POLICY)
    await carry_out(bench)
    assert (pending(bench), names(bench)) == ([add("green")], ["default", "blue", "red"])
    await refused(bench, POLICY)
    for _ in range(3):
        bench.cluster.pass_time(1)
        await bench.reconciler.reconcile(VM)
    assert (pending(bench), names(bench)) == ([], ["default", "blue", "red"])


async def test_of_several_that_are_all_refused_each_ends() -> None:
    """The refusal of the first alone made way for that of all together, and so on, a hundred times a second."""
    bench = Bench()
    bench.make_vm()
    await bench.reconciler.reconcile(VM)
    ask(bench, add("red"), add("green"))
    await refused(bench, POLICY)  # together
    await refused(bench, POLICY)  # the first alone
    await bench.reconciler.reconcile(VM)
    assert pending(bench) == [add("green")]
    await refused(bench, POLICY)
    await bench.reconciler.reconcile(VM)
    assert (pending(bench), names(bench)) == ([], ["default", "blue"])
    (failure,) = [row for row in stored(bench)["status"]["conditions"] if row["type"] == "Failure"]
    assert failure["reason"] == REASON


async def test_without_the_right_it_waits(bench: Bench) -> None:
    ask(bench, add("red"))
    await refused(bench, NO_RIGHT)
    bench.cluster.pass_time(1)
    await bench.reconciler.reconcile(VM)
    assert (pending(bench), names(bench)) == ([add("red")], ["default", "blue"])
    bench.reconciler.forget_refusal(VM)
    await carry_out(bench)
    assert (pending(bench), names(bench)) == ([], ["default", "blue", "red"])


async def test_the_nics_of_the_instance_are_not_reported_as_refused(bench: Bench) -> None:
    ask(bench, add("red"))
    await refused(bench, POLICY)
    view = bench.reconciler.gatherer.vmi_view(VMI)
    assert view is not None
    assert view.vm_refusal is None
