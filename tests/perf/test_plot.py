"""Plots with axes: their scales, their size, what they say when there is nothing."""

import json
import re

import pytest
from tests.perf import dashboard
from tests.perf.plot import Axis, Line, Mark, Plot, Span, ceiling, render, told
from tests.perf.svg_texts import texts


@pytest.mark.parametrize(
    ("value", "end"), [(0, 1), (-1, 1), (0.003, 0.005), (1, 1), (1.1, 2), (3, 5), (7, 10), (10, 10), (101, 200)]
)
def test_an_axis_ends_at_a_round_number(value: float, end: float) -> None:
    assert ceiling(value) == pytest.approx(end)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.05, "s", "50 ms"),
        (0, "s", "0 s"),
        (2, "s", "2 s"),
        (50_000_000, "bytes", "50 MB"),
        (5, "reqps", "5/s"),
        (7, "short", "7"),
        (2000, "ms", "2000 ms"),
    ],
)
def test_a_value_has_its_unit(value: float, unit: str, text: str) -> None:
    assert told(value, unit) == text


def test_a_plot_has_title_axes_legend_and_marks() -> None:
    line = Line(legend="p50", points=[(0, 0.01), (50, 0.04), (100, 0.02)])
    plot = Plot(title="Time <to> ready", unit="s", lines=[line])
    found = texts(render([plot], title="bench", seconds=100, marks=[Mark(seconds=30, text="a burst")]))
    for text in ("bench", "Time <to> ready", "p50", "0 s", "25 ms", "50 ms", "20 s", "100 s", "1: from 30 s, a burst"):
        assert text in found


def test_a_line_goes_where_its_values_are() -> None:
    """Down is more: y grows towards the bottom. Straight parts are one step."""
    line = Line(legend="", points=[(second, 0.0 if second < 50 else 10.0) for second in range(101)])
    picture = render([Plot(title="", unit="short", lines=[line])], title="", seconds=100)
    (path,) = re.findall(r'<path class="l" stroke="#0072b2" d="([^"]*)"', picture)
    steps = re.findall(r"[hvl][-\d ]+", path)
    assert len(steps) == 3
    assert steps[0].startswith("h")
    assert int(steps[1].split()[-1]) < -100
    assert steps[2].startswith("h")


def test_a_plot_may_have_an_axis_of_its_own_and_dots_where_it_was_measured() -> None:
    axis = Axis(end=800, unit="VMs", ticks=(100, 800))
    line = Line(legend="p50", points=[(100, 14.0), (800, 15.0)])
    picture = render([Plot(title="x", unit="ms", lines=[line], across=axis)], title="", notes=["flat"])
    found = texts(picture)
    for text in ("flat", "100", "800 VMs", "20 ms"):
        assert text in found
    assert picture.count("<circle") == 2


def test_spans_are_bars_where_they_begin_and_end() -> None:
    spans = [Span(legend="asked", begin=0, end=250), Span(legend="copied", begin=250, end=500)]
    picture = render([Plot(title="x", unit="ms", spans=spans, across=Axis(end=500, unit="ms"))], title="")
    bars = [(int(left), int(width)) for left, width in re.findall(r'<rect x="(\d+)" y="\d+" width="(\d+)"', picture)]
    (first, first_width), (second, second_width) = bars
    assert first + first_width == pytest.approx(second, abs=1)
    assert first_width == pytest.approx(second_width, abs=1)
    assert {"asked", "copied", "500 ms"} <= set(texts(picture))


def test_a_panel_without_data_says_so() -> None:
    assert "none" in texts(render([Plot(title="x", unit="short", lines=[])], title="", seconds=10))


def test_more_lines_than_a_legend_has_room_for_are_counted() -> None:
    lines = [Line(legend=f"line {number}", points=[(0, number)]) for number in range(9)]
    found = texts(render([Plot(title="x", unit="short", lines=lines)], title="", seconds=10))
    assert "line 4" in found
    assert "line 5" not in found
    assert "and 4 more" in found


def test_what_is_left_out_of_the_picture_is_a_panel() -> None:
    known = json.loads(dashboard.DASHBOARD.read_text())["panels"]
    assert {panel["title"] for panel in known} >= dashboard._LEFT_OUT


def test_the_picture_is_of_the_dashboard_as_it_is() -> None:
    """`make dashboard-picture` draws it; most panels must have something to show."""
    picture = dashboard.PICTURE.read_text()
    found = texts(picture)
    assert [panel["title"] for panel in dashboard.panels() if panel["title"] not in found] == []
    assert found.count("none") <= 3
