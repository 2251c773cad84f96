"""nicplug's migrations that virt-controller has accepted and does not begin: withdrawn, and tried again later.

virt-controller looks at a waiting migration every 5 s and creates the target pod once there is a slot. Others may take
each slot first, a quota may refuse the pod, or the pod cannot be rendered. Without a target pod nothing ends such a
migration, and it blocks an evacuation. One that is not even accepted is a matter of `silence`: nobody but
virt-controller could carry out its deletion.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/migration/migration.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.metadata import mapping, text
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import COMPANION_PREFIX
from nicplug.model.times import format_time
from nicplug.plan.companion.counted import MOST, count_of, past_time
from nicplug.plan.nic.path.migration_history import backoff_after
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.moving import target_pod

WITHDRAWN_MEMBER = "withdrawnMigrations"
SLOT_PATIENCE = timedelta(seconds=30)
"""How long a pending migration counts as one that is about to take a slot: six looks of virt-controller's."""
PENDING_LIMIT = timedelta(minutes=3)
"""Longer than KubeVirt's only timeout without a target pod: 150 s for utility volumes, which fails the migration."""


def is_own(migration: Migration, *, vmi_uid: str) -> bool:
    """Report whether a companion created it for this very VMI."""
    return migration.key.name.startswith(COMPANION_PREFIX) and migration.is_workload_update(vmi_uid=vmi_uid)


def takes_slot(migration: Migration, *, now: datetime) -> bool:
    """Report whether it holds one of KubeVirt's slots, or, if it is a companion's, is about to take one.

    One that nobody has accepted counts as long as it exists: while virt-controller does nothing, no other would run.
    """
    if migration.is_final or migration.has_target:
        return not migration.is_final
    if migration.deleting or not is_own(migration, vmi_uid=migration.owner_vmi_uid):
        return False
    return (lapses_at := slot_lapses_at(migration)) is None or now < lapses_at


def slot_lapses_at(migration: Migration) -> datetime | None:
    """Return until when a pending migration counts; None for one that is not pending."""
    since = pending_since(migration)
    return since + SLOT_PATIENCE if since is not None else None


def pending_since(migration: Migration) -> datetime | None:
    """Return since when virt-controller has left it without a target pod; None if it is not pending."""
    if migration.phase is not MigrationPhase.PENDING:
        return None
    return migration.entered_at(MigrationPhase.PENDING) or migration.created


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The migrations for the present requests of a VMI that were withdrawn because virt-controller did not begin them.

    Attributes:
        count: how many.
        last_at: when the last one was withdrawn.
        uid: uid of the last one.
        late: the one that is withdrawn now; None if none is.
        again_at: when one that is pending now will have been for too long.
    """

    count: int = 0
    last_at: datetime | None = None
    uid: str = ""
    late: Migration | None = None
    again_at: datetime | None = None

    @property
    def next_at(self) -> datetime | None:
        """When the next one may be created; None if it need not wait."""
        return self.last_at + backoff_after(self.count) if self.count and self.last_at is not None else None

    def to_row(self) -> dict[str, Any] | None:
        """Return the member of the report's status; None if there was none."""
        if not self.count or self.last_at is None:
            return None
        return {"count": self.count, "lastTime": format_time(self.last_at), "migrationUid": self.uid}


def find_withdrawn(view: VmiView, *, known: Mapping[str, Any], now: datetime) -> Withdrawn:
    """Return the migrations that were withdrawn so far, with the one that is due now.

    Args:
        known: the status of the report on this VMI.
    """
    own = [item for item in view.migrations if is_own(item, vmi_uid=view.vmi.uid) and not item.is_final]
    if any(item.has_target for item in own):
        return Withdrawn()  # it has begun, so what kept the earlier ones is over
    before = _parse(mapping(known.get(WITHDRAWN_MEMBER)), now=now)
    found = next(((item, since) for item in own if (since := pending_since(item)) is not None), None)
    if found is None or found[0].deleting or target_pod(view) is not None:
        return before
    late, since = found
    if now < since + PENDING_LIMIT:
        return Withdrawn(count=before.count, last_at=before.last_at, uid=before.uid, again_at=since + PENDING_LIMIT)
    if late.uid == before.uid:
        return Withdrawn(count=before.count, last_at=before.last_at, uid=before.uid, late=late)
    # As it is written: the next pass must not find another time to wait for.
    return Withdrawn(count=min(before.count + 1, MOST), last_at=now.replace(microsecond=0), uid=late.uid, late=late)


def _parse(row: Mapping[str, Any], *, now: datetime) -> Withdrawn:
    return Withdrawn(
        count=count_of(row.get("count")),
        last_at=past_time(row.get("lastTime"), now=now),
        uid=text(row.get("migrationUid")),
    )
