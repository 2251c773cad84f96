"""What nicplug builds on the facts, held against both targets: the lease and the events."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.conformance.target import NAMESPACE, Target, unique

from nicplug.kube.api import Json
from nicplug.kube.lease import LeaderElector, LeaseTiming
from nicplug.kube.recorder import EventRecorder, ObjectReference, RecorderLimits
from nicplug.kube.resources import EVENTS, LEASES

# So long that a busy machine does not take it away.
TIMING = LeaseTiming(duration=5.0, renew_deadline=4.0, retry=0.3, standby_poll=0.1, attempt=3.0, skew=0.2)


@asynccontextmanager
async def running(target: Target, name: str, identity: str) -> AsyncIterator[LeaderElector]:
    elector = LeaderElector(
        target.api,
        namespace=NAMESPACE,
        name=name,
        identity=identity,
        on_gain=lambda: None,
        on_lose=lambda: None,
        timing=TIMING,
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
            await asyncio.sleep(TIMING.duration + 0.5)
            assert first.is_leader()
            assert not second.is_leader()
        # "" or already "b": an unreleased Lease names "a" until it has expired, which is not before TIMING.duration.
        released = await target.api.get(LEASES, name=name, namespace=NAMESPACE)
        assert released["spec"]["holderIdentity"] != "a"
        await _until_leader(second)
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
    for times, in_all in ((3, 3), (2, 5)):
        dropped: list[bool] = []
        recorder = EventRecorder(
            target.api,
            on_dropped=dropped.append,
            limits=RecorderLimits(series_seconds=0.1),
        )
        task = asyncio.create_task(recorder.run())
        for _ in range(times):
            recorder.event(regarding, type="Warning", reason="InterfacePlugged", message=message)
        await _until_told(target, regarding.uid, times=in_all)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert dropped == []
    event = await _only_event(target, regarding.uid)
    assert event["series"]["count"] == 5
    assert event["note"].startswith("NIC blue is in the guest.")
    assert event["type"] == "Warning"


async def _only_event(target: Target, uid: str) -> Json:
    """The event about that object, which must not be two; empty while there is none."""
    events = await target.api.list(EVENTS, namespace=NAMESPACE)
    found = [one for one in events["items"] if one["regarding"]["uid"] == uid]
    assert len(found) <= 1
    return found[0] if found else {}


async def _until_told(target: Target, uid: str, *, times: int) -> None:
    async with asyncio.timeout(30):
        while True:
            event = await _only_event(target, uid)
            if (event.get("series") or {}).get("count", 1 if event else 0) >= times:
                return
            await asyncio.sleep(0.05)


async def _until_leader(elector: LeaderElector) -> None:
    async with asyncio.timeout(10):
        while True:
            if elector.is_leader():
                return
            await asyncio.sleep(0.01)
