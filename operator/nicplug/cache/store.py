"""Records of one kind by key, where only news is news.

Three rules keep it honest: of one uid the newer resourceVersion wins, so that the body of a write
and the watch line that echoes it may come in any order; a deleted uid stays deleted, so that a late
answer cannot resurrect it; an equal record is not a change, so that status noise costs nothing.

An object that leaves a watch's selector looks deleted. It is only as deleted as the version of that line: a newer
version of the same uid is a living object, and comes back.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from nicplug.model.keys import ObjectKey

# Enough to outlive every answer that may still be on its way.
_REMEMBERED_DELETIONS = 4096


class Record(Protocol):
    """What a store needs to know about what it keeps."""

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        ...

    @property
    def uid(self) -> str:
        """Which object of that name."""
        ...

    @property
    def resource_version(self) -> int:
        """How new."""
        ...


R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Change(Generic[R]):
    """What an event did to the store; `before` None: new, `after` None: gone."""

    before: R | None
    after: R | None

    @property
    def records(self) -> tuple[R, ...]:
        """The records whose neighbours have to look again."""
        return tuple(record for record in (self.before, self.after) if record is not None)


class Store(Generic[R]):
    """The cache of one kind.

    Args:
        on_forget: told about every record that leaves the store or is replaced by another uid.
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
        """The record of that name, if there is one."""
        return self._records.get(key)

    def knows(self, uid: str) -> bool:
        """That very object is here, or was and is known to be gone."""
        return uid in self._versions or uid in self._deleted

    def is_gone(self, uid: str) -> bool:
        """That very object was here, and is known to be gone for good."""
        return self._deleted.get(uid, -1) == math.inf

    def version_of(self, uid: str) -> float:
        """How new what is known of that object is; infinite for one that is known to be gone for good."""
        return self._deleted.get(uid, self._versions.get(uid, -1))

    def put(self, record: R, *, lives: bool = False) -> Change[R] | None:
        """Keep the record if it is news; None when it is old, deleted or equal.

        Args:
            lives: it was read by name, so it lives although its last version was said to be out of sight.
        """
        before = self._records.get(record.key)
        out_of_sight = self._deleted.get(record.uid, -1)
        if record.resource_version < out_of_sight or (record.resource_version == out_of_sight and not lives):
            return None
        # resourceVersions of one kind grow together, so this also settles which of two uids is younger.
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
        """That version exists, but nobody can read it: what is known stays as it is until a newer one comes."""
        if uid not in self._deleted:
            self._versions[uid] = version

    def remove(self, *, key: ObjectKey, uid: str, version: float = math.inf) -> Change[R] | None:
        """Forget that uid; None when it is not the one in the store.

        Args:
            version: the resourceVersion up to which it is known to be gone, a newer one stays; infinite for good.
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
        """Another uid has taken the name: its DELETED line was missed or is still to come."""
        self._deleted[record.uid] = math.inf
        self._versions.pop(record.uid, None)
        if self._on_forget is not None:
            self._on_forget(record)
