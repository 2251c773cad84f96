"""What a demonstration looks like: spinners that turn into check marks in a terminal, plain lines elsewhere.

Knows nothing of Kubernetes. Everything that stays on the screen can be recorded as a picture; spinners cannot.
"""

import contextlib
import io
import re
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.json import JSON
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.status import Status
from rich.table import Table
from rich.text import Text

WIDTH = 100
_COLUMNS_OF_STEP = 36
# Rich's picture loads a font from the network; a README must not, and the viewer's own monospace will do.
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


class Step:
    """One step under way."""

    def __init__(self, title: str, *, status: Status | None, console: Console) -> None:
        self._title = title
        self._status = status
        self._console = console
        self._told = ""
        self.detail = ""

    def tell(self, message: str) -> None:
        """What the step is doing now: beside the spinner, or as a line of its own without a terminal."""
        if message == self._told:
            return
        self._told = message
        if self._status is None:
            self._console.print(f"  {self._title}: {message}", highlight=False, markup=False, soft_wrap=True)
        else:
            self.hint(message)

    def hint(self, message: str) -> None:
        """What only somebody who watches wants to know: nothing without a terminal."""
        if self._status is not None:
            self._status.update(Text.assemble(f"{self._title}  ", (message, "dim")))


class Screen:
    """Prints a demonstration.

    Args:
        console: where it is seen.
        records: keep what is printed inside `in_picture` for `save_picture`.
    """

    def __init__(self, console: Console, *, records: bool = False) -> None:
        self._console = console
        self._recording = False
        self._picture: Console | None = None
        if records:
            self._picture = Console(
                record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
            )

    def title(self, title: str, subtitle: str) -> None:
        """The opening."""
        self._print(Panel(Text.assemble((title, "bold cyan"), "\n", subtitle), border_style="cyan", padding=(0, 2)))

    def section(self, title: str) -> None:
        """A chapter begins."""
        self._print(Text(""))
        self._print(Rule(Text(title, "bold"), align="left", style="cyan", characters="─" if self._is_unicode else "-"))

    def remark(self, text: str) -> None:
        """A line of explanation."""
        self._print(Text(text, "dim"))

    def command(self, command: str) -> None:
        """A command as a person would type it."""
        # Soft-wrapped: a command that is copied must stay one line.
        text = Text.assemble(("$ ", "bold green"))
        for number, line in enumerate(command.splitlines()):
            # Indentation apart from the words: some viewers of pictures drop white space at the start of a text.
            words = line.lstrip()
            text.append("\n" * (number > 0) + " " * (len(line) - len(words)), "").append(words, "bold")
        self._print(text, soft_wrap=True)

    def output(self, text: str) -> None:
        """What a command printed."""
        body = text.rstrip()
        # A pipe has no right edge: the lines of a table stay whole there.
        whole = None if self._console.is_terminal else Text(textwrap.indent(body, "  "))
        self._print(Padding(Text(body), (0, 0, 0, 2), expand=False), whole=whole)

    def json(self, text: str) -> None:
        """JSON for people."""
        self._print(Padding(JSON(text, indent=2), (0, 0, 0, 2), expand=False))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, good: frozenset[str]) -> None:
        """A table in kubectl's look; cells whose whole text is in `good` are good news."""
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, "green" if cell in good else "") for cell in row))
        self._print(Padding(table, (0, 0, 0, 2), expand=False))

    def moment(self, *, seconds: float, what: str, who: str) -> None:
        """One line of a timeline; `seconds` since its start."""
        time_ = f"+{seconds * 1000:.0f} ms"
        self._print(
            Text.assemble(" " * max(2, 11 - len(time_)), (f"{time_}  ", "cyan"), f"{what:<56}", (who, "magenta"))
        )

    def closing(self, lines: Sequence[tuple[str, str]]) -> None:
        """The figures that a person shall remember."""
        table = Table.grid(padding=(0, 3))
        for name, value in lines:
            table.add_row(Text(name), Text(value, "bold green"))
        self._print(Text(""))
        self._print(Panel(table, border_style="green", padding=(0, 2)))

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A piece of work: a spinner while it runs, then a mark, what it found, and its time."""
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            status = None
            if self._console.is_terminal:
                status = stack.enter_context(
                    self._console.status(title, spinner="dots" if self._is_unicode else "line")
                )
            step = Step(title, status=status, console=self._console)
            try:
                yield step
            except BaseException:
                stack.close()
                self._line("✗" if self._is_unicode else "failed:", "bold red", title, "", began)
                raise
        self._line("✓" if self._is_unicode else "done:", "bold green", title, step.detail, began)

    @contextlib.contextmanager
    def in_picture(self) -> Iterator[None]:
        """What is printed in this block belongs to the picture; there may be several blocks."""
        self._recording = True
        try:
            yield
        finally:
            self._recording = False

    def save_picture(self, path: Path, *, title: str) -> None:
        """Write what was printed as an SVG that loads nothing from anywhere.

        Raises:
            RuntimeError: this screen does not record.
        """
        if self._picture is None:
            raise RuntimeError("this screen does not record")
        path.parent.mkdir(parents=True, exist_ok=True)
        # A fixed id: two runs differ only in what they printed.
        path.write_text(_FONT_FACE.sub("", self._picture.export_svg(title=title, unique_id="nicplug-demo")))

    @property
    def _is_unicode(self) -> bool:
        return self._console.encoding.lower().startswith("utf")

    def _line(self, mark: str, style: str, title: str, detail: str, began: float) -> None:
        seconds = f"{time.monotonic() - began:.1f} s"
        self._print(
            Text.assemble(
                (f"{mark} ", style),
                f"{title:<{_COLUMNS_OF_STEP}}{' ' * (7 - len(seconds))}",
                (f"{seconds}  ", "cyan"),
                (detail, "dim"),
            )
        )

    def _print(self, renderable: RenderableType, *, soft_wrap: bool = False, whole: Text | None = None) -> None:
        """Print it, and into the picture; `whole` is printed in its place where it is seen, however long its lines."""
        self._console.print(whole or renderable, soft_wrap=soft_wrap or whole is not None)
        if self._picture is not None and self._recording:
            self._picture.print(renderable)


def screen(*, records: bool = False) -> Screen:
    """The screen of this process: standard output, never wider than a hundred columns; honours NO_COLOR."""
    console = Console()
    if console.width > WIDTH or not console.is_terminal:
        console = Console(width=WIDTH)
    return Screen(console, records=records)
