"""Marks that stand in a record for parts of an object that are too large to be kept (docs/adr/0018).

A mark holds a digest of what it stands for and its size: equal marks stand for equal content. Made by `kube.elision`
when an object is read, filled in again before anything made of the record is sent. No user can write one: whatever in
an object looks like a mark is elided itself.
"""

from typing import Any

ELIDED = "nicplug.io/elided"
"""The only member of an object that stands for a value."""

ELIDED_MEMBERS = "nicplug.io/elided-members"
"""A member that stands for members of the object it is in."""

ELIDED_ENTRIES = "nicplug.io/elided-entries"
"""The only member of the last entry of a list, which stands for the entries from there on."""

MARKS = frozenset({ELIDED, ELIDED_MEMBERS, ELIDED_ENTRIES})


def has_elided(value: Any) -> bool:
    """Whether any part of the value is elided."""
    if isinstance(value, dict):
        return not MARKS.isdisjoint(value) or any(map(has_elided, value.values()))
    return isinstance(value, list) and any(map(has_elided, value))
