"""When a slot of the ledger is free again: never while a node agent may still copy."""

import pytest
from tests.build import MIGRATION_UID, NAME, NAMESPACE, NODE, NOW, Json, migration, migration_state, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.slot_book import SlotFate, fate_of
from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.slot_ledger import SlotEntry

ENTRY = SlotEntry(
    migration=MigrationKey(NAMESPACE, "migration-job"),
    uid=MIGRATION_UID,
    vmi=VmiKey(NAMESPACE, NAME),
    source_node=NODE,
)
COPYING = vmi(moving=migration_state(startTimestamp="2026-01-02T03:04:00Z"))
OTHERS = vmi(moving=migration_state(migration_uid="another", startTimestamp="2026-01-02T03:04:00Z"))


def fate(*migrations: Json, of: Json | None = None, gone: Json | None = None) -> SlotFate:
    """Of the slot of `migration-job`; `gone`: a migration that was there, and was deleted."""
    caches = Caches(clock=lambda: NOW)
    if of is not None:
        caches.observe(CachedKind.VMI, of)
    for item in migrations:
        caches.observe(CachedKind.MIGRATION, item)
    if gone is not None:
        caches.observe(CachedKind.MIGRATION, gone)
        caches.forget(CachedKind.MIGRATION, gone)
    return fate_of(ENTRY, migrations=caches.migrations, vmis=caches.vmis)


@pytest.mark.parametrize("phase", ["", "Pending", "Scheduling", "PreparingTarget", "TargetReady", "Running"])
def test_one_that_has_not_ended_goes_on(phase: str) -> None:
    assert fate(migration(phase), of=COPYING) is SlotFate.GOES_ON


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_one_that_has_ended_lingers_while_the_node_agents_have_it(phase: str) -> None:
    """They still copy, so it takes up the limits, whatever its own status says."""
    assert fate(migration(phase), of=COPYING) is SlotFate.LINGERS
    assert fate(migration(phase), of=vmi(moving=migration_state())) is SlotFate.LINGERS


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(vmi(moving=migration_state(failed=True, completed=True)), id="they have heard that it failed"),
        pytest.param(vmi(moving=migration_state(completed=True)), id="they are through"),
        pytest.param(vmi(), id="they never had it"),
        pytest.param(OTHERS, id="they are at another one"),
        pytest.param(None, id="the VMI is gone"),
    ],
)
@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_one_that_has_ended_frees_its_slot_when_nobody_copies(phase: str, of: Json | None) -> None:
    assert fate(migration(phase), of=of) is SlotFate.ENDED


def test_one_that_is_gone_frees_its_slot() -> None:
    assert fate(gone=migration("Failed"), of=vmi()) is SlotFate.ENDED
    assert fate(migration(uid="younger", version=11), gone=migration("Failed"), of=vmi()) is SlotFate.ENDED


def test_of_one_that_was_never_seen_nothing_is_known() -> None:
    assert fate() is SlotFate.UNKNOWN
    assert fate(migration(uid="of-the-same-name")) is SlotFate.UNKNOWN
