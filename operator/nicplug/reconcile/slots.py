"""Maintains the ledger of migration slots: read once per leadership, written when slots are granted or released.

Not watched: only the leader writes it. A write by any other client makes the next write fail, after which the ledger is
read again (docs/adr/0014).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.slot_book import SlotFate, fate_of
from nicplug.kube.api import Json, KubeApi
from nicplug.kube.errors import ApiError, Denied, Gone
from nicplug.kube.resources import CONFIG_MAPS, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS
from nicplug.model.keys import SLOTS, MigrationKey, WorkKey
from nicplug.model.metadata import mapping, text
from nicplug.model.names import OPERATOR_LABELS
from nicplug.model.slot_ledger import LEDGER_NAME, Contender, Entries, MigrationSlot, SlotEntry, format_entries
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.migration.slots import MigrationPlan, SlotsView, contender_of, plan_slots
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView
from nicplug.reconcile.gather import Gatherer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SlotKeeper:
    """Maintains the ledger.

    Attributes:
        namespace: namespace of the ledger: the operator's own.
        on_dirty: called with the keys to reconcile.
    """

    api: KubeApi
    caches: Caches
    gatherer: Gatherer
    namespace: str
    on_dirty: Callable[[list[WorkKey]], None]
    clock: Callable[[], datetime]

    def view(self, key: MigrationKey) -> MigrationView | None:
        """Return the view of a migration; a deleted one no longer wants a slot."""
        view = self.gatherer.migration_view(key)
        if view is None and self.caches.slots.drop(key):
            self.on_dirty([SLOTS])
        return view

    def plan(self, view: MigrationView, *, now: datetime) -> MigrationPlan:
        """Plan a migration, and record whether it wants a slot."""
        plan, book = plan_migration(view, now=now), self.caches.slots
        contender = contender_of(view, plan=plan)
        is_news = book.note(contender) if contender is not None else book.drop(view.migration.key)
        if contender is not None and contender.wants:
            is_news |= self._is_stale(view)
        if is_news:
            self.on_dirty([SLOTS])
        return plan

    def _is_stale(self, view: MigrationView) -> bool:
        """Report whether the planned view denies the migration its slot because the ledger is stale."""
        entry = self.caches.slots.entries.get(view.migration.uid)
        return entry is not None and not entry.is_returning and not view.slot.is_granted

    async def reconcile(self, _key: WorkKey = SLOTS) -> float | None:
        """Release slots of ended migrations, grant free ones, and enqueue the migrations that got one.

        Returns:
            Seconds until a slot that is being returned is free; None if there is none.

        Raises:
            ApiError: the ledger could not be read or written; nothing has been granted.
        """
        book = self.caches.slots
        was_read = book.is_read and book.is_fresh(now=self.clock())
        if not was_read:
            await self._read()
        ended, now = await self._ended(), self.clock()
        view = SlotsView(
            entries=book.entries,
            ended=ended,
            contenders=self._contenders(),
            limits=self.caches.limits(),
            returned=book.returned(now=now),
        )
        plan = plan_slots(view, now=now)
        await self._write(plan.entries)
        # A migration with a slot that has not begun may have found the ledger stale, before another key's pass
        # refreshed it.
        idle = {item.uid for item in view.contenders if item.wants and item.uid in book.entries}
        news = book.publish(plan.slots) | idle | (set() if was_read else book.entries.keys())
        self.on_dirty([*book.keys_of(news)])
        due = book.returned_at()
        return max(0.001, (due - self.clock()).total_seconds()) if due is not None else None

    def note_refusal(self, _key: WorkKey, error: ApiError, *, seconds: float) -> bool:
        """Publish to all waiting migrations why no slot is granted; they report it."""
        book = self.caches.slots
        message = f"the ledger of migration slots, ConfigMap {self.namespace}/{LEDGER_NAME}, cannot be written: {error}"
        waiting = {
            item.uid: MigrationSlot(reason=Reason.SLOT_LEDGER_REFUSED, message=message)
            for item in book.contenders()
            if item.wants and item.uid not in book.entries
        }
        self.on_dirty([*book.keys_of(book.publish(waiting))])
        return False

    def note_bug(self, _key: WorkKey, _error: Exception) -> None:
        """Do nothing: the key has no object for an Event, and the log contains the error."""

    def _contenders(self) -> tuple[Contender, ...]:
        """Return every unfinished migration; plans those not yet seen, at the start of a process."""
        book, now = self.caches.slots, self.clock()
        found: list[Contender] = []
        for migration in self.caches.unfinished_migrations():
            contender = book.contender(migration.key, migration.uid)
            if contender is None and (view := self.gatherer.migration_view(migration.key)) is not None:
                contender = contender_of(view, plan=plan_migration(view, now=now))
                if contender is not None:
                    book.note(contender)
            if contender is not None:
                found.append(contender)
        return tuple(found)

    async def _ended(self) -> frozenset[str]:
        """Return which migrations in the ledger have ended; asks the API server about unknown ones."""
        book, ended, lingering = self.caches.slots, set(), set()
        for uid, entry in list(book.entries.items()):
            match fate_of(entry, migrations=self.caches.migrations, vmis=self.caches.vmis):
                case SlotFate.ENDED:
                    ended.add(uid)
                case SlotFate.LINGERS:
                    lingering.add(entry.vmi)
                case SlotFate.UNKNOWN if await self._is_gone(entry):
                    ended.add(uid)
        book.lingering = frozenset(lingering)
        return frozenset(ended)

    async def _is_gone(self, entry: SlotEntry) -> bool:
        """Report whether an unknown migration is deleted, or only missing because its watch is late."""
        key = entry.migration
        try:
            answer = await self.api.get(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, name=key.name, namespace=key.namespace)
        except Gone:
            return True
        self.on_dirty(self.caches.observe(CachedKind.MIGRATION, answer))
        return text(mapping(answer.get("metadata")).get("uid")) != entry.uid

    async def _read(self) -> None:
        book = self.caches.slots
        try:
            book.take(await self.api.get(CONFIG_MAPS, name=LEDGER_NAME, namespace=self.namespace), now=self.clock())
        except Gone:
            book.take(None, now=self.clock())

    async def _write(self, entries: Entries) -> None:
        """Write all changes at once; the response becomes the current ledger."""
        book, data = self.caches.slots, format_entries(entries)
        known = book.ledger
        if (known is None and not entries) or (known is not None and known.get("data") == data):
            return
        try:
            book.take(await self._send(known, data), now=self.clock())
        except ApiError:
            # The write may or may not have happened, or another writer was faster.
            book.doubt()
            raise

    async def _send(self, known: Mapping[str, Any] | None, data: Mapping[str, str]) -> Json:
        body = {"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.kind, "data": dict(data)}
        if known is not None:
            metadata = {name: value for name, value in known["metadata"].items() if name != "managedFields"}
            metadata["labels"] = {**(metadata.get("labels") or {}), **OPERATOR_LABELS}
            return await self.api.replace(
                CONFIG_MAPS, {**body, "metadata": metadata}, name=LEDGER_NAME, namespace=self.namespace
            )
        metadata = {"name": LEDGER_NAME, "namespace": self.namespace, "labels": dict(OPERATOR_LABELS)}
        try:
            return await self.api.create(CONFIG_MAPS, {**body, "metadata": metadata}, namespace=self.namespace)
        except Gone as error:
            # Takes as long to fix, by the same people, as a missing permission.
            text_ = f'there is no namespace "{self.namespace}": make it, or name another one by --namespace'
            raise Denied(text_, status=error.status, reason=error.reason, request=error.request) from error
