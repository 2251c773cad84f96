"""The failed migrations of a NIC: which count, when it is given up, and how and when it is retried.

All state is in objects, so that every process counts alike: a migration names the changes that it was created for and
the NICs at fault (`blame`), and the record of a NIC keeps the count, as migrations may be deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from nicplug.model.attachments import KnownAttachments
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import IGNORE_BACKOFF_ANNOTATION
from nicplug.model.operations import (
    InterfaceOperation,
    MigrationFailures,
    OperationPhase,
    OperationType,
)
from nicplug.model.per_pass import once_per_pass
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.path.blame import (
    MAX_MIGRATIONS,
    blamed_nics,
    blames_other_nics,
    changes_of,
    error_of,
    is_same_change,
    others_at_fault,
    others_still_at_fault,
)
from nicplug.plan.reasons import Reason

_MOST_REMEMBERED = 16
# No migration plugs such a NIC, whoever created it.
_BROUGHT_BY_NONE = frozenset({Reason.ROLLED_BACK, Reason.NO_PCI_SLOT})
# The writer's clock and that of the API server may differ.
_SKEW = timedelta(minutes=2)
# These failures do not predict that of the next migration.
_NO_FAILURES = frozenset({Reason.MIGRATION_CANCELED, Reason.MIGRATION_IN_FLIGHT, Reason.NO_SLOT_IN_TIME})
# The next migration would fail for the same reason: the target pod had a node and did not get its networks.
# `TargetPodLate` is not caused by a network.
_NOT_FIXED_BY_TIME = frozenset({Reason.TARGET_POD_NOT_READY, Reason.MIGRATION_NOT_SUPPORTED})


def failed_migrations(
    migrations: Sequence[Migration],
    *,
    vmi_uid: str,
    name: str,
    change: str,
    since: datetime | None = None,
    remembered: MigrationFailures | None = None,
) -> MigrationFailures:
    """Count the failed migrations that were created for this very change of the NIC.

    Args:
        migrations: of the VMI, oldest first; those of users do not count, nor withdrawn ones.
        since: when the change was requested: removing a NIC and requesting it again resets the count.
        remembered: those in the NIC's record, which count even if they have been deleted since.
    """
    known = remembered if remembered is not None and is_same_change(remembered.change, change) else MigrationFailures()
    failed = [
        item
        for item in _failed_of(migrations, vmi_uid).get(name, ())
        if item.uid not in known.migrations
        and (since is None or item.created is None or item.created >= since - _SKEW)
        and is_same_change(blamed_nics(item)[name], change)
    ]
    if not failed:
        return replace(known, change=change) if known.count and not change.endswith("/") else known
    return MigrationFailures(
        change=change,
        migrations=(*known.migrations, *(item.uid for item in failed))[-_MOST_REMEMBERED:],
        reason=failed[-1].progress_reason,
        message=error_of(failed[-1]),
        retry_alone=_is_retried_alone(failed, before=known.retry_alone),
    )


@once_per_pass
def _failed_of(migrations: Sequence[Migration], vmi_uid: str) -> Mapping[str, Sequence[Migration]]:
    """Return the failures that count, oldest first, by NIC."""
    found: dict[str, list[Migration]] = {}
    for item in migrations:
        if (
            item.phase is MigrationPhase.FAILED
            and not item.deleting
            and item.is_workload_update(vmi_uid=vmi_uid)
            and _counts(item)
        ):
            for name in blamed_nics(item):
                found.setdefault(name, []).append(item)
    return found


def _counts(migration: Migration) -> bool:
    """Report whether the failure is relevant for the next migration.

    Whether any node fits is known before one is created; which node a target pod is scheduled on is not.
    """
    if migration.progress_reason == Reason.NO_CANDIDATE_NODE:
        return migration.entered_at(MigrationPhase.SCHEDULING) is not None
    return migration.progress_reason not in _NO_FAILURES


def _is_retried_alone(failed: Iterable[Migration], *, before: bool) -> bool:
    """Report whether the NIC still needs a target pod without the other NICs, whose failure blames it alone."""
    is_alone = before
    for item in failed:
        if item.progress_reason == Reason.TARGET_POD_NOT_READY:
            # A target pod that has every NIC of the spec fails in the same way for each of them.
            is_alone = not others_at_fault(item) and len(blamed_nics(item)) > 1 and not item.brings_every_nic
    return is_alone


def is_given_up(failures: MigrationFailures) -> bool:
    """Report whether no more migrations are created for the change: after too many failures, or a recurring one."""
    recurs = failures.reason in _NOT_FIXED_BY_TIME and not failures.retry_alone
    return failures.count >= MAX_MIGRATIONS or (failures.count > 0 and recurs)


def is_left_out(record: InterfaceOperation) -> bool:
    """Report whether target pods are created without the NIC, unless the migration is for it.

    It is given up, or is possibly at fault and retried alone.
    """
    is_over = record.phase == OperationPhase.FAILED and is_given_up(record.failures)
    return is_over or record.failures.retry_alone or record.reason in _BROUGHT_BY_NONE


def nics_left_out(migration: Migration, *, vmi: VirtualMachineInstance, operation: OperationType) -> frozenset[str]:
    """Return the NICs whose recorded operation is left out of the migration.

    One broken network would otherwise block all migrations of the VM, and so every other NIC. A user's migration
    retries failed NICs: it is the only way to report that a node has been fixed.
    """
    records = vmi.status.records_as_written
    names = (name for name, record in records.items() if record.operation == operation and is_left_out(record))
    if not migration.is_automatic:
        names = (name for name in names if records[name].reason in _BROUGHT_BY_NONE)
    return frozenset(names).difference(changes_of(migration))


def select_for_next_migration(wanting: Mapping[str, MigrationFailures]) -> frozenset[str]:
    """Select the NICs that the next migration is created for, of those that need one.

    All together, except for NICs to be retried alone: they follow one by one, those with the fewest failures first.
    """
    together = frozenset(name for name, failures in wanting.items() if not failures.retry_alone)
    if together or not wanting:
        return together
    return frozenset({min(wanting, key=lambda name: wanting[name].count)})


# How long an automatic migration waits: after failures, and after many moves.
#
# Source of the back-off: KubeVirt 1.9 `migration.go` (`handleBackoff`). Unlike there, a migration that was refused
# before it had begun does not count, nor does one that was for something else, or for an earlier VMI of the same name.
#
# The rate limit is nicplug's own: a user who repeatedly removes and requests a NIC would cause as many migrations
# (kubevirt#13497). It counts the migrations that still exist.

FIRST_BACKOFF = timedelta(seconds=20)
# KubeVirt has no such limit, except that it keeps only five migrations.
_MOST_DOUBLINGS = 4
# As long as a target pod may take to start.
_LONGEST_AHEAD = timedelta(minutes=15)
MOST_RECENT_MOVES = 3
"""Number of workload updates of a VMI within `RECENT` of the last one that cause no wait."""
RECENT = timedelta(minutes=10)
MOVE_SPACING = timedelta(minutes=1)


def backoff_until(
    migration: Migration,
    *,
    migrations: Iterable[Migration],
    vmi: VirtualMachineInstance | None,
    known: KnownAttachments,
) -> tuple[datetime, int] | None:
    """Return until when a migration waits, and after how many failures; None if it need not wait. It may be past."""
    if not migration.is_automatic or migration.annotation(IGNORE_BACKOFF_ANNOTATION) is not None:
        return None
    newest_first = [
        item
        for item in reversed(tuple(migrations))
        if not item.deleting and (vmi is None or item.is_for(vmi_uid=vmi.uid))
    ]
    newest = next((item for item in newest_first if item.is_automatic), None)
    if newest is None or newest.uid != migration.uid:
        return None
    failures: list[datetime] = []
    for item in newest_first[newest_first.index(newest) + 1 :]:
        if item.phase is MigrationPhase.SUCCEEDED:
            break
        if (
            (failed_at := _failed_at(item)) is not None
            and _is_for_the_same(item, migration)
            and not _is_corrected(item, vmi=vmi, known=known)
        ):
            failures.append(failed_at)
    if not failures:
        return None
    failed_at = failures[0]
    if migration.created is not None:
        # It was created after they had failed, or shortly before. A later time was written by a clock that was hours
        # ahead, and the wait would be as long.
        failed_at = min(failed_at, migration.created + _LONGEST_AHEAD)
    return failed_at + backoff_after(len(failures)), len(failures)


def backoff_after(failures: int) -> timedelta:
    """Return how long the next migration waits after so many failures, at least one."""
    wait: timedelta = FIRST_BACKOFF * 2 ** min(failures - 1, _MOST_DOUBLINGS)
    return wait


def spaced_until(
    migration: Migration, *, migrations: Iterable[Migration], vmi: VirtualMachineInstance | None
) -> tuple[datetime, int] | None:
    """Return until when a workload update waits, and after how many recent ones; None if it need not wait.

    Only those count that reached the node agents: the others have not moved the guest. The time may be past.
    """
    if vmi is None or not migration.is_workload_update(vmi_uid=vmi.uid):
        return None
    if migration.annotation(IGNORE_BACKOFF_ANNOTATION) is not None:
        return None
    known = tuple(migrations)
    ends = [moved_at for item in known if (moved_at := _moved_at(item, vmi_uid=vmi.uid)) is not None]
    state = vmi.migration_state
    if state.ended_at is not None and all(item.uid != state.migration_uid for item in known):
        # It was withdrawn when the guest had already left, so the object is gone.
        ends.append(state.ended_at)
    if migration.created is not None:
        # It was created after they had ended. A time that is later by more than the clock skew would block it for long.
        ends = [moved_at for moved_at in ends if moved_at < migration.created + MOVE_SPACING]
    last = max(ends, default=None)
    if last is None:
        return None
    count = sum(moved_at > last - RECENT for moved_at in ends)
    return (last + MOVE_SPACING, count) if count > MOST_RECENT_MOVES else None


def _moved_at(migration: Migration, *, vmi_uid: str) -> datetime | None:
    """Return when a workload update that reached the node agents ended; None for any other migration."""
    if not migration.is_final or not migration.is_workload_update(vmi_uid=vmi_uid):
        return None
    if migration.entered_at(MigrationPhase.PREPARING_TARGET) is None:
        return None
    return migration.entered_at(migration.phase)


def _failed_at(migration: Migration) -> datetime | None:
    """Return when an accepted migration failed; None for any other."""
    if migration.phase is not MigrationPhase.FAILED or migration.entered_at(MigrationPhase.PENDING) is None:
        return None
    return migration.entered_at(MigrationPhase.FAILED)


def _is_corrected(item: Migration, *, vmi: VirtualMachineInstance | None, known: KnownAttachments) -> bool:
    """Report whether other NICs were at fault and all of them have changed since."""
    if vmi is None or not blames_other_nics(item, vmi_uid=vmi.uid):
        return False
    return not others_still_at_fault(item, vmi=vmi, known=known)


def _is_for_the_same(item: Migration, other: Migration) -> bool:
    """Report whether `other` is for nothing new since `item` failed; a user's migration never counts.

    A corrected or an additional NIC is tried at once.
    """
    known, asked = changes_of(item), changes_of(other)
    if not item.is_automatic or not asked:
        return item.is_automatic and not known
    return all(is_same_change(known.get(name, ""), change) for name, change in asked.items())
