"""Finds what nicplug leaves beside KubeVirt: migrations of its own, and pods that may still be creating one."""

from collections.abc import Sequence
from dataclasses import dataclass

from nicplug.cli.uninstall.parts import Part, find
from nicplug.kube.api import KubeApi
from nicplug.kube.resources import PODS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.names import COMPANION_PREFIX, MIGRATION_INTERFACES_ANNOTATION, OPERATOR_LABELS

_OPERATOR_SELECTOR = ",".join(f"{name}={value}" for name, value in OPERATOR_LABELS.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMigrations:
    """The migrations that nicplug has created beside KubeVirt.

    Attributes:
        removable: those that have ended, and those that wait, before the node agents have them.
        under_way: number of those that are moving a guest. KubeVirt finishes them.
    """

    removable: Sequence[Part]
    under_way: int


async def own_migrations(api: KubeApi) -> OwnMigrations:
    """Return the migrations of nicplug's, in all namespaces; those of users and of KubeVirt's updater are not in it."""
    removable, under_way = [], 0
    async for part, raw in find(api, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS):
        migration = parse_migration(raw)
        if not _is_own(migration):
            continue
        if migration.is_final or not (migration.is_handed_off or migration.foreign_phase):
            removable.append(part)
        else:
            under_way += 1
    return OwnMigrations(removable=removable, under_way=under_way)


def _is_own(migration: Migration) -> bool:
    is_marked = migration.annotation(MIGRATION_INTERFACES_ANNOTATION) is not None
    return is_marked and migration.key.name.startswith(COMPANION_PREFIX)


async def operator_pods(api: KubeApi) -> list[Part]:
    """Return the pods of the operator."""
    return [part async for part, _ in find(api, PODS, selector=_OPERATOR_SELECTOR)]
