"""Replicas: one works, the others are ready to, and nothing is done twice when they change."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from tests.api import objects
from tests.api.operator_thread import OperatorThread, eventually
from tests.api.world import DAEMON_SETS, POD, VM, VMI, World
from tests.fakes.faults import Fault, Request
from tests.manifests import pod_interface

from nicplug import steady_clock
from nicplug.app import App, ClockChanged
from nicplug.kube import transport
from nicplug.kube.aio import CONNECTIONS_PER_HOST
from nicplug.kube.lease import LeaseTiming


def _with_short_lease(app: App) -> None:
    """As `LeaseTiming`, four times as fast: the tests of the Lease itself have virtual time."""
    app._elector._timing = LeaseTiming(
        duration=2.0, renew_deadline=1.25, retry=0.4, standby_poll=0.2, attempt=0.5, skew=0.25
    )


def _take_lease(world: World, holder: str) -> None:
    world.server.modify(
        "leases",
        "nicplug-operator",
        lambda lease: lease["spec"].update(holderIdentity=holder),
        namespace="nicplug-system",
    )


async def test_a_standby_fills_its_caches_and_writes_nothing(world: World) -> None:
    leader = await world.operator(leader_election=True)
    standby = await world.operator(until_works=False, leader_election=True)
    holder = world.lease_holder()
    await world.running(objects.vm("a"))
    await eventually(lambda: standby.sample("nicplug_cache_objects", kind="Pod") == 1)
    assert (leader.works, standby.works) == (True, False)
    assert world.lease_holder() == holder
    assert _sent(leader) > 0
    assert _sent(standby) == 0


def _sent(operator: OperatorThread) -> float:
    """Writes that the operator has counted itself, leases apart."""
    return sum(
        sample.value
        for family in operator.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "nicplug_api_requests_total"
        and sample.labels["verb"] in ("create", "patch", "delete")
        and sample.labels["resource"] != "leases"
    )


async def test_a_standby_takes_over_when_the_leader_ends_and_creates_nothing_twice(world: World) -> None:
    leader = await world.operator(leader_election=True)
    standby = await world.operator(until_works=False, leader_election=True)
    await world.running(objects.vm("a"))
    world.server.create(VM, objects.vm("b"))
    # A pod that its maker has not recorded is not believed, and made again: tests/unit/reconcile/test_pod_identity.py.
    await world.until(lambda: world.has_pod("b") and world.phase("b") == "Scheduling")
    await world.stop(leader)
    await eventually(lambda: standby.works)
    world.plug(VM, "a", "blue")
    await world.until(lambda: objects.requested(world.pod_of("a")) == [pod_interface("blue")])
    world.run_pod("b")
    await world.until(lambda: world.phase("b") == "Scheduled")
    created = Counter(request.body["metadata"]["name"] for request in world.work() if request.verb == "create")
    assert set(created.values()) == {1}
    assert leader.error is None


async def test_two_operators_that_both_believe_to_lead_do_no_harm(world: World) -> None:
    """The Lease is no fence: a write of the old leader may arrive late."""
    await world.operator()
    await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    await world.unplugged(VM, name, "blue")
    await world.at_rest()
    commits = Counter((request.verb, request.resource) for request in world.work() if request.committed)
    assert commits["create", VMI] == 1
    assert commits["create", POD] == 1
    assert commits["patch", POD] == 3, "the readiness gate, the plug, the unplug"


async def test_a_leader_whose_lease_was_taken_stops_working(world: World) -> None:
    operator = await world.operator(leader_election=True)
    name = await world.running(objects.vm("a"))
    _take_lease(world, "somebody else")
    await eventually(lambda: not operator.works)
    world.server.clear_requests()
    world.plug(VM, name, "blue")
    await asyncio.sleep(0.5)
    assert world.work() == []
    assert not operator.has_ended
    # Free again: it takes up what it has seen meanwhile.
    _take_lease(world, "")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])


async def test_a_leader_that_cannot_renew_stops_before_its_lease_ends(world: World) -> None:
    operator = await world.operator(leader_election=True, prepare=_with_short_lease)
    name = await world.running(objects.vm("a"))
    world.server.fail(status=500, resource="leases", times=1000)
    await eventually(lambda: not operator.works)
    world.server.clear_requests()
    world.plug(VM, name, "blue")
    await asyncio.sleep(0.5)
    assert world.work() == []


async def test_a_leader_that_stood_still_does_not_go_on_where_it_was(world: World) -> None:
    """As under SIGSTOP: when it wakes, somebody else works."""
    frozen = await world.operator(leader_election=True, prepare=_with_short_lease)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    wake = frozen.freeze()
    _take_lease(world, "somebody else")
    world.plug(VM, name, "blue")
    await asyncio.sleep(2)
    wake()
    await eventually(lambda: not frozen.works)
    await asyncio.sleep(0.5)
    assert world.work() == []


async def test_the_leader_goes_on_leading_while_more_writes_hang_than_there_are_connections(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its renewals waited behind them for a connection, until the Lease was lost."""
    # On a busy machine all of them are under way after ten seconds, when the first would be given up.
    monkeypatch.setattr(transport, "_TOTAL_SECONDS", 50.0)
    world.server.inject(Fault(verb="create", resource=POD, delay_seconds=60, times=1000))
    operator = await world.operator(leader_election=True, workers=2 * CONNECTIONS_PER_HOST)
    holder = world.lease_holder()
    for number in range(2 * CONNECTIONS_PER_HOST):
        world.server.create(VMI, objects.vmi(f"a{number}"))
    await eventually(lambda: operator.sample("nicplug_queue_depth", priority="live") == 0)
    world.server.clear_requests()
    await world.until(lambda: len(_renewals(world)) >= 2)
    assert _unanswered(operator) == 0, "all of them still hang"
    assert (operator.works, world.lease_holder()) == (True, holder)
    world.server.heal()


def _renewals(world: World) -> list[Request]:
    return [request for request in world.server.writes() if request.resource == "leases"]


def _unanswered(operator: OperatorThread) -> float:
    """Pods whose creation was given up."""
    labels = {"verb": "create", "resource": "pods", "code": "0"}
    return operator.sample("nicplug_api_requests_total", **labels) or 0.0


async def test_parts_of_the_operator_that_have_ended_are_forgotten(world: World) -> None:
    """Each controller that came and went left a task behind."""
    world.deploy_controller("node01")
    operator = await world.operator()
    await world.until(lambda: world.server.open_watches.count(POD) == 2)
    await world.until(lambda: world.server.open_watches.count("core/events") == 3)
    before = len(operator.app._tasks)
    for number in range(5):
        other = objects.controller_daemon_set()
        other["metadata"]["name"] = f"dynamic-networks-controller-{number}"
        world.server.create(DAEMON_SETS, other, namespace=objects.CONTROLLER_NAMESPACE)
        await world.until(lambda: world.server.open_watches.count(POD) == 3)
        world.server.delete(DAEMON_SETS, other["metadata"]["name"], namespace=objects.CONTROLLER_NAMESPACE)
        await world.until(lambda: world.server.open_watches.count(POD) == 2)
    await eventually(lambda: len(operator.app._tasks) == before)


async def test_a_leader_whose_clock_was_set_for_good_ends_and_hands_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process cannot take another time for what it remembers; the next one begins with it (docs/adr/0037)."""
    monkeypatch.setattr(steady_clock, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(steady_clock, "_LOOK_SECONDS", 0.05)
    leader = await world.operator(leader_election=True)
    standby = await world.operator(until_works=False, leader_election=True)
    leader.app._clock._wall = lambda: datetime.now(UTC) - timedelta(hours=2)
    await eventually(lambda: standby.works)
    await eventually(lambda: leader.has_ended)
    assert isinstance(leader.app._failure, ClockChanged)
    assert "-7200 s" in str(leader.app._failure)
    await world.running(objects.vm("a"))
