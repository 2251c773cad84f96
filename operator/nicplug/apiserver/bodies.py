"""The body of a request: which kinds are taken, how much of it, and what it says.

`kubectl replace --raw` sends it chunked, virtctl without Content-Type; both are taken, as KubeVirt takes them.
"""

import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import yaml

from nicplug.apiserver import statuses
from nicplug.apiserver.statuses import Status

JSON_TYPE = "application/json"
_TYPES = (JSON_TYPE, "application/yaml", "application/x-yaml", "text/yaml")
_ADVERTISED = (JSON_TYPE, "application/yaml")
_DEEPEST = 32
# The parser takes a second for each 200 KB, in which nobody else is served.
_LONGEST_YAML = 64 * 1024


class BadBody(ValueError):
    """The body is neither JSON nor YAML; the text says why in one line."""


def refuse_type(*, content_type: str, content_encoding: str) -> Status | None:
    """Why a body of this type is not taken; None when it is. No type at all is taken, its content decides."""
    essence = content_type.partition(";")[0].strip().lower()
    if essence and essence not in _TYPES:
        return statuses.unsupported_media_type(_ADVERTISED)
    # A compressed body may become a thousand times larger.
    if content_encoding.strip().lower() not in ("", "identity"):
        return statuses.unsupported_media_type(_ADVERTISED)
    return None


@dataclass(slots=True)
class BodyBudget:
    """How much all bodies together may hold in memory."""

    limit: int
    held: int = 0

    def fits(self, size: int) -> bool:
        """Whether so much more may be held."""
        return self.held + size <= self.limit


async def read(chunks: AsyncIterator[bytes], *, limit: int, budget: BodyBudget) -> bytes | Status:
    """Read a body; more than `limit` bytes are refused, and so is what does not fit into the budget.

    What was read stays counted in `budget.held` until the caller takes the length of the result off it.
    """
    parts: list[bytes] = []
    size = 0
    taken = False
    try:
        async for chunk in chunks:
            if size + len(chunk) > limit:
                return statuses.too_large(limit)
            if not budget.fits(len(chunk)):
                return statuses.too_many_requests()
            parts.append(chunk)
            size += len(chunk)
            budget.held += len(chunk)
        taken = True
        return b"".join(parts)
    finally:
        if not taken:
            budget.held -= size


def decode(body: bytes) -> Any:
    """The JSON value that a body holds, written as JSON or YAML; an empty one holds `{}`, as KubeVirt reads it.

    What kind of value it must be is for the handler to say.

    Raises:
        BadBody: it is neither, or uses what options never need (aliases, deep nesting).
    """
    if not body.strip():
        return {}
    try:
        value = _from_json(body)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadBody(_first_line(error)) from None
    if not _is_json(value, levels=_DEEPEST):
        raise BadBody(f"nested deeper than {_DEEPEST} levels, or with values that JSON does not have")
    return value


def _from_json(body: bytes) -> Any:
    def refuse(text: str) -> Any:
        raise ValueError(f"{text} is not JSON")

    try:
        return json.loads(body, parse_constant=refuse)
    except UnicodeDecodeError:
        raise ValueError("the text is not UTF-8") from None
    except json.JSONDecodeError:
        # YAML in flow style begins with a brace, too.
        return _from_yaml(body)


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a few hundred bytes with them may stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def _from_yaml(body: bytes) -> Any:
    if len(body) > _LONGEST_YAML:
        raise ValueError(f"not JSON, and as YAML longer than {_LONGEST_YAML} bytes")
    return yaml.load(body, Loader=_Loader)


def _is_json(value: Any, *, levels: int) -> bool:
    """YAML has more: dates, sets, keys that are not strings, numbers that are none."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str | int | None):
        return True
    if levels == 0 or not isinstance(value, dict | list):
        return False
    if isinstance(value, list):
        return all(_is_json(item, levels=levels - 1) for item in value)
    return all(isinstance(key, str) and _is_json(item, levels=levels - 1) for key, item in value.items())


def _first_line(error: Exception) -> str:
    """Of YAML's errors the rest quotes the text."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return f"neither JSON nor YAML: {error.problem}{where}"
    return str(error).partition("\n")[0]
