"""What VMs with 255 NICs and a megabyte of spec cost: a pass over one, and a hot-plug of another VM beside some.

The passes are measured in process, on the objects of `tests.many_nics`. The hot-plugs are measured in a sandbox of
their own, first without such VMs and then beside them: the plugin of their NICs fails, so that these wait without end,
and each is touched every ten seconds.
"""

import asyncio
import contextlib
import gc
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests import many_nics
from tests.build import NOW
from tests.large import LARGEST, text_of
from tests.perf import resources
from tests.perf.audit import tally
from tests.perf.milestones import Milestone
from tests.perf.results import latencies
from tests.perf.scenarios import Shape, plug_one_by_one, starts, vm_body, vm_names
from tests.perf.world import (
    VIRTUAL_MACHINES,
    Cluster,
    Say,
    audit_log,
    cluster,
    connected,
    make_namespace,
    make_network,
)
from tests.whole_pass import WHOLE_PASSES, WholePass

from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi
from nicplug_sandbox.node.api import JSON_PATCH, MERGE_PATCH, VIRTUAL_MACHINE_INSTANCES, Api, Json
from nicplug_sandbox.node.multus import NAD_FAULT

NAMESPACE = "bench-many-nics"
_REPETITIONS = 7
_READY_SECONDS = 300.0
_POLL_SECONDS = 0.5
# More often, kube-apiserver is busy with these alone, and is what is measured.
_TOUCH_SECONDS = 10.0

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyNicsShape:
    """How much of everything; figures of different shapes are not compared.

    Attributes:
        vms: small ones; each takes its part of the hot-plugs twice, and has eight PCI slots.
        hotplugs: of the small ones, before and again after the large ones are there.
        large: how many large ones.
        nics: of each.
        size: bytes of each beside its NICs.
    """

    vms: int = 20
    hotplugs: int = 60
    large: int = 3
    nics: int = many_nics.NICS
    size: int = many_nics.MEGABYTE
    nodes: int = 3

    def as_shape(self) -> Shape:
        """The same for the scenarios that know nothing of large objects."""
        return Shape(vms=self.vms, idle_hotplugs=self.hotplugs, nodes=self.nodes)


def passes(shape: ManyNicsShape) -> dict[str, float]:
    """CPU milliseconds of a pass over each kind of such an object, the median of some."""
    found: dict[str, float] = {}
    for build in many_nics.VMI_VIEWS:
        found[build.__name__] = _milliseconds(plan_vmi, build(shape.nics, shape.size))
    for build_vm in many_nics.VM_VIEWS:
        found[build_vm.__name__] = _milliseconds(plan_vm, build_vm(shape.nics, shape.size))
    for build_migration in many_nics.MIGRATION_VIEWS:
        found[build_migration.__name__] = _milliseconds(plan_migration, build_migration(shape.nics, shape.size))
    return found


def whole_passes(shape: ManyNicsShape) -> dict[str, float]:
    """The same for gathering, planning and executing, up to the bytes of each request; of text as large as may be."""
    size = LARGEST if shape.size >= many_nics.MEGABYTE else shape.size
    return {build.__name__: _median_milliseconds(partial(_prepared, build, shape.nics, size)) for build in WHOLE_PASSES}


def _prepared(build: Callable[[int, int], WholePass], nics: int, size: int) -> Callable[[], object]:
    """One pass, with everything that it starts from."""
    return build(nics, size).run


def _milliseconds(plan: Callable[..., Plan], view: object) -> float:
    return _median_milliseconds(lambda: lambda: plan(view, now=NOW))


def _median_milliseconds(prepare: Callable[[], Callable[[], object]]) -> float:
    seconds = []
    for _ in range(_REPETITIONS):
        work = prepare()
        gc.collect()
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return round(statistics.median(seconds) * 1000, 1)


def run(
    *, directory: Path, shape: ManyNicsShape, say: Say, variables: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Measure both.

    Raises:
        SandboxError: something did not start.
        TimeoutError: a scenario did not come to its end.
    """
    took, whole = passes(shape), whole_passes(shape)
    say(f"many NICs: planning takes {max(took.values()):.0f} ms at most, a whole pass {max(whole.values()):.0f} ms")
    with cluster(directory=directory, nodes=shape.nodes, variables=variables, say=say) as found:
        milliseconds, usage = asyncio.run(_measure(found, shape, say=say))
    ratios = {
        str(milestone): round(milliseconds["beside"][str(milestone)]["p50"] / before, 2)
        for milestone in Milestone
        if (before := milliseconds["alone"][str(milestone)]["p50"])
    }
    measured = {"passes": took, "whole_passes": whole, "all_writes": tally(audit_log(directory))}
    return {"shape": asdict(shape), **measured, "milliseconds": milliseconds, "ratios": ratios, "usage": usage}


async def _measure(found: Cluster, shape: ManyNicsShape, *, say: Say) -> tuple[Figures, Figures]:
    """Latencies, and what each process used meanwhile, without and with the large VMs."""
    small = shape.as_shape()
    async with connected(found) as world:
        await starts(world, small)
        marks = [resources.snapshot(world.processes)]
        alone = await plug_one_by_one(world, small, nic="alone")
        marks.append(resources.snapshot(world.processes))
        say("many NICs: the large VMs are being made")
        await _make_large(world.api, shape)
        async with _touched(world.api, shape):
            marks.append(resources.snapshot(world.processes))
            beside = await plug_one_by_one(world, small, nic="beside")
            marks.append(resources.snapshot(world.processes))
    usage = {"alone": resources.spent(marks[0], marks[1]), "beside": resources.spent(marks[2], marks[3])}
    return {"alone": latencies(alone), "beside": latencies(beside)}, resources.as_json(usage)


async def _make_large(api: Api, shape: ManyNicsShape) -> None:
    """Start them, and ask for their NICs; each has a record of each when this returns.

    Raises:
        TimeoutError: they did not come so far.
    """
    await make_namespace(api, name=NAMESPACE)
    await make_network(api, name="broken", namespace=NAMESPACE, annotations={NAD_FAULT: "fails"})
    names = vm_names(shape.large)
    for number, name in enumerate(names):
        body = vm_body(name)
        # In as many brackets as fit it would keep kube-apiserver itself busy for seconds at each request.
        large = json.loads(text_of("random", shape.size, seed=number))
        # On s390x nobody counts PCI slots, of which no guest has so many.
        more = {"architecture": "s390x", "volumes": [{"name": "large", "unknown": large}]}
        body["spec"]["template"]["spec"] |= more
        await api.create(VIRTUAL_MACHINES, body, namespace=NAMESPACE)
    async with asyncio.timeout(_READY_SECONDS):
        for name in names:
            await _wait(api, name, lambda vmi: vmi.get("status", {}).get("phase") == "Running")
            await _ask_for_nics(api, name, shape.nics)
        for name in names:
            await _wait(api, name, lambda vmi: len(_records(vmi)) == shape.nics)


def _records(vmi: Json) -> list[Json]:
    return list(vmi.get("status", {}).get("interfaceOperations") or [])


async def _ask_for_nics(api: Api, name: str, count: int) -> None:
    template = "/spec/template/spec"
    nics = [f"nic-{number}" for number in range(count)]
    networks = [{"name": "default", "pod": {}}]
    networks += [{"name": nic, "multus": {"networkName": "broken"}} for nic in nics]
    interfaces = [{"name": "default", "masquerade": {}}, *({"name": nic, "bridge": {}} for nic in nics)]
    patch = [
        {"op": "replace", "path": f"{template}/networks", "value": networks},
        {"op": "replace", "path": f"{template}/domain/devices/interfaces", "value": interfaces},
    ]
    await api.patch(VIRTUAL_MACHINES, patch, name=name, namespace=NAMESPACE, content_type=JSON_PATCH)


async def _wait(api: Api, name: str, is_so: Callable[[Json], bool]) -> None:
    path = VIRTUAL_MACHINE_INSTANCES.path(namespace=NAMESPACE, name=name)
    while True:
        with contextlib.suppress(Exception):
            if is_so(await api.request("GET", path)):
                return
        await asyncio.sleep(_POLL_SECONDS)


@contextlib.asynccontextmanager
async def _touched(api: Api, shape: ManyNicsShape) -> AsyncIterator[None]:
    """Each large VMI has another annotation every ten seconds."""

    async def touch(name: str) -> None:
        number = 0
        while True:
            number += 1
            body = {"metadata": {"annotations": {"bench": str(number)}}}
            await api.patch(VIRTUAL_MACHINE_INSTANCES, body, name=name, namespace=NAMESPACE, content_type=MERGE_PATCH)
            await asyncio.sleep(_TOUCH_SECONDS)

    tasks = [asyncio.create_task(touch(name)) for name in vm_names(shape.large)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def show(found: Figures, *, console: Console) -> None:
    """Print both tables."""
    shape = found["shape"]
    title = f"A pass over an object with {shape['nics']} NICs and {shape['size']:,} bytes beside them, CPU"
    took = _table(title, "OBJECT", "MS")
    rows = {
        **found["passes"],
        **{f"{name}, gathered, planned and executed": cost for name, cost in found.get("whole_passes", {}).items()},
    }
    for name, milliseconds in rows.items():
        took.add_row(name.replace("_", " "), f"{milliseconds:.1f}")
    hotplugs = _table(
        f"Idle hot-plug of another VM, alone and beside {shape['large']} such VMs, p50 (p99) ms",
        "TO", "ALONE", "BESIDE", "RATIO",
    )  # fmt: skip
    for milestone, ratio in found["ratios"].items():
        cells = (found["milliseconds"][name][milestone] for name in ("alone", "beside"))
        hotplugs.add_row(milestone, *(f"{cell['p50']:.1f} ({cell['p99']:.1f})" for cell in cells), f"{ratio:.2f}")
    usage = _table("CPU seconds meanwhile", "PROCESS", "ALONE", "BESIDE")
    for process in found["usage"]["alone"]:
        spent = (found["usage"][name].get(process, {}).get("cpu_seconds", 0.0) for name in ("alone", "beside"))
        usage.add_row(process, *(f"{seconds:.2f}" for seconds in spent))
    for table in (took, hotplugs, usage):
        console.print()
        console.print(table, highlight=False)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table
