"""Migrations that have ended: the newest of each VMI are kept.

Source: KubeVirt 1.9 `migration.go` (`garbageCollectFinalizedMigrations`).
"""

from collections.abc import Iterator

from nicplug.plan.actions import Delete, Kind
from nicplug.plan.views import MigrationView

KEPT_PER_VMI = 5


def old_migrations(view: MigrationView) -> Iterator[Delete]:
    """Those beyond the newest."""
    newest_first = [item for item in reversed(view.migrations) if item.is_final]
    for item in newest_first[KEPT_PER_VMI:]:
        if not item.deleting:
            yield Delete(kind=Kind.MIGRATION, key=item.key, uid=item.uid)
