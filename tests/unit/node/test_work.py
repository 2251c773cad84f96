"""The keyed work queue."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from itertools import pairwise

import aiohttp
import pytest
from tests.unit.node.memory_api import refusal

from nicplug_sandbox.node.mirror import Key
from nicplug_sandbox.node.work import MANY_REFUSALS, WorkQueue

A, B, C = Key("ns", "a"), Key("ns", "b"), Key("ns", "c")


class Recorder:
    """Work that remembers, and waits at a gate."""

    def __init__(self) -> None:
        self.done: list[Key] = []
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.again: list[float] = []

    async def __call__(self, key: Key) -> float | None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self.gate.wait()
            self.done.append(key)
            if self.errors:
                raise self.errors.pop(0)
            return self.again.pop(0) if self.again else None
        finally:
            self.running -= 1


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, at most 10 s; a slow machine only takes longer."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what the queue does tells nobody
            await asyncio.sleep(0.001)


async def test_changes_coalesce_and_one_during_the_work_repeats_it() -> None:
    work = Recorder()
    queue = WorkQueue(name="test", work=work, concurrency=4)
    work.gate.clear()
    queue.add(A)
    queue.add(A)
    await asyncio.sleep(0)
    queue.add(A)
    queue.add(A)
    work.gate.set()
    await until(lambda: len(work.done) == 2)
    await asyncio.sleep(0.01)
    assert work.done == [A, A]


async def test_concurrency_is_bounded_and_a_key_never_runs_twice_at_once() -> None:
    work = Recorder()
    queue = WorkQueue(name="test", work=work, concurrency=2)
    work.gate.clear()
    for key in (A, B, C):
        queue.add(key)
    await asyncio.sleep(0)
    queue.add(A)
    work.gate.set()
    await until(lambda: len(work.done) == 4)
    assert work.most_running == 2
    assert sorted(work.done) == [A, A, B, C]


async def test_the_earlier_of_two_appointments_counts() -> None:
    work = Recorder()
    queue = WorkQueue(name="test", work=work, concurrency=1)
    queue.add(A, after=0.01)
    queue.add(A, after=100)
    await until(lambda: work.done == [A])
    queue.add(A, after=100)
    queue.add(A)
    await until(lambda: work.done == [A, A])
    await queue.close()


async def test_work_can_ask_to_be_repeated() -> None:
    work = Recorder()
    work.again = [0.005]
    queue = WorkQueue(name="test", work=work, concurrency=1)
    queue.add(A)
    await until(lambda: work.done == [A, A])


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (refusal(HTTPStatus.CONFLICT), 2),
        (refusal(HTTPStatus.INTERNAL_SERVER_ERROR), 2),
        (aiohttp.ClientConnectionError("down"), 2),
        (TimeoutError(), 2),
        (ValueError("a bug"), 2),
        (refusal(HTTPStatus.NOT_FOUND), 1),
    ],
)
async def test_failures_are_repeated_unless_the_object_is_gone(error: Exception, calls: int) -> None:
    work = Recorder()
    work.errors = [error]
    queue = WorkQueue(name="test", work=work, concurrency=1)
    queue.add(A)
    await until(lambda: len(work.done) == calls)
    await asyncio.sleep(0.03)
    assert work.done == [A] * calls


async def test_repeated_failures_back_off_and_other_keys_go_on() -> None:
    attempts: list[float] = []
    others: list[Key] = []

    async def work(key: Key) -> None:
        if key == A:
            attempts.append(asyncio.get_running_loop().time())
            raise TimeoutError
        others.append(key)

    queue = WorkQueue(name="test", work=work, concurrency=1)
    queue.add(A)
    await until(lambda: len(attempts) == 4)
    queue.add(B)
    await until(lambda: others == [B])
    await queue.close()
    # Only lower bounds: a slow machine makes the pauses longer, never shorter than the timer's resolution.
    pauses = [after - before for before, after in pairwise(attempts)]
    assert all(pause > least for pause, least in zip(pauses, (0.009, 0.019, 0.039), strict=False))


@pytest.mark.parametrize(("refusals", "told"), [(MANY_REFUSALS - 1, 0), (MANY_REFUSALS, 1)])
async def test_who_is_refused_again_and_again_says_so(
    refusals: int, told: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nicplug_sandbox.node.work.FIRST_BACKOFF_SECONDS", 0.0001)
    errors = [refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message="testing path failed") for _ in range(refusals)]
    done = asyncio.Event()

    async def work(_key: Key) -> None:
        if errors:
            raise errors.pop()
        done.set()

    queue = WorkQueue(name="test", work=work, concurrency=1)
    queue.add(A)
    await asyncio.wait_for(done.wait(), timeout=10)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == told
    assert all("422" in warning and "in a row" in warning for warning in warnings)
    await queue.close()


async def test_close_cancels_what_runs() -> None:
    work = Recorder()
    queue = WorkQueue(name="test", work=work, concurrency=1)
    work.gate.clear()
    queue.add(A)
    queue.add(B)
    await asyncio.sleep(0)
    await queue.close()
    work.gate.set()
    await asyncio.sleep(0.01)
    assert work.done == []
    assert work.running == 0


async def test_after_close_nothing_begins() -> None:
    """Also not what came while the work was under way, nor what still comes."""
    begun: list[Key] = []

    async def work(key: Key) -> float | None:
        begun.append(key)
        await asyncio.sleep(10)
        return None

    queue = WorkQueue(name="test", work=work, concurrency=2)
    queue.add(A)
    await until(lambda: begun == [A])
    queue.add(A)
    await queue.close()
    queue.add(B)
    queue.add(C, after=0.001)
    await asyncio.sleep(0.01)
    assert begun == [A]
