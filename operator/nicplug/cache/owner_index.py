"""Which records of a kind are controlled by which owner; labels and names of the records prove nothing.

An owner is found by its uid, in its own namespace, and under its own name. The garbage collector takes a reference
across namespaces, or to another name, for one to an owner that does not exist, and so does this: else somebody in
another namespace could have pods counted among those of a VMI whose uid he has read.
"""

from collections import defaultdict
from typing import Generic, Protocol, TypeVar

from nicplug.model.keys import ObjectKey
from nicplug.model.metadata import ControllerReference
from nicplug.model.names import KUBEVIRT_API_VERSION


class Owned(Protocol):
    """What the index needs to know about a record."""

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        ...

    @property
    def owner(self) -> ControllerReference | None:
        """Its controlling owner."""
        ...


R = TypeVar("R", bound=Owned)
# Namespace, name, uid.
_Owner = tuple[str, str, str]


class OwnerIndex(Generic[R]):
    """The records of one kind by the uid of their owner.

    Args:
        owner_kind: the kind of KubeVirt's API that the owner must be of.
    """

    def __init__(self, *, owner_kind: str) -> None:
        self._owner = (KUBEVIRT_API_VERSION, owner_kind)
        self._by_owner: defaultdict[_Owner, dict[ObjectKey, R]] = defaultdict(dict)

    def owner_of(self, record: R) -> ControllerReference | None:
        """Its owner, when that is of the kind."""
        owner = record.owner
        return owner if owner is not None and (owner.api_version, owner.kind) == self._owner else None

    def add(self, record: R) -> None:
        """Keep the record, if it has such an owner."""
        if (owner := self.owner_of(record)) is not None:
            self._by_owner[record.key.namespace, owner.name, owner.uid][record.key] = record

    def drop(self, record: R) -> None:
        """Forget the record, which may not be here."""
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
        """The records of that owner."""
        return tuple(self._by_owner.get((key.namespace, key.name, uid), {}).values())
