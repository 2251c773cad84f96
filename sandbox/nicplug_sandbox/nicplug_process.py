"""What `nicplug run` and `nicplug api` have in common as processes: their start, their log, their pages.

Knows nicplug only from outside: its command line, its log, its ports.
"""

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from nicplug_sandbox import processes
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.processes import RecordedProcess

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "kustomize" / "base"
OPERATOR, API = "operator", "api"
"""The names of the processes of a sandbox."""
COMMAND = (sys.executable, "-m", "nicplug")
# The operator promises to end within 5 s of SIGTERM.
STOP_GRACE_SECONDS = 8.0
POLL_SECONDS = 0.02
PROBE_SECONDS = 5.0

_SOURCE_ROOTS = (ROOT / "operator", ROOT / "sandbox")

Found = TypeVar("Found")


def spawn(
    *, directory: Path, name: str, argv: Sequence[str], variables: Mapping[str, str] | None = None
) -> RecordedProcess:
    """Start nicplug from this checkout, and wait for nothing.

    Args:
        directory: gets `logs/NAME.log`, empty at first.
        argv: program and arguments.
        variables: NICPLUG_* settings.

    Raises:
        SandboxError: it ended within moments.
    """
    log = directory / "logs" / f"{name}.log"
    log.unlink(missing_ok=True)  # or the ports of the one before would be found
    path = os.pathsep.join(filter(None, [*map(str, _SOURCE_ROOTS), os.environ.get("PYTHONPATH", "")]))
    return processes.spawn(
        name=name, argv=argv, log=log, cwd=directory, variables={"PYTHONPATH": path, **(variables or {})}
    )


def ports_in(log: Path) -> dict[str, int]:
    """The ports (`metrics_port`, `port`) of the first log line that names them; empty while there is none."""
    if not log.exists():
        return {}
    with log.open(errors="replace") as lines:
        for line in lines:
            try:
                fields = json.loads(line)
            except ValueError:  # half a line so far, or a traceback
                continue
            if isinstance(fields, dict) and "metrics_port" in fields:
                return {name: int(fields[name]) for name in ("port", "metrics_port") if name in fields}
    return {}


def wait(check: Callable[[], Found], *, process: RecordedProcess, deadline: float, what: str) -> Found:
    """Ask until `check` is true, while the process lives.

    Args:
        deadline: by time.monotonic().
        what: it has not done, for the error.

    Raises:
        SandboxError: with the tail of its log.
    """
    while not (found := check()):
        alive = processes.is_alive(process)
        if not alive or time.monotonic() > deadline:
            raise SandboxError(
                f"{process.name} {what}" if alive else f"{process.name} ended",
                remedy=f"Its log is {process.log}.",
                detail=processes.tail(process.log),
            )
        time.sleep(POLL_SECONDS)
    return found


def http_get(port: int, path: str) -> tuple[int, str]:
    """Status and body of a page on 127.0.0.1; status 0 when it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()
