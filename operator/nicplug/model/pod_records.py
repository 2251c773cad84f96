"""All records of the pods of one VMI: from its status, from its migrations, and from this process."""

from collections.abc import Iterable
from dataclasses import replace

from nicplug.model.migration import Migration
from nicplug.model.pod_record import PodRecord
from nicplug.model.vmi import VirtualMachineInstance


def gather_records(
    vmi: VirtualMachineInstance, migrations: Iterable[Migration], made: Iterable[PodRecord]
) -> tuple[PodRecord, ...]:
    """Return the records of all pods that count, and of those that were replaced; the statuses take precedence.

    Args:
        migrations: those that name the VMI.
        made: pods that this process has created and that are not recorded yet. If another leader has recorded one
            since, that one counts, and these do not.
    """
    told = {record.uid: record for record in vmi.launcher_pods or ()}
    waiting: dict[str, bool] = {}
    for migration in migrations:
        for record in migration.renewal.replaced:
            # With two leaders, one may have handed the VM off to a pod that the other has just replaced.
            told[record.uid] = replace(record, is_replaced=not _is_handed_off_to(vmi, record))
        if migration.target_pod is not None:
            told.setdefault(migration.target_pod.uid, migration.target_pod)
        waiting[migration.uid] = migration.target_pod is None
    for record in made:
        if waiting.get(record.migration_uid, True) if record.migration_uid else vmi.is_unprocessed:
            told.setdefault(record.uid, record)
    return tuple(told.values())


def _is_handed_off_to(vmi: VirtualMachineInstance, record: PodRecord) -> bool:
    state = vmi.migration_state
    return (state.migration_uid, state.target_pod) == (record.migration_uid, record.key.name)
