"""What the commands of the bench have in common: lines of progress, lists of sizes, a directory for one sandbox."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from nicplug_sandbox.errors import SandboxError


def say(message: str) -> None:
    """Print a line of progress on stderr."""
    click.echo(f"bench: {message}", err=True)


def sizes(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Read the value of an option such as `100,200`; () for none.

    Raises:
        click.BadParameter: it is no list of numbers above 0.
    """
    try:
        found = tuple(int(item) for item in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(f'"{value}" is not a list of numbers such as 100,200') from None
    if any(size < 1 for size in found):
        raise click.BadParameter("a size is at least 1 VM")
    return found


@contextlib.contextmanager
def sandbox_directory() -> Iterator[Path]:
    """A directory for one sandbox; the ends of its logs are printed when the block fails, since they vanish.

    Raises:
        click.ClickException: for everything that a person can understand.
    """
    with tempfile.TemporaryDirectory(prefix="nicplug-bench-") as temporary:
        try:
            yield Path(temporary)
        except (SandboxError, TimeoutError) as error:
            show_logs(Path(temporary))
            raise click.ClickException(str(error) or type(error).__name__) from error


def show_logs(directory: Path) -> None:
    """Print on stderr what the logs of a sandbox end with."""
    for log in sorted((directory / "logs").glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-10:]
        click.echo("\n".join([f"--- {log.name}", *lines]), err=True)
