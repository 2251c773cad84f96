"""Plots with axes as SVG: several small ones in a grid, of lines over time or over another quantity, or of spans.

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
# A line of few points has been measured there and nowhere between.
_MOST_DOTS = 12
_TIME = ("s", "ms")
_SUFFIXES = {"ops": "/s", "reqps": "/s", "ms": " ms", "MiB": " MiB"}

_STYLE = (
    "text{font:11px Helvetica,Arial,sans-serif;fill:#333}.t{font:bold 15px Helvetica,Arial,sans-serif}"
    ".b{font:bold 12px Helvetica,Arial,sans-serif}.s{font-size:10px}.e{text-anchor:end}"
    ".c{text-anchor:middle}.n{font-size:9px;fill:#888}.g{stroke:#ddd}.m{stroke:#aaa;stroke-dasharray:3}"
    ".a{fill:none;stroke:#333}.l{fill:none;stroke-width:1.5}.p{stroke:none}"
)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: places on the axis, in seconds unless the plot has another one, and values."""

    legend: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A bar from `begin` to `end` of the horizontal axis, in a row of its own."""

    legend: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A horizontal axis from 0.

    Attributes:
        ticks: the places that have a number; () for round ones.
    """

    end: float
    unit: str
    ticks: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One small plot.

    Attributes:
        unit: of the values; `ms`, `MiB`, or as Grafana names it: `s`, `bytes`, `ops`, `reqps` or `short`.
        across: the horizontal axis; None for the time axis of the picture.
        spans: bars instead of lines.
    """

    title: str
    unit: str
    lines: Sequence[Line] = ()
    across: Axis | None = None
    spans: Sequence[Span] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment worth a dashed line in every plot, numbered as in the caption."""

    seconds: float
    text: str


def render(
    plots: Sequence[Plot],
    *,
    title: str,
    seconds: float = 1.0,
    marks: Sequence[Mark] = (),
    notes: Sequence[str] = (),
    columns: int = 3,
) -> str:
    """The whole picture.

    Args:
        seconds: where the time axis ends.
        notes: lines of text below the title.
    """
    captions = [*notes, *(f"{number}: from {mark.seconds:.0f} s, {mark.text}" for number, mark in enumerate(marks, 1))]
    head = 30 + 16 * len(captions)
    rows = -(-len(plots) // columns)
    width, height = columns * WIDTH, head + rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="20" class="t">{html.escape(title)}</text>',
    ]
    parts += [
        f'<text x="10" y="{24 + 16 * number}">{html.escape(text)}</text>' for number, text in enumerate(captions, 1)
    ]
    for index, plot in enumerate(plots):
        left, top = index % columns * WIDTH, head + index // columns * HEIGHT
        parts.append(f'<g transform="translate({left},{top})">')
        parts += _plot(plot, across=plot.across or Axis(end=seconds, unit="s"), marks=marks)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


_INNER_WIDTH, _INNER_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM


def _plot(plot: Plot, *, across: Axis, marks: Sequence[Mark]) -> Iterator[str]:
    yield f'<text x="{_LEFT}" y="16" class="b">{html.escape(plot.title)}</text>'
    yield from _across(across)
    if marks:
        places = [_x(mark.seconds, across) for mark in marks]
        yield f'<path class="m" d="{"".join(f"M{place:.0f} {_TOP}v{_INNER_HEIGHT}" for place in places)}"/>'
        for number, place in enumerate(places, start=1):
            yield f'<text x="{place + 2:.0f}" y="{_TOP + 9}" class="n">{number}</text>'
    if plot.spans:
        yield from _spans(plot.spans, across)
    else:
        yield from _lines([line for line in plot.lines if line.points], unit=plot.unit, across=across)
    yield f'<path class="a" d="M{_LEFT} {_TOP}v{_INNER_HEIGHT}h{_INNER_WIDTH}"/>'


def _x(place: float, across: Axis) -> float:
    return _LEFT + place / across.end * _INNER_WIDTH


def _across(axis: Axis) -> Iterator[str]:
    """The numbers below the axis; other units than those of time stand once, at its end."""
    ticks = list(axis.ticks or _ticks(axis.end))
    is_time = axis.unit in _TIME
    for number, tick in enumerate(ticks):
        text = f"{tick:g} {axis.unit}" if is_time or number == len(ticks) - 1 else f"{tick:g}"
        # A number at the right edge ends there.
        place, side = _x(tick, axis), "c"
        if place > WIDTH - 3 * _RIGHT:
            place, side = WIDTH - 2.0, "e"
        yield f'<text x="{place:.0f}" y="{HEIGHT - 8}" class="{side}">{html.escape(text)}</text>'


def _lines(lines: Sequence[Line], *, unit: str, across: Axis) -> Iterator[str]:
    top = ceiling(max((value for line in lines for _, value in line.points), default=0.0))

    def y(value: float) -> float:
        return _TOP + _INNER_HEIGHT - value / top * _INNER_HEIGHT

    values = [top * share for share in (0.0, 0.5, 1.0)]
    yield f'<path class="g" d="{"".join(f"M{_LEFT} {y(value):.0f}h{_INNER_WIDTH}" for value in values)}"/>'
    for value in values:
        yield f'<text x="{_LEFT - 4}" y="{y(value) + 4:.0f}" class="e">{told(value, unit)}</text>'
    for index, line in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        places = [(_x(moment, across), y(value)) for moment, value in line.points]
        yield f'<path class="l" stroke="{colour}" d="{_path(places)}"/>'
        if across.unit not in _TIME and len(places) <= _MOST_DOTS:
            for left, high in places:
                yield f'<circle class="p" fill="{colour}" cx="{left:.0f}" cy="{high:.0f}" r="3"/>'
    yield from _legends(lines)
    if not lines:
        yield f'<text x="{_LEFT + 8}" y="{_TOP + 24}" class="n">none</text>'


def _spans(spans: Sequence[Span], across: Axis) -> Iterator[str]:
    """From the top down; the text stands on that side of its bar which has more room."""
    height = _INNER_HEIGHT / len(spans)
    for number, span in enumerate(spans):
        left, right = _x(span.begin, across), _x(span.end, across)
        top = _TOP + number * height
        yield (
            f'<rect x="{left:.0f}" y="{top + 2:.0f}" width="{max(1.0, right - left):.0f}" '
            f'height="{height - 4:.0f}" fill="{COLOURS[0]}"/>'
        )
        is_right = WIDTH - right > left - _LEFT
        place, side = (right + 4, "s") if is_right else (left - 4, "s e")
        yield f'<text x="{place:.0f}" y="{top + height / 2 + 4:.0f}" class="{side}">{html.escape(span.legend)}</text>'


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
    number = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return number + _SUFFIXES.get(unit, "")


def _ticks(end: float) -> Iterator[float]:
    step = ceiling(end / 5)
    for number in range(math.floor(end / step + 1e-9) + 1):
        yield round(number * step, 6)
