"""Limits of migrations, on the wire: the ledger is written before anything is begun, by however many operators."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.api.crowd import Counted, all_ended, guest, migrate, nodes_at_work, targets
from tests.api.journey import Journey
from tests.api.objects import Json
from tests.api.operator_thread import eventually
from tests.api.world import MIGRATION, POD, VMI, World
from tests.slow import slow

from nicplug.cache import slot_book

LEDGER = "configmaps"
NAME = "nicplug-migration-slots"


def ledger(world: World) -> Json:
    """The slots in the ledger, by the uid of their migration."""
    found = world.server.get(LEDGER, NAME, namespace="nicplug-system")
    return {uid: value for uid, value in found["data"].items() if uid != "checksum"} if found else {}


async def test_a_slot_is_in_the_ledger_before_the_target_pod_is_made(world: World) -> None:
    guest(world, "a", node="node01")
    await world.operator()
    await world.quiet()
    uid = migrate(world, "a")
    await world.until(lambda: targets(world) == {uid})
    written = [line.rsplit(" ", 2)[0] for line in world.written() if LEDGER in line or line.startswith("create")]
    assert written == [f"create {LEDGER}", f"create {POD}"]
    assert list(ledger(world)) == [uid]


async def test_an_operator_that_may_not_write_the_ledger_says_so_and_begins_nothing(world: World) -> None:
    refused = world.server.fail(status=403, resource=LEDGER, times=999)
    guest(world, "a", node="node01")
    await world.operator()
    uid = migrate(world, "a")
    await world.until(lambda: "SlotLedgerRefused" in progress(world, "a").get("reason", ""))
    assert "nicplug-system/nicplug-migration-slots, cannot be written" in progress(world, "a")["message"]
    assert targets(world) == set()
    refused.times = 0
    await world.until(lambda: targets(world) == {uid}, seconds=60)


def progress(world: World, name: str) -> Json:
    """The condition `Progressing` of its migration."""
    rows = (world.get(MIGRATION, f"job-{name}").get("status") or {}).get("conditions", [])
    return next((row for row in rows if row["type"] == "Progressing"), {})


async def test_everybody_who_waits_is_told_his_place_and_the_first_three_behind_whom(world: World) -> None:
    names = [f"a{number}" for number in range(7)]
    for name in names:
        guest(world, name, node="node01")
    operator = await world.operator()
    for name in names:
        migrate(world, name)
    await world.until(lambda: len(targets(world)) == 2)
    waiting = [name for name in names if job(world, name)["metadata"]["uid"] not in targets(world)]

    def told() -> list[str]:
        return sorted(progress(world, name).get("message", "") for name in waiting)

    await world.until(lambda: all("in the queue" in message for message in told()))
    limit = "(parallelOutboundMigrationsPerNode of node01: 2, all taken)"
    assert [message.split()[0] for message in told()] == ["1st", "2nd", "3rd", "4th", "5th"]
    assert all(message.endswith(limit) for message in told())
    assert ["behind migration" in message for message in told()] == [True, True, True, False, False]
    assert operator.sample("nicplug_migrations", state="running") == 2
    assert operator.sample("nicplug_migrations", state="queued") == 5
    for limit, used, allowed in (
        ("parallelMigrationsPerCluster", 2, 5),
        ("parallelOutboundMigrationsPerNode", 2, 2),
        ("parallelInboundMigrationsPerNode", 0, 2),
    ):
        assert operator.sample("nicplug_migration_slots_used", limit=limit) == used
        assert operator.sample("nicplug_migration_slots_limit", limit=limit) == allowed


def job(world: World, name: str) -> Json:
    """Its migration."""
    return world.get(MIGRATION, f"job-{name}")


@slow
async def test_a_hundred_at_once_stay_within_the_limits_and_all_arrive(world: World) -> None:
    for number in range(100):
        guest(world, f"a{number}", node=f"node0{number % 5}")
    world.set_limits(cluster=12, outbound=3, inbound=2)
    operator = await world.operator()
    await world.quiet()
    counted = Counted().watch(world)
    for number in range(100):
        migrate(world, f"a{number}")
    async with nodes_at_work(world, to=[f"node1{number}" for number in range(4)]):
        assert await all_ended(world, seconds=100) == {"Succeeded": 100}
    assert (counted.total, counted.outbound, counted.inbound, counted.doubled) == (12, 3, 2, set())
    await world.until(lambda: ledger(world) == {})
    assert operator.sample("nicplug_bugs_total") == 0
    # Whatever comes together is one write: 25 to 60 of them on the machines of the first measurements.
    assert len([line for line in world.written() if LEDGER in line]) < 150


async def crowd_of(world: World, count: int) -> Counted:
    """Guests on two nodes, limits that are soon reached, and an eye on them."""
    for number in range(count):
        guest(world, f"a{number}", node=f"node0{number % 2}")
    world.set_limits(cluster=3, outbound=2, inbound=1)
    return Counted().watch(world)


def migrate_all(world: World, count: int) -> None:
    for number in range(count):
        migrate(world, f"a{number}")


def are_kept(counted: Counted) -> bool:
    """None of the limits of `crowd_of` was ever exceeded."""
    return counted.total <= 3 and counted.outbound <= 2 and counted.inbound <= 1 and not counted.doubled


async def test_two_operators_that_both_believe_they_lead_stay_within_the_limits(world: World) -> None:
    counted = await crowd_of(world, 16)
    await world.operator()
    await world.operator()
    migrate_all(world, 16)
    async with nodes_at_work(world, to=["node10", "node11"]):
        assert await all_ended(world) == {"Succeeded": 16}
    assert are_kept(counted), counted


@pytest.mark.parametrize("has_standby", [False, True], ids=["a new process", "a standby"])
async def test_the_limits_outlive_the_leader(world: World, has_standby: bool) -> None:
    counted = await crowd_of(world, 8)
    first = await world.operator(leader_election=has_standby)
    if has_standby:
        standby = await world.operator(until_works=False, leader_election=True)
    migrate_all(world, 8)
    await world.until(lambda: len(targets(world)) == 3)
    before = ledger(world)
    await world.stop(first)
    if has_standby:
        await eventually(lambda: standby.works)
    else:
        await world.operator()
    await world.at_rest()
    assert ledger(world).keys() == before.keys()
    async with nodes_at_work(world, to=["node10", "node11"]):
        assert await all_ended(world) == {"Succeeded": 8}
    assert are_kept(counted), counted
    await world.until(lambda: ledger(world) == {})


def _delete(world: World) -> None:
    world.server.delete(LEDGER, NAME, namespace="nicplug-system")


def _empty(world: World) -> None:
    world.server.modify(LEDGER, NAME, lambda body: body.pop("data"), namespace="nicplug-system")


def _break(world: World) -> None:
    def change(body: Json) -> None:
        body["data"] = dict.fromkeys(body["data"], "{not json")

    world.server.modify(LEDGER, NAME, change, namespace="nicplug-system")


def _fill(world: World) -> None:
    """Slots of migrations that never were."""

    def change(body: Json) -> None:
        value = '{"namespace": "default", "migration": "job-x", "vmi": "x", "sourceNode": "node00"}'
        body["data"] |= {f"no-such-uid-{number}": value for number in range(5)}

    world.server.modify(LEDGER, NAME, change, namespace="nicplug-system")


@pytest.mark.parametrize("spoil", [_delete, _empty, _break, _fill])
@pytest.mark.parametrize("restart", [False, True], ids=["same operator", "new operator"])
async def test_a_ledger_that_is_spoilt_exceeds_no_limit_and_holds_nobody_up(
    world: World, spoil: Callable[[World], None], restart: bool
) -> None:
    counted = await crowd_of(world, 7)
    operator = await world.operator()
    migrate_all(world, 7)
    await world.until(lambda: len(targets(world)) == 3)
    if restart:
        # A target that is not recorded yet holds its slot by the ledger alone (docs/adr/0019, "What remains").
        await world.at_rest()
    spoil(world)
    if restart:
        await world.stop(operator)
        await world.operator()
    async with nodes_at_work(world, to=["node10", "node11"]):
        assert await all_ended(world) == {"Succeeded": 7}
    assert are_kept(counted), counted
    await world.until(lambda: ledger(world) == {})


async def test_a_lowered_limit_lets_those_under_way_end_and_nobody_begin(world: World) -> None:
    counted = await crowd_of(world, 6)
    await world.operator()
    migrate_all(world, 6)
    await world.until(lambda: len(targets(world)) == 3)
    world.set_limits(cluster=1)
    await world.at_rest()
    async with nodes_at_work(world, to=["node10", "node11"]):
        assert await all_ended(world) == {"Succeeded": 6}
    assert counted.begun == [1, 2, 3, 1, 1, 1]


async def test_a_migration_whose_target_pod_is_refused_gives_its_slot_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five of them, in a namespace with a quota, would hold up the whole cluster."""
    monkeypatch.setattr(slot_book, "_RETURN", timedelta(seconds=0.2))
    for name in ("a", "b"):
        guest(world, name, node="node01")
    world.set_limits(cluster=1)
    await world.operator()
    world.server.fail(status=403, resource=POD, verb="create", times=999)
    first = migrate(world, "a", priority="system-critical")
    await world.until(lambda: first in ledger(world))
    second = migrate(world, "b")
    await world.until(lambda: second in ledger(world))
    assert first not in ledger(world)
    await world.until(lambda: first in ledger(world))


async def test_a_slot_is_not_used_by_what_was_known_of_the_ledger_long_ago(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may have taken it back; so it is read again first."""
    monkeypatch.setattr(slot_book, "FRESH_SECONDS", 0.0)
    guest(world, "a", node="node01")
    await world.operator()
    await world.quiet()
    migrate(world, "a")
    await world.until(lambda: len([item for item in world.server.requests if item.resource == LEDGER]) > 3)
    assert targets(world) == set()
    monkeypatch.setattr(slot_book, "FRESH_SECONDS", 10.0)
    await world.until(lambda: targets(world))


async def test_a_slot_is_kept_while_the_node_agents_copy_for_a_migration_that_has_ended(world: World) -> None:
    """Another leader has failed it, and the VMI, by which the agents would hear of that, cannot be written."""
    for name, node in (("a", "node01"), ("b", "node02")):
        guest(world, name, node=node)
    world.set_limits(cluster=1)
    await world.operator()
    first = Journey(world, "a", name="job-a", node="node10").ask()
    await first.to("Running")
    second = migrate(world, "b")
    await world.until(lambda: "1st in the queue" in progress(world, "b").get("message", ""))
    many = 10**6
    refused = world.server.fail(status=500, resource=VMI, verb="patch", times=many)
    world.server.modify(MIGRATION, "job-a", lambda body: body["status"].update(phase="Failed"), status=True)
    await world.until(lambda: refused.times < many - 5)  # ever less often: a second or two
    assert "completed" not in first.state
    assert (list(ledger(world)), targets(world)) == ([first.uid], {first.uid})
    refused.times = 0
    await world.until(lambda: targets(world) == {second}, seconds=60)
    assert first.state["failed"] is True
    assert list(ledger(world)) == [second]


async def test_a_slot_of_a_migration_that_ended_while_nobody_led_is_released(world: World) -> None:
    guest(world, "a", node="node01")
    first = await world.operator()
    uid = migrate(world, "a")
    await world.until(lambda: uid in ledger(world))
    left = world.server.get(LEDGER, NAME, namespace="nicplug-system")
    async with nodes_at_work(world, to=["node10"]):
        assert await all_ended(world) == {"Succeeded": 1}
    await world.stop(first)
    assert left is not None
    world.server.modify(LEDGER, NAME, lambda body: body.update(data=left["data"]), namespace="nicplug-system")
    await world.operator()
    await world.until(lambda: ledger(world) == {})
