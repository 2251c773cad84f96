"""An operator that is killed before any one of its writes: the next one ends the migration as the first would have."""

from dataclasses import dataclass

import pytest
from tests.api.journey import Journey, guest
from tests.api.world import POD, VMI, World
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


# Finalizer, label, Pending, ledger, pod, Scheduling, Scheduled, ledger, label, state, PreparingTarget and TargetReady,
# Running, two of the pod, Succeeded, source pod, finalizer, ledger, VMI.
@pytest.mark.parametrize("after", range(18))
async def test_killed_before_any_write_of_a_migration(world: World, after: int) -> None:
    first = await world.operator()
    name = await guest(world)
    await world.quiet()
    cut = await cut_off(world, after=after)
    journey = Journey(world, name).ask()
    await journey.until(lambda: cut.seen > after)
    await world.stop(first)
    world.server.heal()
    await world.operator()
    await journey.to("Succeeded")
    await journey.until(lambda: [pod["metadata"]["name"] for pod in world.server.items(POD)] != [journey.source])
    await journey.until(lambda: len(world.server.items(POD)) == 1)
    await world.at_rest()
    assert target_pods_made(world) == 1
    vmi = world.get(VMI, name)
    assert vmi["status"]["nodeName"] == "node02"
    assert world.is_ready(name)
    assert journey.state["completed"] is True
    assert "failed" not in journey.state


@pytest.mark.parametrize(
    ("phase", "after"),
    [
        *(("Pending", after) for after in range(3)),
        *(("Scheduling", after) for after in range(4)),
        *(("PreparingTarget", after) for after in range(5)),
        *(("Running", after) for after in range(5)),
    ],
)
async def test_killed_before_any_write_of_a_cancellation(world: World, phase: str, after: int) -> None:
    first = await world.operator()
    name = await guest(world)
    await world.quiet()
    journey = Journey(world, name)
    if phase == "Pending":
        world.set_limits(cluster=0)
    journey.ask()
    await journey.to(phase)
    await world.at_rest()
    cut = await cut_off(world, after=after)
    journey.cancel()
    await journey.until(lambda: cut.seen > after or not journey.exists)
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
