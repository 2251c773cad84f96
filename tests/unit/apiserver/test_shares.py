"""Who sends much keeps nobody else waiting; and how many connections there may be."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from tests.unit.apiserver.conftest import Start, World
from tests.unit.apiserver.played import Client, Refused, put

from nicplug.apiserver.dispatch import Limits
from nicplug.apiserver.shares import RoundRobin, UnderWay


def _as(user: str) -> bytes:
    return put(more={"X-Remote-User": user})


async def test_one_user_s_requests_leave_room_for_others(start: Start) -> None:
    world = await start(Limits(concurrent=3, concurrent_of_one=2))
    world.recorder.gate = asyncio.Event()
    waiting = [asyncio.create_task(world.ask(_as("alice"))) for _ in range(2)]
    await world.recorder.heard(2)
    refused = await world.ask(_as("alice"))
    assert (refused.code, refused.headers["retry-after"]) == (429, "1")
    waiting.append(asyncio.create_task(world.ask(_as("bob"))))
    await world.recorder.heard()
    world.recorder.gate.set()
    assert [answer.code for answer in await asyncio.gather(*waiting)] == [202] * 3
    assert (await world.ask(_as("alice"))).code == 202


async def test_a_place_goes_round_the_users(start: Start) -> None:
    """Bob has come last, and does not wait for all of Alice's."""
    world = await start(Limits(carried_out=1))
    world.recorder.gate = asyncio.Event()
    asking = [asyncio.create_task(world.ask(_as("alice")))]
    await world.recorder.heard()
    turns = world.server._dispatcher._turns
    for count, user in enumerate(["alice", "alice", "bob"], start=1):
        asking.append(asyncio.create_task(world.ask(_as(user))))
        await _until(partial(_has_waiting, turns, count))
    world.recorder.gate.set()
    await asyncio.gather(*asking)
    users = [call.caller.name for call in world.recorder.calls]
    assert users == ["alice", "alice", "bob", "alice"]


async def test_a_request_that_is_given_up_while_it_waits_takes_no_place() -> None:
    """The place is handed on in the same moment, before it has noticed."""
    turns = RoundRobin(1)
    await turns._enter("first")
    given_up, last = (asyncio.create_task(turns._enter(name)) for name in ("given up", "last"))
    await asyncio.sleep(0)
    given_up.cancel()
    turns._leave()
    async with asyncio.timeout(1):
        await last
    with pytest.raises(asyncio.CancelledError):
        await given_up


async def test_a_request_that_is_given_up_as_its_turn_comes_hands_it_on() -> None:
    turns = RoundRobin(1)
    await turns._enter("first")
    second = asyncio.create_task(turns._enter("second"))
    await asyncio.sleep(0)
    # Its place has been given, and it has not run since.
    turns._leave()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    async with asyncio.timeout(1), turns.place("another"):
        pass


def test_users_that_have_nothing_under_way_are_forgotten() -> None:
    under_way = UnderWay(most=10, of_one=5)
    for number in range(1000):
        with under_way.count(f"user-{number}"):
            assert under_way.total == 1
        assert under_way.has_room("another")
    assert not under_way._by_user


class TestConnections:
    async def test_strangers_do_not_shut_the_front_proxy_out(self, start: Start) -> None:
        world = await start(Limits(anonymous_connections=2))
        for _ in range(2):
            await world.client(None)
        with pytest.raises(Refused):
            await world.ask(put(b"", path="/healthz", method="GET"), pair=None)
        assert (await world.ask(put())).code == 202

    async def test_one_too_many_is_closed_and_takes_no_place(self, start: Start) -> None:
        world = await start(Limits(connections=2))
        kept = [await _served(world) for _ in range(2)]
        with pytest.raises(Refused):
            await world.ask(put())
        kept[0].close()
        await _until(lambda: len(world.server._listener._admission) < 2)
        assert (await world.ask(put())).code == 202


def _has_waiting(turns: RoundRobin, count: int) -> bool:
    return sum(map(len, turns._waiting.values())) == count


async def _until(check: Callable[[], bool]) -> None:
    for _ in range(1000):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 10 s")


async def _served(world: World) -> Client:
    client = await world.client()
    await client.send(put())
    assert (await client.receive()).code == 202
    return client
