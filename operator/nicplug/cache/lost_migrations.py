"""Migrations that VMIs are said to be moved by, and that do not exist.

A leader that was held up may hand off what another one has failed and let go meanwhile, and people take finalizers
away: then nobody is left who would end what the node agents were told.
"""

from collections.abc import Collection, Iterable

from nicplug.cache.store import Store
from nicplug.model.keys import MigrationKey
from nicplug.model.migration import Migration
from nicplug.model.vmi import VirtualMachineInstance


def has_lost_migration(vmi: VirtualMachineInstance, *, migrations: Store[Migration]) -> bool:
    """The VMI is said to be moved by a migration that is known to be gone."""
    state = vmi.migration_state
    return state.is_active and migrations.is_gone(state.migration_uid)


def bury_unlisted(
    vmis: Iterable[VirtualMachineInstance], *, migrations: Store[Migration], listed: Collection[str], version: int
) -> list[VirtualMachineInstance]:
    """Note as gone what was never heard of and is not there; the VMIs that it is said to move.

    Args:
        listed: uids of all migrations there are.
        version: resourceVersion of that list. A VMI that is newer may name a migration that is newer, too.
    """
    found = []
    for vmi in vmis:
        state = vmi.migration_state
        is_unheard_of = state.is_active and not migrations.knows(state.migration_uid)
        if is_unheard_of and state.migration_uid not in listed and vmi.resource_version <= version:
            migrations.remove(key=MigrationKey(vmi.key.namespace, ""), uid=state.migration_uid)
            found.append(vmi)
    return found
