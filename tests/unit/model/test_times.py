"""Durations as Go reads them."""

from datetime import timedelta

import pytest

from nicplug.model.times import format_duration, parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("10s", 10, id="seconds"),
        pytest.param("1m30s", 90, id="several units"),
        pytest.param("1.5h", 5400, id="a fraction"),
        pytest.param(".5s", 0.5, id="a fraction without its zero"),
        pytest.param("250ms", 0.25, id="milliseconds"),
        pytest.param("3000000us", 3, id="microseconds"),
        pytest.param("30s1m", 90, id="in any order"),
        pytest.param("0s", 0, id="nothing"),
    ],
)
def test_a_duration(value: str, seconds: float) -> None:
    assert parse_duration(value) == timedelta(seconds=seconds)


NONE = ["", "10", "s", "-10s", "+10s", "10 s", "10s ", "1d", "ten", "1e3s", "\u0661s", "1s" * 40]


@pytest.mark.parametrize("value", NONE)
def test_what_is_none(value: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(value)


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0s"), (10, "10s"), (90, "1m30s"), (3600, "1h"), (0.5, "0.5s")])
def test_the_shortest_form(seconds: float, shown: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == shown
    assert parse_duration(shown) == timedelta(seconds=seconds)
