"""What a sandbox's directory remembers between commands: `state.json`."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import filelock

from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.processes import RecordedProcess

FILE = "state.json"
# Longer than any start, restart or stop may take.
LOCK_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Who runs, and how to reach it."""

    server: str
    kubeconfig: Path
    started_at: float  # seconds since the epoch
    processes: tuple[RecordedProcess, ...] = ()
    external: bool = False  # a cluster given by --kubeconfig: nothing of it is ours to end
    nodes: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def process(self, name: str) -> RecordedProcess | None:
        """The record of one program, None when this sandbox has none of that name."""
        return next((process for process in self.processes if process.name == name), None)


def load(directory: Path) -> State | None:
    """The state of a sandbox, None when nothing was started there or it was stopped.

    Raises:
        SandboxError: the file is there and cannot be understood.
    """
    try:
        content = json.loads((directory / FILE).read_text())
        processes = tuple(
            RecordedProcess(**{**item, "argv": tuple(item["argv"]), "log": Path(item["log"])})
            for item in content.pop("processes")
        )
        return State(**{**content, "kubeconfig": Path(content["kubeconfig"]), "processes": processes})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SandboxError(
            f"{directory / FILE} is not a state that this version wrote ({error})",
            remedy=f"End what still runs there (pids are in the file), then remove {directory}.",
        ) from None


def save(directory: Path, state: State) -> None:
    """Replace the state in one step: a reader sees the old or the new one, never half."""
    temporary = directory / f".{FILE}.{os.getpid()}"
    temporary.write_text(json.dumps(asdict(state), default=str, indent=1))
    temporary.replace(directory / FILE)


def forget(directory: Path) -> None:
    """Remove the state: nothing of this sandbox runs any more."""
    (directory / FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Only one command at a time changes a sandbox.

    Raises:
        SandboxError: another command held the lock for two minutes, or the directory cannot be made or written to.
    """
    lock = filelock.FileLock(directory / ".lock", timeout=LOCK_SECONDS)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except filelock.Timeout:
        raise SandboxError(
            f"another command has worked on {directory} for {LOCK_SECONDS:.0f} s",
            remedy="Wait for it or end it, then try again.",
        ) from None
    except OSError as error:
        raise SandboxError(
            f"no sandbox can live in {directory}: {error.strerror or error}",
            remedy="Name a directory that can be made and written to: --directory, or NICPLUG_CACHE_DIR for the cache.",
        ) from error
    try:
        yield
    finally:
        lock.release()
