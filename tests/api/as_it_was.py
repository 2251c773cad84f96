"""What is left of a migration that came to nothing."""

from tests.api.journey import Journey
from tests.api.world import POD, VMI, World


async def is_as_it_was(world: World, journey: Journey) -> None:
    """The guest is where it was, nobody has touched its pod, and it can be moved now."""
    await journey.until(lambda: pod_names(world) == [journey.source])
    await world.at_rest()
    vmi = world.get(VMI, journey.vmi)
    assert (vmi["status"]["phase"], vmi["status"]["nodeName"]) == ("Running", "node01")
    assert not [line for line in world.written() if f" {journey.source} " in line]
    assert world.row(journey.vmi, "blue")["infoSource"] == "domain, multus-status"
    assert world.is_ready(journey.vmi)
    world.set_limits(cluster=5)
    again = Journey(world, journey.vmi, name="again").ask()
    await again.to("Succeeded")


def pod_names(world: World) -> list[str]:
    """Of all launcher pods."""
    return [str(pod["metadata"]["name"]) for pod in world.server.items(POD)]
