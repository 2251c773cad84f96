"""Line plots with axes as SVG: several small ones in a grid, on one time axis.

Matplotlib would bring NumPy and half a dozen more packages to everybody's environment, for a picture or two.
"""

import html
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Told apart also by those who see no red or green (Okabe and Ito).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f7f00", "#000000")
WIDTH, HEIGHT = 380, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 62, 24
_MOST_LEGENDS = 6
_LONGEST_LEGEND = 26

_STYLE = (
    "text{font:11px Helvetica,Arial,sans-serif;fill:#333}.t{font:bold 15px Helvetica,Arial,sans-serif}"
    ".b{font:bold 12px Helvetica,Arial,sans-serif}.s{font-size:10px}.e{text-anchor:end}"
    ".c{text-anchor:middle}.n{font-size:9px;fill:#888}.g{stroke:#ddd}.m{stroke:#aaa;stroke-dasharray:3}"
    ".a{fill:none;stroke:#333}.l{fill:none;stroke-width:1.5}"
)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: seconds and values."""

    legend: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One small plot.

    Attributes:
        unit: as Grafana names it: `s`, `bytes`, `ops`, `reqps` or `short`.
    """

    title: str
    unit: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment worth a dashed line in every plot, numbered as in the caption."""

    seconds: float
    text: str


def render(plots: Sequence[Plot], *, title: str, seconds: float, marks: Sequence[Mark] = (), columns: int = 3) -> str:
    """The whole picture.

    Args:
        seconds: where the time axis ends.
    """
    head = 30 + 16 * len(marks)
    rows = -(-len(plots) // columns)
    width, height = columns * WIDTH, head + rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="20" class="t">{html.escape(title)}</text>',
    ]
    for number, mark in enumerate(marks, start=1):
        text = html.escape(f"{number}: from {mark.seconds:.0f} s, {mark.text}")
        parts.append(f'<text x="10" y="{24 + 16 * number}">{text}</text>')
    for index, plot in enumerate(plots):
        left, top = index % columns * WIDTH, head + index // columns * HEIGHT
        parts.append(f'<g transform="translate({left},{top})">')
        parts += _plot(plot, seconds=seconds, marks=marks)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _plot(plot: Plot, *, seconds: float, marks: Sequence[Mark]) -> Iterator[str]:
    lines = [line for line in plot.lines if line.points]
    top = ceiling(max((value for line in lines for _, value in line.points), default=0.0))
    inner_width, inner_height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def x(moment: float) -> float:
        return _LEFT + moment / seconds * inner_width

    def y(value: float) -> float:
        return _TOP + inner_height - value / top * inner_height

    yield f'<text x="{_LEFT}" y="16" class="b">{html.escape(plot.title)}</text>'
    values = [top * share for share in (0.0, 0.5, 1.0)]
    yield f'<path class="g" d="{"".join(f"M{_LEFT} {y(value):.0f}h{inner_width}" for value in values)}"/>'
    for value in values:
        yield f'<text x="{_LEFT - 4}" y="{y(value) + 4:.0f}" class="e">{told(value, plot.unit)}</text>'
    for moment in _ticks(seconds):
        yield f'<text x="{x(moment):.0f}" y="{HEIGHT - 8}" class="c">{moment:.0f} s</text>'
    if marks:
        yield f'<path class="m" d="{"".join(f"M{x(mark.seconds):.0f} {_TOP}v{inner_height}" for mark in marks)}"/>'
    for number, mark in enumerate(marks, start=1):
        yield f'<text x="{x(mark.seconds) + 2:.0f}" y="{_TOP + 9}" class="n">{number}</text>'
    yield f'<path class="a" d="M{_LEFT} {_TOP}v{inner_height}h{inner_width}"/>'
    for index, line in enumerate(lines):
        path = _path([(x(moment), y(value)) for moment, value in line.points])
        yield f'<path class="l" stroke="{COLOURS[index % len(COLOURS)]}" d="{path}"/>'
    yield from _legends(lines)
    if not lines:
        yield f'<text x="{_LEFT + 8}" y="{_TOP + 24}" class="n">none</text>'


def _legends(lines: Sequence[Line]) -> Iterator[str]:
    """Two columns of three above the plot; the rest is counted."""
    shown = lines if len(lines) <= _MOST_LEGENDS else lines[: _MOST_LEGENDS - 1]
    texts = [(line.legend, COLOURS[index % len(COLOURS)]) for index, line in enumerate(shown)]
    if len(shown) < len(lines):
        texts.append((f"and {len(lines) - len(shown)} more", "#666"))
    for index, (text, colour) in enumerate(texts):
        short = text if len(text) <= _LONGEST_LEGEND else f"{text[: _LONGEST_LEGEND - 1]}…"
        left, top = _LEFT + index % 2 * 164, 29 + index // 2 * 12
        yield f'<text x="{left}" y="{top}" class="s" style="fill:{colour}">{html.escape(short)}</text>'


def _path(points: Sequence[Point]) -> str:
    """Whole pixels, relative, without those on a straight line: a picture of many plots has to stay small."""
    places = [(round(left), round(top)) for left, top in points]
    kept: list[tuple[int, int]] = []
    for place in places:
        while len(kept) > 1 and _is_straight(kept[-2], kept[-1], place):
            kept.pop()
        if not kept or place != kept[-1]:
            kept.append(place)
    steps = [f"M{kept[0][0]} {kept[0][1]}"] if kept else []
    for (left, top), (next_left, next_top) in itertools.pairwise(kept):
        across, down = next_left - left, next_top - top
        steps.append(f"h{across}" if not down else f"v{down}" if not across else f"l{across} {down}")
    return "".join(steps)


def _is_straight(one: tuple[int, int], two: tuple[int, int], three: tuple[int, int]) -> bool:
    across = (two[0] - one[0]) * (three[1] - one[1]) == (three[0] - one[0]) * (two[1] - one[1])
    return across and one[0] <= two[0] <= three[0]


def ceiling(value: float) -> float:
    """The end of an axis: 1, 2 or 5 times a power of ten, not below the value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.9999)


def told(value: float, unit: str) -> str:
    """A value of an axis."""
    if unit == "bytes":
        return f"{value / 1e6:.3g} MB"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    return f"{value:.3g}" + ("/s" if unit in ("ops", "reqps") else "")


def _ticks(seconds: float) -> Iterator[float]:
    step = ceiling(seconds / 5)
    moment = 0.0
    while moment <= seconds:
        yield moment
        moment += step
