"""The parts of a guarded JSON patch (RFC 6902): tests and replacements."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicplug.elided import has_elided

JsonPatch = Sequence[Mapping[str, Any]]


def escape_pointer(member: str) -> str:
    """Return a JSON pointer segment (RFC 6901)."""
    return member.replace("~", "~0").replace("/", "~1")


def test(path: str, value: Any) -> Mapping[str, Any]:
    """Test that the member is unchanged; null for a missing one."""
    return {"op": "test", "path": path, "value": value}


def add(path: str, value: Any) -> Mapping[str, Any]:
    """Set the member, whether it exists or not."""
    return {"op": "add", "path": path, "value": value}


def guard(path: str, seen: Any, *, version: int | None) -> Mapping[str, Any]:
    """Return the `test` that the member is unchanged.

    Comparing a null within a list crashes the JSON patch library of kube-apiserver: no response ever comes
    (tests/conformance/test_patches.py). Of an elided value only a digest is known. In both cases the test compares the
    version of the whole object instead.

    Args:
        version: resourceVersion of the object from which `seen` was read; None for a text, whose elided part is filled
            in before it is sent.
    """
    is_testable = version is None or not (_has_null_in_list(seen) or has_elided(seen))
    return test(path, seen) if is_testable else test("/metadata/resourceVersion", str(version))


def _has_null_in_list(value: Any) -> bool:
    if isinstance(value, list):
        return any(item is None or _has_null_in_list(item) for item in value)
    return isinstance(value, dict) and any(map(_has_null_in_list, value.values()))


def replace_members(root: str, *, seen: Mapping[str, Any], wanted: Mapping[str, Any], version: int | None) -> JsonPatch:
    """Guard each member, and set it if it differs; null removes it."""
    operations = []
    for member, value in wanted.items():
        path = f"{root}/{escape_pointer(member)}"
        operations.append(guard(path, seen[member], version=version))
        if value != seen[member]:
            operations.append({"op": "remove", "path": path} if value is None else add(path, value))
    return operations
