"""Migration slots: who wants one, who has one, and the ledger of them, a ConfigMap with one key per slot.

Anybody who may edit the ConfigMap can write anything there; what is not understood is left out, and says so by the
checksum that no longer fits.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.metadata import mapping, text
from nicplug.model.times import format_micro_time, parse_time

LEDGER_NAME = "nicplug-migration-slots"
_CHECKSUM = "checksum"
FRESH_SECONDS = 10.0
"""So long after it was read or written the ledger is believed that a slot may still be used."""
RETURN_SECONDS = FRESH_SECONDS + 5.0
"""So long a slot is on its way back: whoever has believed in it has made his target pod by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotEntry:
    """One slot.

    Attributes:
        source_node: whose outbound migrations it counts among; "" when nobody knows.
        target_node: whose inbound migrations it counts among; "" until it may be handed off.
        granted_at: for people; None when it was found under way.
        is_returning: it was not used and is being given back: nobody may use it any more.
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
    """The word of the ledger on one migration; decided in `plan.migration.slots`, in one place for all.

    Attributes:
        is_granted: its target pod may be made; counts towards the limits of the cluster and of the source node.
        inbound_node: the node to which it may be handed off; "" while the limit of that node is reached, or its
            target pod has no node yet.
        reason: why it waits, as a CamelCase reason; "" when it waits for no slot.
        message: the same for a person, with numbers: who waits for whom, and the position in the queue.
    """

    is_granted: bool = False
    inbound_node: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A migration that has not ended, as far as slots go; read from its view in `plan.migration.slots`.

    Attributes:
        priority: the higher goes first.
        source_node: where the guest is; "" when nobody knows.
        target_node: where its target pod is; "" while it has none.
        holds: it is under way, whatever the ledger says: it has a target pod, or has had one.
        is_handed_off: the node agents have it, or may have it.
        wants: nothing but the limits keeps it from having a target pod.
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


def parse_entries(data: Mapping[str, Any]) -> dict[str, SlotEntry]:
    """The slots that the data of the ConfigMap tells of."""
    found = (_parse_entry(uid, text(value)) for uid, value in data.items() if uid != _CHECKSUM)
    return {entry.uid: entry for entry in found if entry is not None}


def format_entries(entries: Entries) -> dict[str, str]:
    """The data that tells of these slots."""
    data = {uid: _format_entry(entry) for uid, entry in sorted(entries.items())}
    return {**data, _CHECKSUM: _checksum(data)}


def is_as_written(data: Mapping[str, Any]) -> bool:
    """Nobody but nicplug has written it."""
    return data.get(_CHECKSUM) == _checksum({uid: value for uid, value in data.items() if uid != _CHECKSUM})


def _checksum(data: Mapping[str, Any]) -> str:
    """Against mistakes, not against malice."""
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
    try:
        value = mapping(json.loads(written))
    except (ValueError, RecursionError):
        return None
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
