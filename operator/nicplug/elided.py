"""Marks that replace, in a record, the parts of an object that are too large to keep (docs/adr/0018).

A mark holds a digest and the size of what it replaces: equal marks stand for equal content. `kube.elision` creates
marks when it reads an object, and fills them in before anything that derives from the record is sent. No user can
forge a mark: whatever looks like one in an object is itself elided.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

ELIDED = "nicplug.io/elided"
"""The only member of an object that replaces a value."""

ELIDED_MEMBERS = "nicplug.io/elided-members"
"""A member that replaces members of the object containing it."""

ELIDED_ENTRIES = "nicplug.io/elided-entries"
"""The only member of a list's last entry, which replaces all entries from there on."""

STORED_BYTES = "nicplug.io/stored-bytes"
"""A member added to an object on reading: the length of its text, if above `LARGE_BYTES`."""

LARGE_BYTES = 64 * 1024
"""Objects up to this size are cheap for the API server; a VM with 30 NICs in every state stays below it."""

MARKS = frozenset({ELIDED, ELIDED_MEMBERS, ELIDED_ENTRIES})
# All marks begin with it.
_ANY_MARK = f'"{ELIDED}'


def said(value: Any) -> str:
    """Return the value as text, or "" if it is no text; an elided value yields a text that is valid nowhere.

    No Kubernetes name, MAC address or the like has that form, and a missing value still differs from an elided one.
    """
    if isinstance(value, dict) and ELIDED in value:
        return f"(too large: {value[ELIDED]})"
    return value if isinstance(value, str) else ""


def has_elided(value: Any) -> bool:
    """Report whether any part of the value is elided."""
    if isinstance(value, dict):
        return not MARKS.isdisjoint(value) or any(map(has_elided, value.values()))
    return isinstance(value, list) and any(map(has_elided, value))


def may_have_elided(text: str) -> bool:
    """Report whether any part of the JSON may be elided; a cheap check for the common case that none is."""
    return _ANY_MARK in text


MANY_MEMBERS = 256
"""More members than this get one mark for their text, fewer get a mark of the marks of each."""

_ESCAPES = ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"))
_ESCAPES_OF_LINES = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def text_mark(canonical: bytes) -> str:
    """Return the mark of a value, given its text as the API server writes it."""
    return f"{hashlib.sha256(canonical).hexdigest()}/{len(canonical)}"


def group_mark(marks: Mapping[str, str]) -> str:
    """Return the mark of members, given the mark of each: it can thus be computed while some of them are elided."""
    return text_mark(_canonical(marks))


def go_escaped(text: bytes) -> bytes:
    """Return the same JSON with Go's escapes."""
    for plain, escaped in _ESCAPES if text.isascii() else (*_ESCAPES, *_ESCAPES_OF_LINES):
        text = text.replace(plain, escaped)
    return text


def aligned(one: Any, other: Any) -> tuple[Any, Any]:
    """Return both values, with marks in both for what is elided in one and equal in the other.

    A value may be elided in one object and not in another, since that also depends on its siblings. Align values before
    comparing them.
    """
    if one == other:
        return one, other
    holders: set[int] = set()
    _note_holders(one, holders)
    _note_holders(other, holders)
    return _aligned(one, other, holders=holders) if holders else (one, other)


def _note_holders(value: Any, holders: set[int]) -> bool:
    """Add the identity of every list and object with an elided part to `holders`; returns whether the value is one.

    Computed once for the whole value: a check per level would traverse nested lists again at each of their levels.
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
    """Return the value, with the marks of `marked` for parts with equal content."""
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
    """Return the mark of several members together, some of which may themselves be elided."""
    return group_mark({name: _mark_of(item) for name, item in members.items()})


def _mark_of(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {ELIDED}:
        return str(value[ELIDED])
    return text_mark(_canonical(value))


# json.dumps creates a new encoder for every call with non-default options.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _canonical(value: Any) -> bytes:
    text = _ENCODER.encode(value)
    return go_escaped(text.encode(errors="surrogatepass"))
