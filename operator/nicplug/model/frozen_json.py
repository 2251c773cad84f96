"""JSON kept as one compact, canonical string: hashable, comparable and several times smaller than dicts.

The cache holds thousands of specs that are only needed when something is created or guarded
by a `test`; a string costs a tenth of the nested dicts and compares at C speed.
"""

import json
import sys
from typing import Any, NewType

FrozenJson = NewType("FrozenJson", str)

NULL = FrozenJson("null")

# json.dumps makes a new encoder for every call that is not by its defaults.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def freeze(value: Any) -> FrozenJson:
    """The canonical text of a JSON value: sorted keys, no blanks."""
    return FrozenJson(_ENCODER.encode(value))


def thaw(text: FrozenJson) -> Any:
    """A fresh, mutable copy of the value."""
    return json.loads(text)


def thaw_object(text: FrozenJson) -> dict[str, Any]:
    """The same of what is an object; empty for `null`, and for whatever else somebody wrote there."""
    value = thaw(text)
    return value if isinstance(value, dict) else {}


def shared(text: FrozenJson) -> FrozenJson:
    """The same text, kept once in memory however many records have it."""
    return FrozenJson(sys.intern(text))
