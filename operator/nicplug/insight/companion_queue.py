"""The migrations beside KubeVirt: whose each is, and the VMs whose NICs wait until nicplug may create one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nicplug.insight.queue import MigrationQueue, QueuedMigration, in_order, read_all, read_limits
from nicplug.kube.api import KubeApi
from nicplug.kube.errors import Denied, Gone
from nicplug.kube.resources import INTERFACE_REPORTS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.names import (
    COMPANION_PREFIX,
    EVACUATION_ANNOTATION,
    MIGRATION_INTERFACES_ANNOTATION,
    WORKLOAD_UPDATE_ANNOTATION,
)
from nicplug.model.operations import InterfaceOperation, parse_operations
from nicplug.plan.nic.path.blame import changes_of
from nicplug.plan.reasons import Reason

NOT_CREATED = "not created yet"


async def read_companion_queue(api: KubeApi, *, namespace: str | None, kubevirt_namespace: str) -> MigrationQueue:
    """Read the migrations, and the reports on those that are not created yet.

    Args:
        namespace: namespace of the migrations; None for all.

    Raises:
        ApiError: migrations cannot be read.
    """
    unknown: list[str] = []
    found = [parse_migration(item) for item in await read_all(api, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, namespace)]
    everywhere = found if namespace is None else await _everywhere(api, unknown)
    taken = sum(item.has_target and not item.is_final for item in everywhere) if everywhere is not None else None
    whose = {(item.key.namespace, item.key.name): item for item in found}
    rows = [_with_purpose(row, whose[row.namespace, row.name]) for row in in_order(found, entries={})]
    under_way = [row for row in rows if not row.is_final]
    return MigrationQueue(
        limits=await read_limits(api, kubevirt_namespace, unknown),
        taken=taken,
        migrations=(*under_way, *await _waiting(api, namespace, unknown), *(row for row in rows if row.is_final)),
        unknown=tuple(unknown),
        has_inbound_limit=False,
    )


async def _everywhere(api: KubeApi, unknown: list[str]) -> list[Migration] | None:
    try:
        return [parse_migration(item) for item in await read_all(api, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, None)]
    except Denied as error:
        unknown.append(f"migrations of other namespaces ({error})")
        return None


def _with_purpose(row: QueuedMigration, migration: Migration) -> QueuedMigration:
    """Say whose it is: KubeVirt's migrations do not report what they wait for."""
    message = ": ".join(part for part in (purpose_of(migration), row.message) if part)
    return replace(row, has_slot=migration.has_target and not migration.is_final, message=message)


def purpose_of(migration: Migration) -> str:
    """Return who created a migration, and what for."""
    if migration.annotation(EVACUATION_ANNOTATION) is not None:
        return "created by KubeVirt for an evacuation"
    if migration.annotation(WORKLOAD_UPDATE_ANNOTATION) is not None:
        return "created by KubeVirt's workload updater"
    is_own = migration.key.name.startswith(COMPANION_PREFIX)
    if is_own and migration.annotation(MIGRATION_INTERFACES_ANNOTATION) is not None:
        return f"created by nicplug for {', '.join(sorted(changes_of(migration))) or 'NICs'}"
    return "created by neither KubeVirt nor nicplug"


async def _waiting(api: KubeApi, namespace: str | None, unknown: list[str]) -> list[QueuedMigration]:
    """Return the migrations that wait for a slot before they are created, the oldest first."""
    try:
        reports = await read_all(api, INTERFACE_REPORTS, namespace)
    except Gone:
        return []
    except Denied as error:
        unknown.append(f"which VMs wait for a migration slot ({error})")
        return []
    waiting = sorted(
        ((item, report) for report in reports if (item := _first_waiting(report)) is not None),
        key=lambda pair: (pair[0].start_time, _name(pair[1])),
    )
    return [_row(item, report, position=place) for place, (item, report) in enumerate(waiting, start=1)]


def _first_waiting(report: Mapping[str, Any]) -> InterfaceOperation | None:
    rows = objects(mapping(report.get("status")).get("interfaceOperations"))
    return min(_held(rows), key=lambda item: item.start_time, default=None)


def _held(rows: list[Mapping[str, Any]]) -> Iterator[InterfaceOperation]:
    records = parse_operations(rows)
    return (item for item in records.values() if item.reason == Reason.WAITING_FOR_SLOT)


def _name(report: Mapping[str, Any]) -> tuple[str, str]:
    metadata = mapping(report.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


def _row(item: InterfaceOperation, report: Mapping[str, Any], *, position: int) -> QueuedMigration:
    namespace, vmi = _name(report)
    return QueuedMigration(
        namespace=namespace,
        name="",
        vmi=vmi,
        phase=NOT_CREATED,
        reason=item.reason,
        message=f'NIC "{item.name}": {item.message}',
        source="",
        target="",
        created=None,
        is_final=False,
        has_slot=False,
        position=position,
    )
