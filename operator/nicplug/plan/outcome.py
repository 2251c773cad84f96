"""What a planner returns."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

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
        is_urgent: it tells of a death: of a guest's pod, of a migration, of a NIC that was taken back. Where not every
            event can be kept, it goes before those that do not.
    """

    about: Subject
    severity: Severity
    reason: str
    message: str
    is_urgent: bool = field(default=False, compare=False)


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
