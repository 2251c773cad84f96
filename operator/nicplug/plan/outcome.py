"""What a planner returns, and how often a large object may be looked at."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from nicplug.elided import LARGE_BYTES
from nicplug.plan.actions import Action

# What a planner returns.


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
        is_urgent: it tells of a death: of a guest's pod, of a migration, of a NIC that was rolled back. Where not every
            event can be kept, it goes before those that do not.
    """

    about: Subject
    severity: Severity
    reason: str
    message: str
    is_urgent: bool = field(default=False, compare=False)


def normal(about: Subject, reason: str, message: str) -> Announcement:
    """A Normal event."""
    return Announcement(about=about, severity=Severity.NORMAL, reason=reason, message=message)


def warning(about: Subject, reason: str, message: str, *, is_urgent: bool = False) -> Announcement:
    """A Warning event."""
    return Announcement(about=about, severity=Severity.WARNING, reason=reason, message=message, is_urgent=is_urgent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An operation on a NIC that this plan brings to its good end.

    Attributes:
        seconds: from the moment the operator first saw the request.
    """

    operation: str
    path: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLeft:
    """A phase that an operation on a NIC leaves with this plan.

    Attributes:
        path: on which it was in that phase.
        seconds: how long it was in it.
    """

    path: str
    phase: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PathTaken:
    """A path that an operation on a NIC takes from this plan on.

    Attributes:
        reason: by which it was chosen.
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
        afterwards: writes that nobody waits for: sent when those of `actions` have set off what they do.
        measures: what the metrics count once the actions have succeeded.
        withholds_report: a status write that nobody acts on waits for company until `again_at`.
        requests: the requests for NICs that it carries out, as JSON; what is refused then, is refused for them.
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
        """Nothing to send: the steady state."""
        return not self.actions


# How often a large object is written and looked at, so that it never takes more than a small share of the time.
#
# A write costs the API server, every watcher and nicplug itself in proportion to the size of the object: 10 ms for an
# ordinary VMI, 0.3 s and more for one of 1.3 MB. So whatever only reports progress waits in proportion to it as well.
# An object of up to `LARGE_BYTES`, or with the NICs of an ordinary guest, waits for nothing here (docs/adr/0024).

# A write of a megabyte takes some 0.6 s of CPU of all who see it: it may have a fiftieth of a core.
_PAUSE_PER_MEGABYTE = timedelta(seconds=30)
_MEGABYTE = 1_000_000
# The API server stores no object above about 1.5 MB.
_LONGEST_PAUSE = timedelta(seconds=45)
# Each NIC may cause a write, so fewer of them may do so sooner.
_MANY_NICS = 8
# A pass over a VMI takes a third of a millisecond for each of its NICs: ten times as much is for others.
_REST_PER_NIC = timedelta(milliseconds=4)
# Twice as many as a guest of a PC has room for (`model.pci`), so that one of another machine type is ordinary.
_ORDINARY_NICS = 64


def write_pause(stored_bytes: int, *, nics: int) -> timedelta:
    """How long a write that only carries progress waits for company; zero for an ordinary object.

    Args:
        stored_bytes: the size of the object in the API; 0 where it is not large.
        nics: how many NICs there may be something to be said of.
    """
    excess = max(0, stored_bytes - LARGE_BYTES)
    pause = min(_PAUSE_PER_MEGABYTE * (excess / _MEGABYTE), _LONGEST_PAUSE)
    return pause * (min(nics, _MANY_NICS) / _MANY_NICS)


def pass_rest(nics: int) -> timedelta:
    """How long an object with so many NICs is not looked at again after a pass; zero for an ordinary one.

    Whatever happens to it meanwhile is seen by one pass then.
    """
    return _REST_PER_NIC * nics if nics > _ORDINARY_NICS else timedelta(0)
