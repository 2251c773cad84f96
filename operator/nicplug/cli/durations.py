"""Durations as arguments of commands."""

from typing import Any

import click


class Duration(click.ParamType[float]):
    """A duration such as `30s` or `1m30s`, or a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the duration in seconds."""
        from nicplug.model.times import parse_duration

        if isinstance(value, int | float):
            return float(value)
        try:
            return float(value) if str(value).replace(".", "", 1).isdigit() else parse_duration(value).total_seconds()
        except ValueError as error:
            self.fail(f"{value!r} is {error}", param, ctx)
