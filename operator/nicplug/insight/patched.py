"""Applies a planner's JSON patch to an object in memory, to see its consequences. Sends nothing."""

import copy
from collections.abc import Sequence
from typing import Any

from nicplug.plan.actions import JsonPatch


def patched(raw: dict[str, Any], patch: JsonPatch) -> dict[str, Any]:
    """Return the object after the operations `add` and `remove`; `test` holds, as the object was just read.

    Source: RFC 6902; planners write nothing else (`plan.actions.json_patch`).
    """
    result = copy.deepcopy(raw)
    for operation in patch:
        if operation["op"] == "test":
            continue
        *path, last = (part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])
        parent = _descend(result, path)
        if isinstance(parent, list):
            parent.append(copy.deepcopy(operation["value"]))  # at "-", the end: planners write to no other place in one
        elif operation["op"] == "remove":
            parent.pop(last, None)
        else:
            parent[last] = copy.deepcopy(operation["value"])
    return result


def _descend(value: Any, path: Sequence[str]) -> Any:
    for member in path:
        value = value.setdefault(member, {})
    return value
