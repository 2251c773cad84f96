"""What the library costs over raw HTTP (docs/adr/0002). The fake runs in a thread of its own, so that
`thread_time` is the client's CPU alone."""

import json
import time
from collections.abc import Awaitable, Callable
from functools import partial

import aiohttp
from kubernetes.aio.client import Configuration, CustomObjectsApi
from kubernetes.aio.client.api_client import ApiClient
from tests.fakes.apiserver import FakeApiServer

from nicplug.kube.aio import AioApi
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES

ROUNDS = 200
PATCH = [{"op": "add", "path": "/metadata/annotations/a", "value": "v"}]
PATH = VIRTUAL_MACHINE_INSTANCES.path(namespace="default", name="vmi")


async def cpu_milliseconds(call: Callable[[], Awaitable[object]]) -> float:
    """CPU of this thread per call, the best of three rounds."""
    for _ in range(20):
        await call()
    rounds: list[float] = []
    for _ in range(3):
        began = time.thread_time()
        for _ in range(ROUNDS):
            await call()
        rounds.append((time.thread_time() - began) / ROUNDS * 1000)
    return min(rounds)


async def generated_patch(api: CustomObjectsApi) -> None:
    await api.patch_namespaced_custom_object(
        "kubevirt.io",
        "v1",
        "default",
        "virtualmachineinstances",
        "vmi",
        PATCH,
        _content_type="application/json-patch+json",
    )


async def test_a_patch_costs_little_more_than_raw_aiohttp() -> None:
    async with FakeApiServer() as server, aiohttp.ClientSession() as session:
        # 6 KB, as a VMI has.
        filler = {"devices": [{"name": f"device-{number}", "value": "x" * 40} for number in range(80)]}
        server.create(
            "virtualmachineinstances", {"metadata": {"name": "vmi", "annotations": {"k": "v"}}, "spec": filler}
        )
        api = AioApi(Configuration(host=server.url))
        generated = ApiClient(Configuration(host=server.url))

        async def raw() -> None:
            async with session.patch(
                server.url + PATH,
                data=json.dumps(PATCH),
                headers={"Content-Type": "application/json-patch+json"},
            ) as answer:
                json.loads(await answer.read())

        async def ours() -> None:
            await api.patch(VIRTUAL_MACHINE_INSTANCES, PATCH, name="vmi", namespace="default")

        costs = {
            "raw aiohttp": await cpu_milliseconds(raw),
            "kube.aio": await cpu_milliseconds(ours),
            "CustomObjectsApi": await cpu_milliseconds(partial(generated_patch, CustomObjectsApi(generated))),
        }
        await api.close()
        await generated.close()  # type: ignore[no-untyped-call]
    print({name: f"{cost:.2f} ms" for name, cost in costs.items()})
    # Measured 1.2; room for a busy machine.
    assert costs["kube.aio"] < 2.0 * costs["raw aiohttp"]
    assert costs["kube.aio"] < costs["CustomObjectsApi"]
