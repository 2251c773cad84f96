"""What has become of the migrations that have a slot."""

from enum import Enum

from nicplug.cache.store import Store
from nicplug.model.migration import Migration
from nicplug.model.slot_ledger import SlotEntry
from nicplug.model.vmi import VirtualMachineInstance


class SlotFate(Enum):
    """What has become of a migration that has a slot."""

    GOES_ON = "goes on"
    ENDED = "ended"
    LINGERS = "lingers"
    """It has ended, and the node agents have still to hear of it."""
    UNKNOWN = "unknown"


def fate_of(entry: SlotEntry, *, migrations: Store[Migration], vmis: Store[VirtualMachineInstance]) -> SlotFate:
    """Tell it from the caches alone; UNKNOWN when they have never heard of it."""
    migration = migrations.get(entry.migration)
    if migration is None or migration.uid != entry.uid:
        return SlotFate.ENDED if migrations.knows(entry.uid) else SlotFate.UNKNOWN
    if not migration.is_final:
        return SlotFate.GOES_ON
    vmi = vmis.get(entry.vmi)
    state = vmi.migration_state if vmi is not None else None
    is_copied = state is not None and state.is_active and state.migration_uid == entry.uid
    return SlotFate.LINGERS if is_copied else SlotFate.ENDED
