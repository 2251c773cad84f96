"""Conditions of VMs and VMIs: parse, merge, compare.

Source: KubeVirt `pkg/controller/conditions.go` for its own types (a new message alone changes
nothing); Kubernetes API conventions for nicplug's, which carry `observedGeneration`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.model.metadata import text
from nicplug.model.times import format_time

Row = Mapping[str, Any]

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"

READY = "Ready"
INTERFACES_READY = "InterfacesReady"
SYNCHRONIZED = "Synchronized"
FAILURE = "Failure"
POD_SCHEDULED = "PodScheduled"
PAUSED = "Paused"
PROVISIONING = "Provisioning"
EVICTION_REQUESTED = "EvictionRequested"
RESTART_REQUIRED = "RestartRequired"
LIVE_MIGRATABLE = "LiveMigratable"
MIGRATION_REQUIRED = "MigrationRequired"
# nicplug's own, on a migration: its progress and what it waits for, as a sentence.
PROGRESSING = "Progressing"
INVALID_HOTPLUG_POLICY = "InvalidHotplugPolicy"
OUTDATED_ATTACHMENTS = "OutdatedNetworkAttachments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition that nicplug wants an object to have.

    Attributes:
        since: the transition time of the condition that this one copies; "" if the merge determines it.
        message_counts: True if a different message alone makes it a different condition.
        members: nicplug's own, for its own use: what the message says, as fields. A difference makes it a different
            condition.
    """

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int | None = None
    since: str = ""
    message_counts: bool = False
    members: Mapping[str, Any] = field(default_factory=dict)


def find_condition(conditions: Iterable[Row], type_: str) -> Row | None:
    """Return the condition of that type."""
    return next((row for row in conditions if row.get("type") == type_), None)


def is_true(conditions: Iterable[Row], type_: str) -> bool:
    """Report whether the condition exists and is True."""
    row = find_condition(conditions, type_)
    return row is not None and row.get("status") == TRUE


def merge_condition(conditions: Iterable[Row], wanted: Condition, *, now: datetime) -> list[dict[str, Any]]:
    """Return the list with `wanted` replacing the entry of its type, or appended.

    The old entry stays if nothing relevant differs: status and reason for KubeVirt's types, the message too with
    `message_counts`; with `observed_generation` also the message and the generation. The transition time changes only
    with the status.
    """
    rows = [dict(row) for row in conditions]
    for index, row in enumerate(rows):
        if row.get("type") == wanted.type:
            rows[index] = _replace(row, wanted, now=now)
            return rows
    return [*rows, _new(wanted, since=wanted.since or format_time(now))]


def drop_condition(conditions: Iterable[Row], type_: str) -> list[dict[str, Any]]:
    """Return the list without the condition of that type."""
    return [dict(row) for row in conditions if row.get("type") != type_]


def _replace(row: dict[str, Any], wanted: Condition, *, now: datetime) -> dict[str, Any]:
    same = row.get("status") == wanted.status and text(row.get("reason")) == wanted.reason
    if wanted.message_counts or wanted.observed_generation is not None:
        same = same and text(row.get("message")) == wanted.message
    if wanted.observed_generation is not None:
        same = same and row.get("observedGeneration") == wanted.observed_generation
    if same and all(row.get(name) == value for name, value in wanted.members.items()):
        return row
    unchanged_since = row.get("lastTransitionTime") if row.get("status") == wanted.status else None
    return _new(wanted, since=wanted.since or unchanged_since or format_time(now))


def _new(wanted: Condition, *, since: str) -> dict[str, Any]:
    row: dict[str, Any] = {"type": wanted.type, "status": wanted.status, "lastTransitionTime": since}
    if wanted.reason:
        row["reason"] = wanted.reason
    if wanted.message:
        row["message"] = wanted.message
    if wanted.observed_generation is not None:
        row["observedGeneration"] = wanted.observed_generation
    return {**row, **wanted.members}
