"""What the library costs over raw HTTP (docs/adr/0002), in calls of Python functions: the same on a busy machine.

The fake runs in a thread of its own, which the profile of this one does not see.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType

import aiohttp
from kubernetes.aio.client import Configuration, CustomObjectsApi
from kubernetes.aio.client.api_client import ApiClient
from tests.fakes.apiserver import FakeApiServer

from nicplug.kube.aio import AioApi
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES

ROUNDS = 50
PATCH = [{"op": "add", "path": "/metadata/annotations/a", "value": "v"}]
PATH = VIRTUAL_MACHINE_INSTANCES.path(namespace="default", name="vmi")


async def calls_of(request: Callable[[], Awaitable[object]]) -> float:
    """Calls of Python functions in this thread per request."""
    for _ in range(20):
        await request()
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        for _ in range(ROUNDS):
            await request()
    finally:
        sys.setprofile(None)
    return count / ROUNDS


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
            "raw aiohttp": await calls_of(raw),
            "kube.aio": await calls_of(ours),
            "CustomObjectsApi": await calls_of(partial(generated_patch, CustomObjectsApi(generated))),
        }
        await api.close()
        await generated.close()  # type: ignore[no-untyped-call]
    print({name: f"{cost:.0f} calls" for name, cost in costs.items()})
    assert costs["kube.aio"] < 2.0 * costs["raw aiohttp"]
    assert costs["kube.aio"] < costs["CustomObjectsApi"]
