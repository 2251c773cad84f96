"""An operator that is killed before any one of its writes: the next one ends the migration as the first would have."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.api.journey import Journey, guest
from tests.api.world import MIGRATION, POD, VMI, World
from tests.fakes.faults import Fault, Request

_BESIDE = ("leases", "events")
_WRITES = ("create", "patch", "update", "delete")


@dataclass(slots=True, kw_only=True, eq=False)
class CutOff(Fault):
    """From one write on, nothing that the operator writes arrives: as if it had been killed before it.

    Attributes:
        after: how many writes are let through.
        seen: how many there were.
    """

    after: int = 0
    seen: int = 0

    def matches(self, request: Request) -> bool:
        if request.verb not in _WRITES or request.resource in _BESIDE:
            return False
        self.seen += 1
        return self.seen > self.after


async def cut_off(world: World, *, after: int) -> CutOff:
    """Inject it."""
    cut = CutOff(after=after, drop=True, times=10**6)
    world.server.inject(cut)
    return cut


def target_pods_made(world: World) -> int:
    """How many POSTs of pods have made one, without the VMI's first."""
    return sum(line.startswith(f"create {POD}") and line.endswith(" 201") for line in world.written())


# As many as a run makes, and some more: `test_no_write_is_left_out` counts them. Their number differs with the speed of
# the machine, as reports that are close to each other are one write.
WRITES = 27
WRITES_OF_A_CANCELLATION = {"Pending": 3, "Scheduling": 7, "PreparingTarget": 9, "Running": 8}


def is_through(world: World, journey: Journey) -> bool:
    """Nothing of the migration is left to write but what people read."""
    found = world.server.get(MIGRATION, journey.name) or {}
    finalizers = found.get("metadata", {}).get("finalizers")
    return journey.phase == "Succeeded" and not finalizers and len(world.server.items(POD)) == 1


async def uncut(journey: Journey, cut: CutOff, *, after: int, is_over: Callable[[], bool]) -> None:
    """Until the write came that does not arrive, or all there is has been written."""
    await journey.until(lambda: cut.seen > after or is_over())
    before = -1
    while before < cut.seen <= after:  # not until rest: what does not arrive is written again and again
        before = cut.seen
        await asyncio.sleep(0.5)


async def test_no_write_is_left_out(world: World) -> None:
    await world.operator()
    name = await guest(world)
    await world.quiet()
    cut = await cut_off(world, after=10**6)
    journey = Journey(world, name).ask()
    await uncut(journey, cut, after=10**6, is_over=lambda: is_through(world, journey))
    assert cut.seen == len(world.work())
    assert 10 < cut.seen <= WRITES
    last = [line for line in world.written() if f"{VMI}/status" in line or f"patch {MIGRATION} job" in line][-2:]
    assert sorted(last) == [f"patch {MIGRATION} job 200", f"patch {VMI}/status {name} 200"]


@pytest.mark.parametrize("after", range(WRITES))
async def test_killed_before_any_write_of_a_migration(world: World, after: int) -> None:
    world.set_limits(cluster=1)
    first = await world.operator()
    name = await guest(world)
    await world.quiet()
    cut = await cut_off(world, after=after)
    journey = Journey(world, name).ask()
    await uncut(journey, cut, after=after, is_over=lambda: is_through(world, journey))
    # Its maker died before it could record it, so that it may be anybody's.
    is_unrecorded = journey.target is not None and "targetPod" not in world.get(MIGRATION, "job")["status"]
    await world.stop(first)
    world.server.heal()
    await world.operator()
    await journey.to("Succeeded")
    await journey.until(lambda: [pod["metadata"]["name"] for pod in world.server.items(POD)] != [journey.source])
    await journey.until(lambda: len(world.server.items(POD)) == 1)
    await journey.until(lambda: not world.get(MIGRATION, "job")["metadata"].get("finalizers"))
    await world.at_rest()
    assert target_pods_made(world) == (2 if is_unrecorded else 1)
    vmi = world.get(VMI, name)
    assert vmi["status"]["nodeName"] == "node02"
    assert world.is_ready(name)
    assert journey.state["completed"] is True
    assert "failed" not in journey.state
    # Its slot, the only one, is free again.
    await Journey(world, name, name="again", node="node01").ask().to("Succeeded")


async def cancelled(world: World, name: str, phase: str) -> Journey:
    """One that will be cancelled when it is in that phase."""
    journey = Journey(world, name)
    if phase == "Pending":
        world.set_limits(cluster=0)
        await world.configured()
    return journey.ask()


@pytest.mark.parametrize("phase", WRITES_OF_A_CANCELLATION)
async def test_no_write_of_a_cancellation_is_left_out(world: World, phase: str) -> None:
    await world.operator()
    name = await guest(world)
    journey = await cancelled(world, name, phase)
    await journey.to(phase)
    await world.quiet()
    cut = await cut_off(world, after=10**6)
    journey.cancel()
    await uncut(journey, cut, after=10**6, is_over=lambda: not journey.exists)
    assert cut.seen == len(world.work())
    assert 1 < cut.seen <= WRITES_OF_A_CANCELLATION[phase]


@pytest.mark.parametrize(
    ("phase", "after"), [(phase, after) for phase, count in WRITES_OF_A_CANCELLATION.items() for after in range(count)]
)
async def test_killed_before_any_write_of_a_cancellation(world: World, phase: str, after: int) -> None:
    first = await world.operator()
    name = await guest(world)
    await world.quiet()
    journey = await cancelled(world, name, phase)
    await journey.to(phase)
    await world.at_rest()
    cut = await cut_off(world, after=after)
    journey.cancel()
    await uncut(journey, cut, after=after, is_over=lambda: not journey.exists)
    await world.stop(first)
    world.server.heal()
    await world.operator()
    await journey.until(lambda: not journey.exists)
    await journey.until(lambda: [pod["metadata"]["name"] for pod in world.server.items(POD)] == [journey.source])
    await world.at_rest()
    assert world.get(VMI, name)["status"]["nodeName"] == "node01"
    assert not journey.state or journey.state["failed"] is True
    world.set_limits(cluster=5)
    await Journey(world, name, name="again").ask().to("Succeeded")
