"""Elides large values that nicplug never interprets from the text of an object, and restores them before a write.

The API server stores objects of 1.5 MB in any shape, and a user who can write one can write hundreds. As Python
objects, each would need up to 30 times that. A text is therefore split only at the few places that nicplug reads,
without parsing the rest; what is too large there is replaced by a mark with its digest (`nicplug.elided`).

What is elided depends on the place, its content, and the budget of the few places that have one: in nearly all cases
the same template gives the same marks in a VM, its VMI and its ControllerRevision. Where it does not,
`nicplug.elided.aligned` detects it.
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
# One of the mark's letters, escaped: encoders escape none of them, only an author who wants to hide a mark.
_ESCAPED_LETTER = re.compile(rb"\\(?:/|u00(?i:%b))" % b"|".join(b"%02x" % letter for letter in sorted(set(_MARK))))
# Smaller texts need no processing: no place in them can be too large, and they have hardly any `managedFields`.
_TOO_SMALL = 2048
_DEEP = 100
# The depth of a longer text is checked before it is split. A shorter one is split first, which makes it much shorter:
# half of an ordinary object is `managedFields`.
_LONG = 64 * 1024
# Commas and opening brackets; a template of 255 NICs has 3,000.
_MOST_TOKENS = 50_000
# If a text above this many bytes has a single emoji, Python stores it in four times as many.
_WIDEST = 64 * 1024
_TIGHT_WHOLE = 1024
_TIGHT_LIMIT = 256
_NAMING = frozenset({"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
_LONGEST_NAME = 512
# KubeVirt limits lists of interfaces and networks to 256.
_MOST_ENTRIES = 300

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Lost(Exception):
    """Raised when a mark stands for content that none of the objects read contains."""


def is_small(text: bytes, *, is_canonical: bool = True) -> bool:
    """True if nothing needs to be elided from `text` and Python can parse it."""
    if len(text) > _TOO_SMALL or _MARK in text or text.count(b"{") + text.count(b"[") >= _DEEP:
        return False
    return is_canonical or not _may_spell_mark(text)


class Slimmed(NamedTuple):
    """The text of an object, short and shallow enough for any parser.

    Attributes:
        is_cut: values nested too deep were removed.
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
    """Remove `metadata.managedFields`, which nicplug never reads, and replace values that are too large with marks.

    Args:
        is_whole: elide nothing else.
        is_canonical: equal values are equal texts, as in all text that the API server encodes itself.
        contents: receives the text behind each mark.
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
        return text  # the parser reports what is wrong with it
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
    """True if `text` may contain a mark spelled with escapes, as text that is stored as it was sent may."""
    if b"\\u00" not in text and b"\\/" not in text:
        return False
    return _ESCAPED_LETTER.search(text.replace(b"\\\\", b"")) is not None


def named_only(text: bytes, *, but_in: str) -> bytes:
    """Reduce an object to its identifying metadata, unless it is in the namespace `but_in`.

    A short object that is too deep to be split is returned unchanged.
    """
    try:
        members: dict[str, Any] = _object(deep_json.parseable(text) if len(text) > _LONG else text)
        metadata = _object(members["metadata"])
        namespace = _any(metadata["namespace"]) if "namespace" in metadata else ""
    except (msgspec.DecodeError, KeyError, RecursionError):
        return text
    if namespace in ("", but_in):  # an answer that is not an object, such as a Status, has no namespace
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


def fill(value: Any, contents: Mapping[str, bytes]) -> bytes:
    """Encode a value as Go does, with its marks replaced by the content that they stand for.

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
        # Members that are present by name take precedence: they were set on purpose.
        return {name: item for mark in marks for name, item in _object(_content(mark, contents)).items()} | rest
    return msgspec.Raw(_content(marks[0], contents)) if marks else rest


def _content(mark: Any, contents: Mapping[str, bytes]) -> bytes:
    if mark not in contents:
        raise Lost(f"nothing has the digest {mark}")
    return contents[mark]


@dataclass(slots=True)
class _Slimming:
    """Elides the large values of one object.

    At each place, members that are not places themselves may total `Place.whole` bytes. If they exceed it, each large
    one gets its own mark; if the small ones alone exceed it, they share one mark, except those that nicplug reads. If
    the result still exceeds the place's budget, the place is read again in tight mode: with small bounds, and without
    any text that is not ASCII, which may take four times its size in a record.

    Attributes:
        is_suspicious: the text may contain a mark spelled with escapes.
        folded: the largest of its values, set aside from the text that is split.
        tokens: number of JSON tokens that may still be sorted.
    """

    is_canonical: bool
    contents: MutableMapping[str, bytes] | None
    is_suspicious: bool
    folded: Folded | None = None
    tokens: int = _MOST_TOKENS
    _is_wide: bool = False
    _split: dict[int, tuple[msgspec.Raw, dict[str, msgspec.Raw]]] = field(default_factory=dict)
    _is_tight: bool = False
    _separate: list[bytes] = field(default_factory=list)
    _again: deque[bytes] | None = None

    def members(self, members: Mapping[str, msgspec.Raw], place: Place) -> dict[str, Any]:
        """Elide the large members of the object at `place`."""
        if not place.budget or self._is_tight:
            return self._members(members, place)
        outer, self._separate = self._separate, []
        value = self._members(members, place)
        text, separate = _encode(value), self._separate
        self._separate = outer
        self._is_wide = len(text) > _WIDEST and not place.may_be_wide and not text.isascii()
        if not self._is_wide and len(text) - sum(map(len, separate)) <= place.budget:
            return value
        self._is_tight, self._again = True, deque(separate)
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
        # From here on `others` are the members that share one mark.
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
        if not place.has_own_budget:
            return self._inside(raw, place)
        again, self._again = self._again, None
        text = again.popleft() if again is not None else None
        if text is None or (self._is_wide and not text.isascii()):
            text = _encode(self._inside(raw, place))
        if not self._is_tight:
            self._separate.append(text)
        self._again = again
        return msgspec.Raw(text)

    def _inside(self, raw: msgspec.Raw, place: Place | Entries) -> Any:
        try:
            return self.members(self._object(raw), place) if isinstance(place, Place) else self._entries(raw, place)
        except msgspec.DecodeError:  # for example, a string where an object belongs
            return self._value(raw, OBJECT.limit)

    def _object(self, raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
        """Split an object into its members; a large one is split once, although it is read twice."""
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
        """Keep the members of a NIC that nicplug reads; only its name if it is larger than any valid NIC."""
        known = {name: members[name] for name in place.limits if name in members}
        # Marks are made only for entries that are kept: there may be hundreds.
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
        """True if a value of an entry is too long or not valid there."""
        return len(raw) > limit or isinstance(self._value(raw, limit, is_ascii=True), dict)

    def _value(self, raw: msgspec.Raw, limit: int, *, is_ascii: bool = False) -> Any:
        text = bytes(raw)
        is_wide = (is_ascii or self._is_tight) and not text.isascii()
        is_forged = text[:1] != b'"' and self._may_have_mark(text)
        return {ELIDED: self._mark(text)} if len(text) > limit or is_wide or is_forged else raw

    def _may_have_mark(self, text: bytes) -> bool:
        return _MARK in text or (self.is_suspicious and b"\\" in text)

    def _group(self, members: Mapping[str, msgspec.Raw], most_marks: int) -> str:
        """Return the mark that several members share."""
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
        """Return the text as the API server would encode it in a custom resource.

        Text that nicplug wrote already is canonical. Text with so many tokens that only its author can have written it
        so is not sorted: that would create more Python objects than are allowed for it.
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
