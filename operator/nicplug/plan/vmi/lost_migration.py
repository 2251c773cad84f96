"""A VMI that is said to be on the move by a migration that does not exist."""

from datetime import datetime

from nicplug.plan.actions import PatchMigrationState
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.state_patches import mark_failed


def end_lost_migration(view: VmiView, *, now: datetime) -> PatchMigrationState | None:
    """Say that it is over, or the pod would not be asked for a NIC ever again.

    While the target pod lives, its node agents go on or it is taken away as a stray; a guest that has arrived stays.
    """
    state = view.vmi.migration_state
    if not view.has_lost_migration or state.target_ready_at is not None:
        return None
    if any(pod.key.name == state.target_pod and not pod.is_down for pod in view.pods):
        return None
    return mark_failed(view.vmi, reason="the migration does not exist any more", now=now)
