"""Records of one kind by key; only actual changes are reported.

Three rules keep the store consistent. Of one uid the newer resourceVersion wins, so that the answer to a write and the
watch line that echoes it may arrive in any order. A deleted uid stays deleted, so that a late answer cannot resurrect
it. An equal record is not a change, so that status noise costs nothing.

An object that leaves a watch's selector looks deleted. It counts as deleted only up to the version of that line: a
newer version of the same uid is a living object, and is stored again.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from nicplug.model.keys import ObjectKey

# Outlives every answer that may still be in flight.
_REMEMBERED_DELETIONS = 4096


class Record(Protocol):
    """The fields that a store needs from its records."""

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        ...

    @property
    def uid(self) -> str:
        """uid of the object, which tells apart objects of the same name."""
        ...

    @property
    def resource_version(self) -> int:
        """resourceVersion, as a number."""
        ...


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Change(Generic[R]):
    """The effect of an event on the store; `before` is None for a new record, `after` is None for a deleted one."""

    before: R | None
    after: R | None

    @property
    def records(self) -> tuple[R, ...]:
        """The records before and after, whose related objects must be reconciled."""
        return tuple(record for record in (self.before, self.after) if record is not None)


class Store(Generic[R]):
    """The cache of one kind.

    Args:
        on_forget: called with every record that leaves the store or is replaced by another uid.
    """

    def __init__(self, *, on_forget: Callable[[R], None] | None = None) -> None:
        self._records: dict[ObjectKey, R] = {}
        self._versions: dict[str, int] = {}
        self._deleted: OrderedDict[str, float] = OrderedDict()
        self._on_forget = on_forget

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._records.values()))

    def get(self, key: ObjectKey) -> R | None:
        """Return the record of that name, or None."""
        return self._records.get(key)

    def knows(self, uid: str) -> bool:
        """True if the object with this uid is stored, or is known to be deleted."""
        return uid in self._versions or uid in self._deleted

    def is_gone(self, uid: str) -> bool:
        """True if the object with this uid was stored and is known to be deleted."""
        return self._deleted.get(uid, -1) == math.inf

    def version_of(self, uid: str) -> float:
        """Return the newest known resourceVersion of an object; infinite if it is known to be deleted."""
        return self._deleted.get(uid, self._versions.get(uid, -1))

    def put(self, record: R, *, lives: bool = False) -> Change[R] | None:
        """Store a record; returns the change, or None if the record is old, deleted or equal.

        Args:
            lives: the record was read by name: it exists, although its last version left the watch's selector.
        """
        before = self._records.get(record.key)
        out_of_sight = self._deleted.get(record.uid, -1)
        if record.resource_version < out_of_sight or (record.resource_version == out_of_sight and not lives):
            return None
        # resourceVersions of one kind grow together, so this also decides which of two uids is newer.
        if before is not None and record.resource_version < before.resource_version:
            return None
        if before is not None and before.uid != record.uid:
            self._drop(before)
        self._deleted.pop(record.uid, None)
        self._records[record.key] = record
        self._versions[record.uid] = record.resource_version
        if before == record:
            return None
        return Change(before, record)

    def note_unreadable(self, uid: str, *, version: int) -> None:
        """Record a version that cannot be parsed: the stored record stays until a newer version arrives."""
        if uid not in self._deleted:
            self._versions[uid] = version

    def remove(self, *, key: ObjectKey, uid: str, version: float = math.inf) -> Change[R] | None:
        """Remove an object; returns the change, or None if the store has another uid under that key.

        Args:
            version: the resourceVersion up to which the object is known to be deleted, a newer version stays; infinite
                if it is deleted for good.
        """
        if self._versions.get(uid, -1) > version:
            return None
        self._deleted[uid] = max(version, self._deleted.get(uid, -1))
        if len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        self._versions.pop(uid, None)
        before = self._records.get(key)
        if before is None or before.uid != uid:
            return None
        del self._records[key]
        if self._on_forget is not None:
            self._on_forget(before)
        return Change(before, None)

    def _drop(self, record: R) -> None:
        """Remove a record whose name another uid has taken: its DELETED event was missed or is still to come."""
        self._deleted[record.uid] = math.inf
        self._versions.pop(record.uid, None)
        if self._on_forget is not None:
            self._on_forget(record)
