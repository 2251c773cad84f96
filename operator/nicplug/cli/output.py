"""Output of commands on stdout: tables for people, JSON and YAML for programs, names for shells."""

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
    """The result of a command, in every output format."""

    def to_json(self) -> dict[str, Any]:
        """Return the document of `-o json` and `-o yaml`, with `kind` and without `apiVersion`."""
        ...

    def names(self) -> Sequence[str]:
        """Return the lines of `-o name`."""
        ...

    def show(self, console: "Console") -> None:
        """Print it as a table or text."""
        ...


def write(document: Document, output: str) -> None:
    """Print a document in one of `FORMATS`."""
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
    """Print several documents, separated by an empty line as a table and by `---` as YAML."""
    between = {"table": "", "yaml": "---"}.get(output)
    for number, document in enumerate(documents):
        if number and between is not None:
            click.echo(between)
        write(document, output)


def is_terminal() -> bool:
    """True if stdout is a terminal; in a pipe, each sentence stays on one line."""
    return sys.stdout.isatty()


def console() -> "Console":
    """Return the console for stdout; colours only on a terminal, and without NO_COLOR (https://no-color.org)."""
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
    """Print a table like kubectl's: three spaces between columns, none at the end of a line; the terminal wraps it."""
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
    """Print one line of plain text, without markup.

    Args:
        indent: column in which the text after a label begins. On a terminal, the continuation of a longer line begins
            there too; 0 lets the terminal break the line.
    """
    from rich.text import Text

    safe_text = printable(text)
    for part in wrapped(safe_text, columns=out.width, indent=indent) if indent and is_terminal() else (safe_text,):
        out.print(Text(part, style=style), soft_wrap=True)


def age(since: datetime | None, *, now: datetime) -> str:
    """Return an age as kubectl formats it; "-" if unknown."""
    if since is None:
        return "-"
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 7200:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h" if seconds < 48 * 3600 else f"{seconds // 86400}d"
