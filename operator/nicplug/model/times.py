"""Timestamps of the API: RFC 3339 text to aware UTC datetimes and back."""

from datetime import UTC, datetime
from typing import Any

_FIRST_YEAR, _LAST_YEAR = 1000, 9000


def parse_time(value: Any) -> datetime | None:
    """The instant, or None for null, absent, malformed or absurd text (a timestamp is never worth a crash).

    Absurd: so near to the first or last moment that a datetime can hold that a deadline counted from it overflows.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter: year 1 or 9999 of another time zone
        return None
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def format_time(moment: datetime) -> str:
    """Whole seconds, as metav1.Time serialises."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """Microseconds, as metav1.MicroTime serialises: a hot-plug takes a fraction of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
