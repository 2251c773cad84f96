"""CPU seconds and memory of every process of a bench run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from nicplug_sandbox import processes
from nicplug_sandbox.processes import RecordedProcess

# Whatever runs beside the bench: figures taken beside other work are not figures of nicplug.
OTHERS = "others"
# What all cores together could have spent.
AVAILABLE = "available"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One process over one phase: CPU seconds spent in it (user and system), memory at its end."""

    cpu_seconds: float
    rss_mib: float


def snapshot(recorded: Sequence[RecordedProcess]) -> dict[str, Usage]:
    """Totals since the start of each process, of the bench itself, of all other programs, and of the cores, by name."""
    found = {process.name: processes.find(process) for process in recorded}
    alive = {name: process for name, process in found.items() if process is not None}
    usage = {name: _usage(process) for name, process in (*alive.items(), ("bench", psutil.Process(os.getpid())))}
    ours = sum(one.cpu_seconds for one in usage.values())
    busy, idle = _machine_seconds()
    return {
        **usage,
        OTHERS: Usage(cpu_seconds=busy - ours, rss_mib=0.0),
        AVAILABLE: Usage(cpu_seconds=busy + idle, rss_mib=0.0),
    }


def _machine_seconds() -> tuple[float, float]:
    """CPU time of all cores since the machine was booted: used by anything, and unused."""
    times = psutil.cpu_times()
    busy, idle = (
        sum(getattr(times, kind, 0.0) for kind in kinds)
        for kinds in (("user", "nice", "system", "irq", "softirq", "steal"), ("idle", "iowait"))
    )
    return busy, idle


def added(one: Mapping[str, Usage], other: Mapping[str, Usage]) -> dict[str, Usage]:
    """Both together: the sum of CPU times, the later memory."""
    return {
        name: Usage(
            cpu_seconds=round(usage.cpu_seconds + (one[name].cpu_seconds if name in one else 0.0), 3),
            rss_mib=usage.rss_mib,
        )
        for name, usage in other.items()
    }


def as_json(phases: Mapping[str, Mapping[str, Usage]]) -> dict[str, dict[str, dict[str, float]]]:
    """The member `usage` of a result: by phase and process."""
    return {phase: {name: asdict(usage) for name, usage in used.items()} for phase, used in phases.items()}


def others_percent(cpu_seconds: Mapping[str, float]) -> float | None:
    """Share of the machine's CPU time that other programs used; None for results that do not have it.

    Args:
        cpu_seconds: by process, as in the member `usage` of a result.
    """
    if not cpu_seconds.get(AVAILABLE):
        return None
    # A few hundredths of a second below zero: the kernel counts processes and machine by different clocks.
    return round(max(0.0, 100.0 * cpu_seconds[OTHERS] / cpu_seconds[AVAILABLE]), 1)


def _usage(process: psutil.Process) -> Usage:
    times = process.cpu_times()
    return Usage(cpu_seconds=times.user + times.system, rss_mib=process.memory_info().rss / 2**20)


def peak_rss_mib(process: RecordedProcess) -> float:
    """The most memory that a running process ever had; Linux only."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def spent(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, Usage]:
    """What lies between two snapshots."""
    return {
        name: Usage(cpu_seconds=round(usage.cpu_seconds - before[name].cpu_seconds, 3), rss_mib=round(usage.rss_mib, 1))
        for name, usage in after.items()
        if name in before
    }
