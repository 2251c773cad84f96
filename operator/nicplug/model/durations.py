"""Durations as Go writes them, which is how Kubernetes' fields have them: `10s`, `1m30s`, `1.5h`.

Source: Go `time.ParseDuration`.
"""

import re
from datetime import timedelta

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|ms|s|m|h)", re.ASCII)
_LONGEST = 32


def parse_duration(value: str) -> timedelta:
    """Read a duration that is not negative.

    Raises:
        ValueError: it is none; the text says so.
    """
    parts = list(_PART.finditer(value)) if len(value) <= _LONGEST else []
    if not parts or "".join(part[0] for part in parts) != value:
        raise ValueError("not a duration such as 10s or 1m30s")
    return timedelta(seconds=sum(float(part[1]) * _SECONDS[part[2]] for part in parts))


def format_duration(value: timedelta) -> str:
    """The shortest form for whole seconds: `90 s` is `1m30s`."""
    seconds = value.total_seconds()
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{amount:g}{unit}" for amount, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if amount]
    return "".join(parts) or "0s"
