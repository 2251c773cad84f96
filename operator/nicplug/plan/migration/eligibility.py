"""Whether a migration that has no target pod yet could go, if there were room for it."""

from dataclasses import dataclass
from datetime import datetime

from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What keeps a migration from having a target pod, apart from the limits: it takes up no slot meanwhile.

    Attributes:
        message: for a person, with names and numbers.
        again_at: when time alone removes it; None when only a change of something can.
    """

    reason: Reason
    message: str
    again_at: datetime | None = None


def find_obstacle(_view: MigrationView, *, now: datetime) -> Obstacle | None:
    """What keeps this migration from going; None: it could go now.

    Args:
        now: current time, UTC.
    """
    del now
    return None
