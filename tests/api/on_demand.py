"""Migrations that nicplug makes for NICs."""

from typing import Any

from tests.api import objects
from tests.api.objects import Json
from tests.api.world import DAEMON_SETS, MIGRATION, VMI, World


async def migratable(world: World, name: str = "a") -> str:
    """A running VM that its node agent says can move, in a cluster without a dynamic networks controller."""
    await world.running(objects.vm(name))
    condition = {"type": "LiveMigratable", "status": "True"}
    world.server.modify(VMI, name, lambda body: body["status"]["conditions"].append(condition), status=True)
    return name


def made(world: World) -> list[Json]:
    """The migrations there are."""
    return world.server.items(MIGRATION)


def posts(world: World) -> list[str]:
    """The POSTs of migrations that were sent."""
    return [line for line in world.written() if line.startswith(f"create {MIGRATION}")]


async def without_controller(world: World, **options: Any) -> str:
    """The same, with an operator that knows that there is no controller."""
    world.server.serve(DAEMON_SETS)
    await world.operator(**options)
    return await migratable(world)
