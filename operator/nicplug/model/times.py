"""Timestamps and durations in the formats of Kubernetes' fields."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

# Timestamps of the API: RFC 3339 text to aware UTC datetimes and back.

_FIRST_YEAR, _LAST_YEAR = 1000, 9000


def parse_time(value: Any) -> datetime | None:
    """Return the instant; None for null, absent, malformed or absurd text (no timestamp justifies a crash).

    Absurd: so near to the first or last moment that a datetime can hold that a deadline computed from it overflows.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter: year 1 or 9999 in another time zone
        return None
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def format_time(moment: datetime) -> str:
    """Return whole seconds, as metav1.Time serialises."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """Return microseconds, as metav1.MicroTime serialises: a hot-plug takes a fraction of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# Durations as Go writes them, the format of Kubernetes' fields: `10s`, `1m30s`, `1.5h`.
#
# Source: Go `time.ParseDuration`.

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|ms|s|m|h)", re.ASCII)
_LONGEST = 32


def parse_duration(value: str) -> timedelta:
    """Parse a duration that is not negative.

    Raises:
        ValueError: it is not a valid duration; the text says so.
    """
    parts = list(_PART.finditer(value)) if len(value) <= _LONGEST else []
    if not parts or "".join(part[0] for part in parts) != value:
        raise ValueError("not a duration such as 10s or 1m30s")
    return timedelta(seconds=sum(float(part[1]) * _SECONDS[part[2]] for part in parts))


def format_duration(value: timedelta) -> str:
    """Return the shortest form for whole seconds: `90 s` is `1m30s`."""
    seconds = value.total_seconds()
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{amount:g}{unit}" for amount, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if amount]
    return "".join(parts) or "0s"
