"""Migrations that have ended: the newest of each VMI are kept.

Source: KubeVirt 1.9 `migration.go` (`garbageCollectFinalizedMigrations`).
"""

from collections.abc import Iterator

from nicplug.plan.actions import Delete, Kind
from nicplug.plan.views import MigrationView

KEPT_PER_VMI = 5


def old_migrations(view: MigrationView) -> Iterator[Delete]:
    """Those beyond the newest.

    Unlike KubeVirt, what is going anyway pushes none out: what was taken back would hide how often the guest has moved
    (`plan.nic.path.backoff`).
    """
    newest_first = [item for item in reversed(view.migrations) if item.is_final and not item.deleting]
    for item in newest_first[KEPT_PER_VMI:]:
        yield Delete(kind=Kind.MIGRATION, key=item.key, uid=item.uid)
