"""The work queue: no key is lost, none is in two hands, the earliest request counts."""

import asyncio
from collections.abc import Callable

import pytest

from nicplug.reconcile.queue import Priority, WorkQueue

pytestmark = pytest.mark.looptime


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def queue() -> WorkQueue[str]:
    """On the loop's own clock, which looptime turns forward: nothing here waits in earnest."""
    return WorkQueue()


def _is_idle(queue: WorkQueue[str]) -> bool:
    return queue.depth(Priority.LIVE) + queue.depth(Priority.SWEEP) == 0


async def test_keys_come_in_the_order_in_which_they_were_added(queue: WorkQueue[str]) -> None:
    for key in "abc":
        queue.add(key)
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]


async def test_a_key_that_waits_is_added_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a"
    assert _is_idle(queue)


async def test_a_key_in_hand_is_handed_out_again_after_it_is_given_back(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    assert _is_idle(queue), "never in two hands"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert _is_idle(queue)


async def test_live_changes_go_first(queue: WorkQueue[str]) -> None:
    queue.add("old", priority=Priority.SWEEP)
    queue.add("new")
    assert [await queue.get(), await queue.get()] == ["new", "old"]


async def test_a_live_change_waits_for_one_key_of_the_sweep_and_not_for_one_of_each_worker(
    queue: WorkQueue[str],
) -> None:
    """A pass keeps the loop to itself until its first request; among 32 of them an answer would wait for 31."""
    seen: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        while True:
            key = await queue.get()
            seen.append(key)
            begun.set()
            await asyncio.sleep(1)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(8)]
    await asyncio.sleep(0)
    for number in range(8):
        queue.add(f"old-{number}", priority=Priority.SWEEP)
    await begun.wait()
    queue.add("new")
    await asyncio.sleep(0.5)
    for worker in workers:
        worker.cancel()
    assert seen[1] == "new"
    assert set(seen) == {"new", *(f"old-{number}" for number in range(7))}


async def test_a_change_raises_the_priority_of_a_key_that_waits(queue: WorkQueue[str]) -> None:
    for key in "abc":
        queue.add(key, priority=Priority.SWEEP)
    queue.add("c")
    assert (queue.depth(Priority.LIVE), queue.depth(Priority.SWEEP)) == (1, 2)
    assert [await queue.get() for _ in range(3)] == ["c", "a", "b"]
    assert _is_idle(queue)


async def test_a_sweep_does_not_lower_it(queue: WorkQueue[str]) -> None:
    queue.add("b", priority=Priority.SWEEP)
    queue.add("a")
    queue.add("a", priority=Priority.SWEEP)
    assert await queue.get() == "a"


async def test_a_key_in_hand_keeps_the_higher_priority(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a", priority=Priority.SWEEP)
    queue.add("a")
    queue.done("a")
    assert queue.depth(Priority.LIVE) == 1


async def test_a_delayed_key_comes_when_it_is_due(queue: WorkQueue[str]) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    queue.add("a", delay_seconds=600)
    assert _is_idle(queue)
    assert await queue.get() == "a"
    assert loop.time() - start == pytest.approx(600)


@pytest.mark.parametrize("delays", [(5, 50), (50, 5)])
async def test_of_two_delays_the_shorter_counts(queue: WorkQueue[str], delays: tuple[float, float]) -> None:
    start = asyncio.get_running_loop().time()
    for delay in delays:
        queue.add("a", delay_seconds=delay)
    assert await queue.get() == "a"
    assert asyncio.get_running_loop().time() - start == pytest.approx(5)
    queue.done("a")
    await asyncio.sleep(100)
    assert _is_idle(queue), "the longer one must not come as well"


async def test_a_delay_that_was_overtaken_does_not_take_later_ones_with_it(queue: WorkQueue[str]) -> None:
    queue.add("a", delay_seconds=50)
    queue.add("a", delay_seconds=5)
    queue.done(await queue.get())
    queue.add("b", delay_seconds=100)
    assert await asyncio.wait_for(queue.get(), timeout=200) == "b"


async def test_an_event_overtakes_a_delay(queue: WorkQueue[str]) -> None:
    """A pass in between asks anew for what it still needs."""
    queue.add("a", delay_seconds=50)
    queue.add("a")
    assert await queue.get() == "a"
    queue.done("a")
    await asyncio.sleep(100)
    assert _is_idle(queue)


async def test_delays_come_in_their_order(queue: WorkQueue[str]) -> None:
    for key, delay in (("c", 3), ("a", 1), ("b", 2)):
        queue.add(key, delay_seconds=delay)
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]


async def test_a_delay_that_ends_while_the_key_is_in_hand_is_not_lost(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a", delay_seconds=1)
    await asyncio.sleep(5)
    assert _is_idle(queue)
    queue.done("a")
    assert await queue.get() == "a"


async def test_a_key_that_rests_comes_back_when_it_has_rested(queue: WorkQueue[str]) -> None:
    """However often it is added meanwhile: one pass sees all of it."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.done("a", rest_seconds=9)
    queue.add("a")
    queue.add("a", delay_seconds=1)
    assert _is_idle(queue)
    assert await queue.get() == "a"
    assert loop.time() - start == pytest.approx(5)
    queue.done("a")
    queue.add("a")
    assert await queue.get() == "a", "it has rested"
    assert loop.time() - start == pytest.approx(5)


async def _passes(queue: WorkQueue[str], *, seconds: float, rest_seconds: float) -> list[float]:
    """When keys were handed out that are added again each time."""
    loop = asyncio.get_running_loop()
    start, moments = loop.time(), []
    while loop.time() - start <= seconds:
        key = await queue.get()
        moments.append(loop.time() - start)
        queue.add(key)
        queue.done(key, rest_seconds=rest_seconds)
    return moments[:-1]


async def test_a_few_passes_in_a_row_are_free(queue: WorkQueue[str]) -> None:
    """A hot-plug of a VM with many NICs is as fast as any; who goes on and on is not."""
    queue.add("a")
    found = await _passes(queue, seconds=3.5, rest_seconds=1)
    assert found == pytest.approx([0, 0, 0, 0, 0, 1, 2, 3])


async def test_a_key_that_rests_keeps_no_other_one_waiting(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.done(await queue.get(), rest_seconds=9)
    queue.add("a")
    queue.add("b")
    assert await queue.get() == "b"


async def test_a_key_that_nobody_adds_does_not_come_back_from_its_rest(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.done(await queue.get(), rest_seconds=9)
    await asyncio.sleep(100)
    assert _is_idle(queue)


async def test_many_that_rest_share_one_part_of_the_time(queue: WorkQueue[str]) -> None:
    """Each had a tenth of the time, so that ten had all of it."""
    for number in range(10):
        queue.add(f"large-{number}")
    assert len(await _passes(queue, seconds=100, rest_seconds=1)) <= 130, "one alone has 104"


async def test_the_rest_of_many_has_an_end(queue: WorkQueue[str]) -> None:
    start = asyncio.get_running_loop().time()
    for number in range(400):
        queue.add(f"large-{number}")
        queue.done(await queue.get(), rest_seconds=1)
    queue.add("large-399")
    assert await queue.get() == "large-399"
    assert asyncio.get_running_loop().time() - start == pytest.approx(296)


@pytest.mark.parametrize("count", [10, 100, 400])
async def test_however_many_rest_they_have_one_part_of_the_time(queue: WorkQueue[str], count: int) -> None:
    """With a longest rest of 30 s, 400 of them had all of it."""
    for number in range(count):
        queue.add(f"large-{number}")
    passes = await _passes(queue, seconds=1000, rest_seconds=1)
    assert len(passes) <= 1000 + count * 5, "each has a few passes free"


async def test_those_of_one_namespace_keep_no_other_one_resting() -> None:
    """A hot-plug of a VM with 65 NICs took a minute beside 200 VMs of somebody else's."""
    queue = WorkQueue[str](group_of=lambda key: key.split("/")[0])
    for number in range(200):
        queue.add(f"tenant/{number}")
        queue.done(await queue.get(), rest_seconds=1)
    start = asyncio.get_running_loop().time()
    for _ in range(8):
        queue.add("victim/a")
        key = await queue.get()
        queue.done(key, rest_seconds=0.26)
    assert asyncio.get_running_loop().time() == start
    queue.add("victim/a")
    assert await queue.get() == "victim/a"
    assert asyncio.get_running_loop().time() - start == pytest.approx(2 * 8 * 0.26 - 4, abs=0.001)


async def test_every_waiting_worker_gets_a_key(queue: WorkQueue[str]) -> None:
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in "abc":
        queue.add(key)
    assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]


async def test_drained_waits_for_every_key_in_hand(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    drained = asyncio.create_task(queue.drained())
    await asyncio.sleep(1)
    assert not drained.done()
    queue.done("a")
    await asyncio.wait_for(drained, timeout=1)


async def test_the_age_of_the_oldest_key() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    assert queue.oldest_age_seconds() == 0.0
    queue.add("a")
    clock.now += 7
    queue.add("b")
    queue.add("a")
    assert queue.oldest_age_seconds() == 7.0, "adding a key again does not make it younger"


async def test_a_storm_loses_nothing(queue: WorkQueue[str]) -> None:
    """Each key is looked at after its last event, never by two at once."""
    seen: dict[str, int] = {}
    last: dict[str, int] = {}
    in_hand: set[str] = set()

    async def work() -> None:
        while True:
            key = await queue.get()
            assert key not in in_hand
            in_hand.add(key)
            version = last[key]
            await asyncio.sleep(0.01)
            seen[key] = version
            in_hand.remove(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    await _throw(queue, last, keys=20, rounds=50)
    await asyncio.sleep(10)
    for worker in workers:
        worker.cancel()
    assert seen == last


async def _throw(queue: WorkQueue[str], last: dict[str, int], *, keys: int, rounds: int) -> None:
    add: tuple[Callable[[str], None], ...] = (
        queue.add,
        lambda key: queue.add(key, priority=Priority.SWEEP),
        lambda key: queue.add(key, delay_seconds=0.005),
    )
    for version in range(rounds):
        for index in range(keys):
            last[str(index)] = version
            add[(version + index) % 3](str(index))
        await asyncio.sleep(0.003)
