"""JSON kept as one compact, canonical string: hashable, comparable and several times smaller than dicts.

The cache holds thousands of specs that are only needed when something is created or guarded
by a `test`; a string costs a tenth of the nested dicts and compares at C speed.
"""

import json
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NewType, TypeVar

import msgspec

from nicplug.any_json import parse_json
from nicplug.model.per_pass import once_per_pass

FrozenJson = NewType("FrozenJson", str)
T = TypeVar("T")

NULL = FrozenJson("null")

# What successive passes over an object read, mainly its spec: a burst is a few hundred objects.
_RECENT = 512
_RECENT_CHARACTERS = 8 * 1024

_encode = msgspec.json.Encoder(order="sorted").encode
# For values that only Python accepts as JSON; json.dumps would create a new encoder for every call.
_ANY_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def freeze(value: Any) -> FrozenJson:
    """Return the canonical text of a JSON value: sorted keys, no blanks."""
    try:
        return FrozenJson(_encode(value).decode())
    except UnicodeEncodeError:  # an unpaired surrogate
        return FrozenJson(_ANY_ENCODER.encode(value))


def thaw(text: FrozenJson) -> Any:
    """Return a new, mutable copy of the value."""
    return parse_json(text)


@once_per_pass
def read(text: FrozenJson) -> Any:
    """Return the value, parsed once per planning pass, or recently. All callers share it: never modify it."""
    return _read_lately(text) if len(text) <= _RECENT_CHARACTERS else thaw(text)


@lru_cache(maxsize=_RECENT)
def _read_lately(text: FrozenJson) -> Any:
    return thaw(text)


def read_object(text: FrozenJson) -> Mapping[str, Any]:
    """Return what `read` returns if that is an object; empty for `null` and any other value."""
    value = read(text)
    return value if isinstance(value, dict) else {}


def parsed_once(parse: Callable[[Mapping[str, Any]], T]) -> Callable[[FrozenJson], T]:
    """Make a function return what it makes of an object's text once per planning pass, or recently.

    Results do not live as long as the records: of thousands of objects at rest, they would take more memory than all
    texts, and of large objects without bound.
    """
    recently = lru_cache(maxsize=_RECENT // 2)(lambda text: parse(read_object(text)))

    @once_per_pass
    def parsed(text: FrozenJson) -> T:
        return recently(text) if len(text) <= _RECENT_CHARACTERS else parse(read_object(text))

    return parsed


def shared(text: FrozenJson) -> FrozenJson:
    """Return an equal text that is in memory only once, however many records have it."""
    return FrozenJson(sys.intern(text))
