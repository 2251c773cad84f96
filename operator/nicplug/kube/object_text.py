"""Parses answers and watch lines into Python objects, of any depth and of bounded size.

The only way in: every object that nicplug sees passes through here, so that no record exceeds what `kube.places`
allows, and no parser gets text that it cannot handle.
"""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from nicplug.any_json import parse_json
from nicplug.elided import LARGE_BYTES, STORED_BYTES
from nicplug.kube import deep_json, elision
from nicplug.kube.resources import KUBEVIRTS

Json = dict[str, Any]
Items = Sequence[msgspec.Raw | bytes]

# Read in full: only admins write these, and their content applies to everyone.
_OF_ADMINS = frozenset({"kubevirts", "nodes", "leases", "configmaps", "namespaces"})
# The `data` of a ControllerRevision is stored as the text that was sent, by any client.
_VERBATIM = frozenset({"controllerrevisions"})
# nicplug writes the status of large objects less often (`plan.outcome`), so their size is recorded.
_SIZED = frozenset({"virtualmachines", "virtualmachineinstances"})
# A list and its `items`.
_LEVELS_AROUND_AN_ITEM = 2
# The API server writes lines that begin like this.
_LINE = re.compile(rb'\{"type":("[A-Z]+"),"object":')
# After this much text, yield to other tasks.
_TURN_BYTES = 256 * 1024

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_any = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class ObjectText:
    """Reads objects of one kind.

    Attributes:
        resource: plural of the kind, or the path of a document.
        on_deep: called with each object from which values nested too deep were removed.
        kubevirt_namespace: KubeVirt CRs in other namespaces have no effect; only their identifying metadata is read.
            None reads all.
    """

    resource: str
    on_deep: Callable[[Any], None] = lambda _: None
    kubevirt_namespace: str | None = None

    def read(self, text: bytes) -> Any:
        """Parse one object.

        Raises:
            ValueError: the text is not JSON.
        """
        slimmed, is_cut = self._slim(text)
        value = parse_json(slimmed)
        if is_cut:
            self.on_deep(value)
        return value

    def read_text(self, text: str) -> Any:
        """Parse one object from decoded text."""
        return self.read(text.encode())

    async def read_list(self, text: bytes) -> Json:
        """Parse one page of a collection.

        Raises:
            ValueError: the text is not JSON, or not a list.
        """
        head, items = split_list(text)
        objects: list[Json] = []
        await self.read_items(items, take=objects.append)
        return {**head, "items": objects} if "items" in head else head

    async def read_items(self, items: Items, *, take: Callable[[Json], None]) -> None:
        """Parse the objects of a page one by one: together they may take hundreds of times the size of their text.

        Raises:
            ValueError: an object is not JSON.
        """
        since_turn = 0
        for item in items:
            item_text = bytes(item)
            take(self.read(item_text))
            since_turn += len(item_text)
            if since_turn > _TURN_BYTES:
                since_turn = 0
                await asyncio.sleep(0)

    def read_line(self, line: bytes) -> Any:
        """Parse a watch event."""
        return parse_json(self.slim_line(line))

    def slim_line(self, line: bytes) -> bytes:
        """Return the text of a watch event, short and shallow enough for any parser."""
        if elision.is_small(line, is_canonical=self.resource not in _VERBATIM):
            return line
        parts = _split_line(line)
        if parts is None:
            return line
        type_, text = parts
        slimmed, is_cut = self._slim(text)
        if is_cut:
            self.on_deep(json.loads(slimmed))
        return b'{"type":%b,"object":%b}' % (type_, slimmed)

    def _slim(self, text: bytes) -> elision.Slimmed:
        # A path denotes one of the API server's own documents, which is not a resource.
        is_whole = self.resource in _OF_ADMINS or "/" in self.resource
        if self.resource == KUBEVIRTS.plural and self.kubevirt_namespace is not None:
            text = elision.named_only(text, but_in=self.kubevirt_namespace)
        slimmed = elision.slim(text, is_whole=is_whole, is_canonical=self.resource not in _VERBATIM)
        return slimmed._replace(text=_with_size(slimmed.text, len(text))) if self.resource in _SIZED else slimmed


def contents(text: bytes, *, resource: str) -> tuple[Json, dict[str, bytes]]:
    """Return an object as `ObjectText` reads it, and the content behind its marks.

    Raises:
        ValueError: the text is not JSON.
    """
    found: dict[str, bytes] = {}
    slimmed = elision.slim(text, is_canonical=resource not in _VERBATIM, contents=found)
    return json.loads(slimmed.text), found


def _with_size(slimmed: bytes, size: int) -> bytes:
    """Append the object's size in bytes if it is large."""
    if size <= LARGE_BYTES or not slimmed.endswith(b"}") or len(slimmed) <= len(b"{}"):
        return slimmed
    # Appended at the end: if members have the same name, the last one wins.
    return b'%b,"%b":%d}' % (slimmed[:-1], STORED_BYTES.encode(), size)


def split_list(text: bytes) -> tuple[Json, Items]:
    """Return a page without its objects, and the texts of the objects as views of `text`.

    Raises:
        ValueError: the text is not JSON, or not a list.
    """
    try:
        return _split_list(text)
    except RecursionError:
        outline, inner = deep_json.outline(text, level=_LEVELS_AROUND_AN_ITEM)
        head, numbers = _split_list(outline)
        return head, [inner[int(bytes(number))] for number in numbers]


def _split_list(text: bytes) -> tuple[Json, list[msgspec.Raw]]:
    members = _members(text)
    items = _items(members["items"]) if "items" in members else None
    head = {name: _any(value) for name, value in members.items() if name != "items"}
    return (head, []) if items is None else ({**head, "items": []}, items)


def _split_line(line: bytes) -> tuple[bytes, bytes] | None:
    """Return the type of a watch event, as JSON, and its object; None if the line is not a watch event."""
    if (start := _LINE.match(line)) and line.endswith(b"}"):
        return start[1], line[start.end() : -1]
    try:
        try:
            event = _members(line)
        except RecursionError:
            event = _members(deep_json.prune(line))
    except msgspec.DecodeError:
        return None
    return (bytes(event["type"]), bytes(event["object"])) if event.keys() >= {"type", "object"} else None
