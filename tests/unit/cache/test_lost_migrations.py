"""Which VMIs are said to be moved by a migration that does not exist."""

import pytest
from tests.build import MIGRATION_UID, NOW, Json, migration, migration_state, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.lost_migrations import forget_unlisted, has_lost_migration

HANDED_OFF = migration_state()


def _caches(raw: Json) -> Caches:
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.VMI, raw)
    return caches


def _is_lost(caches: Caches) -> bool:
    (found,) = caches.vmis
    return has_lost_migration(found, migrations=caches.migrations)


def test_one_that_was_seen_to_go_is_lost() -> None:
    caches = _caches(vmi(moving=HANDED_OFF))
    assert not _is_lost(caches)
    caches.observe(CachedKind.MIGRATION, migration())
    assert not _is_lost(caches)
    caches.forget(CachedKind.MIGRATION, migration())
    assert _is_lost(caches)


@pytest.mark.parametrize("over", [{"completed": True}, {"failed": True, "completed": True}], ids=["moved", "failed"])
def test_one_that_is_over_is_missed_by_nobody(over: Json) -> None:
    caches = _caches(vmi(moving=migration_state(**over)))
    caches.observe(CachedKind.MIGRATION, migration())
    caches.forget(CachedKind.MIGRATION, migration())
    assert not _is_lost(caches)


@pytest.mark.parametrize(
    ("version", "listed", "is_lost"),
    [(10, [], True), (10, [MIGRATION_UID], False), (9, [], False)],
    ids=["not there", "there", "the VMI is newer than the list"],
)
def test_of_one_that_this_process_never_heard_of_a_list_decides(
    version: int, listed: list[str], *, is_lost: bool
) -> None:
    caches = _caches(vmi(moving=HANDED_OFF, version=10))
    found = forget_unlisted(caches.vmis, migrations=caches.migrations, listed=listed, version=version)
    assert bool(found) == is_lost
    assert _is_lost(caches) == is_lost
