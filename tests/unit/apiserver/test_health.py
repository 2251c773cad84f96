"""`healthz` of a version of the group, as KubeVirt's virt-api answers it."""

import asyncio

import pytest
from tests.unit.apiserver.conftest import World
from tests.unit.apiserver.played import PlayedApi, put

from nicplug.apiserver.calls import GROUP, VERSIONS
from nicplug.apiserver.health import FRESH_SECONDS, ServerHealth
from nicplug.kube.errors import Unavailable

PATH = f"/apis/{GROUP}/v1/healthz"
OK = {"connectivity": "ok", "version": {"gitVersion": "v1.37.2"}}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_version_of_the_api_server_is_told(world: World, version: str) -> None:
    answer = await world.ask(put(b"", path=f"/apis/{GROUP}/{version}/healthz", method="GET"))
    assert (answer.code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"apiserver": OK, "config-resource-version": ""}
    assert not world.api.reviews, "as `version`: the API server has asked already"


async def test_an_api_server_that_does_not_answer_is_500(world: World) -> None:
    world.api.fails["version"] = Unavailable("no answer from https://10.0.0.1")
    answer = await world.ask(put(b"", path=PATH, method="GET"))
    assert answer.code == 500
    failed = {"connectivity": "failed", "error": "no answer from https://10.0.0.1"}
    assert answer.json() == {"apiserver": failed, "config-resource-version": ""}


async def test_it_is_for_the_front_proxy_and_for_reading(world: World) -> None:
    assert (await world.ask(put(b"", path=PATH, method="GET"), pair=None)).code == 401
    answer = await world.ask(put(path=PATH))
    assert (answer.code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert (await world.ask(put(b"", path=PATH, method="HEAD"))).code == 200


@pytest.mark.parametrize("path", [f"/apis/{GROUP}/v2/healthz", "/apis/apps/v1/healthz", f"{PATH}/"])
async def test_there_is_no_other(world: World, path: str) -> None:
    assert (await world.ask(put(b"", path=path, method="GET"))).code == 404


class TestServerHealth:
    """How often the API server is asked."""

    def make(self, api: PlayedApi) -> tuple[ServerHealth, list[float]]:
        now = [0.0]
        return ServerHealth(read_version=api.version, config_version=lambda: "7", clock=lambda: now[0]), now

    async def test_an_answer_is_remembered_for_a_second(self) -> None:
        api = PlayedApi()
        health, now = self.make(api)
        looks = [await health.look()]
        api.fails["version"] = Unavailable("gone")
        now[0] += FRESH_SECONDS / 2
        looks.append(await health.look())
        now[0] += FRESH_SECONDS
        looks.append(await health.look())
        del api.fails["version"]
        now[0] += FRESH_SECONDS
        looks.append(await health.look())
        assert [look.is_healthy for look in looks] == [True, True, False, True]
        assert looks[0].content == {"apiserver": OK, "config-resource-version": "7"}
        assert len(api.requests) == 3

    async def test_those_who_wait_for_an_answer_share_it(self) -> None:
        api = PlayedApi(version_gate=asyncio.Event(), fails={"version": Unavailable("gone")})
        health, _ = self.make(api)
        looking = [asyncio.create_task(health.look()) for _ in range(20)]
        await asyncio.sleep(0)
        assert api.version_gate is not None
        api.version_gate.set()
        assert {look.is_healthy for look in await asyncio.gather(*looking)} == {False}
        assert len(api.requests) == 1
