"""Rows of `status.interfaceOperations`: the record of the current operation on a NIC."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from nicplug.model.attachments import Attached, parse_attached
from nicplug.model.metadata import mapping, sequence, text
from nicplug.model.times import format_micro_time, parse_time

_LONGEST = 80


def with_remedy(message: str, remedy: str) -> str:
    """Return one text, for targets without a field for the remedy: an event, a condition, an API response."""
    return ". ".join(part for part in (message, remedy) if part)


def shortened(name: str, *, longest: int = _LONGEST) -> str:
    """Return a name for a sentence, truncated with a mark if it is too long."""
    return name if len(name) <= longest else f"{name[:longest]}..."


class OperationType(StrEnum):
    """What nicplug does to the NIC."""

    PLUG = "Plug"
    UNPLUG = "Unplug"
    CHANGE_NETWORK = "ChangeNetwork"
    SET_LINK = "SetLink"


class OperationPath(StrEnum):
    """How the NIC is plugged or unplugged."""

    DYNAMIC = "Dynamic"
    MIGRATION = "Migration"
    RESTART = "Restart"
    NONE = "None"


class OperationPhase(StrEnum):
    """The progress; READY, BLOCKED and FAILED stay until the spec or the environment changes."""

    PENDING = "Pending"
    IN_POD = "InPod"
    MIGRATING = "Migrating"
    IN_GUEST = "InGuest"
    READY = "Ready"
    BLOCKED = "Blocked"
    FAILED = "Failed"


SETTLED_PHASES = frozenset({OperationPhase.READY, OperationPhase.BLOCKED, OperationPhase.FAILED})


def needs_person(phase: str) -> bool:
    """Report whether a record of this phase stays until a person acts or something else changes."""
    return phase in (OperationPhase.BLOCKED, OperationPhase.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationFailures:
    """The migrations that nicplug created for one change of one NIC and that failed.

    The record keeps them: any client may delete the migrations, and only the newest are kept.

    Attributes:
        change: its fingerprint (`plan.nic.path.blame`).
        migrations: their uids, oldest first.
        reason: how the last one ended.
        message: the end of the last one in a sentence; "" if unknown.
        retry_alone: one that other NICs shared failed, and the NIC to blame is unknown: this NIC is retried alone.
    """

    change: str = ""
    migrations: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""
    retry_alone: bool = False

    @property
    def count(self) -> int:
        """The number of failed migrations."""
        return len(self.migrations)

    def to_row(self) -> dict[str, Any]:
        """Return the member of the record."""
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
        message: what happened and why.
        remedy: what the user can do; "" if there is nothing to do, and in records of an earlier version.
        next_attempt_time: when nicplug retries; None if only a change helps, or nothing has failed yet.
        attempts: how often the change was requested from the pod.
        start_time: when the operator first saw the request.
        last_transition_time: when the phase last changed.
        last_error: the latest error of the node side, quoted; "" once the NIC is attached.
        last_attempt_time: when it was last requested from the pod; the next attempt is scheduled from it. None: not
            yet.
        observed_generation: generation of the VMI at the last attempt; a different one triggers an immediate retry.
        migration: name of the migration that applies it, or was meant to; "" on other paths.
        waiting_since: when the dynamic path began; its deadline counts from it. None if it is not in use, or has done
            its part.
        failures: the failed migrations that were created for it.
        attached: the definition that the NIC was attached with; None if unknown.
        is_suspect: network-status lists its pod interface, but the pod probably does not have it.
        lost_by_pod: uid of the launcher pod that lost the interface of a NIC in the guest; "" if none has, and in
            records of an earlier version.
        rollback_cause: why the NIC was rolled back. It cannot be determined again later, and `message` may say more. ""
            if it was not rolled back, and in records of an earlier version, which have only a message.
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
        """Message and remedy, for targets with one field for both."""
        return with_remedy(self.message, self.remedy)

    @property
    def is_settled(self) -> bool:
        """True if nothing more happens until the spec or the environment changes."""
        return self.phase in SETTLED_PHASES

    def not_after(self, now: datetime) -> "InterfaceOperation":
        """Return the record with `now` in place of timestamps in the future: deadlines count from them."""
        attempted, since = self.last_attempt_time, self.waiting_since
        if max(self.start_time, self.last_transition_time, attempted or now, since or now) <= now:
            return self
        return replace(
            self,
            start_time=min(self.start_time, now),
            last_transition_time=min(self.last_transition_time, now),
            last_attempt_time=min(attempted, now) if attempted is not None else None,
            waiting_since=min(since, now) if since is not None else None,
        )

    def to_row(self) -> dict[str, Any]:
        """Return the row of the status."""
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


_LATEST = datetime.max.replace(tzinfo=UTC)


def parse_operations(rows: Iterable[Any]) -> dict[str, InterfaceOperation]:
    """Return the records by NIC name; a timestamp that was removed is in the future (`not_after`)."""
    parsed = (_parse(mapping(row)) for row in rows)
    # A NIC with an invalid or even empty name has a record too: without it each pass would write a new one.
    return {operation.name: operation for operation in parsed}


def _parse(row: Mapping[str, Any]) -> InterfaceOperation:
    attempts, generation = row.get("attempts"), row.get("observedGeneration")
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
        start_time=parse_time(row.get("startTime")) or _LATEST,
        last_transition_time=parse_time(row.get("lastTransitionTime")) or _LATEST,
        last_error=text(row.get("lastError")),
        last_attempt_time=parse_time(row.get("lastAttemptTime")),
        observed_generation=generation if isinstance(generation, int) else 0,
        migration=text(row.get("migration")),
        waiting_since=parse_time(row.get("waitingSince")),
        failures=_parse_failures(row.get("migrationFailures")),
        is_suspect=row.get("suspect") is True,
        lost_by_pod=text(row.get("lostByPod")),
        rollback_cause=text(row.get("rollbackCause")),
        attached=parse_attached(row.get("attachment")),
    )
