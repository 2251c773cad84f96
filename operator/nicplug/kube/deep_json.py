"""Reads JSON of any depth: values nested deeper than any field of Kubernetes become null.

kube-apiserver stores objects nested up to 10,000 levels (measured); Python's parsers fail at about 1,000. Without this,
any user with permission to write an object with a preserved sub-tree in one namespace could break every watch that
receives it.

Works on blocks of text at the C speed of `bytes`, never token by token: an object may hold a million brackets.
"""

import re
from collections.abc import Iterator
from itertools import accumulate, chain, islice
from operator import add

# Far below what Python's parser, and ours, can handle at any stack depth; far above what any field needs.
MAXIMUM_DEPTH = 200
# The depth that a parser can handle at any stack depth of ours, and the depth kept of an object that may be deeper:
# splitting more than that is expensive as well.
_PARSEABLE_DEPTH = 750
_DEPTH_OF_UNPARSEABLE = 50

_BLOCK = 1024
# Up to this many sub-trees are cut exactly where they become too deep. If there are more, each part of the object loses
# the smallest value that holds all of its own: the number of sub-trees is unbounded, and each costs half a millisecond.
_EXACT_CUTS = 16
# The level of an object's parts: its direct members.
_PARTS = 1
_BITS = bytes.maketrans(b"{[}]", b"1100")
_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'[]{}"'))
_TOKEN = re.compile(rb'["{}\[\]]')
_GROUP = 8


def _steps(bits: str) -> tuple[int, ...]:
    return tuple(accumulate(1 if bit == "1" else -1 for bit in bits))


_STEPS = [_steps(f"{group:0{_GROUP}b}") for group in range(1 << _GROUP)]


def _table(levels: Iterator[int]) -> bytes:
    return bytes(level % 256 for level in levels)


# For eight brackets, each a bit: the level after them, and the highest and the lowest in between, relative to the
# first.
_CHANGE = _table(steps[-1] for steps in _STEPS)
_HIGHEST = _table(max(steps) for steps in _STEPS)
_LOWEST = _table(min(steps) for steps in _STEPS)


def prune(text: bytes) -> bytes:
    """Replace every value nested deeper than `MAXIMUM_DEPTH` with null; returns `text` itself if there is none.

    If there are many of them, replaces the value that holds all those of one part of the object, if need be the whole
    part.
    """
    return _pruned(text, limit=MAXIMUM_DEPTH, tolerated=MAXIMUM_DEPTH)


def parseable(text: bytes) -> bytes:
    """Return `text` unchanged if any parser can handle it, else with null for values nested deeper than 50 levels."""
    return _pruned(text, limit=_DEPTH_OF_UNPARSEABLE, tolerated=_PARSEABLE_DEPTH)


def _pruned(text: bytes, *, limit: int, tolerated: int) -> bytes:
    if text.count(b"{") + text.count(b"[") <= tolerated:
        return text
    blocks = _Blocks(text)
    if blocks.bound() <= tolerated:
        return text
    cuts = list(islice(_exact_cuts(blocks, limit), _EXACT_CUTS + 1))
    if len(cuts) > _EXACT_CUTS:
        cuts = list(_cuts_by_part(blocks, limit))
    if not cuts:
        return text
    kept: list[bytes] = []
    copied_to = 0
    for start, end in cuts:
        kept += (text[copied_to:start], b"null")
        copied_to = end
    return b"".join((*kept, text[copied_to:]))


def outline(text: bytes, *, level: int) -> tuple[bytes, list[bytes]]:
    """Replace each object and list nested in `level` others with its number; also returns their texts by number.

    A list can then be parsed even if one of its objects cannot.
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


def _exact_cuts(blocks: "_Blocks", limit: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each value that is nested too deep."""
    end = 0
    while (start := blocks.rise_above(limit, end)) is not None:
        end = blocks.fall_to(limit, start)
        yield start, end


def _cuts_by_part(blocks: "_Blocks", limit: int) -> Iterator[tuple[int, int]]:
    """Yield, for each part of the object, the smallest value that holds everything nested too deep in it.

    The number of parts is small: the API server stores none but `metadata`, `spec`, `data` and the like.
    """
    end = 0
    while (first := blocks.rise_above(limit, end)) is not None:
        end_of_part = blocks.fall_to(_PARTS, first)
        last = blocks.last_rise_above(limit, end_of_part)
        level = max(blocks.lowest_between(first, last) - 1, _PARTS)
        start = blocks.last_rise_above(level, first)
        yield start, blocks.fall_to(level, first)
        end = end_of_part


class _Blocks:
    """A text split into blocks, with the nesting level at the start of each and bounds of the levels in it."""

    def __init__(self, text: bytes) -> None:
        # Same length, but the only quotation marks left are those around strings.
        self._text = text.replace(b"\\\\", b"  ").replace(b'\\"', b"  ") if b"\\" in text else text
        self._levels: list[int] = []
        self._highest: list[int] = []
        self._lowest: list[int] = []
        self._in_string: list[bool] = []
        level, in_string = 0, False
        for start in range(0, len(text), _BLOCK):
            self._levels.append(level)
            self._in_string.append(in_string)
            bits, in_string = self._bits(start, in_string)
            opened = bits.count(b"1")
            closed = len(bits) - opened
            self._highest.append(level + opened)
            self._lowest.append(level - closed)
            level += opened - closed
        self._has_exact_highest = bytearray(len(self._levels))
        self._has_exact_lowest = bytearray(len(self._levels))

    def _bits(self, start: int, in_string: bool) -> tuple[bytes, bool]:
        """Return the brackets of a block that are outside strings, and whether the block ends inside a string."""
        bits = self._text[start : start + _BLOCK].translate(_BITS, _NEITHER_BRACKET_NOR_QUOTE)
        if b'"' in bits:
            # Two quotation marks in a row are an empty string, or end one string and begin another: nothing is between
            # them.
            bits = bits.replace(b'""', b"")
        if b'"' in bits:
            parts = bits.split(b'"')
            return b"".join(parts[in_string::2]), in_string ^ (len(parts) % 2 == 0)
        return (b"" if in_string else bits), in_string

    def bound(self) -> int:
        """Return an upper bound of all nesting levels."""
        return max(self._highest, default=0)

    def rise_above(self, level: int, start: int) -> int | None:
        """Return the position of the first bracket at or after `start` that rises above `level`, or None."""
        for number in range(start // _BLOCK, len(self._levels)):
            if self._highest[number] > level and self._exact_highest(number) > level:
                for at, before, after in self._moves(number):
                    if at >= start and before == level and after > level:
                        return at
        return None

    def last_rise_above(self, level: int, end: int) -> int:
        """Return the position of the last bracket up to `end` that rises above `level`; there must be one."""
        for number in range(min(end // _BLOCK, len(self._levels) - 1), -1, -1):
            if self._lowest[number] <= level < self._highest[number] and self._exact_lowest(number) <= level:
                rises = [at for at, before, after in self._moves(number) if at <= end and before == level < after]
                if rises:
                    return rises[-1]
        return 0

    def fall_to(self, level: int, start: int) -> int:
        """Return the position after the first bracket at or after `start` that returns to `level`."""
        for number in range(start // _BLOCK, len(self._levels)):
            if self._lowest[number] <= level and self._exact_lowest(number) <= level:
                for at, before, after in self._moves(number):
                    if at >= start and before > level == after:
                        return at + 1
        return len(self._text)

    def lowest_between(self, start: int, end: int) -> int:
        """Return the lowest level reached after the brackets from `start` to `end`."""
        first, last = start // _BLOCK, end // _BLOCK
        lowest = min(after for number in {first, last} for at, _, after in self._moves(number) if start <= at <= end)
        for number in range(first + 1, last):
            if self._lowest[number] < lowest:
                lowest = min(lowest, self._exact_lowest(number))
        return lowest

    def _exact_highest(self, number: int) -> int:
        """Return the exact highest level in a block, computed once."""
        if not self._has_exact_highest[number]:
            self._has_exact_highest[number] = True
            self._highest[number] = max(self._extremes(number, _HIGHEST))
        return self._highest[number]

    def _exact_lowest(self, number: int) -> int:
        """Return the exact lowest level in a block, computed once."""
        if not self._has_exact_lowest[number]:
            self._has_exact_lowest[number] = True
            self._lowest[number] = min(self._extremes(number, _LOWEST))
        return self._lowest[number]

    def _extremes(self, number: int, extremes: bytes) -> Iterator[int]:
        """Yield the level at the start of a block, and the extreme level of every eight brackets in it."""
        level = self._levels[number]
        bits, _ = self._bits(number * _BLOCK, self._in_string[number])
        rest = len(bits) % _GROUP
        first = [level, *(level + step for step in _steps(bits[:rest].decode()))]
        groups = int(bits[rest:] or b"0", 2).to_bytes(len(bits) // _GROUP)
        levels = accumulate(_signed(groups, _CHANGE), initial=first[-1])
        return chain(first, map(add, levels, _signed(groups, extremes)))

    def _moves(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Yield each bracket of a block: its position, and the levels before and after it."""
        level, in_string, start = self._levels[number], self._in_string[number], number * _BLOCK
        for token in _TOKEN.finditer(self._text, start, start + _BLOCK):
            mark = token[0]
            if mark == b'"':
                in_string = not in_string
            elif not in_string:
                before, level = level, level + (1 if mark in b"{[" else -1)
                yield token.start(), before, level


def _signed(groups: bytes, table: bytes) -> memoryview:
    return memoryview(groups.translate(table)).cast("b")
