"""What is measured: starts, single hot-plugs on an idle system, a burst, and nothing at all.

Every scenario ends when the operator has written nothing for some seconds, so that the writes between two
marks in the audit log belong to one scenario, those that it withholds for company included.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from tests.perf import resources
from tests.perf.audit import OPERATOR, Write, settled
from tests.perf.milestones import Hotplug
from tests.perf.resources import Usage
from tests.perf.world import NAMESPACE, VIRTUAL_MACHINES, World, make_network

from nicplug_sandbox.node.api import JSON_PATCH, Json

_PATIENCE_SECONDS = 120.0
LABEL = {"bench": "vm"}

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much of everything; figures of different shapes are not compared."""

    vms: int = 200
    idle_hotplugs: int = 200
    pause_seconds: float = 0.2
    rest_seconds: float = 10.0
    clients: int = 32
    nodes: int = 3
    seed: int = 1


@dataclass(slots=True, kw_only=True)
class Phase:
    """One scenario: how many operations, how long, what they cost.

    Attributes:
        seconds: from the first request until the last operation was seen to be through, not until quiet.
        window: the same and the quiet after it, in seconds since the epoch.
        writes: of the operator, in the order of their answers.
        all_writes: of everyone.
        usage: by process, over `window`.
    """

    name: str
    operations: int
    seconds: float = 0.0
    window: tuple[float, float] = (0.0, 0.0)
    writes: list[Write] = field(default_factory=list)
    all_writes: list[Write] = field(default_factory=list)
    usage: dict[str, Usage] = field(default_factory=dict)
    hotplugs: list[Hotplug] = field(default_factory=list)
    start_seconds: list[float] = field(default_factory=list)


def vm_body(name: str, *, is_spread: bool = False) -> Json:
    """A small VM with one NIC, on the pod network."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": LABEL},
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": {
            "runStrategy": "Always",
            "template": {
                **({"metadata": {"labels": LABEL}} if is_spread else {}),
                "spec": {
                    "domain": {
                        "devices": {"interfaces": [{"name": "default", "masquerade": {}}], "rng": {}},
                        "resources": {"requests": {"memory": "128Mi"}},
                    },
                    "networks": [{"name": "default", "pod": {}}],
                    "terminationGracePeriodSeconds": 0,
                    **({"topologySpreadConstraints": [spread]} if is_spread else {}),
                },
            },
        },
    }


def vm_names(count: int) -> list[str]:
    """The VMs of a run."""
    return [f"vm-{number:04d}" for number in range(count)]


async def starts(world: World, shape: Shape, *, is_spread: bool = False) -> Phase:
    """VMs created by some clients at once, until every VMI is Running.

    Args:
        is_spread: evenly over the nodes, which the scheduler does not do where all nodes are as good as empty.
    """
    names = vm_names(shape.vms)
    running: dict[str, asyncio.Event] = {name: asyncio.Event() for name in names}
    created: dict[str, float] = {}
    clock = asyncio.get_running_loop().time
    phase = Phase(name="starts", operations=len(names))

    def on_vmi(_old: Json | None, vmi: Json | None) -> None:
        name = vmi["metadata"]["name"] if vmi else ""
        if vmi and vmi.get("status", {}).get("phase") == "Running" and not running[name].is_set():
            running[name].set()
            phase.start_seconds.append(clock() - created[name])

    world.vmis.listen(on_vmi)

    async def start(name: str) -> None:
        created[name] = clock()
        await world.api.create(VIRTUAL_MACHINES, vm_body(name, is_spread=is_spread), namespace=NAMESPACE)

    async with _measured(world, phase):
        began = clock()
        await side_by_side(names, start, clients=shape.clients)
        await asyncio.gather(*(event.wait() for event in running.values()))
        phase.seconds = clock() - began
    return phase


async def idle_hotplugs(world: World, shape: Shape) -> Phase:
    """One NIC at a time, each in the guest before the next is asked for, at uneven intervals."""
    phase = Phase(name="idle", operations=shape.idle_hotplugs, hotplugs=await _prepare(world, shape, nic="idle"))
    clock = asyncio.get_running_loop().time
    async with _measured(world, phase):
        began = clock()
        await plug_each(world, shape, phase.hotplugs)
        phase.seconds = clock() - began
    return phase


async def plug_one_by_one(world: World, shape: Shape, *, nic: str) -> list[Hotplug]:
    """The same where somebody else keeps the operator from ever coming to rest: only latencies are measured.

    Args:
        nic: what the names of the NICs begin with.

    Raises:
        TimeoutError: it took two minutes beyond its pauses.
    """
    hotplugs = await _prepare(world, shape, nic=nic)
    async with asyncio.timeout(_PATIENCE_SECONDS + len(hotplugs) * 1.0):
        await plug_each(world, shape, hotplugs)
    return hotplugs


async def _prepare(world: World, shape: Shape, *, nic: str) -> list[Hotplug]:
    """The networks of single hot-plugs, and these themselves, evenly over the VMs."""
    rounds = -(-shape.idle_hotplugs // shape.vms)
    for number in range(rounds):
        await make_network(world.api, name=f"{nic}-{number}")
    hotplugs = [Hotplug(vm=vm, nic=f"{nic}-{number}") for number in range(rounds) for vm in vm_names(shape.vms)]
    return hotplugs[: shape.idle_hotplugs]


async def plug_each(world: World, shape: Shape, hotplugs: Iterable[Hotplug]) -> None:
    """Ask for each NIC when the one before is in the guest, after a pause of about `shape.pause_seconds`."""
    pauses = random.Random(shape.seed)
    for hotplug in hotplugs:
        await plug(world, hotplug)
        await hotplug.done.wait()
        await asyncio.sleep(shape.pause_seconds * pauses.uniform(0.5, 1.5))


async def burst(world: World, shape: Shape) -> Phase:
    """One more NIC on every VM, all asked for at once."""
    await make_network(world.api, name="burst")
    phase = Phase(name="burst", operations=shape.vms)
    phase.hotplugs = [Hotplug(vm=vm, nic="burst") for vm in vm_names(shape.vms)]
    async with _measured(world, phase):
        began = asyncio.get_running_loop().time()
        await side_by_side(phase.hotplugs, lambda hotplug: plug(world, hotplug), clients=shape.clients)
        await asyncio.gather(*(hotplug.done.wait() for hotplug in phase.hotplugs))
        phase.seconds = asyncio.get_running_loop().time() - began
    return phase


async def rest(world: World, shape: Shape) -> Phase:
    """Nothing is asked for."""
    phase = Phase(name="rest", operations=0, seconds=shape.rest_seconds)
    async with _measured(world, phase):
        await asyncio.sleep(shape.rest_seconds)
    return phase


async def plug(world: World, hotplug: Hotplug) -> None:
    """Ask for one NIC, whose network has its name."""
    template = "/spec/template/spec"
    patch = [
        {"op": "add", "path": f"{template}/networks/-",
         "value": {"name": hotplug.nic, "multus": {"networkName": hotplug.nic}}},
        {"op": "add", "path": f"{template}/domain/devices/interfaces/-",
         "value": {"name": hotplug.nic, "bridge": {}}},
    ]  # fmt: skip
    world.milestones.expect(hotplug)
    clock = asyncio.get_running_loop().time
    hotplug.sent = clock()
    await world.api.patch(VIRTUAL_MACHINES, patch, name=hotplug.vm, namespace=NAMESPACE, content_type=JSON_PATCH)
    hotplug.answered = clock()


async def side_by_side(items: Iterable[Item], work: Callable[[Item], Awaitable[None]], *, clients: int) -> None:
    """Work through `items` with that many clients, each with one request under way."""
    waiting = iter(list(items))

    async def client() -> None:
        for item in waiting:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())


@asynccontextmanager
async def _measured(world: World, phase: Phase) -> AsyncIterator[None]:
    """Count writes and usage of the block and of what follows from it.

    Raises:
        TimeoutError: the block took two minutes beyond its pauses, or the operator did not come to rest.
    """
    clock = asyncio.get_running_loop().time
    since, before = world.audit.mark(), resources.snapshot(world.processes)
    began, wall = clock(), time.time()
    pauses = len(phase.hotplugs) * 1.0
    async with asyncio.timeout(_PATIENCE_SECONDS + pauses):
        yield
    await settled(world.audit)
    phase.window = (wall, wall + clock() - began)
    phase.usage = resources.spent(before, resources.snapshot(world.processes))
    phase.all_writes = world.audit.writes(since=since)
    phase.writes = [write for write in phase.all_writes if write.user == OPERATOR]
