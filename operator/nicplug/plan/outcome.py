"""What a planner returns, and how often a large object may be reconciled."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from nicplug.elided import LARGE_BYTES
from nicplug.plan.actions import Action


class Subject(StrEnum):
    """The object an event is about."""

    VM = "VM"
    VMI = "VMI"
    MIGRATION = "migration"


class Severity(StrEnum):
    """The `type` of an event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """An event to record once the actions of its plan have succeeded.

    Attributes:
        is_urgent: True if it reports a death: of a guest's pod, of a migration, of a NIC that was rolled back. If not
            every event can be kept, it takes precedence.
    """

    about: Subject
    severity: Severity
    reason: str
    message: str
    is_urgent: bool = field(default=False, compare=False)


def normal(about: Subject, reason: str, message: str) -> Announcement:
    """Return a Normal event."""
    return Announcement(about=about, severity=Severity.NORMAL, reason=reason, message=message)


def warning(about: Subject, reason: str, message: str, *, is_urgent: bool = False) -> Announcement:
    """Return a Warning event."""
    return Announcement(about=about, severity=Severity.WARNING, reason=reason, message=message, is_urgent=is_urgent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An operation on a NIC that this plan completes successfully.

    Attributes:
        seconds: time since the operator first saw the request.
    """

    operation: str
    path: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLeft:
    """A phase that an operation on a NIC leaves with this plan.

    Attributes:
        path: its path during that phase.
        seconds: how long the phase lasted.
    """

    path: str
    phase: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTaken:
    """A path that an operation on a NIC takes from this plan on.

    Attributes:
        reason: why it was chosen.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationEnded:
    """A migration that this plan ends.

    Attributes:
        phase: the final one.
    """

    phase: str
    reason: str


Measure = Completion | PhaseLeft | PathTaken | MigrationEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Actions in order, what to announce after them, and when only time can change the answer.

    Attributes:
        afterwards: writes that nothing waits for: sent once `actions` have triggered their effects.
        measures: what the metrics count once the actions have succeeded.
        withholds_report: True if a status write that nothing acts on is delayed until `again_at`, to be combined with
            others.
        requests: the requests for NICs that it carries out, as JSON; a rejection then applies to them.
        notes: why, for DEBUG logs and tests.
    """

    actions: tuple[Action, ...] = ()
    afterwards: tuple[Action, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    measures: tuple[Measure, ...] = ()
    again_at: datetime | None = None
    withholds_report: bool = False
    requests: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to send: the steady state."""
        return not self.actions


# How often a large object is written and reconciled, so that it only ever takes a small share of the time.
#
# A write costs the API server, every watcher and nicplug itself in proportion to the size of the object: 10 ms for an
# ordinary VMI, 0.3 s and more for one of 1.3 MB. Hence writes that only report progress are delayed in proportion to it
# as well. An object of up to `LARGE_BYTES`, or with the NICs of an ordinary guest, is not delayed here (docs/adr/0024).

# A write of a megabyte takes some 0.6 s of CPU of all who receive it: it may use a fiftieth of a core.
_PAUSE_PER_MEGABYTE = timedelta(seconds=30)
_MEGABYTE = 1_000_000
# The API server stores no object above about 1.5 MB.
_LONGEST_PAUSE = timedelta(seconds=45)
# Each NIC may cause a write, so an object with fewer NICs may be written sooner.
_MANY_NICS = 8
# A pass over a VMI takes a third of a millisecond for each of its NICs: ten times that is left for others.
_REST_PER_NIC = timedelta(milliseconds=4)
# Twice what a PC guest has room for (`model.pci`), so that a guest of another machine type counts as ordinary.
_ORDINARY_NICS = 64


def write_pause(stored_bytes: int, *, nics: int) -> timedelta:
    """Return how long a write that only reports progress is delayed, to combine it; zero for an ordinary object.

    Args:
        stored_bytes: the size of the object in the API; 0 unless it is large.
        nics: how many NICs the write may report on.
    """
    excess = max(0, stored_bytes - LARGE_BYTES)
    pause = min(_PAUSE_PER_MEGABYTE * (excess / _MEGABYTE), _LONGEST_PAUSE)
    return pause * (min(nics, _MANY_NICS) / _MANY_NICS)


def pass_rest(nics: int) -> timedelta:
    """Return how long an object with so many NICs is not reconciled again after a pass; zero for an ordinary one.

    One pass then handles everything that happened in between.
    """
    return _REST_PER_NIC * nics if nics > _ORDINARY_NICS else timedelta(0)
