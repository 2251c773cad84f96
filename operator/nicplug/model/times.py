"""Timestamps of the API: RFC 3339 text to aware UTC datetimes and back."""

from datetime import UTC, datetime
from typing import Any


def parse_time(value: Any) -> datetime | None:
    """The instant, or None for null, absent or malformed text (a timestamp is never worth a crash)."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter: year 1 or 9999 of another time zone
        return None


def format_time(moment: datetime) -> str:
    """Whole seconds, as metav1.Time serialises."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """Microseconds, as metav1.MicroTime serialises: a hot-plug takes a fraction of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
