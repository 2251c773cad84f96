"""The parts of a guarded JSON patch (RFC 6902): what is tested, what is put there."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicplug.elided import has_elided

JsonPatch = Sequence[Mapping[str, Any]]


def escape_pointer(member: str) -> str:
    """A JSON pointer segment (RFC 6901)."""
    return member.replace("~", "~0").replace("/", "~1")


def test(path: str, value: Any) -> Mapping[str, Any]:
    """The member is what we saw; null for a missing one."""
    return {"op": "test", "path": path, "value": value}


def add(path: str, value: Any) -> Mapping[str, Any]:
    """Set the member, whether it is there or not."""
    return {"op": "add", "path": path, "value": value}


def guard(path: str, seen: Any, *, version: int | None) -> Mapping[str, Any]:
    """The `test` that the member is what we saw.

    A null inside of a list crashes the JSON patch library of kube-apiserver when it is compared: no answer comes, and
    none ever would (tests/conformance/test_patches.py); and of what is elided nothing but a digest is known. Then the
    version of the whole object stands in for it.

    Args:
        version: resourceVersion of the object in which `seen` was seen; None for a text, whose elided part is filled
            in again before it is sent.
    """
    is_testable = version is None or not (_has_null_in_list(seen) or has_elided(seen))
    return test(path, seen) if is_testable else test("/metadata/resourceVersion", str(version))


def _has_null_in_list(value: Any) -> bool:
    if isinstance(value, list):
        return any(item is None or _has_null_in_list(item) for item in value)
    return isinstance(value, dict) and any(map(_has_null_in_list, value.values()))


def replace_members(root: str, *, seen: Mapping[str, Any], wanted: Mapping[str, Any], version: int | None) -> JsonPatch:
    """Guard each member, and set it unless it is so already; null removes it."""
    operations = []
    for member, value in wanted.items():
        path = f"{root}/{escape_pointer(member)}"
        operations.append(guard(path, seen[member], version=version))
        if value != seen[member]:
            operations.append({"op": "remove", "path": path} if value is None else add(path, value))
    return operations


def annotate(name: str, wanted: str | None, *, seen: str | None, has_annotations: bool) -> JsonPatch:
    """Set an annotation that is what we saw; `test` with null passes only while it is missing. None removes one."""
    if not has_annotations:
        path = "/metadata/annotations"
        return [test(path, None), add(path, {name: wanted})]
    path = f"/metadata/annotations/{escape_pointer(name)}"
    return [test(path, seen), {"op": "remove", "path": path} if wanted is None else add(path, wanted)]
