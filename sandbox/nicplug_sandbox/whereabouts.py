"""All sandboxes of this user, wherever their directories are: none is lost because somebody forgot where it was.

Found by what each leaves: a state file below the cache, and a variable in the environment of every program that was
started. So a sandbox is found while one of its programs runs, also when its directory has been deleted.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from nicplug_sandbox import processes, state
from nicplug_sandbox.cache import cache_directory
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.processes import LOG_VARIABLE, RecordedProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """One sandbox.

    Attributes:
        server: "" where the state cannot be read.
        running: programs that live.
        dead: names of programs that are recorded and do not live.
        is_recorded: it has a state; else only its programs tell of it.
    """

    directory: Path
    server: str
    started_at: float | None
    running: int
    dead: tuple[str, ...]
    is_recorded: bool


def all_sandboxes() -> list[Whereabouts]:
    """Those that are recorded below the cache, and those that have programs running; by directory."""
    found = _by_process()
    below = cache_directory() / "sandboxes"
    recorded = [path.parent for path in below.glob(f"*/{state.FILE}")] if below.is_dir() else []
    directories = {*found, *(path.resolve() for path in recorded)}
    return [_describe(path, found.get(path, [])) for path in sorted(directories)]


def running_in(directory: Path) -> list[RecordedProcess]:
    """The programs of this user that were started for a directory, whatever its state says."""
    return _by_process().get(directory.resolve(), [])


def _describe(directory: Path, running: list[RecordedProcess]) -> Whereabouts:
    try:
        known = state.load(directory)
    except SandboxError:
        known = None
    dead = tuple(item.name for item in known.processes if not processes.is_alive(item)) if known is not None else ()
    return Whereabouts(
        directory=directory,
        server=known.server if known is not None else "",
        started_at=known.started_at if known is not None else None,
        running=len(running),
        dead=dead,
        is_recorded=known is not None,
    )


def _by_process() -> dict[Path, list[RecordedProcess]]:
    found: dict[Path, list[RecordedProcess]] = {}
    for process in psutil.process_iter():
        try:
            if os.name == "posix" and process.uids().real != os.getuid():
                continue
            log = process.environ().get(LOG_VARIABLE)
            # Whatever a program starts itself has the variable too, and ends with it.
            if not log or _is_started_by_another(process, log):
                continue
            record = RecordedProcess(
                name=Path(log).stem,
                pid=process.pid,
                created=process.create_time(),
                argv=tuple(process.cmdline()),
                log=Path(log),
            )
        except (psutil.Error, OSError):
            continue
        if processes.is_alive(record):
            found.setdefault(Path(log).parent.parent.resolve(), []).append(record)
    return found


def _is_started_by_another(process: psutil.Process, log: str) -> bool:
    parent = process.parent()
    if parent is None:
        return False
    try:
        return parent.environ().get(LOG_VARIABLE) == log
    except (psutil.Error, OSError):
        return False
