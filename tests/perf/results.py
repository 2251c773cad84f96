"""What came out of a run, as one JSON document, and its comparison with the budgets and with a baseline."""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.perf.audit import EVENTS, Write, counted, without_lease
from tests.perf.milestones import Hotplug, Milestone
from tests.perf.resources import as_json
from tests.perf.scenarios import Phase, Shape
from tests.perf.timeline import STEPS, timelines

Figures = dict[str, float]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def summary(seconds: Sequence[float]) -> Figures:
    """Percentiles in milliseconds."""
    named = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    return {name: round(percentile(seconds, percent) * 1000, 1) for name, percent in named.items()}


def latencies(hotplugs: Sequence[Hotplug]) -> dict[str, Figures]:
    """From the answered PATCH of the VM, and from before it was sent, to every milestone."""
    rows: dict[str, Figures] = {}
    for milestone in Milestone:
        rows[str(milestone)] = summary([one.seen[milestone] - one.answered for one in hotplugs])
        rows[f"{milestone} (from sent)"] = summary([one.seen[milestone] - one.sent for one in hotplugs])
    rows["PATCH of the VM (sent to answered)"] = summary([one.answered - one.sent for one in hotplugs])
    return rows


def steps(phase: Phase) -> dict[str, dict[str, Figures]]:
    """How long each step of a hot-plug took to be reacted to and to be served, in milliseconds."""
    vms = {hotplug.vm for hotplug in phase.hotplugs}
    found = [timings for vm in sorted(vms) for timings in timelines(phase.all_writes, vm=vm)]
    return {
        step.name: {
            "reaction": summary([timings[index].reaction for timings in found]),
            "served": summary([timings[index].served for timings in found]),
        }
        for index, step in enumerate(STEPS)
        if found
    }


def all_through(hotplugs: Sequence[Hotplug], milestone: Milestone) -> float:
    """Seconds from the first request to the last arrival."""
    return max(one.seen[milestone] for one in hotplugs) - min(one.sent for one in hotplugs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """The operator's writes in one phase, its Lease left out."""

    total: int
    events: int
    rejected: int
    per_operation: float
    by_kind: dict[str, int]


def count_writes(phase: Phase) -> Writes:
    """Count by verb, resource with subresource, and code."""
    writes = without_lease(phase.writes)
    return Writes(
        total=len(writes),
        events=sum(write.resource == EVENTS for write in writes),
        rejected=sum(write.is_rejected for write in writes),
        per_operation=round(len(writes) / phase.operations, 2) if phase.operations else 0.0,
        by_kind=counted(writes, by=_kind),
    )


def _kind(write: Write) -> str:
    return f"{write.verb} {write.resource} {write.code}"


def environment() -> dict[str, Any]:
    """The machine and the versions that figures depend on."""
    versions = {name: version(name) for name in ("kopf", "kubernetes", "aiohttp")}
    return {"cpus": os.cpu_count(), "python": platform.python_version(), **versions}


def result(*, shape: Shape, phases: Mapping[str, Phase]) -> dict[str, Any]:
    """Everything that a report shows, and that a later run is compared with."""
    starts, idle, burst = phases["starts"], phases["idle"], phases["burst"]
    return {
        "shape": asdict(shape),
        "environment": environment(),
        "seconds": {
            "starts: all Running": round(starts.seconds, 2),
            "burst: all in status": round(all_through(burst.hotplugs, Milestone.IN_STATUS), 2),
            "burst: all in the guest": round(all_through(burst.hotplugs, Milestone.IN_GUEST), 2),
            "burst: all InterfacesReady": round(all_through(burst.hotplugs, Milestone.READY), 2),
        },
        "milliseconds": {
            "starts": {"VM created to VMI Running": summary(starts.start_seconds)},
            "idle": latencies(idle.hotplugs),
            "burst": latencies(burst.hotplugs),
        },
        "steps": {"idle": steps(idle), "burst": steps(burst)},
        "writes": {name: asdict(count_writes(phase)) for name, phase in phases.items()},
        "usage": as_json({name: phase.usage for name, phase in phases.items()}),
    }


def save(found: Mapping[str, Any], *, path: Path) -> None:
    """For comparisons: without every moment at which a migration began or ended, which only its picture needs."""
    moments = ("running", "over_time")
    migrations = {key: value for key, value in found.get("migrations", {}).items() if key not in moments}
    kept = {**found, "migrations": migrations} if migrations else found
    path.write_text(json.dumps(kept, indent=1) + "\n")
