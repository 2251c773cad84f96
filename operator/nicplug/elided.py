"""Marks that stand in a record for parts of an object that are too large to be kept (docs/adr/0018).

A mark holds a digest of what it stands for and its size: equal marks stand for equal content. Made by `kube.elision`
when an object is read, filled in again before anything made of the record is sent. No user can write one: whatever in
an object looks like a mark is elided itself.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

ELIDED = "nicplug.io/elided"
"""The only member of an object that stands for a value."""

ELIDED_MEMBERS = "nicplug.io/elided-members"
"""A member that stands for members of the object it is in."""

ELIDED_ENTRIES = "nicplug.io/elided-entries"
"""The only member of the last entry of a list, which stands for the entries from there on."""

STORED_BYTES = "nicplug.io/stored-bytes"
"""A member of an object as it was read: the length of its text, where that is above `LARGE_BYTES`."""

LARGE_BYTES = 64 * 1024
"""An object up to this size costs the API server little; a VM with 30 NICs in every state is below it."""

MARKS = frozenset({ELIDED, ELIDED_MEMBERS, ELIDED_ENTRIES})
# All of them begin with it.
_ANY_MARK = f'"{ELIDED}'


def said(value: Any) -> str:
    """A text, also of a value that is elided: then one that is valid nowhere, but not the empty one of a missing value.

    No name of Kubernetes, MAC address or the like looks like it.
    """
    if isinstance(value, dict) and ELIDED in value:
        return f"(too large: {value[ELIDED]})"
    return value if isinstance(value, str) else ""


def has_elided(value: Any) -> bool:
    """Whether any part of the value is elided."""
    if isinstance(value, dict):
        return not MARKS.isdisjoint(value) or any(map(has_elided, value.values()))
    return isinstance(value, list) and any(map(has_elided, value))


def may_have_elided(text: str) -> bool:
    """Whether any part of the JSON may be elided; cheap, where nothing is."""
    return _ANY_MARK in text


MANY_MEMBERS = 256
"""More members than that get their mark as one text, fewer as the marks of each."""

_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_ESCAPES_OF_LINES = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def text_mark(canonical: bytes) -> str:
    """The mark of a value, by its text as the API server writes it."""
    return f"{hashlib.sha256(canonical).hexdigest()}/{len(canonical)}"


def group_mark(marks: Mapping[str, str]) -> str:
    """The mark of members, by those of each: so that it can be told of those that are there and those elided."""
    return text_mark(_canonical(marks))


def go_escaped(text: bytes) -> bytes:
    """The same JSON with Go's escapes."""
    for plain, escaped in _ESCAPES if text.isascii() else (*_ESCAPES, *_ESCAPES_OF_LINES):
        text = text.replace(plain, escaped)
    return text


def aligned(one: Any, other: Any) -> tuple[Any, Any]:
    """The two values, with marks in both for what is elided in one and is the same in the other.

    The same value may be elided in one object and not in another: what stands beside it counts too. So nothing that
    is compared may be compared as it stands.
    """
    if one == other:
        return one, other
    holders: set[int] = set()
    _note_holders(one, holders)
    _note_holders(other, holders)
    return _aligned(one, other, holders=holders) if holders else (one, other)


def _note_holders(value: Any, holders: set[int]) -> bool:
    """Note all lists and objects with a part that is elided, by identity; whether the value itself is one.

    Once for the whole value: asked again at each level, a tower of lists would be walked through at each of its levels.
    """
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    is_holder = isinstance(value, dict) and not MARKS.isdisjoint(value)
    for item in items:
        if isinstance(item, (dict, list)):
            is_holder |= _note_holders(item, holders)
    if is_holder:
        holders.add(id(value))
    return is_holder


def _aligned(one: Any, other: Any, *, holders: Collection[int]) -> tuple[Any, Any]:
    if one == other or not (id(one) in holders or id(other) in holders):
        return one, other
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [_aligned(*pair, holders=holders) for pair in zip(one, other, strict=True)]
        return [first for first, _ in pairs], [second for _, second in pairs]
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return _matched(one, other), _matched(other, one)
    one, other = _matched(one, other), _matched(other, one)
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one, other
    both = {name: _aligned(one[name], other[name], holders=holders) for name in one.keys() & other.keys()}
    return (
        {name: both[name][0] if name in both else value for name, value in one.items()},
        {name: both[name][1] if name in both else value for name, value in other.items()},
    )


def _matched(value: Any, marked: Any) -> Any:
    """The value; with the marks of `marked` for what has the same content."""
    if not isinstance(marked, dict):
        return value
    found = [mark for mark in (ELIDED, ELIDED_MEMBERS) if mark in marked]
    if not found or (isinstance(value, dict) and not MARKS.isdisjoint(value)):
        return value
    if marked.keys() == {ELIDED}:
        return marked if _mark_of(value) == marked[ELIDED] else value
    if len(found) > 1 or not isinstance(value, dict):
        return value
    rest = {name: item for name, item in value.items() if name not in marked}
    if marked[found[0]] not in (members_mark(rest), _mark_of(rest)):
        return value
    return {name: item for name, item in value.items() if name in marked} | {found[0]: marked[found[0]]}


def members_mark(members: Mapping[str, Any]) -> str:
    """The mark of members together, some of which may be elided themselves."""
    return group_mark({name: _mark_of(item) for name, item in members.items()})


def _mark_of(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {ELIDED}:
        return str(value[ELIDED])
    return text_mark(_canonical(value))


# json.dumps makes a new encoder for every call that is not by its defaults.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _canonical(value: Any) -> bytes:
    text = _ENCODER.encode(value)
    return go_escaped(text.encode(errors="surrogatepass"))
