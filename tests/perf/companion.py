"""NICs that come by migration on a cluster of KubeVirt's, whose stand-in runs the VMs: with nicplug, and without.

The clusters are the same but for nicplug. Latencies count from the answer to the PATCH of the VM's template.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.perf import resources
from tests.perf.audit import OPERATOR, Write, counted, tally, without_lease
from tests.perf.migrations import MigrationShape, Moved, watching, without_controllers
from tests.perf.milestones import Milestone
from tests.perf.results import percentile
from tests.perf.scenarios import Phase, burst, idle_hotplugs, rest, starts
from tests.perf.world import BareCluster, Say, World, audit_log, connected

from nicplug_sandbox import controlplane, lifecycle, state

# Of KubeVirt's own objects nothing shows readiness, and the annotation is virt-controller's.
SEEN = frozenset({Milestone.IN_STATUS, Milestone.IN_GUEST})
SHAPE = MigrationShape()
# KubeVirt's timer takes 20 s for each.
ALONE = MigrationShape(vms=3, single=3)
QUICK = MigrationShape(vms=4, single=2)
QUICK_ALONE = MigrationShape(vms=1, single=1)
# What nicplug may write beside KubeVirt.
_OWN = frozenset(
    {
        "virtualmachineinstancemigrations",
        "interfacereports",
        "interfacereports/status",
        "events",
        "leases",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was measured with nicplug."""

    single: Moved
    crowd: Moved
    rest: Phase


def run(*, directory: Path, shape: MigrationShape, alone: MigrationShape, say: Say) -> dict[str, Any]:
    """Measure a cluster with nicplug, then one without.

    Raises:
        SandboxError: something did not start.
        TimeoutError: a NIC did not come.
    """
    beside = directory / "beside"
    with kubevirts(directory=beside, nodes=shape.nodes, with_operator=True, say=say) as found:
        seen = asyncio.run(_measure(found, shape, say=say))
        log = audit_log(beside)
        writes, foreign = tally(log), foreign_writes(log.writes(user=OPERATOR))
    with kubevirts(directory=directory / "alone", nodes=alone.nodes, with_operator=False, say=say) as found:
        by_kubevirt = asyncio.run(_measure_alone(found, alone, say=say))
    return {
        "shape": {"vms": shape.vms, "single": shape.single, "copy_seconds": shape.copy_seconds, "alone": alone.single},
        "single": _latencies(seen.single.phase),
        "alone": _latencies(by_kubevirt),
        "crowd": _crowd(seen.crowd, shape),
        "rest_writes": len(without_lease(seen.rest.writes)),
        "foreign_writes": sorted(counted(foreign, by=lambda write: f"{write.verb} {write.resource}")),
        "usage": resources.as_json({"single": seen.single.phase.usage, "crowd": seen.crowd.phase.usage}),
        "all_writes": writes,
    }


@contextlib.contextmanager
def kubevirts(*, directory: Path, nodes: int, with_operator: bool, say: Say) -> Iterator[BareCluster]:
    """A cluster whose VMs the stand-in of virt-controller runs; everything is ended when the block is left.

    Args:
        with_operator: with nicplug as a companion.

    Raises:
        SandboxError: something did not start; nothing is left running.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        status = lifecycle.up(
            directory=directory,
            nodes=nodes,
            existing=None,
            progress=say,
            with_kubevirt=True,
            with_operator=with_operator,
        )
        known = state.load(directory)
        assert status.kubeconfig is not None
        assert known is not None
        yield BareCluster(directory=directory, admin=status.kubeconfig, processes=known.processes)


async def _measure(found: BareCluster, shape: MigrationShape, *, say: Say) -> _Seen:
    async with _ready(found, shape) as world, watching(world.api, world.vmis) as watch:
        watch.take()
        single = await idle_hotplugs(world, shape.as_shape())
        say(f"beside KubeVirt: {single.operations} NICs, one at a time, {single.seconds:.1f} s")
        singles = Moved.of(single, watch.take())
        crowd = await burst(world, shape.as_shape())
        say(f"beside KubeVirt: {crowd.operations} NICs at once, {crowd.seconds:.1f} s")
        return _Seen(single=singles, crowd=Moved.of(crowd, watch.take()), rest=await rest(world, shape.as_shape()))


async def _measure_alone(found: BareCluster, shape: MigrationShape, *, say: Say) -> Phase:
    async with _ready(found, shape) as world:
        phase = await idle_hotplugs(world, shape.as_shape())
    say(f"KubeVirt alone: {phase.operations} NICs, one at a time, {phase.seconds:.1f} s")
    return phase


@contextlib.asynccontextmanager
async def _ready(found: BareCluster, shape: MigrationShape) -> AsyncIterator[World]:
    """VMs that run on nodes without a dynamic networks controller."""
    async with connected(found, awaited=SEEN) as world:
        await without_controllers(world.api)
        await starts(world, shape.as_shape(), is_spread=True)
        yield world


def foreign_writes(writes: Iterable[Write]) -> list[Write]:
    """Of nicplug's writes those to what is not its own."""
    return [write for write in writes if write.resource not in _OWN or _is_anothers(write)]


def _is_anothers(write: Write) -> bool:
    is_migration = write.resource == "virtualmachineinstancemigrations"
    return is_migration and (write.verb != "create") and not write.name.startswith("nicplug-")


def _latencies(phase: Phase) -> dict[str, Any]:
    """Seconds from the answered request to the guest."""
    took = [one.seen[Milestone.IN_GUEST] - one.answered for one in phase.hotplugs]
    return {"nics": len(took), "p50": round(percentile(took, 50), 2), "p95": round(percentile(took, 95), 2)}


def _crowd(moved: Moved, shape: MigrationShape) -> dict[str, Any]:
    seen = moved.migrations
    return {
        "nics": moved.phase.operations,
        "seconds": round(moved.phase.seconds, 1),
        "copy_seconds": shape.copy_seconds,
        "most_at_once": seen.cluster,
        "most_outbound": max(seen.outbound.values(), default=0),
        "migrations": len(seen.phases),
        "failed": seen.failed,
        "doubled": seen.doubled,
        "writes": counted(without_lease(moved.phase.writes), by=lambda write: write.resource),
    }


def show(found: dict[str, Any], *, console: Console) -> None:
    """Tables of both clusters."""
    single, alone, crowd = found["single"], found["alone"], found["crowd"]
    table = Table(title="Spec to NIC in the guest by migration, s", title_justify="left")
    for heading in ("", "NICs", "p50", "p95"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("KubeVirt alone", str(alone["nics"]), f"{alone['p50']:.2f}", f"{alone['p95']:.2f}")
    table.add_row("with nicplug", str(single["nics"]), f"{single['p50']:.2f}", f"{single['p95']:.2f}")
    table.add_row("factor", "", f"{alone['p50'] / single['p50']:.0f}", f"{alone['p95'] / single['p95']:.0f}")
    console.print(table, highlight=False)
    lines = (
        f"{crowd['nics']} NICs at once: {crowd['seconds']} s, {crowd['migrations']} migrations, at most "
        f"{crowd['most_at_once']} at once, {crowd['most_outbound']} from one node; failed {crowd['failed']}, doubled "
        f"{len(crowd['doubled'])}",
        f"Writes of nicplug at rest: {found['rest_writes']}; to what is not its own: "
        f"{', '.join(found['foreign_writes']) or 'none'}",
    )
    for line in lines:
        console.print(line, highlight=False)
