"""Diverts watch lines from Kopf: changes of cached objects, and echoes of nicplug's own writes.

Kopf parses each line, starts a task for its object and calls every handler. Most lines that an operator receives are
echoes of its own writes and carry nothing new; a change goes straight to the caches. Kopf gets a bookmark instead, as
the API server sends them, so that it knows how far the watch has come. Deletions, and all other lines, still go through
Kopf.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from nicplug.kube.resources import (
    CONTROLLER_REVISIONS,
    INTERFACE_REPORTS,
    KUBEVIRTS,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)

Json = dict[str, Any]

# The kinds that the operator caches, as `cache.kinds.CachedKind`.
KINDS = {
    resource.plural: resource.kind
    for resource in (
        VIRTUAL_MACHINES,
        VIRTUAL_MACHINE_INSTANCES,
        VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
        PODS,
        CONTROLLER_REVISIONS,
        INTERFACE_REPORTS,
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
    """Looks up object versions in the caches."""

    def __call__(self, kind: str, /, *, uid: str, version: int) -> bool:
        """True if this version of the object, or a newer one, is cached."""
        ...


@dataclass(slots=True)
class DirectLines:
    """Finds the watch lines that Kopf need not see.

    Attributes:
        is_known: looks up a version in the caches; None while there are no caches.
        on_change: called with the kind and the event of each change; None leaves changes to Kopf.
    """

    is_known: IsKnown | None = None
    on_change: Callable[[str, Json], None] | None = None

    def bookmark_for(self, line: bytes, *, resource: str, read: Callable[[bytes], Json]) -> bytes | None:
        """Return the bookmark that replaces a line which Kopf need not see; None for every other line.

        Args:
            resource: plural of the watched collection.
            read: parses a line into an event.
        """
        kind = KINDS.get(resource)
        if kind is None or self.is_known is None:
            return None
        try:
            head = _HEAD.decode(line)
        except (msgspec.DecodeError, RecursionError):
            return None  # the parser of the whole line reports what is wrong with it
        metadata = head.object.metadata
        if head.type not in _CHANGES or not metadata.version.isdecimal():
            return None
        if not self.is_known(kind, uid=metadata.uid, version=int(metadata.version)):
            if self.on_change is None:
                return None
            try:
                event = read(line)
            except (ValueError, RecursionError):
                return None
            self.on_change(kind, event)
        return b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%b"}}}' % metadata.version.encode()
