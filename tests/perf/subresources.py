"""What the aggregated API costs: requests that change nothing, requests that each change something, and hot-plugs.

All go through a real kube-apiserver's aggregation layer to one `nicplug api`. While requests are counted the operator
is stopped: what it does with them is measured elsewhere, and would be on the same two cores.
"""

import asyncio
import contextlib
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table
from tests.perf import parts, resources, scenarios
from tests.perf.audit import Write, tally
from tests.perf.milestones import Hotplug, Milestone
from tests.perf.parts import Parts
from tests.perf.results import Figures, summary
from tests.perf.scenarios import vm_names
from tests.perf.world import (
    NAMESPACE,
    VIRTUAL_MACHINES,
    Cluster,
    Say,
    World,
    audit_log,
    cluster,
    connected,
    make_network,
)

from nicplug.garbage_collection import settle_garbage_collector
from nicplug_sandbox import controlplane, operator_process
from nicplug_sandbox.api_process import add_api, stop_api
from nicplug_sandbox.node.api import JSON_PATCH, VIRTUAL_MACHINE_INSTANCES, Json, Resource

GROUP = "/apis/subresources.kubevirt.io/v1"
# What is asked for a NIC: `virtctl addinterface --persist`, and without it.
_TARGETS = {"VM": VIRTUAL_MACHINES, "VMI": VIRTUAL_MACHINE_INSTANCES}
_NUMBERS = itertools.count()
_PATIENCE_SECONDS = 300.0
_CLIENTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class SubresourceShape:
    """How much of everything.

    Attributes:
        hotplugs: of each way, on twice as many running VMs: a guest has a few PCI slots for NICs.
        rate: requests a second that change nothing, sent at their times whether or not those before are answered.
        seconds: for how long.
        halted: VMs that requests are recorded for.
        changes: requests that each add a NIC of their own, from `clients` clients.
        crowd: requests at once for one VM.
    """

    hotplugs: int = 40
    rate: int = 200
    seconds: int = 20
    halted: int = 100
    changes: int = 1000
    clients: int = 32
    crowd: int = 200


QUICK = SubresourceShape(hotplugs=4, rate=50, seconds=2, halted=5, changes=20, clients=4, crowd=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Virtctl:
    """A session to the API server that asks as virtctl does."""

    session: aiohttp.ClientSession

    async def add(self, vm: str, nic: str, network: str, *, resource: Resource = VIRTUAL_MACHINES) -> float:
        """`addinterface` of a VM or a VMI; how many seconds the answer took.

        On a busy machine requests that are sent by the clock are more than one user may have under way: one that is
        refused for that is sent again, and takes as long as both.

        Raises:
            ValueError: it was not accepted.
        """
        clock = asyncio.get_running_loop().time
        path = f"{GROUP}/namespaces/{NAMESPACE}/{resource.plural}/{vm}/addinterface"
        body = json.dumps({"networkAttachmentDefinitionName": network, "name": nic}, separators=(",", ":"))
        sent = clock()
        while True:
            async with self.session.put(path, data=body.encode()) as answer:
                content = await answer.read()
                if answer.status == 202:
                    return clock() - sent
                if answer.status != 429:
                    raise ValueError(f"addinterface of {vm}: {answer.status} {content[:300]!r}")
            await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))


@contextlib.asynccontextmanager
async def virtctl_session(found: Cluster, *, server: str) -> AsyncIterator[Virtctl]:
    """A session with the admin's certificate."""
    pki = found.directory / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    connector = aiohttp.TCPConnector(ssl=context, limit=_CLIENTS)
    headers = {"Accept": "application/json, */*", "User-Agent": "virtctl"}
    async with aiohttp.ClientSession(
        server, connector=connector, headers=headers, skip_auto_headers=["Content-Type"]
    ) as session:
        yield Virtctl(session=session)


def run(*, directory: Path, shape: SubresourceShape, say: Say) -> dict[str, Any]:
    """Measure in a sandbox of its own.

    Raises:
        SandboxError: something did not start.
        TimeoutError: it did not come to its end.
    """
    with cluster(directory=directory, nodes=3, say=say) as found:
        api = add_api(directory=directory, admin=found.admin)
        try:
            processes = (api.process, *found.processes)
            measured = asyncio.run(_measure(replace(found, processes=processes), shape, say=say))
        finally:
            stop_api(api)
    return {**measured, "all_writes": tally(audit_log(directory))}


async def _measure(found: Cluster, shape: SubresourceShape, *, say: Say) -> dict[str, Any]:
    server = controlplane.status(directory=found.directory).server
    async with (
        asyncio.timeout(_PATIENCE_SECONDS),
        connected(found) as world,
        virtctl_session(found, server=server) as virtctl,
    ):
        await make_network(world.api, name="lan")
        before = resources.snapshot(world.processes)
        hotplugs = await _hotplugs(world, virtctl, shape)
        usage = {"hotplugs": resources.spent(before, resources.snapshot(world.processes))}
        say(f"subresources: {shape.hotplugs} hot-plugs by addinterface of VMs, and of VMIs, and as many by patches")
        operator_process.stop_operator(found.operator)
        # A pass of the bench's own collector over its mirrors would be the p99 of the requests under way.
        settle_garbage_collector()
        rest = replace(world, processes=tuple(item for item in found.processes if item != found.operator.process))
        names = [f"halted-{number}" for number in range(shape.halted)]
        for name in names:
            await world.api.create(VIRTUAL_MACHINES, _halted(name), namespace=NAMESPACE)
        changing = await _counted(rest, lambda: _change(virtctl, names, shape), count=shape.changes)
        say(f"subresources: {shape.changes} requests that change something, {changing['per_second']} a second")
        idle = await _counted(rest, lambda: _repeat(virtctl, names, shape), count=shape.rate * shape.seconds)
        say(f"subresources: {shape.rate} requests a second that change nothing")
        await world.api.create(VIRTUAL_MACHINES, _halted("crowd"), namespace=NAMESPACE)
        crowd = await _counted(rest, lambda: _crowd(virtctl, shape), count=shape.crowd)
    counted = {"no_op": idle, "changing": changing, "crowd": crowd}
    usage |= {name: one.pop("usage") for name, one in counted.items()}
    return {"hotplugs": hotplugs, **counted, "usage": resources.as_json(usage)}


def _halted(name: str) -> Json:
    body: Json = scenarios.vm_body(name)
    return {**body, "spec": {**body["spec"], "runStrategy": "Halted"}}


async def _hotplugs(world: World, virtctl: Virtctl, shape: SubresourceShape) -> dict[str, Any]:
    await scenarios.starts(world, scenarios.Shape(vms=shape.hotplugs * len(_TARGETS), clients=16))
    vms = vm_names(shape.hotplugs * len(_TARGETS))
    found: dict[str, Figures] = {}
    slower: dict[str, float] = {}
    made_of: dict[str, Parts] = {}
    for number, (name, resource) in enumerate(_TARGETS.items()):
        of_target = vms[number * shape.hotplugs : (number + 1) * shape.hotplugs]
        ways = await _both_ways(world, virtctl, of_target, resource=resource)
        figures = {way: summary([one.seconds for one in done]) for way, done in ways.items()}
        found |= {f"{way} of the {name}": one for way, one in figures.items()}
        slower[name] = round(figures["addinterface"]["p50"] - figures["patch"]["p50"], 1)
        for way, done in ways.items():
            made_of[f"{way} of the {name}"] = parts.medians(
                [parts.parts(one.writes, vm=one.vm, target=name) for one in done]
            )
    return {"milliseconds": found, "slower_p50": slower, "parts": made_of}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """One hot-plug.

    Attributes:
        seconds: from then to the pod's annotation.
        writes: of everybody meanwhile.
    """

    vm: str
    seconds: float
    writes: Sequence[Write]


async def _both_ways(
    world: World, virtctl: Virtctl, vms: Sequence[str], *, resource: Resource
) -> dict[str, list[_Done]]:
    """By a patch of the spec and by addinterface in turns, so that neither has the better moment."""

    async def patch(nic: Hotplug) -> None:
        await _patch(world, nic, resource)

    async def add(nic: Hotplug) -> None:
        await virtctl.add(nic.vm, nic.nic, nic.nic, resource=resource)

    ways = {"patch": patch, "addinterface": add}
    found: dict[str, list[_Done]] = {way: [] for way in ways}
    for vm in vms:
        for way, ask in ways.items():
            found[way].append(await _hotplug(world, vm, ask))
    return found


async def _hotplug(world: World, vm: str, ask: Callable[[Hotplug], Awaitable[None]]) -> _Done:
    """Ask for a NIC, and wait until the guest has it."""
    hotplug = Hotplug(vm=vm, nic=f"nic-{next(_NUMBERS)}")
    await make_network(world.api, name=hotplug.nic)
    world.milestones.expect(hotplug)
    since = world.audit.mark()
    hotplug.sent = asyncio.get_running_loop().time()
    await ask(hotplug)
    await hotplug.done.wait()
    await asyncio.sleep(0.1)
    seconds = hotplug.seen[Milestone.ANNOTATION] - hotplug.sent
    return _Done(vm=vm, seconds=seconds, writes=world.audit.writes(since=since))


async def _patch(world: World, hotplug: Hotplug, resource: Resource) -> None:
    spec = "/spec/template/spec" if resource is VIRTUAL_MACHINES else "/spec"
    network = {"name": hotplug.nic, "multus": {"networkName": hotplug.nic}}
    patch = [
        {"op": "add", "path": f"{spec}/networks/-", "value": network},
        {"op": "add", "path": f"{spec}/domain/devices/interfaces/-", "value": {"name": hotplug.nic, "bridge": {}}},
    ]
    await world.api.patch(resource, patch, name=hotplug.vm, namespace=NAMESPACE, content_type=JSON_PATCH)


async def _repeat(virtctl: Virtctl, names: list[str], shape: SubresourceShape) -> list[float]:
    """Requests that are pending already, each at its time."""
    clock = asyncio.get_running_loop().time
    began, asking = clock(), []
    for number in range(shape.rate * shape.seconds):
        await asyncio.sleep(max(0.0, began + number / shape.rate - clock()))
        asking.append(asyncio.create_task(virtctl.add(names[number % len(names)], "nic-0", "lan")))
    return list(await asyncio.gather(*asking))


async def _change(virtctl: Virtctl, names: list[str], shape: SubresourceShape) -> list[float]:
    """A NIC of its own for each request, over all VMs."""
    waiting = iter([(name, f"nic-{number}") for number in range(-(-shape.changes // len(names))) for name in names])
    seconds: list[float] = []

    async def client() -> None:
        for name, nic in waiting:
            if len(seconds) >= shape.changes:
                return
            seconds.append(await virtctl.add(name, nic, "lan"))

    await asyncio.gather(*(client() for _ in range(shape.clients)))
    return seconds


async def _crowd(virtctl: Virtctl, shape: SubresourceShape) -> list[float]:
    asking = (virtctl.add("crowd", f"nic-{number}", "lan") for number in range(shape.crowd))
    return list(await asyncio.gather(*asking))


async def _counted(world: World, work: Callable[[], Coroutine[Any, Any, list[float]]], *, count: int) -> dict[str, Any]:
    clock = asyncio.get_running_loop().time
    before, since, began = resources.snapshot(world.processes), world.audit.mark(), clock()
    seconds = await work()
    took = clock() - began
    usage = resources.spent(before, resources.snapshot(world.processes))
    writes = [write for write in world.audit.writes(since=since) if write.resource == "virtualmachines/status"]
    cpu = {name: round(one.cpu_seconds / count * 1000, 2) for name, one in usage.items() if name != resources.AVAILABLE}
    return {
        "milliseconds": summary(seconds),
        "per_second": round(count / took, 1),
        "writes": len(writes),
        "cpu_ms_per_request": cpu,
        "rss_mib": {name: one.rss_mib for name, one in usage.items() if name == "api"},
        "usage": usage,
    }


def show(found: dict[str, Any], *, console: Console) -> None:
    """Print the figures."""
    table = Table(title="Subresources, through the aggregation layer", title_justify="left", box=None)
    for heading in ("", "p50 ms", "p95 ms", "p99 ms", "max ms", "a second", "writes", "CPU ms a request"):
        table.add_column(heading, justify="left" if not heading else "right")
    titles = {
        "no_op": "change nothing, at their times",
        "changing": "each changes something",
        "crowd": "all at once for one VM",
    }
    for name, title in titles.items():
        one = found[name]
        cpu = ", ".join(f"{key} {value}" for key, value in one["cpu_ms_per_request"].items() if value >= 0.1)
        table.add_row(title, *_columns(one["milliseconds"]), str(one["per_second"]), str(one["writes"]), cpu)
    for name, figures in found["hotplugs"]["milliseconds"].items():
        table.add_row(f"hot-plug by {name}, sent to annotation", *_columns(figures), "", "", "")
    console.print(table)
    console.print(_parts(found["hotplugs"]["parts"]))


def _parts(found: dict[str, Parts]) -> Table:
    title = "The same hot-plugs in parts, p50 in ms by the API server's clock: each write, and what is before it"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("", *found):
        table.add_column(heading, justify="left" if not heading else "right")
    for name in parts.rows():
        table.add_row(name, *(str(way.get(name, "-")) for way in found.values()))
    table.add_row("together", *(str(round(sum(way.values()), 1)) for way in found.values()))
    return table


def _columns(figures: Figures) -> list[str]:
    return [str(figures[name]) for name in ("p50", "p95", "p99", "max")]
