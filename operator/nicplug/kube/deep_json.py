"""JSON of any depth: whatever is nested deeper than any field of Kubernetes is read as null.

kube-apiserver stores objects nested up to 10,000 levels (measured); Python's parsers give up at about 1,000. Whoever
may write an object with a preserved sub-tree could otherwise end every watch that meets it, with rights in one
namespace only.

Works on blocks of text with the C speed of `bytes`, never token by token: an object may hold a million brackets.
"""

import re
from collections.abc import Iterator
from itertools import accumulate, islice

# Far below what Python's parser, and ours, can do from any stack; far above what any field needs.
MAXIMUM_DEPTH = 200

_BLOCK = 512
# So many sub-trees are cut exactly where they become too deep. Where there are more, the smallest one that holds them
# all goes as a whole: their number is not bounded, and each costs as much as half a millisecond.
_EXACT_CUTS = 16
_COLLAPSES = 2
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TOKEN = re.compile(rb'["{}\[\]]')


def prune(text: bytes) -> bytes:
    """The same JSON with null for every value nested deeper than `MAXIMUM_DEPTH`; `text` itself if there is none.

    Where there are many of them, for the value that holds them all, but never for the root.
    """
    if not _has_many_brackets(text):
        return text
    blocks = _Blocks(text)
    cuts = list(islice(_cuts(blocks, level=MAXIMUM_DEPTH), _EXACT_CUTS + 1))
    if len(cuts) > _EXACT_CUTS:
        level = blocks.lowest_between(cuts[0][0], blocks.last_rise_above(MAXIMUM_DEPTH, len(text) - 1)) - 1
        cuts = list(_cuts(blocks, level=max(level, 1)))
    if not cuts:
        return text
    kept: list[bytes] = []
    copied_to = 0
    for start, end in cuts:
        kept += (text[copied_to:start], b"null")
        copied_to = end
    return b"".join((*kept, text[copied_to:]))


def outline(text: bytes, *, level: int) -> tuple[bytes, list[bytes]]:
    """The same JSON with a number in place of each object and list inside of `level` others, and those by number.

    So that a list, or a watch event, can be parsed although one of its objects cannot.
    """
    blocks = _Blocks(text)
    kept: list[bytes] = []
    inner: list[bytes] = []
    end = 0
    while (start := blocks.rise_above(level, end)) is not None:
        kept += (text[end:start], b"%d" % len(inner))
        end = blocks.fall_to(level, start)
        inner.append(text[start:end])
    return b"".join((*kept, text[end:])), inner


def _cuts(blocks: "_Blocks", *, level: int) -> Iterator[tuple[int, int]]:
    """The sub-trees above `level` with something too deep in them: where each begins and ends."""
    end = 0
    while (start := blocks.rise_above(MAXIMUM_DEPTH, end)) is not None:
        start = blocks.last_rise_above(level, start)
        end = blocks.fall_to(level, start)
        yield start, end


def _has_many_brackets(text: bytes) -> bool:
    return text.count(b"{") + text.count(b"[") > MAXIMUM_DEPTH


class _Blocks:
    """A text in blocks, each with the level at its start and bounds of the levels in it."""

    def __init__(self, text: bytes) -> None:
        # Of the same length, with no quotation mark but those around strings.
        self._text = text.replace(b"\\\\", b"  ").replace(b'\\"', b"  ") if b"\\" in text else text
        self._levels: list[int] = []
        self._highest: list[int] = []
        self._lowest: list[int] = []
        self._in_string: list[bool] = []
        level, in_string = 0, False
        for start in range(0, len(text), _BLOCK):
            self._levels.append(level)
            self._in_string.append(in_string)
            brackets, in_string = self._brackets(start, in_string)
            for _ in range(_COLLAPSES):
                brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
            opened = brackets.count(b"{") + brackets.count(b"[")
            closed = len(brackets) - opened
            # Each collapse has taken away two levels at most, as in `[{}]`.
            self._highest.append(level + opened + 2 * _COLLAPSES)
            self._lowest.append(level - closed)
            level += opened - closed
        self._is_exact = [False] * len(self._levels)

    def _brackets(self, start: int, in_string: bool) -> tuple[bytes, bool]:
        """The brackets of a block that are not part of a string, and whether a string goes on behind it."""
        block = self._text[start : start + _BLOCK]
        if b'"' in block:
            parts = block.split(b'"')
            block = b"".join(parts[in_string::2])
            in_string ^= len(parts) % 2 == 0
        elif in_string:
            block = b""
        return block.translate(None, _NO_BRACKETS), in_string

    def rise_above(self, level: int, start: int) -> int | None:
        """Where the first bracket from `start` on leads above `level`."""
        for number in range(start // _BLOCK, len(self._levels)):
            if self._highest[number] > level and self._bounds(number)[1] > level:
                for at, before, after in self._moves(number):
                    if at >= start and before == level and after > level:
                        return at
        return None

    def last_rise_above(self, level: int, end: int) -> int:
        """Where the last bracket up to `end` leads above `level`; it must exist."""
        for number in range(end // _BLOCK, -1, -1):
            if self._lowest[number] <= level < self._highest[number] and self._bounds(number)[0] <= level:
                rises = [at for at, before, after in self._moves(number) if at <= end and before == level < after]
                if rises:
                    return rises[-1]
        return 0

    def fall_to(self, level: int, start: int) -> int:
        """The position behind the first bracket from `start` on that leads back to `level`."""
        for number in range(start // _BLOCK, len(self._levels)):
            if self._lowest[number] <= level and self._bounds(number)[0] <= level:
                for at, before, after in self._moves(number):
                    if at >= start and before > level == after:
                        return at + 1
        return len(self._text)

    def lowest_between(self, start: int, end: int) -> int:
        """The lowest level from `start`, behind whose bracket it begins, to `end`."""
        first, last = start // _BLOCK, end // _BLOCK
        lowest = min(after for number in {first, last} for at, _, after in self._moves(number) if start <= at <= end)
        for number in range(first + 1, last):
            if self._lowest[number] < lowest:
                lowest = min(lowest, self._bounds(number)[0])
        return lowest

    def _bounds(self, number: int) -> tuple[int, int]:
        """The lowest and the highest level in a block: exactly, and worked out once."""
        if not self._is_exact[number]:
            self._is_exact[number] = True
            brackets, _ = self._brackets(number * _BLOCK, self._in_string[number])
            steps = memoryview(brackets.translate(_STEPS)).cast("b")
            levels = tuple(accumulate(steps, initial=self._levels[number]))
            self._lowest[number], self._highest[number] = min(levels), max(levels)
        return self._lowest[number], self._highest[number]

    def _moves(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Each bracket of a block: where it stands, the level before it and behind it."""
        level, in_string, start = self._levels[number], self._in_string[number], number * _BLOCK
        for token in _TOKEN.finditer(self._text, start, start + _BLOCK):
            mark = token[0]
            if mark == b'"':
                in_string = not in_string
            elif not in_string:
                before, level = level, level + (1 if mark in b"{[" else -1)
                yield token.start(), before, level
