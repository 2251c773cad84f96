"""KubeVirt's workload updater, which repeats a migration for a network that no pod can have, without end.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/workload-updater`: while `MigrationRequired` is True and no migration is
in flight it creates one; only the migration's own back-off slows it down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.conditions import TRUE, Condition
from nicplug.model.metadata import mapping, sequence
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import WORKLOAD_UPDATE_ANNOTATION
from nicplug.model.operations import InterfaceOperation, OperationPhase
from nicplug.model.times import format_time, parse_time
from nicplug.plan.companion.counted import MOST, count_of
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView

MIGRATIONS_IN_VAIN = "MigrationsInVain"
UPDATER_MEMBER = "updaterMigrations"
# Its name in KubeVirt; the updater leaves a VMI alone that has it. nicplug never sets it.
ABORTION_ANNOTATION = "kubevirt.io/testWorkloadUpdateMigrationAbortion"
_IN_VAIN = 2
# KubeVirt keeps the five newest of a VMI.
_REMEMBERED = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdaterMigrations:
    """The updater's failed migrations for the present requests of a VMI.

    Attributes:
        failed: how many, also those that KubeVirt has deleted since.
        duration: how long they took together.
        since: when the first one was created.
        uids: of the last ones, oldest first.
    """

    failed: int = 0
    duration: timedelta = timedelta()
    since: datetime | None = None
    uids: tuple[str, ...] = ()

    @property
    def are_in_vain(self) -> bool:
        """True if the next one will most probably fail as well."""
        return self.failed >= _IN_VAIN

    def to_row(self) -> dict[str, Any] | None:
        """Return the member of the report's status; None for no failure."""
        if not self.failed:
            return None
        return {
            "failed": self.failed,
            "durationSeconds": round(self.duration.total_seconds()),
            "since": format_time(self.since) if self.since is not None else None,
            "uids": list(self.uids),
        }


def count_updater_migrations(
    view: VmiView, *, known: Mapping[str, Any], operations: Sequence[InterfaceOperation]
) -> UpdaterMigrations:
    """Add the failures that are not counted yet; none once no NIC waits.

    Args:
        known: the status of the report on this VMI, with those that were counted before.
        operations: the records of the NICs after this pass.
    """
    waiting = [item.start_time for item in operations if item.phase != OperationPhase.READY]
    if not waiting:
        return UpdaterMigrations()
    counted, oldest = _parse(mapping(known.get(UPDATER_MEMBER))), min(waiting)
    fresh = [item for item in view.migrations if _has_failed(item, view, since=oldest) and item.uid not in counted.uids]
    if not fresh:
        return counted
    took = sum((_duration(item) for item in fresh), timedelta())
    created = [item.created for item in fresh if item.created is not None]
    return UpdaterMigrations(
        failed=min(counted.failed + len(fresh), MOST),
        duration=min(counted.duration + took, timedelta(seconds=MOST)),
        since=counted.since or min(created, default=None),
        uids=(*counted.uids, *(item.uid for item in fresh))[-_REMEMBERED:],
    )


def in_vain_condition(found: UpdaterMigrations) -> Condition | None:
    """Return the condition; None while the updater does not repeat itself."""
    if not found.are_in_vain:
        return None
    since = f" since {format_time(found.since)}" if found.since is not None else ""
    return Condition(
        type=MIGRATIONS_IN_VAIN,
        status=TRUE,
        reason=Reason.UPDATER_REPEATS,
        message=(
            f"KubeVirt's workload updater has created {found.failed} migrations{since}, which failed after "
            f"{round(found.duration.total_seconds())} s in all, and goes on. Correct what the records of the NICs say; "
            f"annotation {ABORTION_ANNOTATION} on the VirtualMachineInstance stops it"
        ),
        message_counts=True,
    )


def _has_failed(migration: Migration, view: VmiView, *, since: datetime) -> bool:
    is_updaters = migration.annotation(WORKLOAD_UPDATE_ANNOTATION) is not None
    is_recent = migration.created is not None and migration.created >= since - timedelta(seconds=1)
    return is_updaters and is_recent and migration.phase is MigrationPhase.FAILED and not migration.deleting


def _duration(migration: Migration) -> timedelta:
    failed_at = migration.entered_at(MigrationPhase.FAILED)
    if failed_at is None or migration.created is None:
        return timedelta()
    return max(timedelta(), failed_at - migration.created)


def _parse(row: Mapping[str, Any]) -> UpdaterMigrations:
    return UpdaterMigrations(
        failed=count_of(row.get("failed")),
        duration=timedelta(seconds=count_of(row.get("durationSeconds"))),
        since=parse_time(row.get("since")),
        uids=tuple(item for item in sequence(row.get("uids")) if isinstance(item, str)),
    )
