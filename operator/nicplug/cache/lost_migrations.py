"""Migrations that no longer exist, although the status of a VMI says that they move it.

A leader that was suspended may hand off a migration that another leader has failed and released in the meantime, and
users remove finalizers. No controller is then left to stop the node agents.
"""

from collections.abc import Collection, Iterable

from nicplug.cache.store import Store
from nicplug.model.keys import MigrationKey
from nicplug.model.migration import Migration
from nicplug.model.vmi import VirtualMachineInstance


def has_lost_migration(vmi: VirtualMachineInstance, *, migrations: Store[Migration]) -> bool:
    """True if the VMI's status names an active migration that is known to be deleted."""
    state = vmi.migration_state
    return state.is_active and migrations.is_gone(state.migration_uid)


def forget_unlisted(
    vmis: Iterable[VirtualMachineInstance], *, migrations: Store[Migration], listed: Collection[str], version: int
) -> list[VirtualMachineInstance]:
    """Record as deleted the migrations that VMIs name, but that were never seen and are not listed; returns those VMIs.

    Args:
        listed: uids of all existing migrations.
        version: resourceVersion of that list; a newer VMI may name a newer migration.
    """
    found = []
    for vmi in vmis:
        state = vmi.migration_state
        is_unknown = state.is_active and not migrations.knows(state.migration_uid)
        if is_unknown and state.migration_uid not in listed and vmi.resource_version <= version:
            migrations.remove(key=MigrationKey(vmi.key.namespace, ""), uid=state.migration_uid)
            found.append(vmi)
    return found
