"""Programs that outlive the command which started them, and are ended by a record of who they were.

A pid alone is not enough: by the time of `down` the system may have given it to a stranger.
The record therefore holds the start time too, and a process whose start time differs is not ours.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from nicplug_sandbox.errors import SandboxError

POLL_SECONDS = 0.02
# psutil derives start times from clock ticks (10 ms) and, on some systems, from the boot time.
START_TIME_TOLERANCE_SECONDS = 0.5

# The shell ends at once, so the program belongs to init: no zombie stays with a long-lived caller such
# as pytest. `$!` is the program's own pid, because the shell replaces its fork by the program.
LOG_VARIABLE = "SANDBOX_LOG"
DETACH = '"$@" >>"$SANDBOX_LOG" 2>&1 </dev/null & echo $!'


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedProcess:
    """A program that was started: enough to find exactly this one again, and to start its like."""

    name: str
    pid: int
    created: float  # seconds since the epoch, by psutil
    argv: tuple[str, ...]
    log: Path


def spawn(
    *, name: str, argv: Sequence[str], log: Path, cwd: Path, variables: Mapping[str, str] | None = None
) -> RecordedProcess:
    """Start `argv` detached, in a session of its own, with its output appended to `log`.

    Raises:
        SandboxError: the program cannot be executed or ended within moments of its start.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **(variables or {}), LOG_VARIABLE: str(log)}
    shell = subprocess.run(
        ["/bin/sh", "-c", DETACH, "sh", *argv],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
        text=True,
    )
    pid = int(shell.stdout)
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        raise SandboxError(f"{name} ended at once", remedy=f"Its output is in {log}.", detail=tail(log)) from None
    return RecordedProcess(name=name, pid=pid, created=created, argv=tuple(argv), log=log)


def find(process: RecordedProcess) -> psutil.Process | None:
    """The running process of this record; None when it ended or the pid belongs to another by now."""
    try:
        found = psutil.Process(process.pid)
        if abs(found.create_time() - process.created) > START_TIME_TOLERANCE_SECONDS:
            return None
        # Where init does not reap (many containers), the dead stay listed as zombies. A zombie with other
        # threads is still on its way out and still holds its ports: measured with a killed kube-apiserver.
        gone = found.status() == psutil.STATUS_ZOMBIE and found.num_threads() <= 1
        return None if gone else found
    except psutil.NoSuchProcess:
        return None


def is_alive(process: RecordedProcess) -> bool:
    """Whether exactly this process still runs."""
    return find(process) is not None


def end(processes: Iterable[RecordedProcess], *, grace_seconds: float) -> None:
    """End all of them together: SIGTERM, then SIGKILL to those that are left after the grace.

    Raises:
        SandboxError: a process survived SIGKILL for five seconds (stuck in the kernel).
    """
    remaining = [process for process in processes if is_alive(process)]
    if grace_seconds > 0:
        remaining = _signal_and_wait(remaining, number=signal.SIGTERM, seconds=grace_seconds)
    remaining = _signal_and_wait(remaining, number=signal.SIGKILL, seconds=5)
    if remaining:
        names = ", ".join(f"{process.name} (pid {process.pid})" for process in remaining)
        raise SandboxError(f"could not end {names}", remedy="It is stuck in the kernel; try again later.")


def _signal_and_wait(
    processes: list[RecordedProcess], *, number: signal.Signals, seconds: float
) -> list[RecordedProcess]:
    for process in processes:
        # psutil checks the start time once more before it sends.
        if found := find(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.send_signal(number)
    deadline = time.monotonic() + seconds
    while (processes := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return processes


def tail(path: Path, *, lines: int = 15) -> str:
    """The last lines of a log, "" when there is none."""
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - 16_384))
            text = handle.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
