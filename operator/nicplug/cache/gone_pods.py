"""Pods of migrations that are known not to exist, as opposed to not visible: the API server was asked by name."""

from collections import defaultdict

from nicplug.model.keys import PodKey


class GonePods:
    """Missing pods by the uid of the migration that asked; forgotten with the migration, or once the pod exists."""

    def __init__(self) -> None:
        self._of: defaultdict[str, set[PodKey]] = defaultdict(set)
        self._asked_by: dict[PodKey, str] = {}

    def add(self, key: PodKey, *, migration_uid: str) -> None:
        """Record that the pod does not exist, or that another owner's pod has its name."""
        self.discard(key)
        self._of[migration_uid].add(key)
        self._asked_by[key] = migration_uid

    def discard(self, key: PodKey) -> None:
        """Record that the pod exists."""
        if (uid := self._asked_by.pop(key, None)) is not None:
            self._of[uid].discard(key)

    def forget(self, migration_uid: str) -> None:
        """Remove a deleted migration."""
        for key in self._of.pop(migration_uid, ()):
            self._asked_by.pop(key, None)

    def of(self, migration_uid: str) -> frozenset[PodKey]:
        """Return the missing pods that this migration asked for."""
        return frozenset(self._of.get(migration_uid, ()))
