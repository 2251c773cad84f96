"""Moments of a story, ordered so that causes precede effects, even if times are only known to the second. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from nicplug.model.migration import MigrationPhase

REQUESTED, RECORDED, CREATED, READY = 0, 1, 2, 20
"""Positions in the order of causes."""

# Between CREATED and READY, with room for the hand-off.
_OF_PHASES: Mapping[str, int] = {
    MigrationPhase.PENDING: 4,
    MigrationPhase.SCHEDULING: 5,
    MigrationPhase.SCHEDULED: 6,
    MigrationPhase.PREPARING_TARGET: 8,
    MigrationPhase.TARGET_READY: 9,
    MigrationPhase.RUNNING: 10,
    MigrationPhase.SUCCEEDED: 11,
    MigrationPhase.FAILED: 11,
}
_OF_EVENTS: Mapping[str, int] = {
    "SuccessfulCreate": 3,
    "SuccessfulHandOver": 7,
    "SuccessfulMigration": 12,
    "FailedMigration": 12,
    "InterfaceMigrating": RECORDED,
    "InterfacePlugged": READY,
    "InterfaceUnplugged": READY,
    "InterfaceLinkSet": READY,
    "InterfaceRestored": READY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened.

    Attributes:
        at: without a fraction if only the second is known.
        source: the object that reports it, for example `event of pod virt-launcher-a`.
        place: position in the order of causes; None if unknown.
        reason: reason of the event that reports it; "" for anything else.
    """

    at: datetime
    source: str
    what: str
    place: int | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the item of the JSON output."""
        return {"at": self.at.isoformat(), "source": self.source, "what": self.what}


def place_of_phase(phase: str) -> int | None:
    """Return the position of the beginning of a migration's phase."""
    return _OF_PHASES.get(phase)


def place_of_event(reason: str) -> int | None:
    """Return the position of an event."""
    return _OF_EVENTS.get(reason)


def in_order(moments: Iterable[Moment]) -> list[Moment]:
    """Sort by time; within a second, moments without a fraction precede their first effect.

    Source: metav1.Time, the type of `creationTimestamp` and of a migration's phase timestamps, has whole seconds;
    nicplug's records and events have microseconds. Moments with a fraction stay in the order of time.
    """
    ordered: list[Moment] = []
    for _, group in groupby(sorted(moments, key=lambda moment: moment.at), key=_second):
        ordered += _within_a_second(list(group))
    return ordered


def _second(moment: Moment) -> datetime:
    return moment.at.replace(microsecond=0)


def _within_a_second(moments: list[Moment]) -> list[Moment]:
    precise = [moment for moment in moments if moment.at.microsecond]
    coarse = [moment for moment in moments if not moment.at.microsecond]
    for moment in sorted(coarse, key=_place):
        precise.insert(_before_effects(precise, _place(moment)), moment)
    return precise


def _before_effects(moments: list[Moment], place: int) -> int:
    effects = (index for index, item in enumerate(moments) if item.place is not None and item.place > place)
    return next(effects, len(moments))


def _place(moment: Moment) -> int:
    """Return the position; moments of a pod or a node, and unknown ones, follow the request."""
    return moment.place if moment.place is not None else RECORDED
