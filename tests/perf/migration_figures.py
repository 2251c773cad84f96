"""What came out of the migrations: latencies, what explains the time of a crowd, and what a migration costs."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from tests.perf.concurrency import FINAL, Concurrency, MigrationSight, Sight
from tests.perf.migrations import LIMIT_INBOUND, LIMIT_OUTBOUND, LIMIT_PER_CLUSTER, MigrationShape, Moved
from tests.perf.milestones import Milestone
from tests.perf.resources import as_json
from tests.perf.results import count_writes, latencies, summary

Figures = dict[str, Any]
# In the order of a migration; each is reached when a watch first shows it, or one behind it.
_PHASES = ("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded")
_MADE, _OVER = "migration made", "Succeeded"


def migration_figures(*, shape: MigrationShape, moved: Mapping[str, Moved]) -> Figures:
    """Everything that a report shows, and that a later run is compared with."""
    single, crowd = moved["single"], moved["crowd"]
    return {
        "shape": asdict(shape),
        "milliseconds": {name: latencies(one.phase.hotplugs) for name, one in moved.items()},
        "steps": step_figures(single),
        "single": _outcome(single),
        "crowd": {**_outcome(crowd), **explanation(shape=shape, single=single, crowd=crowd)},
        "running": {name: one.migrations.running for name, one in moved.items()},
        "over_time": over_time(crowd),
        "writes": {name: asdict(count_writes(one.phase)) for name, one in moved.items()},
        "usage": as_json({name: one.phase.usage for name, one in moved.items()}),
    }


def _outcome(moved: Moved) -> Figures:
    found = moved.migrations
    return {
        "nics": moved.phase.operations,
        "migrations": len(found.phases),
        "succeeded": found.succeeded,
        "failed": found.failed,
        "unfinished": sum(phase not in FINAL for phase in found.phases.values()),
        # Two at a time, or more of them than VMs that asked.
        "doubled": max(len(found.doubled), len(found.phases) - moved.phase.operations),
        "peak_cluster": found.cluster,
        "peak_outbound": max(found.outbound.values(), default=0),
        "peak_inbound": max(found.inbound.values(), default=0),
        "slot_seconds": round(fmean(slot_seconds(found)), 3) if found.slots else 0.0,
    }


def slot_seconds(found: Concurrency) -> list[float]:
    """How long each migration took up a slot of the limits."""
    return [end - begin for begin, end in found.slots.values()]


def arrival_seconds(moved: Moved) -> float:
    """From a ready target pod to the hand-off, on average."""
    entered: dict[str, dict[str, float]] = {}
    for sight in moved.sights:
        if isinstance(sight, MigrationSight) and sight.phase in _PHASES:
            for phase in _PHASES[: _PHASES.index(sight.phase) + 1]:
                entered.setdefault(sight.uid, {}).setdefault(phase, sight.at)
    waits = [times["PreparingTarget"] - times["Scheduled"] for times in entered.values() if "PreparingTarget" in times]
    return fmean(waits) if waits else 0.0


def over_time(moved: Moved) -> Figures:
    """Steps for a picture, in seconds from the first request: migrations with a slot, in the queue, and NICs arrived.

    Each step is a pair of a moment and the count from then on.
    """
    began = min(one.sent for one in moved.phase.hotplugs)
    made: dict[str, float] = {}
    for sight in moved.sights:
        if isinstance(sight, MigrationSight):
            made.setdefault(sight.uid, sight.at)
    slots = moved.migrations.slots
    # The watch of target pods may be ahead of that of migrations.
    queued = [(min(at, slots[uid][0]), slots[uid][0]) for uid, at in made.items() if uid in slots]
    return {
        "slots": _steps_of([(at - began, end - began) for at, end in slots.values()]),
        "queue": _steps_of([(at - began, end - began) for at, end in queued]),
        "arrived": _steps_of([(one.seen[Milestone.IN_GUEST] - began, math.inf) for one in moved.phase.hotplugs]),
    }


def _steps_of(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, int]]:
    """How many of the intervals are open, from each moment on at which that changes."""
    changes = Counter({0.0: 0})
    for begin, end in intervals:
        changes[begin] += 1
        if end < math.inf:
            changes[end] -= 1
    counts = itertools.accumulate(changes[moment] for moment in sorted(changes))
    return [(round(moment, 3), count) for moment, count in zip(sorted(changes), counts, strict=True)]


def explanation(*, shape: MigrationShape, single: Moved, crowd: Moved) -> Figures:
    """The time of a crowd beside what the limit and the length of a copy make of it.

    A migration takes up its slot for a copy and an overhead: target pod, hand-off, cut-over, the notice of its end.
    With `limit` slots that are always full, `ceil(vms / limit)` of them come one after another.
    """
    rounds = math.ceil(shape.vms / LIMIT_PER_CLUSTER)
    alone, together = (fmean(slot_seconds(one.migrations)) for one in (single, crowd))
    begin = min(one.sent for one in crowd.phase.hotplugs)
    end = max(end for _, end in crowd.migrations.slots.values())
    return {
        "seconds": round(end - begin, 2),
        "rounds": rounds,
        "limit": LIMIT_PER_CLUSTER,
        "copy_seconds": shape.copy_seconds,
        "overhead_alone": round(alone - shape.copy_seconds, 3),
        "overhead_together": round(together - shape.copy_seconds, 3),
        # A part of the overhead: a target pod that is ready waits until its node takes another guest in.
        "arrival_alone": round(arrival_seconds(single), 3),
        "arrival_together": round(arrival_seconds(crowd), 3),
        "copies_alone": round(rounds * shape.copy_seconds, 2),
        "expected_alone": round(rounds * alone, 2),
        "expected_together": round(rounds * together, 2),
        "slots_used": round(sum(slot_seconds(crowd.migrations)) / (end - begin), 2),
        "limits": {"cluster": LIMIT_PER_CLUSTER, "outbound": LIMIT_OUTBOUND, "inbound": LIMIT_INBOUND},
    }


def step_figures(moved: Moved) -> dict[str, dict[str, float]]:
    """From the answered PATCH to each step of the migration that followed, in milliseconds; only complete ones."""
    found = [steps for one in moved.phase.hotplugs if (steps := _steps(moved.sights, vmi=one.vm, since=one.answered))]
    names = (_MADE, *_PHASES[1:])
    return {name: summary([steps[name] for steps in found]) for name in names if found}


def _steps(sights: Sequence[Sight], *, vmi: str, since: float) -> dict[str, float]:
    """Seconds from `since` to the steps of the first migration that was made after it, until it succeeded."""
    own = [one for one in sights if isinstance(one, MigrationSight) and one.vmi.endswith(f"/{vmi}")]
    first = next((one for one in own if not one.phase or one.phase == "Pending"), None)
    if first is None:
        return {}
    lines = [one for one in own if one.uid == first.uid and not one.is_gone]
    found = {_MADE: first.at - since}
    for name in _PHASES[1:]:
        behind = _PHASES[_PHASES.index(name) :]
        at = next((one.at for one in lines if one.phase in behind), None)
        if at is None:
            return {}
        found[name] = at - since
    return found
