"""JSON of any depth: what lies deeper than any field of Kubernetes is read as null.

kube-apiserver stores objects nested up to 10,000 levels (measured); Python's parser gives up at about 1,000. Whoever
may write an object with a preserved sub-tree could so end every watch that meets it, his own namespace being enough.
"""

import json
import re
from typing import Any

# Far below what Python's parser, and ours, can do from any stack; far above what any field needs.
MAXIMUM_DEPTH = 200

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{\]}]', re.DOTALL)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def loads(text: bytes | str) -> Any:
    """Parse JSON; sub-trees below `MAXIMUM_DEPTH` become null.

    Raises:
        ValueError: it is not JSON.
    """
    encoded = text.encode() if isinstance(text, str) else text
    if not _has_many_brackets(encoded):
        return json.loads(text)
    try:
        value = json.loads(text)
    except RecursionError:
        return json.loads(prune(encoded))
    # Cheaper than `may_be_deep`, which has to find the strings.
    return value if depth(value) <= MAXIMUM_DEPTH else json.loads(prune(encoded))


def may_be_deep(text: bytes) -> bool:
    """Whether `prune`, which is slow, may cut something; a few microseconds for nearly every object."""
    if not _has_many_brackets(text):
        return False
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    # Each round takes away one level or two.
    for _ in range(MAXIMUM_DEPTH // 2):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _has_many_brackets(text: bytes) -> bool:
    return text.count(b"{") + text.count(b"[") > MAXIMUM_DEPTH


def prune(text: bytes) -> bytes:
    """The same JSON with null for every value nested deeper than `MAXIMUM_DEPTH`; not recursive."""
    kept: list[bytes] = []
    level, copied_to = 0, 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start() : token.start() + 1]
        if mark in b"{[":
            level += 1
            if level == MAXIMUM_DEPTH + 1:
                kept += (text[copied_to : token.start()], b"null")
        elif mark in b"}]":
            if level == MAXIMUM_DEPTH + 1:
                copied_to = token.end()
            level -= 1
    return b"".join((*kept, text[copied_to:])) if kept else text


def depth(value: Any) -> int:
    """How many objects and lists lie in each other at most; not recursive."""
    levels, layer = 0, [value]
    while layer := [item for item in layer if isinstance(item, (dict, list))]:
        levels += 1
        layer = [child for item in layer for child in (item.values() if isinstance(item, dict) else item)]
    return levels
