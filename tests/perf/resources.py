"""CPU seconds and memory of every process of a bench run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from nicplug_sandbox import processes
from nicplug_sandbox.processes import RecordedProcess

# Whatever runs beside the bench: figures taken beside other work are not figures of nicplug.
OTHERS = "others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One process over one phase: CPU seconds spent in it (user and system), memory at its end."""

    cpu_seconds: float
    rss_mib: float


def snapshot(recorded: Sequence[RecordedProcess]) -> dict[str, Usage]:
    """Totals since the start of each process, of the bench itself, and of everybody else on the machine, by name."""
    found = {process.name: processes.find(process) for process in recorded}
    alive = {name: process for name, process in found.items() if process is not None}
    usage = {name: _usage(process) for name, process in (*alive.items(), ("bench", psutil.Process(os.getpid())))}
    ours = sum(one.cpu_seconds for one in usage.values())
    return {**usage, OTHERS: Usage(cpu_seconds=_machine_seconds() - ours, rss_mib=0.0)}


def _machine_seconds() -> float:
    """CPU time that anything on this machine has used since it was booted."""
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))


def _usage(process: psutil.Process) -> Usage:
    times = process.cpu_times()
    return Usage(cpu_seconds=times.user + times.system, rss_mib=process.memory_info().rss / 2**20)


def spent(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, Usage]:
    """What lies between two snapshots."""
    return {
        name: Usage(cpu_seconds=round(usage.cpu_seconds - before[name].cpu_seconds, 3), rss_mib=round(usage.rss_mib, 1))
        for name, usage in after.items()
        if name in before
    }
