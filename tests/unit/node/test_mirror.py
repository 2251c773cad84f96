"""The mirror: list, watch, and what goes wrong with watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
import pytest
from tests.unit.node.build import pod
from tests.unit.node.memory_api import MemoryApi, refusal

from nicplug_sandbox.node.api import PODS, Json
from nicplug_sandbox.node.mirror import Key, Mirror


class Watched:
    """A mirror with a listener that remembers."""

    def __init__(self, api: MemoryApi) -> None:
        self.api = api
        self.told: list[tuple[str, str]] = []
        self.changed = asyncio.Event()
        self.mirror = Mirror(api=api, resource=PODS, indexes={"node": lambda obj: (obj["spec"]["nodeName"],)})  # type: ignore[arg-type]
        self.mirror.listen(self._on_change)

    def _on_change(self, old: Json | None, new: Json | None) -> None:
        obj = new or old
        assert obj is not None
        what = "added" if old is None else "gone" if new is None else "changed"
        self.told.append((what, obj["metadata"]["name"]))
        self.changed.set()

    async def until_told(self, *expected: tuple[str, str]) -> None:
        """Wait for exactly these changes, in this order."""
        async with asyncio.timeout(2):
            while len(self.told) < len(expected):
                await self.changed.wait()
                self.changed.clear()
        assert self.told == list(expected)
        self.told.clear()


@asynccontextmanager
async def watched(*objects: Json) -> AsyncIterator[Watched]:
    api = MemoryApi()
    for obj in objects:
        api.put(PODS, obj)
    result = Watched(api)
    task = asyncio.create_task(result.mirror.run())
    await result.mirror.synced.wait()
    await asyncio.sleep(0.005)
    yield result
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_list_then_watch() -> None:
    async with watched(pod("a")) as w:
        await w.until_told(("added", "a"))
        w.api.put(PODS, pod("a"))
        w.api.put(PODS, pod("b"))
        w.api.remove(PODS, pod("a"))
        await w.until_told(("changed", "a"), ("added", "b"), ("gone", "a"))
        assert w.mirror.get(Key("default", "a")) is None
        assert len(w.mirror) == 1


async def test_indexes_follow() -> None:
    async with watched(pod("a")) as w:
        w.api.put(PODS, pod("a", spec={"nodeName": "node02"}))
        await w.until_told(("added", "a"), ("changed", "a"))
        assert w.mirror.by_index("node", "node01") == []
        assert [obj["metadata"]["name"] for obj in w.mirror.by_index("node", "node02")] == ["a"]


@pytest.mark.parametrize(
    "error",
    [refusal(HTTPStatus.GONE), refusal(HTTPStatus.INTERNAL_SERVER_ERROR), refusal(HTTPStatus.TOO_MANY_REQUESTS)],
    ids=["expired", "error in the stream", "throttled"],
)
async def test_after_an_error_the_list_tells_what_vanished_meanwhile(error: Exception) -> None:
    async with watched(pod("a"), pod("b")) as w:
        await w.until_told(("added", "a"), ("added", "b"))
        w.api.remove(PODS, pod("a"), silently=True)
        w.api.break_watches(PODS, error)
        await w.until_told(("gone", "a"))


async def test_a_broken_stream_is_taken_up_again() -> None:
    async with watched(pod("a")) as w:
        await w.until_told(("added", "a"))
        w.api.break_watches(PODS, aiohttp.ClientConnectionError("server restarts"))
        await asyncio.sleep(0.1)
        w.api.put(PODS, pod("b"))
        await w.until_told(("added", "b"))


async def test_our_own_write_is_news_at_once_and_the_watch_does_not_repeat_it() -> None:
    async with watched(pod("a")) as w:
        await w.until_told(("added", "a"))
        w.mirror.apply_response(w.api.put(PODS, pod("a", phase="Failed")))
        assert w.told == [("changed", "a")]
        await asyncio.sleep(0.02)
        assert w.told == [("changed", "a")]


async def test_a_late_answer_does_not_bring_a_deleted_object_back() -> None:
    async with watched(pod("a")) as w:
        await w.until_told(("added", "a"))
        w.api.remove(PODS, pod("a"))
        await w.until_told(("gone", "a"))
        w.mirror.apply_response(pod("a"))
        assert len(w.mirror) == 0


async def test_an_object_with_another_uid_is_another_object() -> None:
    async with watched(pod("a", uid="one")) as w:
        await w.until_told(("added", "a"))
        w.api.put(PODS, pod("a", uid="two"))
        await w.until_told(("gone", "a"), ("added", "a"))


async def test_a_listener_that_fails_does_not_end_the_mirror(caplog: pytest.LogCaptureFixture) -> None:
    async with watched() as w:

        def fail(_old: Json | None, _new: Json | None) -> None:
            raise KeyError("spec")

        w.mirror.listen(fail)
        w.api.put(PODS, pod("a"))
        w.api.put(PODS, pod("b"))
        await w.until_told(("added", "a"), ("added", "b"))
        assert "listener failed on default/a" in caplog.text


async def test_a_kind_that_is_not_served_is_tried_again() -> None:
    class Late(MemoryApi):
        failures_left = 2

        async def list(self, resource: object, *, params: object) -> Json:
            if self.failures_left:
                self.failures_left -= 1
                raise refusal(HTTPStatus.NOT_FOUND)
            return await super().list(PODS, params={})

    mirror = Mirror(api=Late(), resource=PODS)  # type: ignore[arg-type]
    task = asyncio.create_task(mirror.run())
    await mirror.tried.wait()
    assert not mirror.synced.is_set()
    async with asyncio.timeout(2):
        await mirror.synced.wait()
    task.cancel()
