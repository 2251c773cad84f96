"""Watch lines that do not go through Kopf: changes of what nicplug keeps, and echoes of its own writes.

Kopf parses each line, starts a task for its object and asks every handler. Of an echo nobody learns anything, and most
lines of an operator are answers to its own writes; a change goes straight to whoever keeps the objects. Kopf gets a
bookmark in its place, as the API server sends them itself: how far the watch has come. It keeps the deletions, and
every line that is anything else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from nicplug.kube.resources import (
    CONTROLLER_REVISIONS,
    KUBEVIRTS,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)

Json = dict[str, Any]

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
class DirectLines:
    """Finds the lines that Kopf need not see.

    Attributes:
        is_known: says what is known; None as long as nobody keeps anything.
        hear: called with the kind of what has changed, and the event; None leaves changes to Kopf.
    """

    is_known: IsKnown | None = None
    hear: Callable[[str, Json], None] | None = None

    def bookmark_for(self, line: bytes, *, resource: str, read: Callable[[bytes], Json]) -> bytes | None:
        """The bookmark that stands for a line which Kopf need not see; None for every other line.

        Args:
            resource: the plural of the collection that is watched.
            read: makes an event of a line.
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
            if self.hear is None:
                return None
            try:
                event = read(line)
            except (ValueError, RecursionError):
                return None
            self.hear(kind, event)
        return b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%b"}}}' % metadata.version.encode()
