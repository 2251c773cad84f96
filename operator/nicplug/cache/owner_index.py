"""Which records of a kind are controlled by which owner, by the owner's uid; labels and names prove nothing."""

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


class OwnerIndex(Generic[R]):
    """The records of one kind by the uid of their owner.

    Args:
        owner_kind: the kind of KubeVirt's API that the owner must be of.
    """

    def __init__(self, *, owner_kind: str) -> None:
        self._owner = (KUBEVIRT_API_VERSION, owner_kind)
        self._by_uid: defaultdict[str, dict[ObjectKey, R]] = defaultdict(dict)

    def owner_of(self, record: R) -> ControllerReference | None:
        """Its owner, when that is of the kind."""
        owner = record.owner
        return owner if owner is not None and (owner.api_version, owner.kind) == self._owner else None

    def add(self, record: R) -> None:
        """Keep the record, if it has such an owner."""
        if (owner := self.owner_of(record)) is not None:
            self._by_uid[owner.uid][record.key] = record

    def drop(self, record: R) -> None:
        """Forget the record, which may not be here."""
        if record.owner is None or record.owner.uid not in self._by_uid:
            return
        siblings = self._by_uid[record.owner.uid]
        siblings.pop(record.key, None)
        if not siblings:
            del self._by_uid[record.owner.uid]

    def of(self, uid: str) -> tuple[R, ...]:
        """The records of that owner."""
        return tuple(self._by_uid.get(uid, {}).values())
