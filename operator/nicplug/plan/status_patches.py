"""Computes the smallest guarded patch for a wanted status, and whether it may wait.

A status change is either a *go-ahead*, on which another program acts, or a *report* for people. Go-aheads and final
states are sent at once. Reports about operations in progress wait briefly to be combined, so that a healthy hot-plug
costs two status writes, not five.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.frozen_json import FrozenJson, read
from nicplug.model.metadata import objects
from nicplug.plan.actions import PatchStatus, ReportedObject, patch_status

# Only the wording differs, such as a place in a queue: people read it, scripts use reasons.
_WORDING_DELAY = timedelta(seconds=1)
_WORDS = frozenset({"message", "remedy", "rollbackCause"})
_WITH_WORDS = frozenset({"conditions", "interfaceOperations"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDecision:
    """The patch to send now, or when it is due; neither if nothing differs."""

    patch: PatchStatus | None = None
    due: datetime | None = None


def changed_members(*, seen: FrozenJson, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of `wanted` that differ; missing and empty count as equal."""
    old = read(seen) or {}
    members = sorted(old.keys() | wanted.keys())
    return {
        member: wanted.get(member)
        for member in members
        if old.get(member) != wanted.get(member) and (old.get(member) or wanted.get(member))
    }


def patience(*, seen: FrozenJson, changes: Mapping[str, Any], delay: timedelta) -> timedelta:
    """Return how long a report waits: at least a second if only messages differ."""
    if not changes.keys() <= _WITH_WORDS:
        return delay
    old = read(seen) or {}
    are_words = all(_without_words(old.get(member)) == _without_words(value) for member, value in changes.items())
    return max(delay, _WORDING_DELAY) if are_words else delay


def _without_words(rows: Any) -> list[dict[str, Any]]:
    return [{member: value for member, value in row.items() if member not in _WORDS} for row in objects(rows)]


def decide_status(
    subject: ReportedObject,
    *,
    changes: Mapping[str, Any],
    urgent: bool,
    pending_since: datetime | None,
    delay: timedelta,
    now: datetime,
) -> StatusDecision:
    """Send `changes` now if they are urgent or have waited long enough; otherwise return when they are due.

    Args:
        subject: the object whose status is patched.
    """
    if not changes:
        return StatusDecision()
    due = (pending_since or now) + delay
    if not urgent and now < due:
        return StatusDecision(due=due)
    return StatusDecision(patch=patch_status(subject, changes))
