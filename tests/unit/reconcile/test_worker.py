"""Workers: nothing that happens to a key ends them, and what happened decides when it comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tests.build import NAME, NAMESPACE

from nicplug.kube.errors import Denied, Rejected, Stale, Throttled, Unavailable
from nicplug.model.keys import VmiKey, VmKey, WorkKey
from nicplug.reconcile.large_objects import LargeTurns, TurnTaken
from nicplug.reconcile.memory import PlanRepeats
from nicplug.reconcile.queue import WorkQueue
from nicplug.reconcile.reconciler import Reconciler
from nicplug.reconcile.worker import Workers

pytestmark = pytest.mark.looptime
KEY, OTHER = VmKey(NAMESPACE, NAME), VmiKey(NAMESPACE, NAME)

Outcome = Exception | float | None


class Played:
    """A reconciler that does as it is told, and remembers when it was asked."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[tuple[WorkKey, float]] = []
        self.noted: list[Exception] = []
        self.refused: set[WorkKey] = set()
        self.is_news = True
        self.meanwhile: Callable[[], None] = lambda: None
        self.seconds = 0.0
        self.rest = 0.0

    def rest_seconds(self, _key: WorkKey) -> float:
        return self.rest

    async def reconcile(self, key: WorkKey) -> float | None:
        self.asked.append((key, asyncio.get_running_loop().time()))
        self.meanwhile()
        await asyncio.sleep(self.seconds)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def note_refusal(self, key: WorkKey, error: Exception, *, seconds: float) -> bool:
        self.noted.append(error)
        self.refused.add(key)
        was_news, self.is_news = self.is_news, False
        return was_news

    def is_refused(self, key: WorkKey) -> bool:
        return key in self.refused

    def forget_refusal(self, key: WorkKey) -> None:
        self.refused.discard(key)

    def note_bug(self, key: WorkKey, error: Exception) -> None:
        self.noted.append(error)
        raise LookupError("a bug in telling the bug")

    def times(self) -> list[float]:
        return [moment - self.asked[0][1] for _, moment in self.asked]


class Counted:
    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []
        self.bugs = 0

    def reconciled(self, *, kind: str, outcome: str, seconds: float) -> None:
        self.outcomes.append((kind, outcome))

    def failed_by_bug(self) -> None:
        self.bugs += 1


class Site:
    def __init__(self, played: Played) -> None:
        self.queue: WorkQueue[WorkKey] = WorkQueue()
        self.played, self.counted, self.leads = played, Counted(), True
        gate = asyncio.Event()
        gate.set()
        self.gate = gate
        self.workers = Workers(
            queue=self.queue,
            reconciler=cast(Reconciler, played),
            may_work=lambda: self.leads,
            gate=gate,
            observer=self.counted,
            turns=LargeTurns(on_turn=self.queue.add),
        )
        # The brake reads the same clock as the loop: virtual time.
        self.workers.brake.clock = asyncio.get_running_loop().time


@asynccontextmanager
async def working(*outcomes: Outcome, count: int = 1) -> AsyncIterator[Site]:
    site = Site(Played(*outcomes))
    task = asyncio.create_task(site.workers.run(count=count))
    yield site
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_key_is_looked_at_once() -> None:
    async with working() as site:
        site.queue.add(KEY)
        await asyncio.sleep(1000)
        assert [key for key, _ in site.played.asked] == [KEY]
        assert site.counted.outcomes == [("vm", "ok")]


async def test_what_waits_for_time_comes_back_then() -> None:
    async with working(7.5) as site:
        site.queue.add(KEY)
        await asyncio.sleep(100)
        assert site.played.times() == [0, pytest.approx(7.5)]


async def test_a_key_that_is_dear_to_look_at_is_looked_at_seldom() -> None:
    async with working() as site:
        site.played.rest = 8.0
        site.played.meanwhile = lambda: site.queue.add(KEY) if len(site.played.asked) < 3 else None
        site.queue.add(KEY)
        await asyncio.sleep(100)
        assert site.played.times() == [0, pytest.approx(4), pytest.approx(12)]


async def test_a_key_that_waits_for_its_turn_does_not_rest_when_that_comes() -> None:
    async with working(TurnTaken("large")) as site:
        site.played.rest = 8.0
        site.queue.add(KEY)
        await asyncio.sleep(1)
        site.queue.add(KEY)
        await asyncio.sleep(1)
        assert site.played.times() == [0, pytest.approx(1)]


@pytest.mark.parametrize(
    ("error", "within"),
    [(Stale("x"), 1.0), (Unavailable("x"), 1.0), (Throttled("x").with_after(3.0), 3.5)],
    ids=["stale", "unavailable", "throttled"],
)
async def test_a_failed_request_is_tried_again(error: Exception, within: float) -> None:
    async with working(error) as site:
        site.queue.add(KEY)
        await asyncio.sleep(within)
        assert len(site.played.asked) == 2
        assert site.counted.outcomes == [("vm", type(error).__name__), ("vm", "ok")]


async def test_a_429_slows_everybody_down() -> None:
    """The server speaks for itself, not for one object."""
    async with working(Throttled("x").with_after(20.0), count=3) as site:
        site.queue.add(KEY)
        await asyncio.sleep(1)
        site.queue.add(OTHER)
        await asyncio.sleep(15)
        assert len(site.played.asked) == 1
        await asyncio.sleep(10)
        assert {key for key, _ in site.played.asked} == {KEY, OTHER}
        assert min(site.played.times()[1:]) >= 20


async def test_a_refusal_is_reported_at_once_and_tried_again_later() -> None:
    error = Rejected("no")
    async with working(error) as site:
        site.queue.add(KEY)
        await asyncio.sleep(1)
        assert site.played.noted == [error]
        assert len(site.played.asked) == 2


async def test_a_denial_is_reported_from_the_second_on() -> None:
    """A kube-apiserver that has just started denies everything until it has read its roles."""
    async with working(Denied("first")) as site:
        site.queue.add(KEY)
        await asyncio.sleep(1)
        assert site.played.noted == []
        assert len(site.played.asked) == 2
    async with working(Denied("first"), second := Denied("second")) as site:
        site.queue.add(KEY)
        await asyncio.sleep(1)
        assert site.played.noted == [second]


async def test_telling_a_denial_is_no_success_so_it_is_asked_for_ever_more_slowly() -> None:
    async with working(Denied("no"), Denied("no"), 4.0, *[Denied("no")] * 20) as site:
        site.played.is_news = True
        site.queue.add(KEY)
        await asyncio.sleep(120)
        # After 0.5 s told at once, then 5, 10, 20, 30 s and so on.
        assert 5 <= len(site.played.asked) <= 9


async def test_one_object_that_is_allowed_again_brings_back_all_that_were_denied() -> None:
    async with working(*[Denied("no")] * 4) as site:
        site.queue.add(KEY)
        site.queue.add(OTHER)
        await asyncio.sleep(3)
        assert site.played.refused == {KEY, OTHER}
        asked = len(site.played.asked)
        site.played.refused.discard(KEY)
        site.queue.add(KEY)
        await asyncio.sleep(0.1)
        assert [key for key, _ in site.played.asked[asked:]] == [KEY, OTHER]
        assert site.played.refused == set()


async def test_a_refusal_that_is_no_news_does_not_go_round_in_circles() -> None:
    async with working(*[Rejected("no")] * 50) as site:
        site.queue.add(KEY)
        await asyncio.sleep(60)
        assert len(site.played.asked) == 2


async def test_a_bug_does_not_end_the_worker() -> None:
    async with working(ValueError("oops"), None) as site:
        site.queue.add(KEY)
        site.queue.add(OTHER)
        await asyncio.sleep(60)
        assert site.counted.bugs == 1
        assert site.counted.outcomes == [("vm", "Bug"), ("vmi", "ok"), ("vm", "ok")]
        assert len(site.played.noted) == 1


async def test_a_plan_that_somebody_undoes_waits_and_is_no_bug() -> None:
    async with working(PlanRepeats("again", after=4.0)) as site:
        site.queue.add(KEY)
        await asyncio.sleep(60)
        assert site.played.times() == [0, pytest.approx(4.0)]
        assert (site.counted.bugs, site.played.noted) == (0, [])
        assert site.counted.outcomes == [("vm", "PlanRepeats"), ("vm", "ok")]


async def test_a_pass_that_hangs_is_ended() -> None:
    async with working() as site:
        site.played.seconds = 10_000
        site.queue.add(KEY)
        await asyncio.sleep(1)
        site.played.seconds = 0
        await asyncio.sleep(60)
        assert site.counted.outcomes == [("vm", "Bug"), ("vm", "ok")]


async def test_a_change_during_a_pass_makes_another_one() -> None:
    async with working() as site:
        site.played.meanwhile = lambda: site.queue.add(KEY) if len(site.played.asked) == 1 else None
        site.queue.add(KEY)
        await asyncio.sleep(5)
        assert len(site.played.asked) == 2


async def test_without_leadership_nothing_is_done() -> None:
    async with working() as site:
        site.leads = False
        site.queue.add(KEY)
        await asyncio.sleep(5)
        assert site.played.asked == []
        await asyncio.wait_for(site.queue.drained(), timeout=1)


async def test_behind_a_closed_gate_keys_wait() -> None:
    site: Any
    async with working() as site:
        site.queue.add(OTHER)
        await asyncio.sleep(1)
        site.gate.clear()
        site.queue.add(KEY)
        site.leads = False
        await asyncio.sleep(5)
        assert KEY not in [key for key, _ in site.played.asked]
