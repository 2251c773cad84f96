"""All sandboxes of this user, wherever their directories are: none is lost because somebody forgot where it was.

Found by what each leaves: a state file below the cache, or a pointer there to a directory elsewhere; and a variable in
the environment of every program that was started. So a sandbox is found after a reboot, when none of its programs runs,
and while one of them runs also when its directory has been deleted.
"""

import contextlib
import hashlib
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
    """Those that are recorded in the cache, and those that have programs running; by directory."""
    found = _by_process()
    below = _below_cache()
    recorded = [path.parent for path in below.glob(f"*/{state.FILE}")] if below.is_dir() else []
    directories = {*found, *(path.resolve() for path in recorded), *_pointed_at()}
    return [_describe(path, found.get(path, [])) for path in sorted(directories)]


def remember(directory: Path) -> None:
    """Leave a pointer to a sandbox whose directory is not below the cache."""
    if directory.resolve().parent == _below_cache().resolve():
        return
    # A sandbox works without: a cache that cannot be written to is no reason not to start one.
    with contextlib.suppress(OSError):
        pointer = _pointer(directory)
        pointer.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        pointer.write_text(str(directory.resolve()))


def forget(directory: Path) -> None:
    """Remove the pointer to a sandbox that has been ended."""
    with contextlib.suppress(OSError):
        _pointer(directory).unlink(missing_ok=True)


def _below_cache() -> Path:
    return cache_directory() / "sandboxes"


def _pointer(directory: Path) -> Path:
    name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]
    return cache_directory() / "pointers" / name


def _pointed_at() -> list[Path]:
    """Directories that pointers name; a pointer to one without a state goes."""
    found = []
    for pointer in (cache_directory() / "pointers").glob("*"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            directory = Path(pointer.read_text())
            if directory.is_absolute() and (directory / state.FILE).is_file():
                found.append(directory)
            else:
                pointer.unlink(missing_ok=True)
    return found


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
