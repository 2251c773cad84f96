"""Index of records by their controlling owner; labels and names of the records prove nothing.

An owner is matched by uid, namespace and name. The garbage collector treats a reference to another namespace or another
name as one to a missing owner, and so does this index. Otherwise a user in another namespace who has read a VMI's uid
could have pods counted as that VMI's.
"""

from collections import defaultdict
from typing import Generic, Protocol, TypeVar

from nicplug.model.keys import ObjectKey
from nicplug.model.metadata import ControllerReference
from nicplug.model.names import KUBEVIRT_API_VERSION


class Owned(Protocol):
    """The fields that the index needs from a record."""

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        ...

    @property
    def owner(self) -> ControllerReference | None:
        """The controlling owner."""
        ...


R = TypeVar("R", bound=Owned)
# Namespace, name, uid.
_Owner = tuple[str, str, str]


class OwnerIndex(Generic[R]):
    """The records of one kind by their owner.

    Args:
        owner_kind: kind, in KubeVirt's API group, that the owner must have.
    """

    def __init__(self, *, owner_kind: str) -> None:
        self._owner = (KUBEVIRT_API_VERSION, owner_kind)
        self._by_owner: defaultdict[_Owner, dict[ObjectKey, R]] = defaultdict(dict)

    def owner_of(self, record: R) -> ControllerReference | None:
        """Return the record's controlling owner if it has the right kind, else None."""
        owner = record.owner
        return owner if owner is not None and (owner.api_version, owner.kind) == self._owner else None

    def add(self, record: R) -> None:
        """Add a record, if it has such an owner."""
        if (owner := self.owner_of(record)) is not None:
            self._by_owner[record.key.namespace, owner.name, owner.uid][record.key] = record

    def drop(self, record: R) -> None:
        """Remove a record, if it is present."""
        if record.owner is None:
            return
        owner = (record.key.namespace, record.owner.name, record.owner.uid)
        if owner not in self._by_owner:
            return
        siblings = self._by_owner[owner]
        siblings.pop(record.key, None)
        if not siblings:
            del self._by_owner[owner]

    def of(self, key: ObjectKey, *, uid: str) -> tuple[R, ...]:
        """Return the records of an owner."""
        return tuple(self._by_owner.get((key.namespace, key.name, uid), {}).values())
