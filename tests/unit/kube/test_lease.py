"""Leader election under virtual time: one world, several candidates."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import looptime
import pytest
import structlog
from tests.fakes.direct import DirectApi, DirectWorld

from nicplug.kube.api import Json, Resource
from nicplug.kube.errors import MANIFESTS, Denied, Gone
from nicplug.kube.lease import LeaderElector, LeaseTiming

pytestmark = pytest.mark.looptime

NAMESPACE = "nicplug-system"


class Candidate:
    """An elector with its own connection and a diary of what it was told."""

    def __init__(self, world: DirectWorld, identity: str) -> None:
        self.api = DirectApi(world)
        self.diary: list[tuple[str, float]] = []
        self.elector = LeaderElector(
            self.api,
            namespace=NAMESPACE,
            name="nicplug-operator",
            identity=identity,
            on_gain=lambda: self._note("gain"),
            on_lose=lambda: self._note("lose"),
            labels={"example.org/name": "operator"},
            annotations={"example.org/version": f"of {identity}"},
        )
        self.task = asyncio.create_task(self.elector.run())

    def _note(self, what: str) -> None:
        self.diary.append((what, asyncio.get_running_loop().time()))

    def crash(self) -> None:
        """Lose the network for ever; the process goes on believing what it may."""
        self.api.is_up = False

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def until_leader(self, *, seconds: float = 30.0) -> float:
        """When it became leader, in loop time."""
        async with asyncio.timeout(seconds):
            while not self.elector.is_leader():  # noqa: ASYNC110 - virtual time: nothing to be notified by
                await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time()


Start = Callable[[str], Awaitable[Candidate]]


@pytest.fixture
def world() -> DirectWorld:
    return DirectWorld()


@pytest.fixture
async def start(world: DirectWorld) -> AsyncIterator[Start]:
    candidates: list[Candidate] = []

    async def make(identity: str) -> Candidate:
        candidates.append(Candidate(world, identity))
        return candidates[-1]

    yield make
    for candidate in candidates:
        await candidate.stop()


def lease(world: DirectWorld) -> dict[str, Any]:
    found = world.object("leases", "nicplug-operator", namespace=NAMESPACE)
    assert found is not None
    spec: dict[str, Any] = found["spec"]
    return spec


async def test_the_first_candidate_leads_at_once_and_keeps_leading(world: DirectWorld, start: Start) -> None:
    first = await start("a")
    await asyncio.sleep(60)
    assert first.elector.is_leader()
    assert [what for what, _ in first.diary] == ["gain"]
    assert first.diary[0][1] < 0.1
    assert lease(world)["holderIdentity"] == "a"
    assert lease(world)["leaseTransitions"] == 0


async def test_labels_are_also_put_on_a_lease_that_has_none(world: DirectWorld, start: Start) -> None:
    """As an earlier version has made it; those of others stay."""
    first = await start("a")
    await first.until_leader()
    found = world.object("leases", "nicplug-operator", namespace=NAMESPACE)
    assert found is not None
    found["metadata"]["labels"] = {"example.org/theirs": "x"}
    world.store.commit(world.kinds["leases"], (NAMESPACE, "nicplug-operator"), found)
    await first.stop()
    second = await start("b")
    await second.until_leader()
    found = world.object("leases", "nicplug-operator", namespace=NAMESPACE)
    assert found is not None
    assert found["metadata"]["labels"] == {"example.org/theirs": "x", "example.org/name": "operator"}


async def test_the_annotations_are_those_of_who_leads(world: DirectWorld, start: Start) -> None:
    """Those of others stay; nothing more is written for them."""
    first = await start("a")
    await first.until_leader()
    found = world.object("leases", "nicplug-operator", namespace=NAMESPACE)
    assert found is not None
    assert found["metadata"]["annotations"] == {"example.org/version": "of a"}
    found["metadata"]["annotations"]["example.org/theirs"] = "x"
    world.store.commit(world.kinds["leases"], (NAMESPACE, "nicplug-operator"), found)
    await first.stop()
    second = await start("b")
    await second.until_leader()
    found = world.object("leases", "nicplug-operator", namespace=NAMESPACE)
    assert found is not None
    assert found["metadata"]["annotations"] == {"example.org/version": "of b", "example.org/theirs": "x"}


async def test_a_leader_renews_with_one_write_per_period_and_no_read(start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    first.api.calls.clear()
    await asyncio.sleep(30)
    assert {verb for verb, _ in first.api.calls} == {"update"}
    assert 20 <= len(first.api.calls) <= 26


async def test_the_standby_does_not_write(start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    second = await start("b")
    await asyncio.sleep(30)
    assert not second.elector.is_leader()
    assert {verb for verb, _ in second.api.calls} == {"get"}


@pytest.mark.parametrize("lived_seconds", [2.0, 2.3, 2.9, 3.7, 11.1])
async def test_a_crashed_leader_is_followed_within_nine_and_a_half_seconds(
    world: DirectWorld, start: Start, lived_seconds: float
) -> None:
    first = await start("a")
    second = await start("b")
    await asyncio.sleep(lived_seconds)
    leader, standby = (first, second) if first.elector.is_leader() else (second, first)
    crashed_at = asyncio.get_running_loop().time()
    leader.crash()
    assert await standby.until_leader() - crashed_at <= 9.5
    assert lease(world)["leaseTransitions"] == 1


async def test_two_never_lead_at_the_same_time_through_a_crash(start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    second = await start("b")
    await asyncio.sleep(3)
    first.crash()
    for _ in range(2000):
        await asyncio.sleep(0.01)
        assert not (first.elector.is_leader() and second.elector.is_leader())
    assert second.elector.is_leader()


async def test_a_released_lease_is_taken_within_a_second(world: DirectWorld, start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    second = await start("b")
    await asyncio.sleep(5)
    await first.stop()
    released_at = asyncio.get_running_loop().time()
    assert lease(world)["holderIdentity"] == ""
    assert lease(world).get("renewTime") is None
    assert await second.until_leader() - released_at < 1.0
    assert first.diary[-1][0] == "lose"


async def test_a_renewal_that_arrives_during_the_release_does_not_keep_the_lease(
    world: DirectWorld, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server may finish a renewal after the client has cancelled it."""
    first = await start("a")
    await first.until_leader()
    replace, key = first.api.replace, (NAMESPACE, "nicplug-operator")
    late = [{"renewTime": "2030-01-01T00:00:00.000000Z"}, {"renewTime": "2030-01-01T00:00:01.000000Z"}]

    async def replace_after_a_late_renewal(resource: Resource, body: Json, **where: Any) -> Json:
        if late:
            stored = world.object("leases", key[1], namespace=key[0])
            assert stored is not None
            world.writer.update(world.kinds["leases"], key, {**stored, "spec": {**stored["spec"], **late.pop()}})
        return await replace(resource, body, **where)

    monkeypatch.setattr(first.api, "replace", replace_after_a_late_renewal)
    await first.stop()
    assert late == []
    assert lease(world)["holderIdentity"] == ""


async def test_a_leader_that_cannot_renew_stands_back_before_its_lease_is_free(start: Start) -> None:
    first = await start("a")
    gained_at = await first.until_leader()
    first.crash()
    await asyncio.sleep(10)
    (_, _), (what, lost_at) = first.diary
    assert what == "lose"
    assert lost_at - gained_at <= LeaseTiming().renew_deadline + LeaseTiming().retry
    assert not first.elector.is_leader()


async def test_a_silent_api_server_ends_leadership_too(start: Start) -> None:
    first = await start("a")
    gained_at = await first.until_leader()
    first.api.is_silent = True
    await asyncio.sleep(10)
    assert first.diary[-1][0] == "lose"
    assert first.diary[-1][1] - gained_at <= LeaseTiming().renew_deadline + 0.1


async def test_a_short_outage_does_not_cost_leadership(start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    first.api.is_up = False
    await asyncio.sleep(2.5)
    first.api.is_up = True
    await asyncio.sleep(20)
    assert [what for what, _ in first.diary] == ["gain"]


async def test_after_an_outage_the_same_process_leads_again_without_a_transition(
    world: DirectWorld, start: Start
) -> None:
    first = await start("a")
    await first.until_leader()
    first.api.is_up = False
    await asyncio.sleep(7)
    first.api.is_up = True
    await first.until_leader(seconds=2)
    assert [what for what, _ in first.diary] == ["gain", "lose", "gain"]
    assert lease(world)["leaseTransitions"] == 0


async def test_an_api_server_that_takes_two_seconds_for_each_request_costs_no_leadership(start: Start) -> None:
    """Everybody has to go on working, slowly: a failure drill found an operator that stood still."""
    first = await start("a")
    first.api.latency_seconds = 2.0
    await first.until_leader(seconds=10)
    second = await start("b")
    second.api.latency_seconds = 2.0
    for _ in range(600):
        await asyncio.sleep(0.1)
        assert first.elector.is_leader()
    assert [what for what, _ in first.diary] == ["gain"]
    assert second.diary == []


async def test_an_api_server_that_becomes_slow_costs_no_leadership(start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    first.api.latency_seconds = 2.5
    await asyncio.sleep(60)
    assert [what for what, _ in first.diary] == ["gain"]


async def test_lost_answers_of_renewals_do_not_make_a_rival_of_oneself(start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    first.api.loses_answers = True
    await asyncio.sleep(2)
    first.api.loses_answers = False
    await asyncio.sleep(10)
    assert [what for what, _ in first.diary] == ["gain"]


async def test_a_lost_answer_of_the_acquisition_is_released_at_the_end(world: DirectWorld, start: Start) -> None:
    first = await start("a")
    first.api.loses_answers = True
    await asyncio.sleep(0.1)
    assert lease(world)["holderIdentity"] == "a"
    first.api.loses_answers = False
    await first.stop()
    assert lease(world)["holderIdentity"] == ""


async def test_leadership_stops_being_claimed_while_the_loop_is_stuck(start: Start) -> None:
    """A process that was frozen wakes up with an old belief: the clock must contradict it."""
    first = await start("a")
    await first.until_leader()
    first.task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first.task
    first.elector._leads = True
    await asyncio.sleep(LeaseTiming().duration - LeaseTiming().skew)
    assert not first.elector.is_leader()


async def test_the_lease_deleted_by_hand_is_written_again(world: DirectWorld, start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    world.writer.delete(world.kinds["leases"], (NAMESPACE, "nicplug-operator"))
    await asyncio.sleep(4)
    assert lease(world)["holderIdentity"] == "a"
    assert [what for what, _ in first.diary] == ["gain"]


async def test_a_lease_taken_by_another_ends_leadership(world: DirectWorld, start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    key = (NAMESPACE, "nicplug-operator")
    stored = world.store.get(world.kinds["leases"], key)
    assert stored is not None
    stolen = stored.copy()
    stolen["spec"]["holderIdentity"] = "someone-else"
    world.writer.update(world.kinds["leases"], key, stolen)
    await asyncio.sleep(2)
    assert [what for what, _ in first.diary] == ["gain", "lose"]


async def test_a_candidate_that_never_led_leaves_the_lease_alone(world: DirectWorld, start: Start) -> None:
    first = await start("a")
    await first.until_leader()
    second = await start("b")
    await asyncio.sleep(3)
    second.api.calls.clear()
    await second.stop()
    assert second.api.calls == []
    assert lease(world)["holderIdentity"] == "a"


async def test_stopping_is_bounded_when_the_api_server_is_silent(
    start: Start, looptime: looptime.LoopTimeEventLoop
) -> None:
    first = await start("a")
    await first.until_leader()
    first.api.is_silent = True
    began = asyncio.get_running_loop().time()
    await first.stop()
    assert asyncio.get_running_loop().time() - began <= LeaseTiming().release + 0.1


async def test_a_missing_namespace_is_said_with_its_remedy(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise Gone('namespaces "nicplug-system" not found')

    monkeypatch.setattr(DirectApi, "create", refuse)
    with structlog.testing.capture_logs() as lines:
        await start("a")
        await asyncio.sleep(5)
    assert [line["event"] for line in lines] == ["lease not written"], "once, not at every attempt"
    assert lines[0]["error"].startswith(f'namespaces "nicplug-system" not found. {MANIFESTS} make the namespace')


@pytest.mark.parametrize(("status", "remedy"), [(401, "Check the credentials"), (403, "Apply nicplug's manifests")])
async def test_a_refusal_is_said_with_its_remedy(
    start: Start, monkeypatch: pytest.MonkeyPatch, status: int, remedy: str
) -> None:
    """A token that is refused, as after its namespace was deleted, was answered with rights."""

    async def refuse(*_: object, **__: object) -> None:
        raise Denied("no", status=status)

    monkeypatch.setattr(DirectApi, "create", refuse)
    with structlog.testing.capture_logs() as lines:
        await start("a")
        await asyncio.sleep(5)
    assert lines[0]["error"].startswith(f"no. {remedy}")
