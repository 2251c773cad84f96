"""A NIC that cannot come in place: one migration is made for it, whatever fails on the way, and none is left over."""

from tests.api.on_demand import made, migratable, posts, without_controller
from tests.api.world import DAEMON_SETS, MIGRATION, POD, VM, VMI, World
from tests.fakes.faults import Fault


async def test_without_a_controller_one_migration_is_made(world: World) -> None:
    name = await without_controller(world)
    # It waits, or its target pod would be made before the first report: the condition is about what is still to come.
    world.set_limits(cluster=0)
    await world.quiet()
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("phase") == "Migrating")
    record = world.record(name, "blue")
    assert (record["path"], record["reason"]) == ("Migration", "NoDynamicController")
    (migration,) = made(world)
    assert migration["spec"] == {"vmiName": name, "priority": "user-triggered"}
    assert record["migration"] == migration["metadata"]["name"]
    assert world.condition(name, "MigrationRequired", member="reason") == "AutoMigrationDueToLiveUpdate"
    # Whichever is first: the pod is asked, too.
    assert world.server.writes(POD)
    await world.at_rest()
    assert posts(world) == [f"create {MIGRATION} {migration['metadata']['name']} 201"]


async def test_two_nics_by_two_commands_ride_one_migration(world: World) -> None:
    name = await without_controller(world)
    world.plug(VM, name, "blue")
    world.plug(VM, name, "green")
    await world.until(lambda: all(world.record(name, nic).get("migration") for nic in ("blue", "green")))
    await world.at_rest()
    assert len(made(world)) == 1
    assert len(posts(world)) == 1


async def test_an_answer_that_is_lost_makes_no_second_migration(world: World) -> None:
    name = await without_controller(world)
    world.server.inject(Fault(resource=MIGRATION, verb="create", when="after", drop=True))
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("migration"))
    await world.at_rest()
    assert len(made(world)) == 1


async def test_an_operator_that_dies_before_it_says_so_leaves_one_migration(world: World) -> None:
    world.server.serve(DAEMON_SETS)
    first = await world.operator()
    name = await migratable(world)
    await world.quiet()
    world.server.fail(status=503, resource=VMI, subresource="status", times=99)
    world.plug(VM, name, "blue")
    await world.until(lambda: made(world))
    await world.stop(first)
    world.server.heal()
    await world.operator()
    await world.until(lambda: world.record(name, "blue").get("migration") == made(world)[0]["metadata"]["name"])
    await world.at_rest()
    assert len(made(world)) == 1


async def test_a_nic_that_is_taken_back_takes_its_migration_with_it(world: World) -> None:
    name = await without_controller(world)
    # Before it has a target pod; afterwards it goes on, and the NIC comes out after it.
    world.set_limits(cluster=0)
    await world.configured()
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("migration"))
    world.unplug(VM, name, "blue")
    await world.until(lambda: not made(world) or "deletionTimestamp" in made(world)[0]["metadata"])
    await world.until(lambda: world.nics(VMI, name) == ["main"])
    await world.until(lambda: world.is_ready(name))
    assert world.condition(name, "MigrationRequired") == ""
