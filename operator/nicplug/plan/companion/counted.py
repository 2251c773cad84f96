"""Counts and times that nicplug keeps in the status of a report, into which other clients may have written anything."""

from datetime import datetime
from typing import Any

from nicplug.model.times import parse_time

MOST = 2**31 - 1
"""The largest number that the schema of a report allows for a count."""


def count_of(value: Any) -> int:
    """Return a count, from 0 to `MOST`; 0 for anything that is no number."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return min(max(value, 0), MOST) if is_number else 0


def past_time(value: Any, *, now: datetime) -> datetime | None:
    """Return a time at which something happened; None for one to come: a wait from then on might never end."""
    moment = parse_time(value)
    return moment if moment is not None and moment <= now else None
