"""Takes out of an object, while it is text, what is large and never interpreted; puts it back before a write.

The API server stores objects of 1.5 MB in any shape, and who may write one object can write hundreds. As Python
objects each would need up to 30 times that. So a text is split at the few places that nicplug knows, without looking
into the rest; what is too large there is replaced by a mark with its digest (`nicplug.elided`).

What is elided follows from a place, what is in it, and the budget of the few places that have one: nearly always the
same template gives the same marks in a VM, in its VMI and in the ControllerRevision that remembers it. Where it does
not, `nicplug.elided.aligned` finds out.
"""

import re
from collections import deque
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import msgspec

from nicplug.elided import (
    ELIDED,
    ELIDED_ENTRIES,
    ELIDED_MEMBERS,
    MANY_MEMBERS,
    MARKS,
    go_escaped,
    group_mark,
    text_mark,
)
from nicplug.kube import deep_json
from nicplug.kube.folding import Folded, fold
from nicplug.kube.places import OBJECT, SHAPELESS, Entries, Nic, Place

_MARK = ELIDED.encode()
# One of its letters, escaped: no encoder does that but to hide it.
_ESCAPED_LETTER = re.compile(rb"\\(?:/|u00(?i:%b))" % b"|".join(b"%02x" % letter for letter in sorted(set(_MARK))))
# Nothing that is smaller is worth a look: no place in it can be too large, and no `managedFields` to speak of.
_TOO_SMALL = 2048
_DEEP = 100
# Of a longer text the depth is looked at before it is split. A shorter one is split first, and then much shorter: half
# of an ordinary object is `managedFields`.
_LONG = 64 * 1024
# Commas and opening brackets; a template of 255 NICs has 3,000.
_MOST_TOKENS = 50_000
# Where a text above `_WIDEST` bytes has one emoji, Python keeps it in four times as many.
_WIDEST = 64 * 1024
_TIGHT_WHOLE = 1024
_TIGHT_LIMIT = 256
_NAMING = frozenset({"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
_LONGEST_NAME = 512
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


def is_small(text: bytes, *, is_canonical: bool = True) -> bool:
    """There is nothing to take out of it, and Python can parse it."""
    if len(text) > _TOO_SMALL or _MARK in text or text.count(b"{") + text.count(b"[") >= _DEEP:
        return False
    return is_canonical or not _may_spell_mark(text)


class Slimmed(NamedTuple):
    """The text of an object, short and shallow enough for any parser.

    Attributes:
        is_cut: something was nested too deep, and is gone.
    """

    text: bytes
    is_cut: bool = False


def slim(
    text: bytes,
    *,
    is_whole: bool = False,
    is_canonical: bool = True,
    contents: MutableMapping[str, bytes] | None = None,
) -> Slimmed:
    """The object without `metadata.managedFields`, which nobody reads, and with marks for what is too large.

    Args:
        is_whole: nothing else is taken out of it.
        is_canonical: equal values are equal texts, as in whatever the API server encodes itself.
        contents: takes in what each mark stands for.
    """
    if is_small(text, is_canonical=is_canonical):
        return Slimmed(text)
    parseable = deep_json.parseable(text) if len(text) > _LONG else text
    slim_ = partial(_slim, is_whole=is_whole, is_canonical=is_canonical, contents=contents)
    try:
        slimmed = slim_(parseable)
    except RecursionError:
        parseable = deep_json.prune(text)
        slimmed = slim_(parseable)
    shallow = deep_json.prune(slimmed)
    return Slimmed(shallow, is_cut=parseable is not text or shallow is not slimmed)


def _slim(text: bytes, *, is_whole: bool, is_canonical: bool, contents: MutableMapping[str, bytes] | None) -> bytes:
    folded, root = None, OBJECT
    if len(text) > _LONG and not is_whole:
        try:
            folded = fold(text)
        except msgspec.DecodeError:
            root = SHAPELESS
    try:
        members: dict[str, Any] = _object(text if folded is None else folded.outer)
    except msgspec.DecodeError:
        return text  # the parser says what is wrong with it
    if folded is not None:
        folded.unfold(members)
    if "metadata" in members:
        members["metadata"] = _without_managed_fields(members["metadata"])
    shorter = _encode(members)
    is_suspicious = not (is_whole or is_canonical) and _may_spell_mark(text)
    is_short = folded is None and len(shorter) <= OBJECT.whole
    if is_whole or (is_short and _MARK not in shorter and not is_suspicious):
        return shorter
    return _encode(_Slimming(is_canonical, contents, is_suspicious, folded).members(members, root))


def _may_spell_mark(text: bytes) -> bool:
    """A mark may stand in it with escapes, as in what is kept as it was sent."""
    if b"\\u00" not in text and b"\\/" not in text:
        return False
    return _ESCAPED_LETTER.search(text.replace(b"\\\\", b"")) is not None


def named_only(text: bytes, *, but_in: str) -> bytes:
    """What names the object, and nothing else of it, unless it is in the namespace `but_in`.

    One that is too deep to be split although it is short is left as it is.
    """
    try:
        members: dict[str, Any] = _object(deep_json.parseable(text) if len(text) > _LONG else text)
        metadata = _object(members["metadata"])
        namespace = _any(metadata["namespace"]) if "namespace" in metadata else ""
    except (msgspec.DecodeError, KeyError, RecursionError):
        return text
    if namespace in ("", but_in):  # none in an answer that is no object: a Status says why
        return text
    named = {name: raw for name, raw in metadata.items() if name in _NAMING and len(raw) <= _LONGEST_NAME}
    kinds = {name: members[name] for name in ("apiVersion", "kind") if name in members}
    return _encode({**kinds, "metadata": named})


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
    return go_escaped(_encode_sorted(_filled(value, contents)))


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


@dataclass(slots=True)
class _Slimming:
    """One object on its way from text to text.

    Members of a place that are no places themselves may have as much text as `Place.whole`, together. Where they have
    more, each that is large gets a mark; where the small ones alone are too many, they get one mark together, apart
    from those that nicplug reads. Where all that this leaves is above the budget of a place, it is read once more,
    tightly: with small bounds, and without any text that is not ASCII, which may take four times its size in a record.

    Attributes:
        is_suspicious: somewhere in it a mark may be spelled with escapes.
        folded: the largest of its places, which its text has not.
        tokens: how many of them may still be put in order.
    """

    is_canonical: bool
    contents: MutableMapping[str, bytes] | None
    is_suspicious: bool
    folded: Folded | None = None
    tokens: int = _MOST_TOKENS
    _is_wide: bool = False
    _split: dict[int, tuple[msgspec.Raw, dict[str, msgspec.Raw]]] = field(default_factory=dict)
    _is_tight: bool = False
    _apart: list[bytes] = field(default_factory=list)
    _again: deque[bytes] | None = None

    def members(self, members: Mapping[str, msgspec.Raw], place: Place) -> dict[str, Any]:
        """An object at a place."""
        if not place.budget or self._is_tight:
            return self._members(members, place)
        outer, self._apart = self._apart, []
        value = self._members(members, place)
        text, apart = _encode(value), self._apart
        self._apart = outer
        self._is_wide = len(text) > _WIDEST and not place.may_be_wide and not text.isascii()
        if not self._is_wide and len(text) - sum(map(len, apart)) <= place.budget:
            return value
        self._is_tight, self._again = True, deque(apart)
        value = self._members(members, place)
        self._is_tight, self._again = False, None
        return value

    def _members(self, members: Mapping[str, msgspec.Raw], place: Place) -> dict[str, Any]:
        kept = {name: self._at(members[name], inner) for name, inner in place.members.items() if name in members}
        others = {name: raw for name, raw in members.items() if name not in place.members}
        whole, limit = (_TIGHT_WHOLE, _TIGHT_LIMIT) if self._is_tight else (place.whole, place.limit)
        is_crowd = len(others) > MANY_MEMBERS
        if not is_crowd and self._fits(_encode(others), whole):
            return {**kept, **others}
        names = place.names & others.keys() if is_crowd or self._is_tight else others.keys() - MARKS
        # From here on `others` are those that get one mark together.
        visible = {name: self._value(others.pop(name), place.texts.get(name, limit)) for name in names}
        if not self._is_tight and _size_without(visible, place.texts) > place.whole:
            visible = {name: value for name, value in visible.items() if name in place.names}
            others = {name: raw for name, raw in members.items() if not (name in place.members or name in visible)}
        if others:
            kept[ELIDED_MEMBERS] = self._group(others, place.most_marks)
        return {**kept, **visible}

    def _fits(self, text: bytes, whole: int) -> bool:
        return len(text) <= whole and not self._may_have_mark(text) and not (self._is_tight and not text.isascii())

    def _at(self, raw: msgspec.Raw, place: Place | Entries) -> Any:
        if not place.is_apart:
            return self._inside(raw, place)
        again, self._again = self._again, None
        text = again.popleft() if again is not None else None
        if text is None or (self._is_wide and not text.isascii()):
            text = _encode(self._inside(raw, place))
        if not self._is_tight:
            self._apart.append(text)
        self._again = again
        return msgspec.Raw(text)

    def _inside(self, raw: msgspec.Raw, place: Place | Entries) -> Any:
        try:
            return self.members(self._object(raw), place) if isinstance(place, Place) else self._entries(raw, place)
        except msgspec.DecodeError:  # a text where an object belongs, for one
            return self._value(raw, OBJECT.limit)

    def _object(self, raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
        """Its members; of what is large split once, though it is read twice."""
        if id(raw) in self._split:
            return self._split[id(raw)][1]
        members = _object(raw)
        if self.folded is not None:
            self.folded.unfold(members)
        if len(raw) > _LONG:
            self._split[id(raw)] = raw, members
        return members

    def _entries(self, raw: msgspec.Raw, place: Entries) -> list[Any]:
        text, entries = bytes(raw), _list(raw)
        is_crowded = self._is_tight or len(text) * (1 if text.isascii() else 4) > place.whole
        inner = place.crowded if is_crowded else place.entry
        kept: list[Any] = []
        size = 0
        for raw_entry in entries[:_MOST_ENTRIES]:
            entry = self._entry(raw_entry, inner)
            if self._is_tight and isinstance(inner, Place):
                size += len(_encode(entry))
                if size > place.tight:
                    break
            kept.append(entry)
        if rest := entries[len(kept) :]:
            kept.append({ELIDED_ENTRIES: self._mark(_encode(rest))})
        return kept

    def _entry(self, raw: msgspec.Raw, place: Place | Nic) -> Any:
        if isinstance(place, Place):
            return self._inside(raw, place)
        text = bytes(raw)
        if len(text) <= place.whole and text.isascii() and not self._may_have_mark(text):
            return raw
        try:
            return self._nic(_object(raw), place)
        except msgspec.DecodeError:
            return self._value(raw, place.whole)

    def _nic(self, members: Mapping[str, msgspec.Raw], place: Nic) -> dict[str, Any]:
        """What nicplug reads of it; nothing but its name where no valid NIC has so much to say."""
        known = {name: members[name] for name in place.limits if name in members}
        # Nothing is put a mark on that does not stay: there may be hundreds of them.
        is_read = not any(self._has_mark(known[name], place.limits[name]) for name in place.scalars & known.keys())
        if is_read:
            entry: dict[str, Any] = {
                name: self._value(raw, place.limits[name], is_ascii=True) for name, raw in known.items()
            }
            if others := {name: raw for name, raw in members.items() if name not in known}:
                entry[ELIDED_MEMBERS] = self._group(others, place.most_marks)
            if len(_encode(entry)) <= place.most:
                return entry
        is_named = "name" in known and not self._has_mark(known["name"], place.limits["name"])
        named: dict[str, Any] = {"name": known["name"]} if is_named else {}
        others = {name: raw for name, raw in members.items() if name not in named}
        return {**named, ELIDED: self._group(others, place.most_marks)}

    def _has_mark(self, raw: msgspec.Raw, limit: int) -> bool:
        """A value of an entry is too long, or nothing that may stand there."""
        return len(raw) > limit or isinstance(self._value(raw, limit, is_ascii=True), dict)

    def _value(self, raw: msgspec.Raw, limit: int, *, is_ascii: bool = False) -> Any:
        text = bytes(raw)
        is_wide = (is_ascii or self._is_tight) and not text.isascii()
        is_forged = text[:1] != b'"' and self._may_have_mark(text)
        return {ELIDED: self._mark(text)} if len(text) > limit or is_wide or is_forged else raw

    def _may_have_mark(self, text: bytes) -> bool:
        return _MARK in text or (self.is_suspicious and b"\\" in text)

    def _group(self, members: Mapping[str, msgspec.Raw], most_marks: int) -> str:
        """The mark of members together."""
        if len(members) > most_marks:
            return self._mark(_encode(members))
        marks = {name: text_mark(self._canonical(bytes(raw))) for name, raw in members.items()}
        return self._keep(group_mark(marks), _encode(members))

    def _mark(self, text: bytes) -> str:
        return self._keep(text_mark(self._canonical(text)), text)

    def _keep(self, mark: str, text: bytes) -> str:
        if self.contents is not None:
            self.contents[mark] = text
        return mark

    def _canonical(self, text: bytes) -> bytes:
        """As the API server would encode the value if it were part of a custom resource.

        What nicplug wrote is so already. Of an object of so many parts that only it can be the author, nothing is put
        in order: that would make more Python objects of it than there may be.
        """
        if self.is_canonical or text[:1] == b'"':
            return text
        self.tokens -= text.count(b",") + text.count(b"{") + text.count(b"[")
        if self.tokens < 0:
            return text
        try:
            return go_escaped(_encode_sorted(_any(text)))
        except (msgspec.DecodeError, RecursionError):
            return text


def _size_without(members: Mapping[str, Any], texts: Collection[str]) -> int:
    return len(_encode({name: value for name, value in members.items() if name not in texts}))
