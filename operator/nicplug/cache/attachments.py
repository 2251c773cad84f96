"""Cache of the cluster's network attachment definitions, filled by an optional watch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.attachments import (
    AttachmentDefinition,
    Knowledge,
    KnownAttachments,
    parse_attachment_definition,
)
from nicplug.model.keys import AttachmentKey
from nicplug.model.nad_policy import AttachmentAccess

_OWN_NAMESPACE = AttachmentAccess()


def ignore_change(_keys: Iterable[AttachmentKey] | None) -> None:
    """Ignore the change: the default `on_change`."""


@dataclass(slots=True)
class Attachments:
    """All NADs by key; a `Sink` of `OptionalWatch`.

    Attributes:
        on_change: called with the NADs that were added, deleted or changed; None for all.
    """

    clock: Callable[[], datetime]
    on_change: Callable[[Iterable[AttachmentKey] | None], None] = ignore_change
    _knowledge: Knowledge = Knowledge.UNKNOWN
    _definitions: dict[AttachmentKey, AttachmentDefinition] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._definitions)

    def known(self, keys: Iterable[AttachmentKey], *, access: AttachmentAccess = _OWN_NAMESPACE) -> KnownAttachments:
        """Return what is known about these NADs.

        Args:
            access: the rules by which the caller chose them.
        """
        found = {key: self._definitions[key] for key in keys if key in self._definitions}
        return KnownAttachments(knowledge=self._knowledge, definitions=found, access=access)

    def project(self, item: Mapping[str, Any]) -> AttachmentDefinition:
        """Parse a NAD from a LIST."""
        is_first = self._knowledge is Knowledge.UNKNOWN
        return parse_attachment_definition(item, changed_at=None if is_first else self.clock())

    def replace(self, items: Iterable[AttachmentDefinition]) -> None:
        """Replace all NADs after a LIST."""
        before = self._definitions
        self._definitions = {item.key: _as_before(item, before.get(item.key)) for item in items}
        was, self._knowledge = self._knowledge, Knowledge.COMPLETE
        if was is not Knowledge.COMPLETE:
            self.on_change(None)
            return
        keys = before.keys() | self._definitions.keys()
        self._notify([key for key in keys if before.get(key) != self._definitions.get(key)])

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event."""
        fresh = parse_attachment_definition(item, changed_at=self.clock())
        before = self._definitions.get(fresh.key)
        if type_ == "DELETED":
            # Not the DELETED event of a NAD whose name another has taken since.
            if before is not None and before.resource_version <= fresh.resource_version:
                del self._definitions[fresh.key]
                self._notify([fresh.key])
            return
        self._definitions[fresh.key] = _as_before(fresh, before)
        self._notify([fresh.key] if before != self._definitions[fresh.key] else [])

    def lose(self, absence: Absence) -> None:
        """Discard all NADs: the CRD is not installed, or permission to read NADs is missing."""
        was = self._knowledge
        self._knowledge = Knowledge.NOT_INSTALLED if absence is Absence.NOT_SERVED else Knowledge.UNKNOWN
        self._definitions = {}
        if was is not self._knowledge:
            self.on_change(None)

    def _notify(self, keys: list[AttachmentKey]) -> None:
        if keys:
            self.on_change(keys)


def _as_before(fresh: AttachmentDefinition, before: AttachmentDefinition | None) -> AttachmentDefinition:
    """Keep the previous timestamp if nothing relevant has changed."""
    matters = (fresh.uid, fresh.digest, fresh.device)
    if before is None or (before.uid, before.digest, before.device) != matters:
        return fresh
    return replace(fresh, changed_at=before.changed_at)
