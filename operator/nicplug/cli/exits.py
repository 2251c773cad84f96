"""How commands fail: a message on stderr, a remedy, and an exit code by cause; never a traceback."""

import re
import sys
from enum import IntEnum
from typing import IO, Any

import click

# Characters that a terminal acts on: C0 except tab and newline, DEL, and C1. Bidirectional overrides reorder a line.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Replace control characters: the author of an event or a name must not control the user's terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class Exit(IntEnum):
    """Exit codes. Scripts rely on them: a number is never given another meaning."""

    DONE = 0
    """Done, or the answer is yes."""
    FAILED = 1
    """Anything that has no code of its own. The commands with virtctl's names use it for wrong use too."""
    WRONG_USE = 2
    """An argument or option is wrong or missing."""
    NOT_FOUND = 3
    """The VM, the NIC or the file does not exist."""
    NOT_ALLOWED = 4
    """The API server refuses the user: 401 or 403. `doctor`: it may not look at most of the installation."""
    UNREACHABLE = 5
    """The kubeconfig cannot be used, or the API server does not answer."""
    NOT_INSTALLED = 6
    """nicplug is not installed or does not run, or its CRDs are missing or older."""
    REFUSED = 7
    """The request is understood and refused: it conflicts with something, or is not valid. `run` and `api`: KubeVirt's
    own CRDs, controller or API are in the cluster, or another nicplug works there."""
    TIMED_OUT = 8
    """`wait`, `add --wait` and `remove --wait`: what was waited for has not happened in time."""
    NO = 9
    """`plan`: a NIC would not be plugged automatically. `wait`, `add --wait` and `remove --wait`: it cannot any more.
    `doctor`: a check has failed."""


class CommandError(click.ClickException):
    """An error with its remedy and exit code.

    Attributes:
        remedy: what to do; "" if unknown.
    """

    def __init__(self, message: str, *, remedy: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.exit_code: int = int(code)  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the error and its remedy to stderr."""
        out = file if file is not None else sys.stderr
        click.echo(f"Error: {printable(self.message)}", file=out)
        if self.remedy:
            click.echo(f"  {self.remedy}", file=out)
