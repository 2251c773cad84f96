"""Migration slots: who wants one, who has one, and their ledger, a ConfigMap with one key per slot.

Any client that may edit the ConfigMap can write anything there; invalid entries are left out, and the checksum reveals
the change.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.metadata import json_in, mapping, text
from nicplug.model.times import format_micro_time, parse_time

LEDGER_NAME = "nicplug-migration-slots"
FAR_FUTURE = datetime.max.replace(tzinfo=UTC)
_CHECKSUM = "checksum"
FRESH_SECONDS = 10.0
"""How long after it was read or written the ledger remains valid evidence that a slot may be used."""
RETURN_SECONDS = FRESH_SECONDS + 5.0
"""How long a slot is being returned: a client that still relied on it has created its target pod by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotEntry:
    """One slot.

    Attributes:
        source_node: node whose outbound migrations it counts towards; "" if unknown.
        target_node: node whose inbound migrations it counts towards; "" until it may be handed off.
        granted_at: informational; None if the migration was already under way.
        is_returning: True if it was not used and is being returned: nothing may use it any more.
    """

    migration: MigrationKey
    uid: str
    vmi: VmiKey
    source_node: str
    target_node: str = ""
    granted_at: datetime | None = None
    is_returning: bool = False


Entries = Mapping[str, SlotEntry]
"""The slots by the uid of their migration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationSlot:
    """What the ledger says about one migration; `plan.migration.slots` decides it in one place for all.

    Attributes:
        is_granted: True if its target pod may be created; it then counts towards the limits of the cluster and of the
            source node.
        inbound_node: the node to which it may be handed off; "" while the limit of that node is reached, or its target
            pod has no node yet.
        reason: why it waits, as a CamelCase reason; "" if it waits for no slot.
        message: why it waits, as a sentence with numbers: what waits for what, and the position in the queue.
    """

    is_granted: bool = False
    inbound_node: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A migration that has not ended, reduced to what slots depend on; built from its view in `plan.migration.slots`.

    Attributes:
        priority: a higher one goes first.
        source_node: node of the guest; "" if unknown.
        target_node: node of its target pod; "" while it has none.
        holds: True if it is under way, whatever the ledger says: it has a target pod, or has had one.
        is_handed_off: True if the node agents have it, or may have it.
        wants: True if only the limits keep it from getting a target pod.
    """

    key: MigrationKey
    uid: str
    vmi: VmiKey
    created: datetime | None
    priority: int
    source_node: str
    target_node: str = ""
    holds: bool = False
    is_handed_off: bool = False
    wants: bool = False

    @property
    def age_rank(self) -> tuple[datetime, str]:
        """Sort key: oldest first; all replicas agree on the order of migrations of one moment."""
        return (self.created or FAR_FUTURE, self.uid)


def parse_entries(data: Mapping[str, Any]) -> dict[str, SlotEntry]:
    """Return the slots in the data of the ConfigMap."""
    found = (_parse_entry(uid, text(value)) for uid, value in data.items() if uid != _CHECKSUM)
    return {entry.uid: entry for entry in found if entry is not None}


def format_entries(entries: Entries) -> dict[str, str]:
    """Return the data of the ConfigMap for these slots."""
    data = {uid: _format_entry(entry) for uid, entry in sorted(entries.items())}
    return {**data, _CHECKSUM: _checksum(data)}


def is_as_written(data: Mapping[str, Any]) -> bool:
    """Report whether only nicplug has written it."""
    return data.get(_CHECKSUM) == _checksum({uid: value for uid, value in data.items() if uid != _CHECKSUM})


def _checksum(data: Mapping[str, Any]) -> str:
    """Protects against mistakes, not against malice."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _format_entry(entry: SlotEntry) -> str:
    members = {
        "namespace": entry.migration.namespace,
        "migration": entry.migration.name,
        "vmi": entry.vmi.name,
        "sourceNode": entry.source_node,
        "targetNode": entry.target_node,
        "grantedAt": format_micro_time(entry.granted_at) if entry.granted_at is not None else None,
    }
    return json.dumps({**members, "returning": True} if entry.is_returning else members)


def _parse_entry(uid: str, written: str) -> SlotEntry | None:
    value = mapping(json_in(written))
    namespace, name, vmi = (text(value.get(member)) for member in ("namespace", "migration", "vmi"))
    if not (namespace and name and vmi):
        return None
    return SlotEntry(
        migration=MigrationKey(namespace, name),
        uid=uid,
        vmi=VmiKey(namespace, vmi),
        source_node=text(value.get("sourceNode")),
        target_node=text(value.get("targetNode")),
        granted_at=parse_time(value.get("grantedAt")),
        is_returning=value.get("returning") is True,
    )
