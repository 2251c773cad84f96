"""What kube-apiserver spends on starts of virtual machines: its CPU profile, and starts without admission policies.

Each way has a sandbox of its own, and they take turns. The profile is taken beside the first starts, by the profiler of
kube-apiserver, and read by `go tool pprof`.
"""

import asyncio
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
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
class StartsShape:
    """How much of everything.

    Attributes:
        vms: to start, in each sandbox.
        rounds: sandboxes of each way.
        profile_seconds: of kube-apiserver, from the first creation.
    """

    vms: int = 200
    rounds: int = 3
    profile_seconds: int = 8


QUICK = StartsShape(vms=5, rounds=1, profile_seconds=2)


def run(*, directory: Callable[[], Any], shape: StartsShape, say: Say) -> dict[str, Any]:
    """The figures of all sandboxes.

    Args:
        directory: makes a directory for one sandbox; a context.

    Raises:
        SandboxError: something did not start.
        TimeoutError: it did not come to its end.
    """
    ways: dict[str, list[dict[str, float]]] = {DEPLOYED: [], WITHOUT_POLICIES: []}
    shares: dict[str, float] = {}
    for number in range(shape.rounds):
        for way in sorted(ways, reverse=number % 2 == 1):
            profiled = way == DEPLOYED and not shares
            with directory() as path, cluster(directory=path, nodes=3, say=lambda _: None) as found:
                figures, measured = asyncio.run(_starts(found, shape, way=way, profiled=profiled))
            ways[way].append(figures)
            shares = measured or shares
            say(f"starts, {way}: {figures['seconds']:.1f} s")
    return {"ways": {way: _medians(rows) for way, rows in ways.items()}, "profile": shares}


async def _starts(
    found: Cluster, shape: StartsShape, *, way: str, profiled: bool
) -> tuple[dict[str, float], dict[str, float]]:
    async with connected(found) as world:
        if way == WITHOUT_POLICIES:
            await _drop_policies(world)
        profiling = asyncio.create_task(_profile(found, seconds=shape.profile_seconds)) if profiled else None
        phase = await scenarios.starts(world, scenarios.Shape(vms=shape.vms))
        shares = await profiling if profiling is not None else {}
        cpu = {name: usage.cpu_seconds for name, usage in phase.usage.items()}
    figures = {"seconds": phase.seconds, "apiserver": cpu[APISERVER], "operator": cpu["operator"]}
    return {**figures, "writes": float(len(phase.writes))}, shares


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
    """The ways, and the profile."""
    table = Table(title="Starts, medians", title_justify="left")
    for heading in ("way", "all running", "CPU of kube-apiserver", "of the operator", "writes"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for way, row in found["ways"].items():
        cells = (f"{row[name]:.1f} s" for name in ("seconds", "apiserver", "operator"))
        table.add_row(way, *cells, f"{row['writes']:,.0f}")
    console.print(table)
    shares = Table(title="kube-apiserver during starts, as deployed; the areas overlap", title_justify="left")
    shares.add_column("area")
    shares.add_column("share of its CPU", justify="right")
    for name, share in sorted(found["profile"].items(), key=lambda item: -item[1]):
        shares.add_row(name, f"{share:.0%}")
    console.print(shares)
