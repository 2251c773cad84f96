"""A complete LIST, as an optional watch hands it to its sink."""

from collections.abc import Iterable, Mapping
from typing import Any

from nicplug.cache.optional_watch import Sink


def relist(sink: Sink[Any], items: Iterable[Mapping[str, Any]]) -> None:
    """All that exists."""
    sink.replace([kept for kept in map(sink.project, items) if kept is not None])
