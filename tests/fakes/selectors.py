"""Label and field selectors, as predicates on objects."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.kinds import Json, Kind
from tests.fakes.status import bad_request

Predicate = Callable[[Json], bool]
_Requirement = Callable[[Mapping[str, str]], bool]

_SET = re.compile(r"^\s*(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)\s*$")
# Commas between requirements, not those inside `in (a,b)`.
_COMMA = re.compile(r",(?![^(]*\))")


def selector(kind: Kind, *, labels: str, fields: str) -> Predicate | None:
    """The predicate of both selectors; None when everything matches."""
    requirements = [_label_requirement(text) for text in _COMMA.split(labels) if text.strip()]
    tests = [_field_test(kind, text) for text in fields.split(",") if text.strip()]
    if not requirements and not tests:
        return None

    def matches(body: Json) -> bool:
        found = body["metadata"].get("labels") or {}
        return all(required(found) for required in requirements) and all(test(body) for test in tests)

    return matches


def _label_requirement(text: str) -> _Requirement:
    if match := _SET.match(text):
        key = match["key"]
        values = {value.strip() for value in match["values"].split(",")}
        if match["operator"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    key, operator, value = _split(text)
    match operator:
        case "!=":
            return lambda labels: labels.get(key) != value
        case "=" | "==":
            return lambda labels: labels.get(key) == value
        case _ if key.startswith("!"):
            absent = key[1:].strip()
            return lambda labels: absent not in labels
        case _:
            return lambda labels: key in labels


def _field_test(kind: Kind, text: str) -> Predicate:
    key, operator, value = _split(text)
    if key not in {"metadata.name", "metadata.namespace", *kind.field_labels}:
        raise bad_request(f"field label not supported: {key}")
    if operator == "!=":
        return lambda body: _field(body, key) != value
    return lambda body: _field(body, key) == value


def _split(text: str) -> tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        key, found, value = text.partition(operator)
        if found:
            return key.strip(), operator, value.strip()
    return text.strip(), "", ""


def _field(body: Json, path: str) -> str:
    value: Any = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
