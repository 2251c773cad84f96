"""How long users wait when the leading replica ends: a NIC is asked for at that moment, and another replica serves it.

`release`: SIGTERM, as a rolling update does it. `crash`: SIGKILL. Time counts from just before the signal.
"""

import asyncio
import contextlib
import os
import signal
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.perf import resources, scenarios
from tests.perf.audit import tally
from tests.perf.milestones import Hotplug, Milestone
from tests.perf.resources import Usage
from tests.perf.world import Cluster, Say, World, audit_log, cluster, connected, make_network

from nicplug_sandbox import operator_process
from nicplug_sandbox.operator_process import OperatorProcess

RELEASE, CRASH = "release", "crash"
SIGNALS: Mapping[str, signal.Signals] = {RELEASE: signal.SIGTERM, CRASH: signal.SIGKILL}
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverShape:
    """How much of everything.

    Attributes:
        vms: that run meanwhile, and that the new leader has in its caches.
        rounds: hand-overs of each kind.
    """

    vms: int = 50
    rounds: int = 10


QUICK = HandOverShape(vms=4, rounds=1)


def run(*, directory: Path, shape: HandOverShape, say: Say) -> dict[str, Any]:
    """Seconds until the NIC is in the networks annotation, of each kind: `rounds`, `p50`, `max`.

    Raises:
        SandboxError: something did not start.
        TimeoutError: a NIC did not come.
    """
    with cluster(directory=directory, nodes=3, say=say) as found:
        waited, usage = asyncio.run(_measure(found, shape, say=say))
    size = {"vms": shape.vms, "rounds": shape.rounds}
    usage_of_phase = resources.as_json({"standby starts": usage})
    return {"shape": size, "seconds": waited, "usage": usage_of_phase, "all_writes": tally(audit_log(directory))}


async def _measure(
    found: Cluster, shape: HandOverShape, *, say: Say
) -> tuple[dict[str, dict[str, Any]], dict[str, Usage]]:
    """Seconds of each kind; what each process used between two hand-overs: in one, a process and its figures go."""
    waited: dict[str, list[float]] = {way: [] for way in SIGNALS}
    leader = found.operator
    usage: dict[str, Usage] = {}
    beside = tuple(process for process in found.processes if process != found.operator.process)
    with contextlib.ExitStack() as stack:
        async with connected(found) as world:
            await scenarios.starts(world, scenarios.Shape(vms=shape.vms))
            for number in range(2 * shape.rounds):
                way = tuple(SIGNALS)[number % 2]
                before = resources.snapshot((*beside, leader.process))
                standby = await asyncio.to_thread(start_standby, found, name=f"operator-{number}")
                stack.callback(operator_process.stop_operator, standby)
                after = resources.snapshot((*beside, leader.process, standby.process))
                usage = resources.added(usage, resources.spent(before, after))
                hotplug = Hotplug(vm=scenarios.vm_names(shape.vms)[number % shape.vms], nic=f"n{number}")
                await make_network(world.api, name=hotplug.nic)
                waited[way].append(await hand_over(world, leader, way=way, hotplug=hotplug))
                say(f"{way}: {waited[way][-1]:.2f} s")
                leader = standby
    return {way: _summary(seconds) for way, seconds in waited.items()}, usage


def start_standby(
    found: Cluster, *, name: str, ready_seconds: float = operator_process.READY_SECONDS
) -> OperatorProcess:
    """Start another replica and wait until its caches are complete.

    Raises:
        SandboxError: they are not after `ready_seconds`.
    """
    return operator_process.start_operator(
        directory=found.directory, kubeconfig=found.operator.kubeconfig, name=name, ready_seconds=ready_seconds
    )


async def hand_over(world: World, leader: OperatorProcess, *, way: str, hotplug: Hotplug) -> float:
    """End the leader and ask for a NIC, whose network exists: seconds until it is in the networks annotation.

    Raises:
        TimeoutError: the NIC was not in the guest after a minute.
    """
    began = asyncio.get_running_loop().time()
    os.kill(leader.process.pid, SIGNALS[way])
    await scenarios.plug(world, hotplug)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await hotplug.done.wait()
    return hotplug.seen[Milestone.ANNOTATION] - began


def _summary(seconds: Sequence[float]) -> dict[str, Any]:
    return {
        "p50": round(statistics.median(seconds), 2),
        "max": round(max(seconds), 2),
        "rounds": [round(one, 2) for one in seconds],
    }


def show(found: dict[str, Any], *, console: Console) -> None:
    """A row for each kind."""
    title = "Leader ends while a NIC is asked for: until the networks annotation, s"
    table = Table(title=title, title_justify="left")
    for heading in ("hand-over", "rounds", "p50", "max"):
        table.add_column(heading, justify="left" if heading == "hand-over" else "right")
    for way, row in found["seconds"].items():
        table.add_row(way, str(len(row["rounds"])), f"{row['p50']:.2f}", f"{row['max']:.2f}")
    console.print(table, highlight=False)
