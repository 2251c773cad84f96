"""The queue of migrations: the slots in use, and the order of the migrations that wait."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from nicplug.cache.kubevirts import Kubevirts
from nicplug.kube.api import KubeApi, Resource
from nicplug.kube.errors import Denied, Gone
from nicplug.kube.resources import CONFIG_MAPS, KUBEVIRTS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.migration_configuration import MigrationLimits
from nicplug.model.slot_ledger import LEDGER_NAME, Contender, Entries, parse_entries
from nicplug.plan.migration.slots import grant_in_turn, namespaces_of, priority_of
from nicplug.plan.reasons import Reason

_PAGE = 500
_FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMigration:
    """One migration.

    Attributes:
        name: "" for one that waits for a slot before it is created.
        position: position among those that wait for a slot, from 1; None if it does not wait for one.
        message: what it waits for, with the names of those before it; or how it ended.
    """

    namespace: str
    name: str
    vmi: str
    phase: str
    reason: str
    message: str
    source: str
    target: str
    created: datetime | None
    is_final: bool
    has_slot: bool
    position: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the item of the JSON output."""
        return {
            "namespace": self.namespace,
            "name": self.name or None,
            "vm": self.vmi,
            "phase": self.phase,
            "reason": self.reason or None,
            "message": self.message or None,
            "sourceNode": self.source or None,
            "targetNode": self.target or None,
            "created": self.created.isoformat() if self.created is not None else None,
            "hasSlot": self.has_slot,
            "position": self.position,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationQueue:
    """All migrations that the caller may see.

    Attributes:
        taken: used slots of the cluster, from the ledger; None without permission to read it.
        unknown: what could not be read, as sentences.
        has_inbound_limit: nicplug limits the migrations to each node; KubeVirt does not.
    """

    limits: MigrationLimits
    taken: int | None
    migrations: tuple[QueuedMigration, ...]
    unknown: tuple[str, ...] = ()
    has_inbound_limit: bool = True

    def shown(self, *, with_ended: bool) -> tuple[QueuedMigration, ...]:
        """Return them in order: under way, waiting, ended."""
        return tuple(item for item in self.migrations if with_ended or not item.is_final)


async def read_queue(
    api: KubeApi, *, namespace: str | None, kubevirt_namespace: str, operator_namespace: str, now: datetime
) -> MigrationQueue:
    """Read the queue.

    Args:
        namespace: namespace of the migrations; None for all.

    Raises:
        ApiError: migrations cannot be read.
    """
    unknown: list[str] = []
    found = [parse_migration(item) for item in await read_all(api, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, namespace)]
    limits = await read_limits(api, kubevirt_namespace, unknown)
    ledger = await _ledger(api, operator_namespace, unknown)
    entries = parse_entries(mapping(mapping(ledger).get("data"))) if ledger is not None else {}
    return MigrationQueue(
        limits=limits,
        taken=len(entries) if ledger is not None else None,
        migrations=in_order(found, entries=entries),
        unknown=tuple(unknown),
    )


def in_order(migrations: list[Migration], *, entries: Entries) -> tuple[QueuedMigration, ...]:
    """Sort the migrations by progress.

    Under way first, then those whose status says that they wait for a slot, by turn, then those with other obstacles,
    oldest first, then ended ones, latest first.

    Args:
        entries: the slots in the ledger; empty if it could not be read.
    """
    rows = [_row(item, has_slot=item.uid in entries) for item in migrations]
    turns = _turns(migrations, rows, entries)
    order = sorted(zip(migrations, rows, strict=True), key=lambda pair: _rank(pair[0], pair[1], turns))
    positions = itertools.count(1)
    return tuple(replace(row, position=next(positions)) if _waits(row) else row for _, row in order)


def _turns(migrations: list[Migration], rows: list[QueuedMigration], entries: Entries) -> dict[str, int]:
    """Return the turns of those that wait for a slot, by uid, as the operator assigns them (`plan.migration.slots`)."""
    waiting = [
        Contender(
            key=item.key, uid=item.uid, vmi=item.vmi, created=item.created, priority=priority_of(item), source_node=""
        )
        for item, row in zip(migrations, rows, strict=True)
        if _waits(row) and not _is_under_way(item, row)
    ]
    under_way = namespaces_of(entries) + Counter(
        item.key.namespace for item in migrations if item.has_target and not item.is_final and item.uid not in entries
    )
    return {item.uid: turn for turn, item in enumerate(grant_in_turn(waiting, under_way=under_way))}


def _waits(row: QueuedMigration) -> bool:
    return row.reason == Reason.WAITING_FOR_SLOT and not row.is_final


def _is_under_way(item: Migration, row: QueuedMigration) -> bool:
    return row.has_slot or item.has_target


def _rank(item: Migration, row: QueuedMigration, turns: Mapping[str, int]) -> tuple[int, int, float, str]:
    created = (item.created or _FAR).timestamp()
    if item.is_final:  # latest first, so that the list goes back in time; priorities no longer count
        return (3, 0, -created, item.uid)
    if _is_under_way(item, row):
        return (0, -priority_of(item), created, item.uid)
    if item.uid in turns:
        return (1, turns[item.uid], created, item.uid)
    return (2, -priority_of(item), created, item.uid)


def _row(item: Migration, *, has_slot: bool) -> QueuedMigration:
    state = item.status.migration_state
    return QueuedMigration(
        namespace=item.key.namespace,
        name=item.key.name,
        vmi=item.vmi.name,
        phase=str(item.phase) or "Pending",
        reason=item.progress_reason,
        message=item.progress,
        source=state.source_node,
        target=state.target_node,
        created=item.created,
        is_final=item.is_final,
        has_slot=has_slot,
    )


async def read_all(api: KubeApi, resource: Resource, namespace: str | None) -> list[Mapping[str, Any]]:
    """Return every page of a collection; namespace None means all."""
    items: list[Mapping[str, Any]] = []
    token: str | None = None
    while True:
        page = await api.list(resource, namespace=namespace, limit=_PAGE, continue_token=token)
        items += objects(page.get("items"))
        token = text(mapping(page.get("metadata")).get("continue")) or None
        if token is None:
            return items


async def read_limits(api: KubeApi, namespace: str, unknown: list[str]) -> MigrationLimits:
    """Return the limits of the KubeVirt CR; without permission the defaults, with a sentence in `unknown`."""
    kubevirts = Kubevirts(namespace=namespace)
    try:
        for item in await read_all(api, KUBEVIRTS, namespace):
            kubevirts.put(item)
    except Denied as error:
        unknown.append(f"the limits of the KubeVirt CR ({error}); the defaults are shown")
    config = kubevirts.config()
    return config.limits if config is not None else MigrationLimits()


async def _ledger(api: KubeApi, namespace: str, unknown: list[str]) -> Mapping[str, Any] | None:
    try:
        return await api.get(CONFIG_MAPS, name=LEDGER_NAME, namespace=namespace)
    except Gone:
        return {}
    except Denied as error:
        unknown.append(f"which slots are taken ({error})")
        return None
