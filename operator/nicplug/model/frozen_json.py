"""JSON kept as one compact, canonical string: hashable, comparable and several times smaller than dicts.

The cache holds thousands of specs that are only needed when something is created or guarded
by a `test`; a string costs a tenth of the nested dicts and compares at C speed.
"""

import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NewType

import msgspec

from nicplug.any_json import parse_json
from nicplug.model.per_pass import once_per_pass

FrozenJson = NewType("FrozenJson", str)

NULL = FrozenJson("null")

# Of what the passes over one object read in turn, its spec above all: a burst is a few hundred objects.
_RECENT = 512
_RECENT_CHARACTERS = 8 * 1024

_encode = msgspec.json.Encoder(order="sorted").encode
# For what only Python takes for JSON; json.dumps would make a new encoder for every call.
_ANY_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def freeze(value: Any) -> FrozenJson:
    """The canonical text of a JSON value: sorted keys, no blanks."""
    try:
        return FrozenJson(_encode(value).decode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return FrozenJson(_ANY_ENCODER.encode(value))


def thaw(text: FrozenJson) -> Any:
    """A fresh, mutable copy of the value."""
    return parse_json(text)


@once_per_pass
def read(text: FrozenJson) -> Any:
    """The value, parsed once in a planning pass, or lately, and shared by all who read it: never to be changed."""
    return _read_lately(text) if len(text) <= _RECENT_CHARACTERS else thaw(text)


@lru_cache(maxsize=_RECENT)
def _read_lately(text: FrozenJson) -> Any:
    return thaw(text)


def read_object(text: FrozenJson) -> Mapping[str, Any]:
    """What `read` returns if that is an object; empty for `null`, and for whatever else somebody wrote there."""
    value = read(text)
    return value if isinstance(value, dict) else {}


def shared(text: FrozenJson) -> FrozenJson:
    """The same text, kept once in memory however many records have it."""
    return FrozenJson(sys.intern(text))
