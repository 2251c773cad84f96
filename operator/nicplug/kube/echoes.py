"""Watch lines that only echo what is known: most of an operator's are answers to its own writes, which it has already.

Kopf parses each line, starts a task for its object and asks every handler; of an echo nobody learns anything. Kopf gets
a bookmark in its place, which says how far the watch has come, and no more.
"""

from dataclasses import dataclass
from typing import Protocol

import msgspec

from nicplug.kube.resources import (
    CONTROLLER_REVISIONS,
    KUBEVIRTS,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)

# What the operator keeps, as `cache.caches.CachedKind`.
KINDS = {
    resource.plural: resource.kind
    for resource in (
        VIRTUAL_MACHINES,
        VIRTUAL_MACHINE_INSTANCES,
        VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
        PODS,
        CONTROLLER_REVISIONS,
        KUBEVIRTS,
    )
}
_CHANGES = frozenset({"ADDED", "MODIFIED"})


class _Metadata(msgspec.Struct):
    uid: str = ""
    version: str = msgspec.field(default="", name="resourceVersion")


class _Object(msgspec.Struct):
    metadata: _Metadata


class _Line(msgspec.Struct):
    type: str
    object: _Object


_HEAD = msgspec.json.Decoder(_Line)


class IsKnown(Protocol):
    """The caches."""

    def __call__(self, kind: str, /, *, uid: str, version: int) -> bool:
        """Whether that version of the object of that kind and uid, or a newer one, is known."""
        ...


@dataclass(slots=True)
class Echoes:
    """Finds the lines that bring no news.

    Attributes:
        is_known: says what is known; None as long as nobody keeps anything.
    """

    is_known: IsKnown | None = None

    def bookmark_for(self, line: bytes, *, resource: str) -> bytes | None:
        """The bookmark that stands for a line without news; None for every other line.

        Args:
            resource: the plural of the collection that is watched.
        """
        kind = KINDS.get(resource)
        if kind is None or self.is_known is None:
            return None
        try:
            head = _HEAD.decode(line)
        except (msgspec.DecodeError, RecursionError):
            return None  # the parser of the whole line says what is wrong with it
        metadata = head.object.metadata
        if head.type not in _CHANGES or not metadata.version.isdecimal():
            return None
        if not self.is_known(kind, uid=metadata.uid, version=int(metadata.version)):
            return None
        return b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%b"}}}' % metadata.version.encode()
