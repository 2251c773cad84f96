"""Who takes the objects of a list, and which list is asked for first."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from tests.unit.kube.answering import PATH, answering, serving

from nicplug.kube.listings import Listings
from nicplug.kube.watch_health import WatchHealth

PAGE = {
    "kind": "VirtualMachineList",
    "metadata": {"resourceVersion": "9", "continue": "more"},
    "items": [{"metadata": {"name": "a", "uid": "1"}}, {"metadata": {"name": "b", "uid": "2"}}],
}


def keeper(taken: list[tuple[str, str]]) -> Callable[[str, dict[str, Any]], None]:
    return lambda kind, item: taken.append((kind, item["metadata"]["name"]))


async def test_kopf_gets_a_page_without_the_objects_that_are_taken() -> None:
    taken: list[tuple[str, str]] = []
    answer = web.json_response(PAGE)
    async with (
        answering(answer, health=WatchHealth(), listings=Listings(take=keeper(taken))) as session,
        session.get(PATH) as response,
    ):
        assert await response.json() == {**PAGE, "items": []}
    assert taken == [("VirtualMachine", "a"), ("VirtualMachine", "b")]


@pytest.mark.parametrize("path", [PATH, "/api/v1/namespaces"])
async def test_what_nobody_takes_stays_in_the_page(path: str) -> None:
    """As long as nothing is wired up, and of kinds that nicplug does not keep."""
    taken: list[tuple[str, str]] = []
    listings = Listings(take=None if path == PATH else keeper(taken))
    async with (
        answering(web.json_response(PAGE), health=WatchHealth(), path=path, listings=listings) as session,
        session.get(path) as response,
    ):
        assert await response.json() == PAGE
    assert taken == []


async def test_the_next_page_is_on_its_way_while_one_is_read() -> None:
    """Kopf asks for it when it has seen the last one, and gets the answer that is there."""
    names: list[str] = []
    requests: list[tuple[str, str]] = []
    pages = {"": ("a", "1"), "1": ("b", "2"), "2": ("c", "")}

    async def on_get(request: web.Request) -> web.Response:
        token = request.query.get("continue", "")
        requests.append((token, request.query["limit"]))
        name, following = pages[token]
        items = [{"metadata": {"name": name}}]
        return web.json_response({"metadata": {"continue": following}, "items": items})

    listings = Listings(take=lambda _, item: names.append(item["metadata"]["name"]))
    async with serving(on_get, health=WatchHealth(), listings=listings) as session:
        for token in ("", "1", "2"):
            query = {"limit": "500", **({"continue": token} if token else {})}
            async with session.get(PATH, params=query) as response:
                assert await response.json() == {"metadata": {"continue": pages[token][1]}, "items": []}
            await asyncio.sleep(0.05)
            assert len(requests) == min(len(names) + 1, 3), "the one after it, and none twice"
    assert names == ["a", "b", "c"]
    assert requests == [("", "500"), ("1", "500"), ("2", "500")]


async def test_a_list_that_begins_anew_takes_no_page_of_the_one_before() -> None:
    tokens: list[str] = []

    async def on_get(request: web.Request) -> web.Response:
        tokens.append(request.query.get("continue", ""))
        return web.json_response(PAGE)

    async with serving(on_get, health=WatchHealth(), listings=Listings(take=lambda _kind, _item: None)) as session:
        for _ in range(2):
            async with session.get(PATH, params={"limit": "500"}) as response:
                await response.json()
            await asyncio.sleep(0.05)
    assert tokens == ["", "more", "", "more"]


@pytest.mark.parametrize(("path", "told"), [(PATH, 1), ("/api/v1/namespaces", 0)])
async def test_a_collection_that_is_listed_again_is_reported_although_it_is_empty_now(path: str, told: int) -> None:
    """What a list that broke off has shown, or what was there before the watch broke, may be gone: a ghost."""
    again: list[str] = []
    listings = Listings(take=lambda _kind, _item: None, on_again=lambda: again.append(path))
    empty = web.json_response({"metadata": {"resourceVersion": "9"}, "items": []})
    async with answering(empty, health=WatchHealth(), path=path, listings=listings) as session:
        for query in ({"limit": "500"}, {"limit": "500", "continue": "more"}, {"watch": "true"}):
            (await session.get(path, params=query)).release()
        assert again == []
        (await session.get(path, params={"limit": "500"})).release()
    assert len(again) == told


async def test_a_page_that_was_asked_for_in_vain_is_asked_for_again() -> None:
    answers = iter([web.json_response(PAGE), web.Response(status=410), web.json_response(PAGE)])

    async def on_get(_: web.Request) -> web.Response:
        return next(answers)

    listings = Listings(take=lambda _kind, _item: None)
    async with serving(on_get, health=WatchHealth(), listings=listings) as session:
        for query in ({"limit": "500"}, {"limit": "500", "continue": "more"}):
            async with session.get(PATH, params=query) as response:
                assert response.status == 200
                await response.read() if "continue" in query else await response.json()


async def test_a_collection_is_listed_when_the_watches_before_it_are_open() -> None:
    """A VMI that is listed after its pod may name a pod that was made in between: it would look lost."""
    listings = Listings(order=["kubevirts", "virtualmachineinstances", "pods"])
    pods = asyncio.create_task(listings.turn("pods"))
    await asyncio.wait_for(listings.turn("kubevirts"), timeout=1)
    await asyncio.wait_for(listings.turn("nodes"), timeout=1)
    listings.opened("virtualmachineinstances")
    await asyncio.sleep(0)
    assert not pods.done()
    listings.opened("kubevirts")
    await asyncio.wait_for(pods, timeout=1)


async def test_a_session_asks_for_nothing_before_its_turn() -> None:
    listings = Listings(order=["kubevirts", "virtualmachines"])
    async with answering(web.json_response(PAGE), health=WatchHealth(), listings=listings) as session:
        asking = asyncio.create_task(session.get(PATH).__aenter__())
        await asyncio.wait({asking}, timeout=0.1)
        assert not asking.done()
        listings.opened("kubevirts")
        response = await asyncio.wait_for(asking, timeout=5)
        assert response.status == 200
        response.release()
        assert (await session.get(PATH, params={"watch": "true"})).status == 200
