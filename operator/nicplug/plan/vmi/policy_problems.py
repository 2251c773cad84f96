"""What a VM's owner wrote about hot-plug and has no effect: said in a condition while it lasts, and once in an event.

No schema checks an annotation, so nobody else tells.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nicplug.model.conditions import (
    INVALID_HOTPLUG_POLICY,
    TRUE,
    Condition,
    Row,
    drop_condition,
    find_condition,
    merge_condition,
)
from nicplug.model.metadata import objects, text
from nicplug.plan.outcome import Announcement, Severity, Subject
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView


def with_policy_problems(rows: Sequence[Row], *, view: VmiView, now: datetime) -> list[dict[str, Any]]:
    """The conditions with `InvalidHotplugPolicy`, which is there only while there is something to say."""
    if not view.policy.problems:
        return drop_condition(rows, INVALID_HOTPLUG_POLICY)
    condition = Condition(
        type=INVALID_HOTPLUG_POLICY,
        status=TRUE,
        reason=Reason.INVALID_HOTPLUG_POLICY,
        message=". ".join(view.policy.problems),
        observed_generation=view.vmi.generation,
    )
    return merge_condition(rows, condition, now=now)


def announce_policy_problems(view: VmiView, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """The event, when the condition says something new.

    Args:
        changes: members of the status that are written now.
    """
    before = _message(view.vmi.read_status().get("conditions"))
    after = _message(changes["conditions"]) if "conditions" in changes else before
    if not after or after == before:
        return ()
    reason = Reason.INVALID_HOTPLUG_POLICY
    return (Announcement(about=Subject.VMI, severity=Severity.WARNING, reason=reason, message=after),)


def _message(conditions: Any) -> str:
    return text((find_condition(objects(conditions), INVALID_HOTPLUG_POLICY) or {}).get("message"))
