"""How long a migration that nobody waits for keeps still, and what a person can do about one that cannot begin."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from nicplug.model.attachments import KnownAttachments
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import EVACUATION_ANNOTATION, IGNORE_BACKOFF_ANNOTATION, WORKLOAD_UPDATE_ANNOTATION
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.path.migration_history import causes_of, is_failed_of_others, is_same_cause, unchanged_since
from nicplug.plan.reasons import Reason

# How long a migration that nobody is waiting for personally keeps still: after failures, and after many moves.
#
# Source of the back-off: KubeVirt 1.9 `migration.go` (`handleBackoff`). Apart from it: a migration that was refused
# before it had begun does not count, nor does one that was for something else, or for an earlier VMI of the same
# name.
#
# The rate is nicplug's own: a user who takes a NIC away and asks for it again, without end, would have the guest
# moved without end (kubevirt#13497). It is read from the migrations that still exist, so that every process counts
# alike.

FIRST_BACKOFF = timedelta(seconds=20)
# KubeVirt has no such bound, but for the five migrations that it keeps.
_MOST_DOUBLINGS = 4
# As long as a target pod may take to start.
_LONGEST_AHEAD = timedelta(minutes=15)
MOST_RECENT_MOVES = 3
"""So many automatic migrations of a VMI that ended within `RECENT` of the last delay no other one."""
RECENT = timedelta(minutes=10)
MOVE_SPACING = timedelta(minutes=1)


def backoff_until(
    migration: Migration,
    *,
    migrations: Iterable[Migration],
    vmi: VirtualMachineInstance | None,
    known: KnownAttachments,
) -> tuple[datetime, int] | None:
    """When it may go, and after how many failures; None when it need not wait. The moment may be past.

    Args:
        migrations: of the VMI, oldest first.
    """
    if not is_automatic(migration) or migration.annotation(IGNORE_BACKOFF_ANNOTATION) is not None:
        return None
    newest_first = [
        item
        for item in reversed(tuple(migrations))
        if not item.deleting and (vmi is None or item.is_for(vmi_uid=vmi.uid))
    ]
    newest = next((item for item in newest_first if is_automatic(item)), None)
    if newest is None or newest.uid != migration.uid:
        return None
    failures: list[datetime] = []
    for item in newest_first[newest_first.index(newest) + 1 :]:
        if item.phase is MigrationPhase.SUCCEEDED:
            break
        if (
            (failed_at := _failed_at(item)) is not None
            and _is_for_the_same(item, migration)
            and not _is_mended(item, vmi=vmi, known=known)
        ):
            failures.append(failed_at)
    if not failures:
        return None
    doublings = min(len(failures) - 1, _MOST_DOUBLINGS)
    failed_at = failures[0]
    if migration.created is not None:
        # It was made when they had failed, or shortly before. A clock that was hours ahead has written a moment hours
        # from now, which would be waited for.
        failed_at = min(failed_at, migration.created + _LONGEST_AHEAD)
    return failed_at + FIRST_BACKOFF * 2**doublings, len(failures)


def spaced_until(
    migration: Migration, *, migrations: Iterable[Migration], vmi: VirtualMachineInstance | None
) -> tuple[datetime, int] | None:
    """When a migration that nicplug has made may go, and after how many recent ones; None when it need not wait.

    Only those count that the node agents have had: the others have moved nobody. The moment may be past.
    """
    if vmi is None or not migration.is_automatic(vmi_uid=vmi.uid):
        return None
    if migration.annotation(IGNORE_BACKOFF_ANNOTATION) is not None:
        return None
    known = tuple(migrations)
    ends = [moved_at for item in known if (moved_at := _moved_at(item, vmi_uid=vmi.uid)) is not None]
    state = vmi.migration_state
    if state.ended_at is not None and all(item.uid != state.migration_uid for item in known):
        # It was withdrawn when the guest had left already, and so it is gone.
        ends.append(state.ended_at)
    if migration.created is not None:
        # It was made when they had ended. What is later by more than clocks differ would be waited for without end.
        ends = [moved_at for moved_at in ends if moved_at < migration.created + MOVE_SPACING]
    last = max(ends, default=None)
    if last is None:
        return None
    count = sum(moved_at > last - RECENT for moved_at in ends)
    return (last + MOVE_SPACING, count) if count > MOST_RECENT_MOVES else None


def _moved_at(migration: Migration, *, vmi_uid: str) -> datetime | None:
    """When an automatic migration ended that the node agents have had."""
    if not migration.is_final or not migration.is_automatic(vmi_uid=vmi_uid):
        return None
    if migration.entered_at(MigrationPhase.PREPARING_TARGET) is None:
        return None
    return migration.entered_at(migration.phase)


def is_automatic(migration: Migration) -> bool:
    """Made by a controller: to bring a change to a VM, or to empty a node."""
    return any(migration.annotation(name) is not None for name in (WORKLOAD_UPDATE_ANNOTATION, EVACUATION_ANNOTATION))


def _failed_at(migration: Migration) -> datetime | None:
    """When it failed after it had been accepted."""
    if migration.phase is not MigrationPhase.FAILED or migration.entered_at(MigrationPhase.PENDING) is None:
        return None
    return migration.entered_at(MigrationPhase.FAILED)


def _is_mended(item: Migration, *, vmi: VirtualMachineInstance | None, known: KnownAttachments) -> bool:
    """It failed of another NIC, and that one has been corrected since."""
    if vmi is None or not is_failed_of_others(item, vmi=vmi):
        return False
    return not unchanged_since(item, vmi=vmi, known=known)


def _is_for_the_same(item: Migration, other: Migration) -> bool:
    """True if `other` is for nothing new since `item` failed; a user's migration never counts against it.

    A correction, or a NIC more, is tried at once.
    """
    known, asked = causes_of(item), causes_of(other)
    if not is_automatic(item) or not asked:
        return is_automatic(item) and not known
    return all(is_same_cause(known.get(name, ""), cause) for name, cause in asked.items())


# What a person can do about a migration that cannot begin, for the records of the NICs that wait for it.
#
# Found by the reason that the migration itself reports and by nothing else, so that a record changes with the message
# that it quotes, and costs no write of its own. Left out is what may pass without anybody's help: a node that is
# lost, a target pod that the scheduler or a kubelet holds up, a launcher pod that is still ending.

_REMEDIES: Mapping[str, str] = {
    Reason.NETWORK_NOT_ALLOWED: "Ask the cluster admin to allow that network, or unplug the NIC that the message "
    "names: the VM is then migrated automatically",
    Reason.ATTACHMENT_DEFINITION_MISSING: "Create the network attachment definition that the message names, or "
    "unplug its NIC: the VM is then migrated automatically",
    Reason.ATTACHMENT_DEFINITION_INVALID: "Correct the network attachment definition that the message names, or "
    "unplug its NIC: the VM is then migrated automatically",
    Reason.MULTUS_NOT_INSTALLED: "Ask the cluster admin to install Multus: the VM is then migrated automatically",
}


def remedy_for(reason: str) -> str:
    """The remedy for a migration that reports this reason; "" if it may proceed without help."""
    return _REMEDIES.get(reason, "")


def remedy_of(migration: Migration) -> str:
    """The remedy for a migration by its condition `Progressing`; "" while it proceeds."""
    return remedy_for(migration.progress_reason) if migration.is_stuck else ""
