"""How often the target pod of a migration is replaced because the VM's NICs changed after it was made.

The migration's planner replaces it (`plan.migration.renewal`). The VMI's planner asks the running pod for NICs in place
only as long as a target pod without them would be replaced.
"""

from nicplug.model.migration import Migration, MigrationPhase

MOST_RENEWALS = 5
"""So many target pods that could have gone on are given up for NICs: a drain must not wait for a user without end."""
_BEFORE_HAND_OFF = frozenset({MigrationPhase.PENDING, MigrationPhase.SCHEDULING, MigrationPhase.SCHEDULED})


def is_renewable(migration: Migration) -> bool:
    """A target pod without a NIC that the VM asks for is replaced before the hand-off.

    One that is stuck loses nothing by that: its time goes on, so it is replaced as often as it takes.
    """
    is_before_hand_off = migration.phase in _BEFORE_HAND_OFF and not migration.deleting
    return is_before_hand_off and (migration.is_stuck or migration.renewal.count < MOST_RENEWALS)
