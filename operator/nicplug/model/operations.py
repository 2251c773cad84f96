"""Rows of `status.interfaceOperations`: the record of what is being done to one NIC."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from nicplug.model.attachments import Attached, parse_attached
from nicplug.model.metadata import mapping, sequence, text
from nicplug.model.times import format_micro_time, parse_time

# A message says what is and why, a remedy what a person can do: two fields of a record, one text elsewhere.

_LONGEST = 80


def with_remedy(message: str, remedy: str) -> str:
    """One text, for what has no field for the remedy: an event, a condition, an answer of the API."""
    return ". ".join(part for part in (message, remedy) if part)


def shortened(name: str, *, longest: int = _LONGEST) -> str:
    """A name for a sentence: of one that is longer its beginning, with a mark that there was more."""
    return name if len(name) <= longest else f"{name[:longest]}..."


class OperationType(StrEnum):
    """What is being done."""

    PLUG = "Plug"
    UNPLUG = "Unplug"
    CHANGE_NETWORK = "ChangeNetwork"
    SET_LINK = "SetLink"


class OperationPath(StrEnum):
    """How the NIC gets to the guest or out of it."""

    DYNAMIC = "Dynamic"
    MIGRATION = "Migration"
    RESTART = "Restart"
    NONE = "None"


class OperationPhase(StrEnum):
    """How far it is; READY, BLOCKED and FAILED stay until the spec or the world changes."""

    PENDING = "Pending"
    IN_POD = "InPod"
    MIGRATING = "Migrating"
    IN_GUEST = "InGuest"
    READY = "Ready"
    BLOCKED = "Blocked"
    FAILED = "Failed"


SETTLED_PHASES = frozenset({OperationPhase.READY, OperationPhase.BLOCKED, OperationPhase.FAILED})


def needs_person(phase: str) -> bool:
    """Before a record of this phase moves on by itself, somebody has to act, or something has to change."""
    return phase in (OperationPhase.BLOCKED, OperationPhase.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationFailures:
    """The migrations that nicplug made in vain for one change of one NIC.

    Kept in the record: the migrations themselves may be deleted by anybody, and only the newest are kept.

    Attributes:
        change: its fingerprint (`plan.nic.path.blame`).
        migrations: their uids, oldest first.
        reason: how the last one ended.
        message: the same, for a person; "" when nobody said.
        retry_alone: one failed that was for other NICs too, and nobody can tell for which: it is tried by itself next.
    """

    change: str = ""
    migrations: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""
    retry_alone: bool = False

    @property
    def count(self) -> int:
        """How many."""
        return len(self.migrations)

    def to_row(self) -> dict[str, Any]:
        """As it stands in the record."""
        known = {"cause": self.change, "reason": self.reason, "message": self.message, "apart": self.retry_alone}
        return {"migrations": list(self.migrations), **{member: value for member, value in known.items() if value}}


def _parse_failures(value: Any) -> MigrationFailures:
    row = mapping(value)
    uids = tuple(item for item in sequence(row.get("migrations")) if isinstance(item, str))
    if not uids:
        return MigrationFailures()
    return MigrationFailures(
        change=text(row.get("cause")),
        migrations=uids,
        reason=text(row.get("reason")),
        message=text(row.get("message")),
        retry_alone=row.get("apart") is True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceOperation:
    """One record.

    Attributes:
        message: what is and why.
        remedy: what a person can do; "" when nothing is to be done, and in records of an earlier version.
        next_attempt_time: when it is tried again by itself; None when only a change helps, or nothing failed yet.
        attempts: how often the pod was asked for the change.
        start_time: when the operator first saw the request.
        last_transition_time: when the phase last changed.
        last_error: what the node side last said, as a quotation; "" once the NIC is there.
        last_attempt_time: when the pod was last asked; the next attempt is counted from it. None: not yet.
        observed_generation: of the VMI, at the last attempt; another one is a reason to try again at once.
        migration: name of the migration that brings it about, or was to; "" on other paths.
        waiting_since: since when the dynamic path is tried; its deadline is counted from it. None while it is not, or
            has done its part.
        failures: the migrations that were made for it in vain.
        attached: by which definition the NIC was attached; None when nobody knows.
        is_suspect: network-status lists its pod interface, and the pod has probably not got it.
        lost_by_pod: uid of the launcher pod that has, or had, lost the interface of a NIC in the guest; "" when none
            has, and in records of an earlier version.
        rollback_cause: why the NIC was rolled back, as it was found then: nobody can find it again, and `message` may
            say more. "" when it was not, and in records of an earlier version, whose message is all there is.
    """

    name: str
    operation: str
    path: str
    phase: str
    reason: str
    message: str
    attempts: int
    start_time: datetime
    last_transition_time: datetime
    remedy: str = ""
    next_attempt_time: datetime | None = None
    last_error: str = ""
    last_attempt_time: datetime | None = None
    observed_generation: int = 0
    migration: str = ""
    waiting_since: datetime | None = None
    failures: MigrationFailures = field(default_factory=MigrationFailures)
    is_suspect: bool = False
    attached: Attached | None = None
    lost_by_pod: str = ""
    rollback_cause: str = ""

    @property
    def sentence(self) -> str:
        """Message and remedy, for what has one field for both."""
        return with_remedy(self.message, self.remedy)

    @property
    def is_settled(self) -> bool:
        """Nothing more happens without a change of the spec or of the world."""
        return self.phase in SETTLED_PHASES

    def to_row(self) -> dict[str, Any]:
        """As it stands in the status."""
        attempted, since, next_attempt = self.last_attempt_time, self.waiting_since, self.next_attempt_time
        known = {
            "remedy": self.remedy,
            "nextAttemptTime": format_micro_time(next_attempt) if next_attempt is not None else "",
            "lastError": self.last_error,
            "lastAttemptTime": format_micro_time(attempted) if attempted is not None else "",
            "waitingSince": format_micro_time(since) if since is not None else "",
            "observedGeneration": self.observed_generation,
            "migration": self.migration,
            "suspect": self.is_suspect,
            "lostByPod": self.lost_by_pod,
            "rollbackCause": self.rollback_cause,
            "attachment": self.attached.to_row() if self.attached is not None else None,
            "migrationFailures": self.failures.to_row() if self.failures.count else None,
        }
        return {
            "name": self.name,
            "operation": str(self.operation),
            "path": str(self.path),
            "phase": str(self.phase),
            "reason": str(self.reason),
            "message": self.message,
            "attempts": self.attempts,
            "startTime": format_micro_time(self.start_time),
            "lastTransitionTime": format_micro_time(self.last_transition_time),
            **{member: value for member, value in known.items() if value},
        }


def parse_operations(rows: Iterable[Any], *, default_time: datetime) -> dict[str, InterfaceOperation]:
    """The records by NIC name; `default_time` stands in for a timestamp that was removed."""
    parsed = (_parse(mapping(row), default_time=default_time) for row in rows)
    # A NIC of an invalid, even an empty name has a record too: without it each pass would write a new one.
    return {operation.name: operation for operation in parsed}


def _parse(row: Mapping[str, Any], *, default_time: datetime) -> InterfaceOperation:
    attempts, attempted = row.get("attempts"), parse_time(row.get("lastAttemptTime"))
    since = parse_time(row.get("waitingSince"))
    generation = row.get("observedGeneration")
    return InterfaceOperation(
        name=text(row.get("name")),
        operation=text(row.get("operation")),
        path=text(row.get("path")),
        phase=text(row.get("phase")),
        reason=text(row.get("reason")),
        message=text(row.get("message")),
        remedy=text(row.get("remedy")),
        next_attempt_time=parse_time(row.get("nextAttemptTime")),
        attempts=attempts if isinstance(attempts, int) else 0,
        # Never in the future: deadlines are counted from it.
        start_time=min(parse_time(row.get("startTime")) or default_time, default_time),
        last_transition_time=min(parse_time(row.get("lastTransitionTime")) or default_time, default_time),
        last_error=text(row.get("lastError")),
        last_attempt_time=min(attempted, default_time) if attempted is not None else None,
        observed_generation=generation if isinstance(generation, int) else 0,
        migration=text(row.get("migration")),
        waiting_since=min(since, default_time) if since is not None else None,
        failures=_parse_failures(row.get("migrationFailures")),
        is_suspect=row.get("suspect") is True,
        lost_by_pod=text(row.get("lostByPod")),
        rollback_cause=text(row.get("rollbackCause")),
        attached=parse_attached(row.get("attachment")),
    )
