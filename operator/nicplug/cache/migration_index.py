"""Index of migrations by VMI, and of unfinished migrations."""

from collections import defaultdict
from datetime import UTC, datetime

from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.migration import Migration

_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


class MigrationIndex:
    """Migrations by the key of their VMI; `spec` is immutable, but a name can be reused."""

    def __init__(self) -> None:
        self._by_vmi: defaultdict[VmiKey, dict[MigrationKey, Migration]] = defaultdict(dict)
        self._vmi_of: dict[MigrationKey, VmiKey] = {}
        self._unfinished: dict[MigrationKey, Migration] = {}

    def put(self, migration: Migration) -> None:
        """Add a migration; replaces another of the same key."""
        self._remove(migration.key)
        self._by_vmi[migration.vmi][migration.key] = migration
        self._vmi_of[migration.key] = migration.vmi
        if not migration.is_final:
            self._unfinished[migration.key] = migration

    def drop(self, migration: Migration) -> None:
        """Remove a migration, unless another has taken its key."""
        known = self._by_vmi.get(self._vmi_of.get(migration.key, migration.vmi), {}).get(migration.key)
        if known is not None and known.uid == migration.uid:
            self._remove(migration.key)

    def get(self, key: MigrationKey) -> Migration | None:
        """Return the migration of that name, or None."""
        return self._by_vmi.get(self._vmi_of[key], {}).get(key) if key in self._vmi_of else None

    def of(self, vmi: VmiKey) -> tuple[Migration, ...]:
        """Return the migrations of a VMI, oldest first."""
        migrations = self._by_vmi.get(vmi, {}).values()
        return tuple(sorted(migrations, key=lambda item: (item.created or _FAR_FUTURE, item.uid)))

    def unfinished(self) -> tuple[Migration, ...]:
        """Return the unfinished migrations of all VMIs: few, whereas finished ones are kept for users to read."""
        return tuple(self._unfinished.values())

    def _remove(self, key: MigrationKey) -> None:
        self._unfinished.pop(key, None)
        vmi = self._vmi_of.pop(key, None)
        if vmi is None:
            return
        del self._by_vmi[vmi][key]
        if not self._by_vmi[vmi]:
            del self._by_vmi[vmi]
