"""The status of an object, and its conditions: parse, merge, compare.

Source: KubeVirt `pkg/controller/conditions.go` for its own types (a new message alone changes
nothing); Kubernetes API conventions for nicplug's, which carry `observedGeneration`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from nicplug.model.metadata import objects, text
from nicplug.model.times import format_time, parse_time

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
    """A condition that an object has, or that nicplug wants it to have.

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


@dataclass(frozen=True, eq=False)
class Status:
    """The status of an object, each part parsed on first use. It never changes, so all callers share it.

    Attributes:
        members: all members as read: for writing them back, and as the guard of a write.
    """

    members: Mapping[str, Any]

    @cached_property
    def conditions(self) -> list[Row]:
        """The conditions as read."""
        return objects(self.members.get("conditions"))

    @cached_property
    def _by_type(self) -> Mapping[str, Condition]:
        return {item.type: item for item in map(_parse_condition, reversed(self.conditions))}

    @property
    def statuses(self) -> Mapping[str, str]:
        """The status of each condition, by its type."""
        return {type_: item.status for type_, item in self._by_type.items()}

    def condition(self, type_: str) -> Condition:
        """Return the condition of that type; one without a status if the object has none."""
        return self._by_type.get(type_) or Condition(type=type_, status="")

    def is_true(self, type_: str) -> bool:
        """Report whether the condition exists and is True."""
        return self.condition(type_).status == TRUE

    @cached_property
    def phase_times(self) -> Mapping[str, datetime | None]:
        """When the object entered each of its phases; None if the timestamp cannot be read."""
        times: dict[str, datetime | None] = {}
        for row in objects(self.members.get("phaseTransitionTimestamps")):
            times.setdefault(text(row.get("phase")), parse_time(row.get("phaseTransitionTimestamp")))
        return times

    def with_phase_times(self, entered: Iterable[str], *, now: datetime) -> list[Row]:
        """Return `phaseTransitionTimestamps` with the phases entered now; an existing timestamp is kept."""
        rows = objects(self.members.get("phaseTransitionTimestamps"))
        new = [phase for phase in entered if phase not in self.phase_times]
        return [*rows, *({"phase": str(phase), "phaseTransitionTimestamp": format_time(now)} for phase in new)]


NO_STATUS = Status({})

_MEMBERS = frozenset({"type", "status", "reason", "message", "observedGeneration", "lastTransitionTime"})


def _parse_condition(row: Row) -> Condition:
    generation = row.get("observedGeneration")
    return Condition(
        type=text(row.get("type")),
        status=text(row.get("status")),
        reason=text(row.get("reason")),
        message=text(row.get("message")),
        observed_generation=generation if isinstance(generation, int) else None,
        since=text(row.get("lastTransitionTime")),
        members={name: value for name, value in row.items() if name not in _MEMBERS},
    )


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


def with_condition(
    conditions: Iterable[Row], type_: str, wanted: Condition | None, *, now: datetime
) -> list[dict[str, Any]]:
    """Return the list with the wanted condition of that type, or without any."""
    return drop_condition(conditions, type_) if wanted is None else merge_condition(conditions, wanted, now=now)


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
