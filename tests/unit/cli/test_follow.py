"""What `status -w` and `wait` follow: two watches that end, break and expire, and never lose a change."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from nicplug.cli import machines
from nicplug.cli.connection import Session
from nicplug.cli.machines import Machine, follow
from nicplug.kube.api import Json, Resource
from nicplug.kube.errors import ApiError, Denied, Stale, Unavailable
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES

NAME = "vmi-fedora"
Stream = Sequence[Json | ApiError]


def vmi(version: int) -> Json:
    return {"metadata": {"name": NAME, "resourceVersion": str(version)}}


def event(version: int, type_: str = "MODIFIED") -> Json:
    return {"type": type_, "object": vmi(version)}


@dataclass(slots=True)
class ScriptedApi:
    """Plays streams of the VMI in order, then one that stays silent; of the VM there is nothing to say.

    Attributes:
        asked: versions from which the VMI was watched.
        listed: the field selectors of lists.
        closed: streams that were closed by who read them.
    """

    streams: list[Stream]
    found: Json | None = None
    asked: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    async def list(self, resource: Resource, *, namespace: str, field_selector: str) -> Json:
        """The objects of that name."""
        if resource is not VIRTUAL_MACHINE_INSTANCES:
            return {"metadata": {"resourceVersion": "1"}, "items": []}
        self.listed.append(f"{namespace} {field_selector}")
        return {"metadata": {"resourceVersion": "70"}, "items": [self.found] if self.found else []}

    async def watch(
        self, resource: Resource, *, resource_version: str, namespace: str, field_selector: str
    ) -> AsyncIterator[Json]:
        """One stream."""
        assert (namespace, field_selector) == ("default", f"metadata.name={NAME}")
        lines: Stream = ()
        if is_scripted := resource is VIRTUAL_MACHINE_INSTANCES:
            self.asked.append(resource_version)
            is_scripted = bool(self.streams)
            lines = self.streams.pop(0) if is_scripted else ()
        try:
            for line in lines:
                if isinstance(line, ApiError):
                    raise line
                yield line
            if not is_scripted:
                await asyncio.Event().wait()
        finally:
            self.closed.append(resource.plural)


def following(api: ScriptedApi, *, version: int = 5) -> AsyncGenerator[Machine, None]:
    session = Session(api=cast("Any", api), namespace="default", context="x", server="s")
    return follow(session, Machine(namespace="default", name=NAME, vmi=vmi(version)))


async def seen(api: ScriptedApi, *, changes: int) -> list[str | None]:
    """The versions of the VMI, first as it was read, then after so many changes of it; None: it is gone."""
    versions: list[str | None] = []
    async with asyncio.timeout(10), aclosing(following(api)) as machines_:
        async for machine in machines_:
            version = machine.vmi["metadata"]["resourceVersion"] if machine.vmi is not None else None
            if not versions or version != versions[-1]:
                versions.append(version)
            if len(versions) > changes:
                break
    return versions


async def until_asked(api: ScriptedApi, times: int) -> None:
    """Follow until the VMI has been watched so often; nothing changes meanwhile."""
    async with aclosing(following(api)) as stream:
        reading = asyncio.ensure_future(_exhaust(stream))
        async with asyncio.timeout(10):
            while len(api.asked) < times:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _exhaust(stream: AsyncGenerator[Machine, None]) -> None:
    async for _ in stream:
        pass


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_PAUSE_SECONDS", 0.0)


async def test_the_first_watch_begins_where_the_object_was_read() -> None:
    api = ScriptedApi([[event(6)]])
    assert await seen(api, changes=1) == ["5", "6"]
    assert (api.asked[0], api.listed) == ("5", [])


async def test_a_stream_that_has_ended_goes_on_behind_its_last_change() -> None:
    api = ScriptedApi([[event(6), event(7)], [event(8)]])
    assert await seen(api, changes=3) == ["5", "6", "7", "8"]
    assert (api.asked[:2], api.listed) == (["5", "7"], [])


async def test_a_lost_connection_goes_on_behind_the_last_change() -> None:
    api = ScriptedApi([[event(6), Unavailable("reset")], [Unavailable("refused")], [event(8)]])
    assert await seen(api, changes=2) == ["5", "6", "8"]
    assert (api.asked[:3], api.listed) == (["5", "6", "6"], [])


EXPIRED: Json = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}


@pytest.mark.parametrize("end", [EXPIRED, Stale("too old", status=410)], ids=["in the stream", "at its opening"])
async def test_a_version_that_is_too_old_is_read_again(end: Json | ApiError) -> None:
    api = ScriptedApi([[event(6), end], [event(71)]], found=vmi(60))
    assert await seen(api, changes=3) == ["5", "6", "60", "71"]
    assert (api.asked[:2], api.listed) == (["5", "70"], [f"default metadata.name={NAME}"])


async def test_what_was_deleted_while_nobody_watched_is_gone() -> None:
    assert await seen(ScriptedApi([[EXPIRED]]), changes=1) == ["5", None]


async def test_what_is_deleted_is_gone() -> None:
    assert await seen(ScriptedApi([[event(6, "DELETED")]]), changes=1) == ["5", None]


async def test_a_bookmark_is_no_change_and_saves_a_list() -> None:
    api = ScriptedApi([[event(40, "BOOKMARK")], [event(41)]])
    assert await seen(api, changes=1) == ["5", "41"]
    assert (api.asked[:2], api.listed) == (["5", "40"], [])


async def test_a_right_that_is_taken_away_ends_the_command() -> None:
    """It would wait without end for changes that it may not see."""
    api = ScriptedApi([[Denied("forbidden", status=403)]])
    with pytest.raises(Denied, match="forbidden"):
        await seen(api, changes=1)


@pytest.mark.parametrize(
    "end", [Unavailable("refused"), EXPIRED, Stale("too old", status=410)], ids=["away", "error", "expired"]
)
async def test_a_server_that_breaks_every_stream_is_not_asked_without_a_pause(
    monkeypatch: pytest.MonkeyPatch, end: Json | ApiError
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        if seconds:
            pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(machines, "_PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(asyncio, "sleep", counted)
    await until_asked(ScriptedApi([[end], [end]]), times=3)
    assert pauses == [1.0, 1.0]


async def test_who_looks_away_closes_both_streams() -> None:
    api = ScriptedApi([])
    stream = following(api)
    await anext(stream)
    await asyncio.sleep(0)
    await stream.aclose()
    assert sorted(api.closed) == ["virtualmachineinstances", "virtualmachines"]
