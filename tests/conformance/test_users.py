"""What nicplug builds on the facts, held against both targets: the lease and the events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.conformance.target import NAMESPACE, Target, unique

from nicplug.kube.lease import LeaderElector, LeaseTiming
from nicplug.kube.recorder import EventRecorder, ObjectReference, RecorderLimits
from nicplug.kube.resources import EVENTS, LEASES

FAST = LeaseTiming(duration=2.0, renew_deadline=1.2, retry=0.3, standby_poll=0.1, attempt=1.0, skew=0.2)


@asynccontextmanager
async def running(target: Target, name: str, identity: str) -> AsyncIterator[LeaderElector]:
    elector = LeaderElector(
        target.api,
        namespace=NAMESPACE,
        name=name,
        identity=identity,
        on_gain=lambda: None,
        on_lose=lambda: None,
        timing=FAST,
    )
    task = asyncio.create_task(elector.run())
    yield elector
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_lease_is_renewed_released_and_taken_over(target: Target) -> None:
    name = unique("election")
    async with contextlib.AsyncExitStack() as standby:
        async with running(target, name, "a") as first:
            await _until_leader(first)
            second = await standby.enter_async_context(running(target, name, "b"))
            await asyncio.sleep(FAST.duration + 0.5)
            assert first.is_leader()
            assert not second.is_leader()
        released_at = asyncio.get_running_loop().time()
        await _until_leader(second)
        assert asyncio.get_running_loop().time() - released_at < 1.0
        lease = await target.api.get(LEASES, name=name, namespace=NAMESPACE)
        assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("b", 1)


async def test_events_are_accepted_counted_and_continued_after_a_restart(target: Target) -> None:
    vmi = await target.vmi()
    regarding = ObjectReference(
        api_version="kubevirt.io/v1",
        kind="VirtualMachineInstance",
        namespace=NAMESPACE,
        name=vmi["metadata"]["name"],
        uid=vmi["metadata"]["uid"],
    )
    message = "NIC blue is in the guest. " + "ü" * 2000
    for times in (3, 2):
        dropped: list[None] = []
        recorder = EventRecorder(
            target.api,
            on_dropped=lambda kept=dropped: kept.append(None),  # type: ignore[misc]
            limits=RecorderLimits(series_seconds=0.1),
        )
        task = asyncio.create_task(recorder.run())
        for _ in range(times):
            recorder.event(regarding, type="Warning", reason="InterfacePlugged", message=message)
        await asyncio.sleep(1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert dropped == []
    events = await target.api.list(EVENTS, namespace=NAMESPACE)
    (event,) = [one for one in events["items"] if one["regarding"]["uid"] == regarding.uid]
    assert event["series"]["count"] == 5
    assert event["note"].startswith("NIC blue is in the guest.")
    assert event["type"] == "Warning"


async def _until_leader(elector: LeaderElector) -> None:
    async with asyncio.timeout(5):
        while True:
            if elector.is_leader():
                return
            await asyncio.sleep(0.01)
