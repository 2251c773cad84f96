"""How long a migration that nobody is waiting for personally keeps still after earlier ones have failed.

Source: KubeVirt 1.9 `migration.go` (`handleBackoff`). Apart from it: a migration that was refused before it had begun
does not count, nor does one that was for something else, or for an earlier VMI of the same name.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from nicplug.model.attachments import KnownAttachments
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import (
    EVACUATION_ANNOTATION,
    IGNORE_BACKOFF_ANNOTATION,
    WORKLOAD_UPDATE_ANNOTATION,
)
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.path.causes import causes_of, is_same_cause
from nicplug.plan.nic.path.hindrances import is_failed_of_others, unchanged_since

FIRST_BACKOFF = timedelta(seconds=20)
# KubeVirt has no such bound, but for the five migrations that it keeps.
_MOST_DOUBLINGS = 4


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
    return failures[0] + FIRST_BACKOFF * 2**doublings, len(failures)


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
    """Of what `other` is for, nothing is new since `item` failed; what a user tries is not counted against it.

    A correction, or a NIC more, is tried at once.
    """
    known, asked = causes_of(item), causes_of(other)
    if not is_automatic(item) or not asked:
        return is_automatic(item) and not known
    return all(is_same_cause(known.get(name, ""), cause) for name, cause in asked.items())
