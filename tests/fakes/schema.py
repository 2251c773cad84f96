"""Structural schemas of CRDs: prune what is unknown, fill in defaults, tell what is invalid.

Stricter than the API server with the rows of a status, which the CRDs do not type: status-rows.yaml has what nicplug
means to write.
Knows the keywords that nicplug's CRDs use, but of CEL only that it exists: whatever a rule refuses is tested with
the real API server. An unknown keyword is an error here rather than a silent pass.
"""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from tests.fakes.kinds import KINDS, Json, Kind

from nicplug_sandbox.yaml_documents import read_documents

_ROWS = Path(__file__).resolve().parents[1] / "golden" / "status-rows.yaml"

Schema = Mapping[str, Any]
Cause = dict[str, str]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_CHECKED = {"type", "nullable", "required", "enum", "minimum", "maxItems", "maxLength", "pattern", "default"}
_INNER = {"properties", "additionalProperties", "items"}
_EXTENSIONS = {
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
}
_IGNORED = {"description", "format", "title", "example", "anyOf"}


@cache
def kinds_with_schemas(directory: Path) -> tuple[Kind, ...]:
    """The kinds of the fake, those with a CRD in `directory` validated and pruned by it."""
    schemas: dict[str, Schema] = {}
    for path in sorted(directory.glob("*.yaml")):
        for document in read_documents(path.read_text()):
            if document.get("kind") == "CustomResourceDefinition":
                plural = document["spec"]["names"]["plural"]
                schemas[plural] = with_typed_rows(document["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    return tuple(_with_schema(kind, schemas[kind.plural]) if kind.plural in schemas else kind for kind in KINDS)


def with_typed_rows(schema: Schema) -> Schema:
    """The schema with the lists of its status typed, where it leaves them untyped."""
    typed = copy.deepcopy(dict(schema))
    members = typed["properties"].get("status", {}).get("properties", {})
    (rows,) = read_documents(_ROWS.read_text())
    members |= {name: rows[name] for name, member in members.items() if name in rows and "type" not in member}
    return typed


def _with_schema(kind: Kind, schema: Schema) -> Kind:
    _refuse_unknown_keywords(schema, kind.plural)
    return replace(
        kind, validate=lambda body: list(_causes(body, schema, "")), prune=lambda body: _prune_root(body, schema)
    )


def _refuse_unknown_keywords(schema: Schema, where: str) -> None:
    if unknown := set(schema) - _CHECKED - _INNER - _EXTENSIONS - _IGNORED:
        raise NotImplementedError(f"the fake does not know {sorted(unknown)} in the schema of {where}")
    for name, inner in schema.get("properties", {}).items():
        _refuse_unknown_keywords(inner, f"{where}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            _refuse_unknown_keywords(schema[keyword], f"{where}.{keyword}")


def _prune_root(body: Json, schema: Schema) -> None:
    """Metadata, kind and apiVersion are not the schema's business."""
    kept = {key: body.pop(key) for key in ("apiVersion", "kind", "metadata") if key in body}
    _prune(body, schema)
    rest = dict(body)
    body.clear()
    body.update(kept | rest)


def _prune(value: Any, schema: Schema) -> None:
    if isinstance(value, list):
        for item in value:
            _prune(item, schema.get("items", {}))
        return
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    additional = schema.get("additionalProperties")
    for key in list(value):
        if key in properties:
            _prune(value[key], properties[key])
        elif isinstance(additional, dict):
            _prune(value[key], additional)
        elif not additional and not schema.get("x-kubernetes-preserve-unknown-fields"):
            del value[key]
    for key, inner in properties.items():
        if "default" in inner and key not in value:
            value[key] = copy.deepcopy(inner["default"])


def _causes(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if value is None and schema.get("nullable"):
        return
    if (wrong := _wrong_type(value, schema)) is not None:
        message = f'Invalid value: "{wrong}": {path} in body must be of type {schema["type"]}: "{wrong}"'
        yield {"reason": "FieldValueTypeInvalid", "message": message, "field": path}
        return
    if "enum" in schema and value not in schema["enum"]:
        message = f'Unsupported value: "{value}": supported values: {schema["enum"]}'
        yield {"reason": "FieldValueNotSupported", "message": message, "field": path}
    if "minimum" in schema and value < schema["minimum"]:
        message = f"Invalid value: {value}: {path} in body should be greater than or equal to {schema['minimum']}"
        yield {"reason": "FieldValueInvalid", "message": message, "field": path}
    if isinstance(value, str) and len(value) > (most := schema.get("maxLength", len(value))):
        yield {"reason": "FieldValueTooLong", "message": f"Too long: may not be more than {most} bytes", "field": path}
    if isinstance(value, str) and re.search(pattern := schema.get("pattern", ""), value) is None:
        message = f"Invalid value: \"{value}\": {path} in body should match '{pattern}'"
        yield {"reason": "FieldValueInvalid", "message": message, "field": path}
    if isinstance(value, dict):
        yield from _causes_of_object(value, schema, path)
    if isinstance(value, list):
        yield from _causes_of_list(value, schema, path)


def _causes_of_object(value: Json, schema: Schema, path: str) -> Iterator[Cause]:
    for key in schema.get("required", ()):
        if key not in value:
            yield {"reason": "FieldValueRequired", "message": "Required value", "field": _joined(path, key)}
    properties, additional = schema.get("properties", {}), schema.get("additionalProperties")
    for key, item in value.items():
        inner = properties.get(key) or (additional if isinstance(additional, dict) else None)
        if inner and (path or key != "metadata"):
            yield from _causes(item, inner, _joined(path, key))


def _causes_of_list(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    if len(value) > (most := schema.get("maxItems", len(value))):
        message = f"Too many: {len(value)}: must have at most {most} items"
        yield {"reason": "FieldValueTooMany", "message": message, "field": path}
    seen: list[Any] = []
    keys, is_set = schema.get("x-kubernetes-list-map-keys", ()), schema.get("x-kubernetes-list-type") == "set"
    for index, item in enumerate(value):
        yield from _causes(item, schema.get("items", {}), f"{path}[{index}]")
        if is_set or (keys and isinstance(item, dict)):
            identity = item if is_set else {key: item.get(key) for key in keys}
            if identity in seen:
                message = f"Duplicate value: {identity}"
                yield {"reason": "FieldValueDuplicate", "message": message, "field": f"{path}[{index}]"}
            seen.append(identity)


def _wrong_type(value: Any, schema: Schema) -> str | None:
    """The name of the type that was found where another is wanted."""
    wanted = schema.get("type")
    if wanted is None or _TYPES[wanted](value):
        return None
    return "null" if value is None else next(name for name, fits in _TYPES.items() if fits(value))


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
