"""JSON patch and merge patch with the semantics of kube-apiserver, quirks included."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException
from tests.fakes.kinds import Json
from tests.fakes.status import bad_request, patch_not_applicable, unsupported_media_type

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

Apply = Callable[[Json, Any], Json]


class Panic(Exception):
    """kube-apiserver's library crashes on this patch: no answer comes."""


def patched(old: Json, *, content_type: str, content: bytes) -> Json:
    """Apply the patch to `old`, which the caller owns: it may be changed in place."""
    apply = _BY_TYPE.get(content_type)
    if apply is None:
        # Server-side apply and strategic merge would need field owners and Go types. Not faked.
        raise unsupported_media_type(tuple(_BY_TYPE))
    try:
        patch = json.loads(content)
    except ValueError as error:
        raise bad_request("invalid JSON patch") from error
    if content_type == JSON_PATCH and not _is_encoded_as_by_go(patch, content):
        raise patch_not_applicable()
    return apply(old, patch)


def _is_encoded_as_by_go(patch: Any, content: bytes) -> bool:
    """Whether each string of a `test` is written as kube-apiserver would write it: it compares texts, not values."""
    tests = [op.get("value") for op in patch if isinstance(op, dict) and op.get("op") == "test"]
    return all(_in_go(text) in content for value in tests for text in _strings(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _in_go(text: str) -> bytes:
    written = json.dumps(text, ensure_ascii=False)
    for mark in "<>&\u2028\u2029":
        written = written.replace(mark, f"\\u{ord(mark):04x}")
    return written.encode()


def _json_patch(old: Json, patch: Any) -> Json:
    if not isinstance(patch, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document: Any = old
    try:
        for operation in patch:
            _crash_on_null_in_list(document, operation)
            if not _is_lenient(document, operation):
                document = jsonpatch.JsonPatch([operation]).apply(document, in_place=True)
    except (jsonpatch.JsonPatchException, JsonPointerException, KeyError, TypeError) as error:
        raise patch_not_applicable() from error
    if not isinstance(document, dict):
        raise patch_not_applicable()
    return document


def _crash_on_null_in_list(document: Json, operation: Json) -> None:
    value = operation.get("value")
    if operation.get("op") != "test" or not _has_null_in_list(value):
        return
    if JsonPointer(operation["path"]).resolve(document, None) == value:
        raise Panic


def _has_null_in_list(value: Any) -> bool:
    if isinstance(value, list):
        return None in value or any(map(_has_null_in_list, value))
    return isinstance(value, dict) and any(map(_has_null_in_list, value.values()))


def _is_lenient(document: Json, operation: Json) -> bool:
    """Do what kube-apiserver does and RFC 6902 forbids: its library does not tell missing from null.

    On a key that is missing in an object that exists, a `test` for null passes and `replace` adds.
    """
    op = operation.get("op")
    if op != "replace" and not (op == "test" and operation.get("value") is None):
        return False
    around, key = JsonPointer(operation["path"]).to_last(document)
    if not isinstance(around, dict) or key in around:
        return False
    if op == "replace":
        around[key] = operation["value"]
    return True


def _merge_patch(old: Json, patch: Any) -> Json:
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a merge patch must be an object")
    return _merged(old, patch)


def _merged(old: Any, patch: Json) -> Json:
    merged: Json = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merged(merged.get(key), value)
        else:
            merged[key] = value
    return merged


_BY_TYPE: dict[str, Apply] = {JSON_PATCH: _json_patch, MERGE_PATCH: _merge_patch}
