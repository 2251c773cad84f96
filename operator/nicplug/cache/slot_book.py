"""This process's view of the migration slots: the ledger as last read or written, and who requests a slot."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from nicplug.cache.store import Store
from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.metadata import mapping
from nicplug.model.migration import Migration
from nicplug.model.migration_configuration import CLUSTER_LIMIT, OUTBOUND_LIMIT
from nicplug.model.slot_ledger import (
    FRESH_SECONDS,
    RETURN_SECONDS,
    Contender,
    MigrationSlot,
    SlotEntry,
    is_as_written,
    parse_entries,
)
from nicplug.model.vmi import VirtualMachineInstance

_NONE = MigrationSlot()
_RETURN = timedelta(seconds=RETURN_SECONDS)


@dataclass(slots=True)
class SlotBook:
    """One process's view of the ledger; a slot counts only as it was last read or written.

    Attributes:
        is_read: the ledger has been read since this process became leader, and no other write since is known.
        ledger: the ConfigMap; None if it does not exist.
        entries: the entries of the ledger; if it was lost or edited, also those that this process remembers.
        confirmed_at: when the ledger was last read or written; None before the first time.
        returning: since when this process has known that a slot is being returned, by uid.
        lingering: VMIs whose migration has ended, but whose node agents have not been notified yet.
    """

    is_read: bool = False
    ledger: Mapping[str, Any] | None = None
    entries: dict[str, SlotEntry] = field(default_factory=dict)
    confirmed_at: datetime | None = None
    returning: dict[str, datetime] = field(default_factory=dict)
    lingering: frozenset[VmiKey] = frozenset()
    _contenders: dict[MigrationKey, Contender] = field(default_factory=dict)
    _slots: dict[str, MigrationSlot] = field(default_factory=dict)

    def take(self, ledger: Mapping[str, Any] | None, *, now: datetime) -> None:
        """Set the current ledger, from a read or from the answer to a write."""
        data = mapping(mapping(ledger).get("data"))
        is_whole = ledger is not None and is_as_written(data)
        # If the ledger is not as nicplug wrote it, this process's memory fills in the missing entries.
        self.entries = {**({} if is_whole else self.entries), **parse_entries(data)}
        self.ledger, self.is_read, self.confirmed_at = ledger, True, now
        back = (uid for uid, entry in self.entries.items() if entry.is_returning)
        self.returning = {uid: self.returning.get(uid, now) for uid in back}

    def begin(self) -> None:
        """Reset everything when this process becomes leader: what it knows may be outdated."""
        self.is_read, self.ledger, self.lingering = False, None, frozenset()
        self.entries, self.returning, self._contenders, self._slots = {}, {}, {}, {}

    def doubt(self) -> None:
        """Require a new read before anything is granted: another process may have written the ledger."""
        self.is_read = False

    def is_fresh(self, *, now: datetime) -> bool:
        """True if the ledger was confirmed recently enough for its slots to be used."""
        return self.confirmed_at is not None and (now - self.confirmed_at).total_seconds() < FRESH_SECONDS

    def slot_of(self, uid: str, *, now: datetime) -> MigrationSlot:
        """Return the slot of a migration as last decided; granted only if a recently confirmed ledger says so."""
        slot, entry = self._slots.get(uid, _NONE), self.entries.get(uid)
        if entry is not None and entry.is_returning:
            entry = None  # its place on the target node is not valid either: another migration may have it by now
        return MigrationSlot(
            is_granted=entry is not None and self.is_fresh(now=now),
            inbound_node=entry.target_node if entry is not None else "",
            reason=slot.reason,
            message=slot.message,
        )

    def returned(self, *, now: datetime) -> frozenset[str]:
        """Return the uids of the slots that have been returning for long enough to be reused."""
        return frozenset(uid for uid, since in self.returning.items() if now >= since + _RETURN)

    def returned_at(self) -> datetime | None:
        """Return when the next returning slot can be reused; None if there is none."""
        return min((since + _RETURN for since in self.returning.values()), default=None)

    def publish(self, slots: Mapping[str, MigrationSlot]) -> set[str]:
        """Store the decided slots; returns the uids whose slot has changed."""
        changed = {uid for uid, slot in slots.items() if self._slots.get(uid) != slot}
        self._slots = dict(slots)
        return changed

    def note(self, contender: Contender) -> bool:
        """Store a migration's request for a slot; returns True if it has changed."""
        is_news = self._contenders.get(contender.key) != contender
        self._contenders[contender.key] = contender
        return is_news

    def drop(self, key: MigrationKey) -> bool:
        """Remove a migration that has ended or was deleted; returns True if other migrations may be affected."""
        known = self._contenders.pop(key, None)
        is_in_ledger = any(entry.migration == key for entry in self.entries.values())
        return known is not None or is_in_ledger

    def contender(self, key: MigrationKey, uid: str) -> Contender | None:
        """Return the request of this migration (same uid); None before its first pass."""
        known = self._contenders.get(key)
        return known if known is not None and known.uid == uid else None

    def contenders(self) -> tuple[Contender, ...]:
        """Return all requests."""
        return tuple(self._contenders.values())

    def keys_of(self, uids: Collection[str]) -> list[MigrationKey]:
        """Return the keys of the contenders with these uids."""
        return [item.key for item in self._contenders.values() if item.uid in uids]

    def taken(self, limit: str) -> int:
        """Return how much of a limit is used; for a limit per node, on the busiest node."""
        if limit == CLUSTER_LIMIT:
            return len(self.entries)
        nodes = (item.source_node if limit == OUTBOUND_LIMIT else item.target_node for item in self.entries.values())
        return max(Counter(filter(None, nodes)).values(), default=0)


class SlotFate(Enum):
    """The state of a migration that has a slot."""

    GOES_ON = "goes on"
    ENDED = "ended"
    LINGERS = "lingers"
    """It has ended, but the node agents have not been notified yet."""
    UNKNOWN = "unknown"


def fate_of(entry: SlotEntry, *, migrations: Store[Migration], vmis: Store[VirtualMachineInstance]) -> SlotFate:
    """Return the state according to the caches alone; UNKNOWN if they have never seen the migration."""
    migration = migrations.get(entry.migration)
    if migration is None or migration.uid != entry.uid:
        return SlotFate.ENDED if migrations.knows(entry.uid) else SlotFate.UNKNOWN
    if not migration.is_final:
        return SlotFate.GOES_ON
    vmi = vmis.get(entry.vmi)
    state = vmi.migration_state if vmi is not None else None
    is_copied = state is not None and state.is_active and state.migration_uid == entry.uid
    return SlotFate.LINGERS if is_copied else SlotFate.ENDED
