"""How a migration ends, or why it waits: a word for machines and sentences for people."""

from dataclasses import dataclass

from nicplug.model.conditions import FALSE, TRUE
from nicplug.plan.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The migration has failed.

    Attributes:
        event: KubeVirt's text.
        message: of the condition, where there is more to say than the event does.
        is_abort: it was cancelled before the node agents had it.
    """

    reason: Reason
    event: str
    message: str = ""
    is_abort: bool = False

    @property
    def told(self) -> str:
        """For a person."""
        return self.message or self.event


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the condition `Progressing` says.

    Attributes:
        is_stuck: nicplug can do nothing until something changes.
    """

    reason: str
    message: str
    is_stuck: bool = False

    @property
    def status(self) -> str:
        """Of the condition."""
        return FALSE if self.is_stuck else TRUE
