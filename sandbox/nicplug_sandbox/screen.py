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
# The longest command of the story is one line.
_PICTURE_WIDTH = 104
# A label, and the white space before what it labels.
_LABEL = re.compile(r"\s*\S+(?: \S+)*\s{2,}")
# Cells of a table.
_GOOD = re.compile(r"(?<=   )(?:Ready|Running|Succeeded|True)(?=   |\s*$)", re.MULTILINE)
_BAD = re.compile(r"(?<=   )(?:Blocked|Failed)(?=   |\s*$)", re.MULTILINE)
# Rich's picture loads a font from the network; a README must not, and the viewer's own monospace will do.
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


class Step:
    """One step under way.

    Attributes:
        detail: what it has found.
        seconds: how long what it waited for has taken, where that began before the step; None for the step's own time.
    """

    def __init__(self, title: str, *, status: Status | None, console: Console) -> None:
        self._title = title
        self._status = status
        self._console = console
        self._told = ""
        self.detail = ""
        self.seconds: float | None = None

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
        records: keep what is printed inside `in_picture` for `save_pictures`.
    """

    def __init__(self, console: Console, *, records: bool = False) -> None:
        self._console = console
        self._records = records
        self._recording: Console | None = None
        self._pictures: dict[str, Console] = {}

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
        """What a command printed; nothing for a command that said nothing."""
        body = text.rstrip()
        if not body:
            return
        # A pipe has no right edge: the lines of a table stay whole there.
        whole = None if self._console.is_terminal else Text(textwrap.indent(body, "  "))
        self._print(
            whole or _output(body, width=self._console.width),
            soft_wrap=whole is not None,
            pictured=_output(body, width=self._recording.width if self._recording is not None else WIDTH),
        )

    def json(self, text: str) -> None:
        """JSON for people."""
        self._print(Padding(JSON(text, indent=2), (0, 0, 0, 2), expand=False))

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
                self._line(
                    "✗" if self._is_unicode else "failed:", "bold red", title, "", _seconds(time.monotonic() - began)
                )
                raise
        took = _seconds(time.monotonic() - began) if step.seconds is None else _duration(step.seconds)
        self._line("✓" if self._is_unicode else "done:", "bold green", title, step.detail, took)

    @contextlib.contextmanager
    def in_picture(self, name: str, *, width: int = _PICTURE_WIDTH) -> Iterator[None]:
        """What is printed in this block belongs to the picture of that name; there may be several blocks for one."""
        before = self._recording
        if self._records:
            self._recording = self._pictures.setdefault(name, _recorder(width))
        try:
            yield
        finally:
            self._recording = before

    def save_pictures(self, folder: Path) -> list[Path]:
        """Write each picture as `NAME.svg`, which loads nothing from anywhere.

        Raises:
            RuntimeError: this screen does not record.
        """
        if not self._records:
            raise RuntimeError("this screen does not record")
        folder.mkdir(parents=True, exist_ok=True)
        for name, console in self._pictures.items():
            # A fixed id: two runs differ only in what they printed.
            picture = console.export_svg(title="make demo", unique_id=f"nicplug-{name}")
            (folder / f"{name}.svg").write_text(_FONT_FACE.sub("", picture))
        return [folder / f"{name}.svg" for name in self._pictures]

    @property
    def _is_unicode(self) -> bool:
        return self._console.encoding.lower().startswith("utf")

    def _line(self, mark: str, style: str, title: str, detail: str, took: str) -> None:
        self._print(
            Text.assemble(
                (f"{mark} ", style),
                f"{title:<{_COLUMNS_OF_STEP}}{' ' * (7 - len(took))}",
                (f"{took}  ", "cyan"),
                (detail, "dim"),
            )
        )

    def _print(
        self, renderable: RenderableType, *, soft_wrap: bool = False, pictured: RenderableType | None = None
    ) -> None:
        """Print it, and into the picture, which has a width of its own: there `pictured` if it is given."""
        self._console.print(renderable, soft_wrap=soft_wrap)
        if self._recording is not None:
            self._recording.print(pictured or renderable)


def _seconds(took: float) -> str:
    return f"{took:.1f} s"


def _duration(took: float) -> str:
    """In the unit of the moments above it, as long as that is short."""
    return f"{took * 1000:.0f} ms" if took < 1 else _seconds(took)


def _recorder(width: int) -> Console:
    return Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")


def _output(body: str, *, width: int) -> RenderableType:
    indent = 2
    text = Text("\n".join(_folded(line, width - indent) for line in body.splitlines()))
    text.highlight_regex(_GOOD, "green")
    text.highlight_regex(_BAD, "red")
    return Padding(text, (0, 0, 0, indent), expand=False)


def _folded(line: str, width: int) -> str:
    """A long line, folded so that it goes on below its last column."""
    if len(line) <= width:
        return line
    column = _LABEL.match(line)
    indent = " " * (len(column[0]) if column is not None and len(column[0]) < width // 2 else 4)
    return "\n".join(textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False))


def screen(*, records: bool = False) -> Screen:
    """The screen of this process: standard output, never wider than a hundred columns; honours NO_COLOR."""
    console = Console()
    if console.width > WIDTH or not console.is_terminal:
        console = Console(width=WIDTH)
    return Screen(console, records=records)
