"""The body of a request: accepted content types, size limits, and decoding.

`kubectl replace --raw` sends a chunked body, virtctl one without Content-Type; both are accepted, as in KubeVirt.
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
# The parser takes a second per 200 KB, during which no other request is served.
_LONGEST_YAML = 64 * 1024


class BadBody(ValueError):
    """The body is neither JSON nor YAML; the text says why in one line."""


def refuse_type(*, content_type: str, content_encoding: str) -> Status | None:
    """Return why a body of this type is rejected, or None. Without a Content-Type, the content decides."""
    essence = content_type.partition(";")[0].strip().lower()
    if essence and essence not in _TYPES:
        return statuses.unsupported_media_type(_ADVERTISED)
    # A compressed body may expand to a thousand times its size.
    if content_encoding.strip().lower() not in ("", "identity"):
        return statuses.unsupported_media_type(_ADVERTISED)
    return None


@dataclass(slots=True)
class BodyBudget:
    """Limits the memory that all bodies use together."""

    limit: int
    held: int = 0

    def fits(self, size: int) -> bool:
        """Report whether a body of this size fits."""
        return self.held + size <= self.limit


async def read(chunks: AsyncIterator[bytes], *, limit: int, budget: BodyBudget) -> bytes | Status:
    """Read a body; rejects more than `limit` bytes, and anything that does not fit into the budget.

    The size stays counted in `budget.held` until the caller subtracts the length of the result.
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
    """Return the JSON value of a body in JSON or YAML; an empty body is `{}`, as in KubeVirt.

    The handler decides which kind of value it accepts.

    Raises:
        BadBody: the body is neither, or uses what options never need (aliases, deep nesting).
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
        # YAML in flow style begins with a brace too.
        return _from_yaml(body)


class _Loader(yaml.SafeLoader):
    """YAML without aliases: with them, a few hundred bytes may expand to gigabytes."""

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
    """Report whether YAML produced a JSON value: no dates, sets, non-string keys, NaN or infinity."""
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
    """Return the first line of an error: the other lines of YAML's errors quote the text."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return f"neither JSON nor YAML: {error.problem}{where}"
    return str(error).partition("\n")[0]
