"""What commands print on stdout: tables for people, JSON and YAML for programs, names for shells."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import click

from nicplug.cli.exits import printable
from nicplug.cli.wrapping import wrapped

if TYPE_CHECKING:
    from rich.console import Console

API_VERSION = "cli.nicplug.io/v1"
FORMATS = ("table", "json", "yaml", "name")
WIDTH_WITHOUT_TERMINAL = 160

with_output = click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="json and yaml are stable: docs/cli.md lists their members.",
)

_COLOURS = {
    "Ready": "green",
    "ok": "green",
    "Blocked": "red",
    "Failed": "red",
    "problem": "red",
    "unknown": "yellow",
}


class Document(Protocol):
    """What a command has found."""

    def to_json(self) -> dict[str, Any]:
        """As programs get it; with `kind`, without `apiVersion`."""
        ...

    def names(self) -> Sequence[str]:
        """As `-o name` prints it, one a line."""
        ...

    def show(self, console: "Console") -> None:
        """For people."""
        ...


def write(document: Document, output: str) -> None:
    """Print it in that format."""
    match output:
        case "json":
            click.echo(json.dumps({"apiVersion": API_VERSION, **document.to_json()}, indent=2))
        case "yaml":
            import yaml

            content = {"apiVersion": API_VERSION, **document.to_json()}
            click.echo(yaml.safe_dump(content, sort_keys=False), nl=False)
        case "name":
            for name in document.names():
                click.echo(printable(name))
        case _:
            document.show(console())


def write_all(documents: Sequence[Document], output: str) -> None:
    """Several of them: apart from each other for people, and as YAML documents."""
    between = {"table": "", "yaml": "---"}.get(output)
    for number, document in enumerate(documents):
        if number and between is not None:
            click.echo(between)
        write(document, output)


def is_terminal() -> bool:
    """Whether a person reads stdout; what reads a pipe wants each sentence on one line."""
    return sys.stdout.isatty()


def console() -> "Console":
    """stdout: with colours only on a terminal, and not where NO_COLOR is set (https://no-color.org)."""
    from rich.console import Console

    on_terminal = is_terminal()
    return Console(
        no_color=not on_terminal or bool(os.environ.get("NO_COLOR")),
        width=None if on_terminal else WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        soft_wrap=False,
        emoji=False,
    )


def print_table(out: "Console", headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as kubectl's: three spaces between columns, none at the end of a line; the terminal wraps it."""
    from rich.text import Text

    cells = [list(headings), *([printable(cell).replace("\n", " ") or "-" for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for number, row in enumerate(cells):
        text = Text(style="" if number else "bold")
        for column, cell in enumerate(row):
            is_last = column == len(row) - 1
            text.append(cell, style=_COLOURS.get(cell, "") if number else "")
            text.append("" if is_last else " " * (widths[column] - len(cell) + 3))
        out.print(text, soft_wrap=True)


def line(out: "Console", text: str, style: str = "", *, indent: int = 0) -> None:
    """One line, whose text is no markup.

    Args:
        indent: where what follows a label begins: on a terminal, a longer line goes on below it. 0 lets the terminal
            break it.
    """
    from rich.text import Text

    told = printable(text)
    for part in wrapped(told, columns=out.width, indent=indent) if indent and is_terminal() else (told,):
        out.print(Text(part, style=style), soft_wrap=True)


def age(since: datetime | None, *, now: datetime) -> str:
    """As kubectl writes an age; "-" when nobody knows."""
    if since is None:
        return "-"
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 7200:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h" if seconds < 48 * 3600 else f"{seconds // 86400}d"
