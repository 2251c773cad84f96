"""JSON of any depth: what lies deeper than any field of Kubernetes is read as null.

kube-apiserver stores objects nested up to 10,000 levels (measured); Python's parser gives up at about 1,000. Whoever
may write an object with a preserved sub-tree could so end every watch that meets it, his own namespace being enough.
"""

import json
import re
from typing import Any

# Far below what Python's parser and encoder can do from any stack, far above what any field needs.
MAXIMUM_DEPTH = 200
# Fewer brackets than this cannot be too deep for Python; counting them costs a microsecond a line.
_HARMLESS_BRACKETS = 500

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)


def loads(text: bytes | str) -> Any:
    """Parse JSON; sub-trees below `MAXIMUM_DEPTH` become null when Python could not parse them.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        return json.loads(prune(text.encode() if isinstance(text, str) else text))


def may_be_deep(text: bytes) -> bool:
    """Whether `prune` is worth its time: it is slow, and almost nothing needs it."""
    return text.count(b"{") + text.count(b"[") > _HARMLESS_BRACKETS


def prune(text: bytes) -> bytes:
    """The same JSON with null for every value nested deeper than `MAXIMUM_DEPTH`; not recursive."""
    kept: list[bytes] = []
    depth, copied_to = 0, 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start() : token.start() + 1]
        if mark in b"{[":
            depth += 1
            if depth == MAXIMUM_DEPTH + 1:
                kept += (text[copied_to : token.start()], b"null")
        elif mark in b"}]":
            if depth == MAXIMUM_DEPTH + 1:
                copied_to = token.end()
            depth -= 1
    if not kept:
        return text
    return b"".join((*kept, text[copied_to:]))


def depth(value: Any) -> int:
    """How many objects and lists lie in each other at most; not recursive."""
    levels, layer = 0, [value]
    while layer := [item for item in layer if isinstance(item, (dict, list))]:
        levels += 1
        layer = [child for item in layer for child in (item.values() if isinstance(item, dict) else item)]
    return levels
