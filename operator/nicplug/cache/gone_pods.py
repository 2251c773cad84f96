"""Pods of migrations that are known not to exist, not only out of sight: the API server was asked by name."""

from collections import defaultdict

from nicplug.model.keys import PodKey


class GonePods:
    """By the uid of the migration that asked; forgotten with it, or once there is such a pod."""

    def __init__(self) -> None:
        self._of: defaultdict[str, set[PodKey]] = defaultdict(set)
        self._asked_by: dict[PodKey, str] = {}

    def add(self, key: PodKey, *, migration_uid: str) -> None:
        """It does not exist, or is somebody else's."""
        self.discard(key)
        self._of[migration_uid].add(key)
        self._asked_by[key] = migration_uid

    def discard(self, key: PodKey) -> None:
        """There is such a pod."""
        if (uid := self._asked_by.pop(key, None)) is not None:
            self._of[uid].discard(key)

    def forget(self, migration_uid: str) -> None:
        """The migration is gone."""
        for key in self._of.pop(migration_uid, ()):
            self._asked_by.pop(key, None)

    def of(self, migration_uid: str) -> frozenset[PodKey]:
        """Those that this migration asked for."""
        return frozenset(self._of.get(migration_uid, ()))
