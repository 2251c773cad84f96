"""The members of `metadata` that every record needs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.elided import STORED_BYTES, may_have_elided
from nicplug.model.times import parse_time

_QUOTED_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerReference:
    """The ownerReference with `controller: true`: who may act on the object."""

    api_version: str
    kind: str
    name: str
    uid: str

    def to_row(self) -> dict[str, Any]:
        """Return the entry of `metadata.ownerReferences`."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is an object, otherwise an empty one: user-written trees may hold null or text anywhere."""
    if type(value) is dict:  # nearly always, and several times faster than testing for an abstract class
        return value
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> list[Any]:
    """Return `value` if it is a list, otherwise an empty one."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in `value` if it is a list, otherwise none: any client may write the rows of a status."""
    return [item for item in sequence(value) if type(item) is dict or isinstance(item, Mapping)]


def are_equal_sets(one: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]]) -> bool:
    """Report whether the lists have equal objects, in any order."""

    def key(item: Mapping[str, Any]) -> str:
        return repr(sorted(item.items(), key=lambda member: member[0]))

    return sorted(map(key, one)) == sorted(map(key, other))


def text(value: Any) -> str:
    """Return `value` if it is a string, otherwise an empty one."""
    return value if isinstance(value, str) else ""


def json_in(value: str | None) -> Any:
    """Return the JSON value in a text that any client may write; None if there is none, or it cannot be read."""
    try:
        return json.loads(value) if value else None
    except (ValueError, RecursionError):
        return None


def well_formed(value: str) -> str:
    """Return `value` without unpaired surrogates, which JSON in an annotation can escape and UTF-8 cannot encode.

    The API server replaces them, so a text written with one never equals the stored one.
    """
    return value.encode(errors="replace").decode()


def quoted(value: Any) -> str:
    """Return a value that a user wrote, for a sentence: in quotes, on one line and not too long."""
    shown = value if isinstance(value, str) else repr(value)
    cut = "".join(char if char.isprintable() else " " for char in well_formed(shown[: _QUOTED_CHARACTERS + 1]))
    return f'"{cut}"' if len(cut) <= _QUOTED_CHARACTERS else f'"{cut[:_QUOTED_CHARACTERS]}..."'


def stored_bytes(raw: Mapping[str, Any]) -> int:
    """Return the size of an object in the API, as recorded when it was read; 0 unless it is large."""
    size = raw.get(STORED_BYTES)
    return size if isinstance(size, int) else 0


def resource_version(metadata: Mapping[str, Any]) -> int:
    """Return the resourceVersion as a number; 0 if it is missing or opaque.

    Kubernetes 1.35 made comparing resourceVersions as integers part of its API contract.
    """
    version = text(metadata.get("resourceVersion"))
    return int(version) if version.isdecimal() else 0


def has_same_spec(raw: Mapping[str, Any], *, uid: str, generation_: int, bytes_: int, texts: Iterable[str]) -> bool:
    """Report whether the object has the spec of a record: the API server counts every change of a spec.

    A change of the status can change which parts of a large object are elided; such a spec is parsed again.

    Args:
        uid, generation_, bytes_, texts: those of the record; the texts are its spec.
    """
    metadata = mapping(raw.get("metadata"))
    is_small = not stored_bytes(raw) and not bytes_ and not any(map(may_have_elided, texts))
    return is_small and 0 < generation(metadata) == generation_ and text(metadata.get("uid")) == uid


def generation(metadata: Mapping[str, Any]) -> int:
    """Return how often the spec has changed; 0 if missing."""
    value = metadata.get("generation")
    return value if isinstance(value, int) else 0


def controller_reference(metadata: Mapping[str, Any]) -> ControllerReference | None:
    """Return the controlling owner, if there is one."""
    for owner in sequence(metadata.get("ownerReferences")):
        if mapping(owner).get("controller") is True:
            return ControllerReference(
                api_version=text(owner.get("apiVersion")),
                kind=text(owner.get("kind")),
                name=text(owner.get("name")),
                uid=text(owner.get("uid")),
            )
    return None


def creation_time(metadata: Mapping[str, Any]) -> datetime | None:
    """Return when the API server created the object."""
    return parse_time(metadata.get("creationTimestamp"))


def is_deleting(metadata: Mapping[str, Any]) -> bool:
    """Report whether the object has a deletionTimestamp."""
    return bool(metadata.get("deletionTimestamp"))


def finalizers(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the finalizers, in order."""
    return tuple(item for item in sequence(metadata.get("finalizers")) if isinstance(item, str))
