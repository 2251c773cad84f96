"""Roles over an API server in memory, wired as the simulator wires them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.unit.node import build
from tests.unit.node.memory_api import MemoryApi

from nicplug_sandbox.node.accounts import Clients
from nicplug_sandbox.node.api import (
    NETWORK_ATTACHMENT_DEFINITIONS,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCES,
    Json,
    Resource,
)
from nicplug_sandbox.node.networks import NETWORKS
from nicplug_sandbox.node.settings import Settings
from nicplug_sandbox.node.simulator import Mirrors, Roles

SETTLE_SECONDS = 0.12
"""Longer than four attempts with their back-off (35 ms), for "and then nothing more happens"."""


class World:
    """What a role test acts on."""

    def __init__(self, *, api: MemoryApi, roles: Roles) -> None:
        self.api = api
        self.roles = roles

    def pod(self, name: str = "launcher") -> Json:
        """The pod as the API server has it."""
        return self.api.read(PODS, name)

    def vmi(self) -> Json:
        """The VMI as the API server has it."""
        return self.api.read(VIRTUAL_MACHINE_INSTANCES, "vm")

    def put(self, resource: Resource, obj: Json) -> None:
        """Change an object as somebody else would."""
        self.api.put(resource, obj)

    def annotate(self, text: str | None, *, name: str = "launcher") -> None:
        """Write or remove the networks annotation, as an operator would."""
        pod = self.pod(name)
        pod = {**pod, "metadata": {**pod["metadata"], "annotations": dict(pod["metadata"]["annotations"])}}
        if text is None:
            pod["metadata"]["annotations"].pop(NETWORKS, None)
        else:
            pod["metadata"]["annotations"][NETWORKS] = text
        self.put(PODS, pod)

    async def until(self, condition: Callable[[], Any], *, seconds: float = 3.0) -> Any:
        """The value of `condition` once it is true."""
        async with asyncio.timeout(seconds):
            while not (value := condition()):
                await self.api.changed.wait()
                self.api.changed.clear()
        return value

    async def settle(self) -> None:
        """Give anything that should not happen the time to happen."""
        await asyncio.sleep(SETTLE_SECONDS)


@asynccontextmanager
async def world(
    *objects: tuple[Resource, Json],
    play: tuple[str, ...] = ("kubelet", "dynamic_networks", "virt_handler", "migration_source", "migration_target"),
    controller: bool = True,
    multus: bool = True,
    **settings: Any,
) -> AsyncIterator[World]:
    """Objects that are there from the start, then the roles named in `play`; node01 unless one is given."""
    api = MemoryApi()
    chosen = Settings(
        kubeconfig=Path("unused"), nodes=2, **{"termination_seconds": 0.01, "sandbox_retry_seconds": 0.02, **settings}
    )
    if not any(resource is NODES for resource, _ in objects):
        api.put(NODES, build.node())
    for name, present in (("dynamic-networks-controller", controller), ("multus", multus)):
        if present:
            api.put(PODS, build.daemon_pod(name))
    for resource, obj in objects:
        api.put(resource, obj)
    mirrors = Mirrors.make(api)  # type: ignore[arg-type]
    roles = Roles.make(clients=Clients.make(api), mirrors=mirrors, settings=chosen)  # type: ignore[arg-type]
    tasks = [asyncio.create_task(mirror.run()) for mirror in mirrors.all()]
    await asyncio.gather(*(mirror.synced.wait() for mirror in mirrors.all()))
    roles.multus.restore()
    for name in play:
        getattr(roles, name).start()
    tasks.append(asyncio.create_task(roles.events.run()))
    # A watch is open only after the loop has come round: what is put before would be lost on it.
    await asyncio.sleep(0.005)
    try:
        yield World(api=api, roles=roles)
    finally:
        await roles.migration_reports.close()
        for role in roles.working():
            await role.queue.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


POD = PODS
NODE = NODES
NAD = NETWORK_ATTACHMENT_DEFINITIONS
VMI = VIRTUAL_MACHINE_INSTANCES
