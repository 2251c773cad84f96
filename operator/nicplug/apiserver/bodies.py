"""The body of a request: which kinds are taken, how much of it, and what it says.

`kubectl replace --raw` sends it chunked, virtctl without Content-Type; both are taken, as KubeVirt takes them.
"""

import json
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
    """The body cannot be read as an object; the text says why, without quoting it."""


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


def decode(body: bytes) -> dict[str, Any]:
    """What a body says, JSON or YAML; an empty one says nothing, as KubeVirt reads it.

    Raises:
        BadBody: it is neither, is no object, or uses what options never need (aliases, deep nesting).
    """
    if not body.strip():
        return {}
    try:
        value = _from_json(body) if body.lstrip()[:1] == b"{" else _from_yaml(body)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadBody(_first_line(error)) from None
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BadBody(f"an object is expected, not {_kind_of(value)}")
    if _is_deeper(value, _DEEPEST):
        raise BadBody(f"nested deeper than {_DEEPEST} levels")
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


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(item, levels - 1) for item in inner)


def _kind_of(value: Any) -> str:
    match value:
        case dict():
            return "one whose keys are not strings"
        case list():
            return "a list"
        case str():
            return "a string"
        case _:
            return "a number or a truth value"


def _first_line(error: Exception) -> str:
    """Of YAML's errors the rest quotes the text."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return f"neither JSON nor YAML: {error.problem}{where}"
    return str(error).partition("\n")[0]
