"""What is known of the slots of migrations: the ledger as it was last read or written, and who wants what."""

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
    """One process's knowledge of the ledger; a slot counts only as it was last read or written.

    Attributes:
        is_read: the ledger has been read since this process leads, and nobody is known to have written it since.
        ledger: the ConfigMap; None when there is none.
        entries: what it says; of one that was lost or edited, what this process remembers of it too.
        confirmed_at: when it was last read or written; None while it never was.
        returning: since when this process has known of slots that they are on their way back, by uid.
        lingering: VMIs whose migration has ended, with node agents that have still to hear of it.
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
        """The ledger as it is now: read, or the answer to a write."""
        data = mapping(mapping(ledger).get("data"))
        is_whole = ledger is not None and is_as_written(data)
        # Of a ledger that nicplug has not written like this, our own memory is worth more than what is missing there.
        self.entries = {**({} if is_whole else self.entries), **parse_entries(data)}
        self.ledger, self.is_read, self.confirmed_at = ledger, True, now
        back = (uid for uid, entry in self.entries.items() if entry.is_returning)
        self.returning = {uid: self.returning.get(uid, now) for uid in back}

    def begin(self) -> None:
        """This process leads from now on, and what it knows may be of an earlier time."""
        self.is_read, self.ledger, self.lingering = False, None, frozenset()
        self.entries, self.returning, self._contenders, self._slots = {}, {}, {}, {}

    def doubt(self) -> None:
        """Somebody else may have written the ledger: it has to be read before anything is granted."""
        self.is_read = False

    def is_fresh(self, *, now: datetime) -> bool:
        """A slot may be used by what is known of the ledger."""
        return self.confirmed_at is not None and (now - self.confirmed_at).total_seconds() < FRESH_SECONDS

    def slot_of(self, uid: str, *, now: datetime) -> MigrationSlot:
        """The slot of a migration, as it was last decided; granted only when the ledger says so, and lately."""
        slot, entry = self._slots.get(uid, _NONE), self.entries.get(uid)
        if entry is not None and entry.is_returning:
            entry = None  # nor its place on the target node: by now another may have it
        return MigrationSlot(
            is_granted=entry is not None and self.is_fresh(now=now),
            inbound_node=entry.target_node if entry is not None else "",
            reason=slot.reason,
            message=slot.message,
        )

    def returned(self, *, now: datetime) -> frozenset[str]:
        """uids of the slots that have been on their way back long enough."""
        return frozenset(uid for uid, since in self.returning.items() if now >= since + _RETURN)

    def returned_at(self) -> datetime | None:
        """When the next of them has been."""
        return min((since + _RETURN for since in self.returning.values()), default=None)

    def publish(self, slots: Mapping[str, MigrationSlot]) -> set[str]:
        """Keep what was decided; the uids for which it is news."""
        changed = {uid for uid, slot in slots.items() if self._slots.get(uid) != slot}
        self._slots = dict(slots)
        return changed

    def note(self, contender: Contender) -> bool:
        """Keep what a migration wants; whether that is news."""
        is_news = self._contenders.get(contender.key) != contender
        self._contenders[contender.key] = contender
        return is_news

    def drop(self, key: MigrationKey) -> bool:
        """It has ended or is gone; whether anybody else may care."""
        known = self._contenders.pop(key, None)
        is_in_ledger = any(entry.migration == key for entry in self.entries.values())
        return known is not None or is_in_ledger

    def contender(self, key: MigrationKey, uid: str) -> Contender | None:
        """What that very migration wants; None while nobody has looked."""
        known = self._contenders.get(key)
        return known if known is not None and known.uid == uid else None

    def contenders(self) -> tuple[Contender, ...]:
        """Everybody who has been looked at."""
        return tuple(self._contenders.values())

    def keys_of(self, uids: Collection[str]) -> list[MigrationKey]:
        """The keys of those among them."""
        return [item.key for item in self._contenders.values() if item.uid in uids]

    def taken(self, limit: str) -> int:
        """How much of a limit is taken up; of one per node, on the fullest node."""
        if limit == CLUSTER_LIMIT:
            return len(self.entries)
        nodes = (item.source_node if limit == OUTBOUND_LIMIT else item.target_node for item in self.entries.values())
        return max(Counter(filter(None, nodes)).values(), default=0)


class SlotFate(Enum):
    """What has become of a migration that has a slot."""

    GOES_ON = "goes on"
    ENDED = "ended"
    LINGERS = "lingers"
    """It has ended, and the node agents have still to hear of it."""
    UNKNOWN = "unknown"


def fate_of(entry: SlotEntry, *, migrations: Store[Migration], vmis: Store[VirtualMachineInstance]) -> SlotFate:
    """Tell it from the caches alone; UNKNOWN when they have never heard of it."""
    migration = migrations.get(entry.migration)
    if migration is None or migration.uid != entry.uid:
        return SlotFate.ENDED if migrations.knows(entry.uid) else SlotFate.UNKNOWN
    if not migration.is_final:
        return SlotFate.GOES_ON
    vmi = vmis.get(entry.vmi)
    state = vmi.migration_state if vmi is not None else None
    is_copied = state is not None and state.is_active and state.migration_uid == entry.uid
    return SlotFate.LINGERS if is_copied else SlotFate.ENDED
