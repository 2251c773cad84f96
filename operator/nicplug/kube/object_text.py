"""From the text of an answer or a watch line to Python objects: of any depth, and never of any size.

The only way in: everything that nicplug knows of an object has gone through here, so that no record can be larger than
`kube.places` allows, and no parser meets what it cannot bear.
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

# Read as a whole: nobody but an admin writes them, and what they say counts for everybody.
_OF_ADMINS = frozenset({"kubevirts", "nodes", "leases", "configmaps", "namespaces"})
# The `data` of a ControllerRevision is the text that was sent, regardless of the sender.
_VERBATIM = frozenset({"controllerrevisions"})
# How often they are written follows from how large they are (`plan.outcome`).
_SIZED = frozenset({"virtualmachines", "virtualmachineinstances"})
# A list and its `items`.
_LEVELS_AROUND_AN_ITEM = 2
# As the API server begins a line.
_LINE = re.compile(rb'\{"type":("[A-Z]+"),"object":')
# So much text is read in one go; then others have their turn.
_TURN_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ObjectText:
    """Reads objects of one kind.

    Attributes:
        resource: their plural, or the path of a document.
        on_deep: told about an object that was read without what is nested too deep in it.
        kubevirt_namespace: KubeVirt CRs of others have no effect; only what names them is read. None reads all.
    """

    resource: str
    on_deep: Callable[[Any], None] = lambda _: None
    kubevirt_namespace: str | None = None

    def read(self, text: bytes) -> Any:
        """One object.

        Raises:
            ValueError: it is not JSON.
        """
        slimmed, is_cut = self._slim(text)
        value = parse_json(slimmed)
        if is_cut:
            self.on_deep(value)
        return value

    def read_text(self, text: str) -> Any:
        """One object, from a text that is decoded already."""
        return self.read(text.encode())

    async def read_list(self, text: bytes) -> Json:
        """A page of a collection.

        Raises:
            ValueError: it is not JSON, or no list.
        """
        head, items = split_list(text)
        objects: list[Json] = []
        await self.read_items(items, take=objects.append)
        return {**head, "items": objects} if "items" in head else head

    async def read_items(self, items: Items, *, take: Callable[[Json], None]) -> None:
        """The objects of a page, one by one: as a whole they may be hundreds of times as large as their text.

        Raises:
            ValueError: one of them is not JSON.
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
        """A watch event."""
        return parse_json(self.slim_line(line))

    def slim_line(self, line: bytes) -> bytes:
        """The text of a watch event, short and shallow enough for any parser."""
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
        # A path stands for what is no resource: the API server's own documents.
        is_whole = self.resource in _OF_ADMINS or "/" in self.resource
        if self.resource == KUBEVIRTS.plural and self.kubevirt_namespace is not None:
            text = elision.named_only(text, but_in=self.kubevirt_namespace)
        slimmed = elision.slim(text, is_whole=is_whole, is_canonical=self.resource not in _VERBATIM)
        return slimmed._replace(text=_with_size(slimmed.text, len(text))) if self.resource in _SIZED else slimmed


def contents(text: bytes, *, resource: str) -> tuple[Json, dict[str, bytes]]:
    """An object as `ObjectText` reads it, and what its marks stand for.

    Raises:
        ValueError: it is not JSON.
    """
    found: dict[str, bytes] = {}
    slimmed = elision.slim(text, is_canonical=resource not in _VERBATIM, contents=found)
    return json.loads(slimmed.text), found


def _with_size(slimmed: bytes, size: int) -> bytes:
    """The object, with its size where that is large."""
    if size <= LARGE_BYTES or not slimmed.endswith(b"}") or len(slimmed) <= len(b"{}"):
        return slimmed
    # Last, as of equal members the last one counts.
    return b'%b,"%b":%d}' % (slimmed[:-1], STORED_BYTES.encode(), size)


def split_list(text: bytes) -> tuple[Json, Items]:
    """A page without its objects, and their texts.

    Raises:
        ValueError: it is not JSON, or no list.
    """
    try:
        return elision.split_list(text)
    except RecursionError:
        outline, inner = deep_json.outline(text, level=_LEVELS_AROUND_AN_ITEM)
        head, numbers = elision.split_list(outline)
        return head, [inner[int(bytes(number))] for number in numbers]


def _split_line(line: bytes) -> tuple[bytes, bytes] | None:
    """The type of a watch event and its object; None for a line that is not one."""
    if (start := _LINE.match(line)) and line.endswith(b"}"):
        return start[1], line[start.end() : -1]
    try:
        return elision.split_line(line)
    except RecursionError:
        return elision.split_line(deep_json.prune(line))
