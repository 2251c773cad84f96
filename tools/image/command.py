"""Programs that the build calls, and what it says when one is missing or fails."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class ToolError(Exception):
    """A program is missing or failed. The text has its last lines, and what to do."""


def say(message: str) -> None:
    """Progress goes to stderr: stdout carries results."""
    print(f"nicplug: {message}", file=sys.stderr, flush=True)


def run(
    arguments: Sequence[str | Path],
    *,
    variables: Mapping[str, str] | None = None,
    seconds: float = 900,
    stdin: bytes = b"",
) -> str:
    """Run a program to its end; what it wrote to stdout.

    Raises:
        ToolError: it is missing, failed, or took longer than `seconds`.
    """
    command = [str(argument) for argument in arguments]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(variables or {})},
            input=stdin,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise ToolError(f"there is no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{' '.join(command[:3])} took longer than {seconds:.0f} s") from None
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).decode(errors="replace").splitlines()[-15:]
        raise ToolError(f"{' '.join(command[:3])} failed ({done.returncode}):\n" + "\n".join(lines))
    return done.stdout.decode(errors="replace")
