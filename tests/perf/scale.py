"""`python -m tests.perf.scale`: nicplug among thousands of running VMIs. What `make bench-scale` runs.

One cluster grows from size to size. Its VMs are started by nicplug and the simulated nodes, so that VMIs, pods and
revisions are what a running cluster has. At each size the operator is started again: its memory and its caches inherit
nothing from the starts of VMs.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import click
from rich.console import Console
from tests.perf import command, hand_over, report, resources, results, scale_figures
from tests.perf.audit import ACCOUNTS, settled, without_lease
from tests.perf.command import sandbox_directory, say
from tests.perf.hand_over import SIGNALS
from tests.perf.milestones import Hotplug, Milestone
from tests.perf.resources import Usage
from tests.perf.scale_figures import OPERATOR_PROCESS, Measured, Reached, Rest, ScalePoint, Started
from tests.perf.scenarios import Shape, plug, plug_each, side_by_side, vm_body, vm_names
from tests.perf.world import NAMESPACE, VIRTUAL_MACHINES, Cluster, World, cluster, connected, make_network

from nicplug_sandbox import operator_process, processes
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.nicplug_process import STOP_GRACE_SECONDS
from nicplug_sandbox.node.api import ApiError
from nicplug_sandbox.operator_process import OperatorProcess
from nicplug_sandbox.processes import RecordedProcess

PICTURE = Path("build") / "scale.svg"
_VMS_PER_NODE = 1500
_FEWEST_NODES = 3
# A sandbox on two busy cores starts several VMs a second; one that starts less than one a second bears no more.
_BATCH_SECONDS = 60.0
_PATIENCE_SECONDS = 180.0
_POLL_SECONDS = 0.25
_ATTEMPTS = 3
_BROKEN = (ApiError, aiohttp.ClientError, TimeoutError, SandboxError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleShape:
    """How much of everything.

    Attributes:
        sizes: running VMIs at which to measure, ascending.
        starts: of the operator, at each size.
        hotplugs: single ones, at each size.
        hand_overs: of each kind, at each size.
        rest_seconds: how long nothing is asked for.
        batch: VMs that are started at a time.
        minutes: after these no further VMs are started.
    """

    sizes: tuple[int, ...] = (500, 1000, 2500, 5000)
    starts: int = 3
    hotplugs: int = 30
    hand_overs: int = 2
    rest_seconds: float = 60.0
    batch: int = 250
    clients: int = 32
    minutes: float = 40.0

    @property
    def nodes(self) -> int:
        """So many that every one has room."""
        return max(_FEWEST_NODES, -(-self.sizes[-1] // _VMS_PER_NODE))

    @property
    def nics(self) -> int:
        """Asked for at each size, each on a VM of its own."""
        return self.starts + self.hotplugs + len(SIGNALS) * self.hand_overs

    def check(self) -> None:
        """A VM has few free PCI slots: each size needs new VMs for its NICs.

        Raises:
            click.BadParameter: the sizes are too small or too close.
        """
        for before, size in zip((0, *self.sizes), self.sizes, strict=False):
            if size < before + self.nics:
                raise click.BadParameter(
                    f"{size} is too small after {before}: {self.nics} NICs are asked for at each size, on as many new "
                    f"VMs; the next size after {before} is {before + self.nics} or more",
                    param_hint="--sizes",
                )


QUICK = ScaleShape(sizes=(6, 12), starts=1, hotplugs=3, hand_overs=1, rest_seconds=5.0)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One cluster, and the replica that leads in it."""

    found: Cluster
    world: World
    shape: ScaleShape
    leader: OperatorProcess
    replicas: contextlib.ExitStack
    deadline: float
    points: list[ScalePoint] = field(default_factory=list)
    usage: dict[str, dict[str, Usage]] = field(default_factory=dict)
    _replicas_started: int = field(default=0, init=False)

    def running(self) -> list[str]:
        """The names of the VMIs that are Running, in the order in which they are created."""
        vmis = (vmi for vmi in self.world.vmis.all() if vmi.get("status", {}).get("phase") == "Running")
        return sorted((vmi["metadata"]["name"] for vmi in vmis), key=lambda name: (len(name), name))

    def snapshot(self) -> dict[str, Usage]:
        """What every process has used so far; the leader is the row `operator`, whichever replica it is."""
        beside = (process for process in self.found.processes if process != self.found.operator.process)
        return resources.snapshot((*beside, _as_operator(self.leader.process)))

    def note(self, phase: str, *, vms: int, before: Mapping[str, Usage]) -> dict[str, Usage]:
        """Keep what was used since `before`, added to that of an earlier phase of the name."""
        spent = resources.spent(before, self.snapshot())
        name = f"{phase}, {vms} VMIs"
        self.usage[name] = resources.added(self.usage.get(name, {}), spent)
        return spent

    def next_name(self) -> str:
        """Of the replica that is started next."""
        self._replicas_started += 1
        return f"operator-{self._replicas_started}"


def _as_operator(process: RecordedProcess) -> RecordedProcess:
    return replace(process, name=OPERATOR_PROCESS)


def run(*, directory: Path, shape: ScaleShape) -> dict[str, Any]:
    """Start everything, measure at every size that is reached, end everything.

    Raises:
        SandboxError: something did not start.
        click.ClickException: not even the smallest size could be measured.
    """
    with cluster(directory=directory, nodes=shape.nodes, say=say) as found, contextlib.ExitStack() as replicas:
        points, reached, usage = asyncio.run(_measure(found, shape, replicas=replicas))
    if not points:
        command.show_logs(directory)
        raise click.ClickException(f"no size could be measured: {reached}")
    return {
        "shape": asdict(shape),
        "nodes": shape.nodes,
        "environment": results.environment(),
        **scale_figures.as_json(points, reached=reached),
        "usage": resources.as_json(usage),
    }


async def _measure(
    found: Cluster, shape: ScaleShape, *, replicas: contextlib.ExitStack
) -> tuple[list[ScalePoint], Reached, Mapping[str, Mapping[str, Usage]]]:
    async with connected(found) as world:
        deadline = asyncio.get_running_loop().time() + 60 * shape.minutes
        state = _Run(
            found=found, world=world, shape=shape, leader=found.operator, replicas=replicas, deadline=deadline
        )  # fmt: skip
        reason = ""
        for size in shape.sizes:
            if reason := await _measure_next(state, size):
                say(reason)
                break
        reached = Reached(vms=len(state.running()), asked=shape.sizes[-1], reason=reason)
        return state.points, reached, state.usage


async def _measure_next(state: _Run, size: int) -> str:
    """Grow to a size and add its point: why there can be no larger one, or "".

    A size that is not reached is replaced by what runs, if that is enough to measure something new.
    """
    last = state.points[-1].vms if state.points else 0
    vms_per_second, reason = await _grow(state, size)
    vms = len(state.running())
    if vms < last + state.shape.nics:
        return reason
    try:
        measured = await _measure_size(state, vms, vms_per_second=vms_per_second)
        state.points.append(scale_figures.point(measured))
    except _BROKEN as error:
        reason = reason or f"measuring among {vms:,} VMIs failed: {_text(error)}"
    return reason


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _grow(state: _Run, size: int) -> tuple[float, str]:
    """Start VMs until so many run: how many were started per second, and why there are not more, or ""."""
    clock = asyncio.get_running_loop().time
    began, first = clock(), len(state.running())
    reason = ""
    for start in range(first, size, state.shape.batch):
        end = min(start + state.shape.batch, size)
        if clock() > state.deadline:
            reason = f"no further VMs are started after {state.shape.minutes:g} minutes (--minutes)"
            break
        try:
            await _start_vms(state, vm_names(end)[start:], total=end)
        except* _BROKEN as group:
            reason = f"VMs {start:,} to {end:,} were not all running in time: {_text(group.exceptions[0])}"
        if reason:
            break
        say(f"{end:,} of {state.shape.sizes[-1]:,} VMIs run, {(end - first) / (clock() - began):.1f} started a second")
    return (len(state.running()) - first) / max(clock() - began, 0.001), reason


async def _start_vms(state: _Run, names: Sequence[str], *, total: int) -> None:
    """Create VMs and wait until `total` VMIs run.

    Raises:
        TimeoutError, ApiError, aiohttp.ClientError: some do not; perhaps in a group.
    """
    async with asyncio.timeout(_BATCH_SECONDS + len(names)):
        await side_by_side(names, partial(_create, state.world), clients=state.shape.clients)
        while len(state.running()) < total:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)


async def _create(world: World, name: str) -> None:
    """A VM; one that is not answered is tried again, so that a single slow answer does not end a long run."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await world.api.create(VIRTUAL_MACHINES, vm_body(name), namespace=NAMESPACE)
            return
        except ApiError as error:
            if error.status == HTTPStatus.CONFLICT:
                return
            if attempt == _ATTEMPTS:
                raise
        except (aiohttp.ClientError, TimeoutError):
            if attempt == _ATTEMPTS:
                raise
        await asyncio.sleep(1.0)


async def _measure_size(state: _Run, vms: int, *, vms_per_second: float) -> Measured:
    """Everything at one size.

    Raises:
        TimeoutError, SandboxError, ApiError, aiohttp.ClientError: something did not come to its end.
    """
    shape, nic = state.shape, f"n{vms}"
    await make_network(state.world.api, name=nic)
    await settled(state.world.audit, seconds=_PATIENCE_SECONDS)
    hotplugs = iter([Hotplug(vm=vm, nic=nic) for vm in state.running()[-shape.nics :]])
    starts = [await _start(state, next(hotplugs), vms=vms) for _ in range(shape.starts)]
    single = list(islice(hotplugs, shape.hotplugs))
    await _plug_one_by_one(state, single, vms=vms)
    rest = await _rest(state, vms=vms)
    hand_overs = {
        way: [await _hand_over(state, next(hotplugs), way=way) for _ in range(shape.hand_overs)] for way in SIGNALS
    }
    usage = {phase: used for phase, used in state.usage.items() if phase.endswith(f", {vms} VMIs")}
    return Measured(
        vms=vms,
        vms_per_second=vms_per_second,
        starts=starts,
        hotplugs=single,
        rest=rest,
        hand_overs=hand_overs,
        usage=usage,
    )


async def _start(state: _Run, hotplug: Hotplug, *, vms: int) -> Started:
    """Start the operator, with a NIC that is asked for at that moment."""
    clock = asyncio.get_running_loop().time
    await asyncio.to_thread(operator_process.stop_operator, state.leader)
    mark, before = state.world.audit.mark(), state.snapshot()
    began = clock()
    process = operator_process.spawn_operator(
        directory=state.found.directory, kubeconfig=state.leader.kubeconfig, name=state.next_name()
    )
    state.replicas.callback(processes.end, [process], grace_seconds=STOP_GRACE_SECONDS)
    await plug(state.world, hotplug)
    state.leader = await asyncio.to_thread(
        operator_process.wait_until_ready, process, kubeconfig=state.leader.kubeconfig, seconds=_PATIENCE_SECONDS
    )
    ready = clock() - began
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await hotplug.done.wait()
    cpu = state.snapshot()[OPERATOR_PROCESS].cpu_seconds
    await settled(state.world.audit, seconds=_PATIENCE_SECONDS)
    state.note("start", vms=vms, before=before)
    annotation, guest = (hotplug.seen[one] - began for one in (Milestone.ANNOTATION, Milestone.IN_GUEST))
    say(f"operator started among {vms:,} VMIs: ready after {ready:.2f} s, first NIC in the guest after {guest:.2f} s")
    writes = without_lease(state.world.audit.writes(since=mark, user=f"{ACCOUNTS}{operator_process.SERVICE_ACCOUNT}"))
    return Started(ready=ready, annotation=annotation, guest=guest, cpu=cpu, writes=len(writes))


async def _plug_one_by_one(state: _Run, hotplugs: Sequence[Hotplug], *, vms: int) -> None:
    before = state.snapshot()
    async with asyncio.timeout(_PATIENCE_SECONDS + len(hotplugs)):
        await plug_each(state.world, Shape(), hotplugs)
    state.note("single hot-plugs", vms=vms, before=before)


async def _rest(state: _Run, *, vms: int) -> Rest:
    await settled(state.world.audit, seconds=_PATIENCE_SECONDS)
    mark, before = state.world.audit.mark(), state.snapshot()
    await asyncio.sleep(state.shape.rest_seconds)
    usage = state.note("rest", vms=vms, before=before)
    found = without_lease(state.world.audit.writes(since=mark))
    writes = [write for write in found if write.user.startswith(ACCOUNTS)]
    rest = Rest(
        seconds=state.shape.rest_seconds,
        writes=len(writes),
        usage=usage,
        peak_rss_mib=resources.peak_rss_mib(state.leader.process),
    )
    percent, rss = rest.cpu_percent(OPERATOR_PROCESS), usage[OPERATOR_PROCESS].rss_mib
    say(f"rest among {vms:,} VMIs: {len(writes)} writes, {percent:.2f} % of a core, RSS {rss:.0f} MiB")
    return rest


async def _hand_over(state: _Run, hotplug: Hotplug, *, way: str) -> float:
    standby = await asyncio.to_thread(
        hand_over.start_standby, state.found, name=state.next_name(), ready_seconds=_PATIENCE_SECONDS
    )
    state.replicas.callback(operator_process.stop_operator, standby)
    seconds = await hand_over.hand_over(state.world, state.leader, way=way, hotplug=hotplug)
    state.leader = standby
    say(f"hand-over by {way}: {seconds:.2f} s")
    return seconds


@click.command()
@click.option(
    "--sizes", callback=command.sizes, help="VMIs at which to measure, with commas.  [default: 500,1000,2500,5000]"
)
@click.option("--quick", is_flag=True, help="6 and 12 VMIs, everything once: does it work at all?")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Start no further VMs after that many minutes; what runs then is measured.  [default: 40]",
)
@click.option(
    "--rest-seconds", type=click.FloatRange(min=1), help="How long nothing is asked for at each size.  [default: 60]"
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the result there; `make docs` takes tests/perf/scale.json for docs/performance.md.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    default=PICTURE,
    show_default=True,
    help="Write the plots there as SVG.",
)
def main(
    *,
    sizes: tuple[int, ...],
    quick: bool,
    output: str,
    save: Path | None,
    picture: Path,
    **chosen: Any,
) -> None:
    """Measure nicplug among thousands of running VMIs: start, memory, CPU and writes at rest, hand-over, growth."""
    given = {name: value for name, value in chosen.items() if value is not None}
    shape = replace(QUICK if quick else ScaleShape(), **given)
    shape = replace(shape, sizes=tuple(sorted(set(sizes))) or shape.sizes)
    shape.check()
    with sandbox_directory() as directory:
        found = run(directory=directory, shape=shape)
    scale_figures.save_picture(found, path=picture)
    if save is not None:
        save.write_text(json.dumps(found, indent=1) + "\n")
    if output == "json":
        click.echo(json.dumps({"budgets": report.budgets_as_json({"scale": found}), **found}, indent=1))
    else:
        console = Console(width=None if sys.stdout.isatty() else 110)
        report.show_budgets({"scale": found}, baseline={}, console=console)
        scale_figures.show(found, console=console)
    say(f"plots: {picture}")


if __name__ == "__main__":
    # Stopping it by SIGTERM would otherwise leave its control plane running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
