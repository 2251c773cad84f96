"""The members of `metadata` that every record needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

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
        """As it stands in `metadata.ownerReferences`."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` when it is an object, else an empty one: user-written trees may hold null or text anywhere."""
    if type(value) is dict:  # nearly always, and several times faster than to ask an abstract class
        return value
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> list[Any]:
    """`value` when it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in `value` when it is a list, else none: rows of a status, which anybody may have written."""
    return [item for item in sequence(value) if type(item) is dict or isinstance(item, Mapping)]


def text(value: Any) -> str:
    """`value` when it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def well_formed(value: str) -> str:
    """`value` without halves of surrogate pairs, which JSON inside of an annotation can escape and UTF-8 cannot hold.

    The API server stores something else in their place, and a text that was written with one never equals its like.
    """
    return value.encode(errors="replace").decode()


def quoted(value: Any) -> str:
    """A value that a user wrote, for a sentence: in quotes, on one line and not too long."""
    shown = value if isinstance(value, str) else repr(value)
    cut = "".join(char if char.isprintable() else " " for char in well_formed(shown[: _QUOTED_CHARACTERS + 1]))
    return f'"{cut}"' if len(cut) <= _QUOTED_CHARACTERS else f'"{cut[:_QUOTED_CHARACTERS]}..."'


def stored_bytes(raw: Mapping[str, Any]) -> int:
    """The size of an object in the API, as it was noted when it was read; 0 where it is not large."""
    size = raw.get(STORED_BYTES)
    return size if isinstance(size, int) else 0


def resource_version(metadata: Mapping[str, Any]) -> int:
    """The resourceVersion as a number; 0 when missing or opaque.

    Kubernetes 1.35 made comparing resourceVersions as integers part of its API contract.
    """
    version = text(metadata.get("resourceVersion"))
    return int(version) if version.isdecimal() else 0


class Versioned(Protocol):
    """A record of an object whose API counts the changes of its spec."""

    @property
    def uid(self) -> str:
        """Which object of that name."""
        ...

    @property
    def generation(self) -> int:
        """How often its spec has changed."""
        ...

    @property
    def stored_bytes(self) -> int:
        """Its size in the API, where that is large; else 0."""
        ...


def has_same_spec(raw: Mapping[str, Any], known: Versioned, *, texts: Iterable[str]) -> bool:
    """The object has the spec of that record: the API server counts every change of a spec.

    Which parts of a large object have marks in their place may change with its status: such a spec is read anew.

    Args:
        texts: the spec of the record.
    """
    metadata = mapping(raw.get("metadata"))
    is_small = not stored_bytes(raw) and not known.stored_bytes and not any(map(may_have_elided, texts))
    return is_small and 0 < generation(metadata) == known.generation and text(metadata.get("uid")) == known.uid


def generation(metadata: Mapping[str, Any]) -> int:
    """How often the spec has changed; 0 when missing."""
    value = metadata.get("generation")
    return value if isinstance(value, int) else 0


def controller_reference(metadata: Mapping[str, Any]) -> ControllerReference | None:
    """The controlling owner, if there is one."""
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
    """When the API server created the object."""
    return parse_time(metadata.get("creationTimestamp"))


def is_deleting(metadata: Mapping[str, Any]) -> bool:
    """The object has a deletionTimestamp."""
    return bool(metadata.get("deletionTimestamp"))


def finalizers(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The finalizers, in order."""
    return tuple(item for item in sequence(metadata.get("finalizers")) if isinstance(item, str))
