"""Values as large and as awkward as the API server stores them."""

import base64
import json
import random
from typing import Any

_UNPARSEABLE = "[" * 1_100 + "]" * 1_100


def text_of(shape: str, size: int, *, seed: int = 0) -> str:
    """A JSON value of about `size` bytes, as awkward as its name says."""
    match shape:
        case "compressible":
            return json.dumps("x" * size)
        case "random":
            return json.dumps(base64.b64encode(random.Random(seed).randbytes(size * 3 // 4)).decode())
        case "emoji":
            return json.dumps("x" * (size - 4) + "\U0001f600", ensure_ascii=False)
        case "dicts":
            return "[" + '{"a":1},' * (size // 8) + "1]"
        case "brackets":
            return "[" + "[]," * (size // 3) + "1]"
        case "members":
            return "{" + ",".join(f'"{number:06d}":1' for number in range(size // 11)) + "}"
        case "entries":
            members = ",".join(f'"x{number:04d}":1' for number in range(size // 300 // 10))
            return "[" + ",".join([f'{{"name":"a",{members}}}'] * 300) + "]"
    return _deep_text_of(shape, size)


def _deep_text_of(shape: str, size: int) -> str:
    towers = ",".join(["[" * 140 + "]" * 140] * (size // 281))
    match shape:
        case "deep":
            return '{"a":' * 4_000 + "1" + "}" * 4_000
        case "swinging":
            swings = ",".join(["[" * 20 + "]" * 20] * (size // 41))
            return f"[{_UNPARSEABLE},{'[' * 190}{swings}{']' * 190}]"
        case "towers":
            return f"[{towers}]"
        case "deep beside towers":
            return f"[{_UNPARSEABLE},{towers}]"
    raise ValueError(shape)


LARGEST = 1_400_000
"""Bytes. etcd takes 1.5 MiB a request; what kube-apiserver adds to an object fits into the rest."""

ON_A_SERVER: dict[str, int] = {"compressible": LARGEST, "random": LARGEST, "emoji": LARGEST, "dicts": 300_000}
"""Shapes and sizes for a real kube-apiserver, which needs ten seconds for a patch of 1.4 MB of small objects."""

DEEP_SHAPES: tuple[str, ...] = ("deep", "swinging", "towers", "deep beside towers")

SHAPES: tuple[str, ...] = ("compressible", "random", "emoji", "dicts", "brackets", "members")


def depth(value: Any) -> int:
    """How many objects and lists lie in each other at most; not recursive."""
    levels, layer = 0, [value]
    while layer := [item for item in layer if isinstance(item, (dict, list))]:
        levels += 1
        layer = [child for item in layer for child in (item.values() if isinstance(item, dict) else item)]
    return levels
