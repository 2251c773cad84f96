"""Takes out of an object, while it is text, what is large and never interpreted; puts it back before a write.

The API server stores objects of 1.5 MB in any shape, and whoever may write one object can write hundreds. As Python
objects each would need up to 30 times that. So a text is split at the few places that nicplug knows, without looking
into the rest; what is too large there is replaced by a mark with its digest (`nicplug.elided`).

What is elided follows from a place and what is in it alone, never from the size of the object around it: the same
template gives the same marks in a VM, in its VMI and in the ControllerRevision that remembers it.
"""

import hashlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from nicplug.elided import ELIDED, ELIDED_ENTRIES, ELIDED_MEMBERS, MARKS
from nicplug.kube import go_json
from nicplug.kube.places import OBJECT, Entries, Place

_MARK = ELIDED.encode()
# Nothing that is smaller is worth a look: no place in it can be too large, and no `managedFields` to speak of.
_TOO_SMALL = 2048
_DEEP = 100
_MANY_MEMBERS = 1024
# KubeVirt's lists of interfaces and networks end at 256.
_MOST_ENTRIES = 300

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_list_or_none = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Lost(Exception):
    """A mark stands for something that is in none of the objects that were read."""


def is_small(text: bytes) -> bool:
    """There is nothing to take out of it, and Python can parse it."""
    return len(text) <= _TOO_SMALL and _MARK not in text and text.count(b"{") + text.count(b"[") < _DEEP


def slim(
    text: bytes,
    *,
    is_whole: bool = False,
    is_canonical: bool = True,
    contents: MutableMapping[str, bytes] | None = None,
) -> bytes:
    """The object without `metadata.managedFields`, which nobody reads, and with marks for what is too large.

    Args:
        is_whole: nothing else is taken out of it.
        is_canonical: equal values are equal texts, as in whatever the API server encodes itself.
        contents: takes in what each mark stands for.

    Raises:
        RecursionError: it is nested too deep: `deep_json.prune` it first.
    """
    if is_small(text):
        return text
    try:
        members: dict[str, Any] = _object(text)
    except msgspec.DecodeError:
        return text  # whoever parses it says what is wrong with it
    if "metadata" in members:
        members["metadata"] = _without_managed_fields(members["metadata"])
    shorter = _encode(members)
    if is_whole or (len(shorter) <= OBJECT.whole and _MARK not in shorter):
        return shorter
    return _encode(_Slimming(is_canonical, contents).members(members, OBJECT))


def _without_managed_fields(metadata: msgspec.Raw) -> Any:
    try:
        members = _object(metadata)
    except msgspec.DecodeError:
        return metadata
    return msgspec.Raw(_encode(members)) if members.pop("managedFields", None) is not None else metadata


def split_line(line: bytes) -> tuple[bytes, bytes] | None:
    """The type of a watch event, as JSON, and its object; None for a line that is not one.

    Raises:
        RecursionError: it is nested too deep.
    """
    try:
        event = _object(line)
        return bytes(event["type"]), bytes(event["object"])
    except (msgspec.DecodeError, KeyError):
        return None


def split_list(text: bytes) -> tuple[dict[str, Any], list[msgspec.Raw]]:
    """A list with none of its items, and the texts of the items, as views of `text`.

    Raises:
        RecursionError: it is nested too deep.
        ValueError: it is not an object, or `items` is no list.
    """
    members = _object(text)
    items = _list_or_none(members["items"]) if "items" in members else None
    head = {name: _any(value) for name, value in members.items() if name != "items"}
    return (head, []) if items is None else ({**head, "items": []}, items)


def fill(value: Any, contents: Mapping[str, bytes]) -> bytes:
    """The value as JSON as Go writes it, with what its marks stand for.

    Raises:
        Lost: a mark is not in `contents`.
    """
    return _escaped(_encode_sorted(_filled(value, contents)))


def _filled(value: Any, contents: Mapping[str, bytes]) -> Any:
    if isinstance(value, list):
        entries: list[Any] = []
        for item in value:
            is_mark = isinstance(item, dict) and ELIDED_ENTRIES in item
            entries += _list(_content(item[ELIDED_ENTRIES], contents)) if is_mark else [_filled(item, contents)]
        return entries
    if not isinstance(value, dict):
        return value
    marks = [value[mark] for mark in (ELIDED, ELIDED_MEMBERS) if mark in value]
    rest = {name: _filled(item, contents) for name, item in value.items() if name not in MARKS}
    if marks and (rest or len(marks) > 1):
        # What stands there by name was put there on purpose.
        return {name: item for mark in marks for name, item in _object(_content(mark, contents)).items()} | rest
    return msgspec.Raw(_content(marks[0], contents)) if marks else rest


def _content(mark: Any, contents: Mapping[str, bytes]) -> bytes:
    if mark not in contents:
        raise Lost(f"nothing has the digest {mark}")
    return contents[mark]


def _escaped(text: bytes) -> bytes:
    """As Go escapes strings; what comes from the API server is so already."""
    return go_json.escaped(text.decode()).encode() if go_json.needs_encoding(text) else text


@dataclass(slots=True)
class _Slimming:
    """One object on its way from text to text.

    Members of a place that are no places themselves may have as much text as `Place.whole`, together. Where they have
    more, each that is large gets a mark; where the small ones alone are too many, they get one mark together, apart
    from those that nicplug reads.
    """

    is_canonical: bool
    contents: MutableMapping[str, bytes] | None

    def members(self, members: Mapping[str, msgspec.Raw], place: Place) -> dict[str, Any]:
        """An object at a place."""
        kept = {name: self._at(members[name], inner) for name, inner in place.members.items() if name in members}
        others = {name: raw for name, raw in members.items() if name not in place.members}
        is_crowd = len(others) > _MANY_MEMBERS
        if not is_crowd and len(text := _encode(others)) <= place.whole and _MARK not in text:
            return {**kept, **others}
        names = place.names & others.keys() if is_crowd else others.keys() - MARKS
        # From here on `others` are those that get one mark together.
        visible = {name: self._value(others.pop(name), place.limit_of(name)) for name in names}
        if len(_encode(visible)) > place.whole:
            visible = {name: value for name, value in visible.items() if name in place.names}
            others = {name: raw for name, raw in members.items() if not (name in place.members or name in visible)}
        if others:
            kept[ELIDED_MEMBERS] = self._mark(_encode(others))
        return {**kept, **visible}

    def _at(self, raw: msgspec.Raw, place: Place | Entries) -> Any:
        try:
            if isinstance(place, Place):
                return self.members(_object(raw), place)
            return self._entries(_list(raw), len(bytes(raw)), place)
        except msgspec.DecodeError:  # a text where an object belongs, for one
            return self._value(raw, OBJECT.limit)

    def _entries(self, entries: list[msgspec.Raw], size: int, place: Entries) -> list[Any]:
        inner = place.entry if size <= place.whole else place.crowded
        kept = [self._at(raw, inner) for raw in entries[:_MOST_ENTRIES]]
        if rest := entries[_MOST_ENTRIES:]:
            kept.append({ELIDED_ENTRIES: self._mark(_encode(rest))})
        return kept

    def _value(self, raw: msgspec.Raw, limit: int) -> Any:
        text = bytes(raw)
        is_forged = _MARK in text and text[:1] != b'"'
        return {ELIDED: self._mark(text)} if len(text) > limit or is_forged else raw

    def _mark(self, text: bytes) -> str:
        canonical = text if self.is_canonical else _canonical(text)
        mark = f"{hashlib.sha256(canonical).hexdigest()}/{len(canonical)}"
        if self.contents is not None:
            self.contents[mark] = text
        return mark


def _canonical(text: bytes) -> bytes:
    """As the API server would encode the value if it were part of a custom resource."""
    try:
        return _escaped(_encode_sorted(_any(text)))
    except (msgspec.DecodeError, RecursionError):
        return text
