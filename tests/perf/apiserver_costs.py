"""What kube-apiserver spends on starts and hot-plugs: its CPU profile by phase, and both without admission policies.

Each way has a sandbox of its own, and they take turns. The profiles are taken in the first sandbox of each way, from
the beginning of each phase, by the profiler of kube-apiserver, and read by `go tool pprof`.
"""

import asyncio
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.perf import scenarios
from tests.perf.rules import APISERVER, KINDS, POLICIES
from tests.perf.world import Cluster, Say, World, cluster, connected

from nicplug_sandbox import toolchain
from nicplug_sandbox.kubectl import Kubectl

DEPLOYED, WITHOUT_POLICIES = "as deployed", "without admission policies"
PHASES: Mapping[str, Callable[[World, scenarios.Shape], Coroutine[Any, Any, scenarios.Phase]]] = {
    "starts": scenarios.starts,
    "idle": scenarios.idle_hotplugs,
    "burst": scenarios.burst,
}
_SETTLE_SECONDS = 3.0
_PPROF_SECONDS = 120.0

# What a stack has somewhere; the areas overlap, as one encodes within the other.
AREAS: Mapping[str, str] = {
    "patches: read, change, write (GuaranteedUpdate)": r"GuaranteedUpdate",
    "garbage collection": r"gcBgMarkWorker|gcAssistAlloc|bgsweep",
    "encoding JSON": r"json.*(Marshal|[eE]ncode)",
    "managedFields": r"managedfields|structured-merge-diff",
    "schema: pruning, coercing, defaulting, validating": r"apiextensions-apiserver/pkg/apiserver/(schema|validation)",
    "admission policies": r"admission/plugin/policy",
    "decoding what etcd tells watches": r"etcd3.*(decodeObj|transform)",
    "client certificates": r"x509.*Verify",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsShape:
    """How much of everything.

    Attributes:
        vms: to start in each sandbox, and to get a NIC each in the burst.
        idle_hotplugs: single ones before the burst.
        rounds: sandboxes of each way.
        profile_seconds: of kube-apiserver, from the first request of each phase.
    """

    vms: int = 200
    idle_hotplugs: int = 40
    rounds: int = 3
    profile_seconds: int = 8


QUICK = CostsShape(vms=5, idle_hotplugs=3, rounds=1, profile_seconds=2)


def run(*, directory: Callable[[], Any], shape: CostsShape, say: Say) -> dict[str, Any]:
    """The medians of all sandboxes by phase and way, and the shares of the profile by phase.

    Args:
        directory: makes a directory for one sandbox; a context.

    Raises:
        SandboxError: something did not start.
        TimeoutError: it did not come to its end.
    """
    ways: dict[str, list[dict[str, Costs]]] = {DEPLOYED: [], WITHOUT_POLICIES: []}
    for number in range(shape.rounds):
        for way in sorted(ways, reverse=number % 2 == 1):
            profiled = not ways[way]
            with directory() as path, cluster(directory=path, nodes=3, say=lambda _: None) as found:
                ways[way].append(asyncio.run(_phases(found, shape, way=way, profiled=profiled)))
            told = ", ".join(f"{name} {costs.figures['seconds']:.1f} s" for name, costs in ways[way][-1].items())
            say(f"{way}: {told}")
    return {
        name: {
            "ways": {way: _medians([row[name].figures for row in rows]) for way, rows in ways.items()},
            "profile": {way: rows[0][name].shares for way, rows in ways.items()},
        }
        for name in PHASES
    }


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one phase in one sandbox.

    Attributes:
        figures: seconds that it took, CPU seconds of processes, writes of the operator.
        shares: of kube-apiserver's profile, by area, from 0 to 1; empty where none was taken.
    """

    figures: dict[str, float]
    shares: dict[str, float]


async def _phases(found: Cluster, shape: CostsShape, *, way: str, profiled: bool) -> dict[str, Costs]:
    each = scenarios.Shape(vms=shape.vms, idle_hotplugs=shape.idle_hotplugs)
    async with connected(found) as world:
        if way == WITHOUT_POLICIES:
            await _drop_policies(world)
        seconds = shape.profile_seconds if profiled else 0
        return {name: await _costs(found, scenario(world, each), seconds=seconds) for name, scenario in PHASES.items()}


async def _costs(found: Cluster, scenario: Coroutine[Any, Any, scenarios.Phase], *, seconds: int) -> Costs:
    """One phase, with the first `seconds` of it profiled."""
    profiling = asyncio.create_task(_profile(found, seconds=seconds)) if seconds else None
    phase = await scenario
    cpu = {name: usage.cpu_seconds for name, usage in phase.usage.items()}
    figures = {"seconds": phase.seconds, "apiserver": cpu[APISERVER], "operator": cpu["operator"]}
    figures["writes"] = float(len(phase.writes))
    return Costs(figures=figures, shares=await profiling if profiling is not None else {})


async def _drop_policies(world: World) -> None:
    """Their bindings: without one a policy is not evaluated."""
    path = f"{POLICIES}/{KINDS['ValidatingAdmissionPolicyBinding']}"
    listed = await world.api.request("GET", path)
    for item in listed["items"]:
        await world.api.request("DELETE", f"{path}/{item['metadata']['name']}")
    await asyncio.sleep(_SETTLE_SECONDS)


async def _profile(found: Cluster, *, seconds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="nicplug-profile-") as temporary:
        path = Path(temporary) / "cpu.pb.gz"
        kubectl = Kubectl(kubeconfig=found.admin, cache=found.admin.parent / "kubectl-cache")
        with path.open("wb") as file:
            command = kubectl.command("get", "--raw", f"/debug/pprof/profile?seconds={seconds}")
            process = await asyncio.create_subprocess_exec(*command, stdout=file)
            await asyncio.wait_for(process.wait(), timeout=seconds + _PPROF_SECONDS)
        return await asyncio.to_thread(shares_of, path)


def shares_of(path: Path) -> dict[str, float]:
    """The share of each area in a CPU profile of kube-apiserver, from 0 to 1.

    Raises:
        SandboxError: there is no Go, and none can be installed.
        subprocess.CalledProcessError: `go tool pprof` cannot read it.
    """
    go = toolchain.find(progress=lambda _: None).go
    return {name: _share(go, path, pattern) for name, pattern in AREAS.items()}


def _share(go: Path, path: Path, pattern: str) -> float:
    options = ["-top", "-nodefraction=0", "-nodecount=1000000", f"-focus={pattern}"]
    done = subprocess.run(
        [str(go), "tool", "pprof", *options, str(path)],
        env=toolchain.environment(),
        capture_output=True,
        check=True,
        text=True,
        timeout=_PPROF_SECONDS,
    )
    return parse_share(done.stdout)


def parse_share(text: str) -> float:
    """What `go tool pprof -top` says that its rows account for, from 0 to 1; 0 where nothing matches."""
    found = re.search(r"^Showing nodes accounting for [^,]*, ([0-9.]+)% of ", text, re.MULTILINE)
    return float(found[1]) / 100 if found else 0.0


def _medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}


def show(found: dict[str, Any], *, console: Console) -> None:
    """The ways in each phase, and the profiles side by side."""
    table = Table(title="Phases, medians", title_justify="left")
    for heading in ("phase", "way", "until all are through", "CPU of kube-apiserver", "of the operator", "writes"):
        table.add_column(heading, justify="left" if heading in ("phase", "way") else "right")
    for phase, costs in found.items():
        for way, row in costs["ways"].items():
            cells = (f"{row[name]:.1f} s" for name in ("seconds", "apiserver", "operator"))
            table.add_row(phase, way, *cells, f"{row['writes']:,.0f}")
    console.print(table)
    title = "Shares of kube-apiserver's CPU, as deployed and without admission policies; the areas overlap"
    shares = Table(title=title, title_justify="left")
    shares.add_column("area")
    for phase in found:
        shares.add_column(phase, justify="right")
    for area in AREAS:
        shares.add_row(area, *(_both(costs["profile"], area) for costs in found.values()))
    console.print(shares)


def _both(profile: Mapping[str, Mapping[str, float]], area: str) -> str:
    return " / ".join(f"{profile[way].get(area, 0.0):.0%}" for way in (DEPLOYED, WITHOUT_POLICIES))
