"""What is told of a VM by events, beside its starts and stops: each once, with the status that says it."""

from collections.abc import Mapping
from typing import Any

from nicplug.model.conditions import FAILURE, TRUE, find_condition
from nicplug.model.metadata import objects, text
from nicplug.model.state_change import unreadable_requests
from nicplug.plan.outcome import Announcement, Severity, Subject
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmView

_LONGEST_REQUEST = 80


def announce_failure(view: VmView, failure: Refusal | None, *, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """What is wrong with the VM itself; what the API server refused is told when it refuses it.

    Args:
        changes: members of the status that are written now.
    """
    if failure is None or failure == view.refusal or "conditions" not in changes:
        return ()
    before, after = _failure(view.vm.read_status().get("conditions")), _failure(changes["conditions"])
    if before == after:
        return ()
    return (_warning(failure.reason, failure.message),)


def announce_unreadable_requests(view: VmView, *, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """Requests that are dropped because nobody can act on them: who made them waits for something."""
    if "stateChangeRequests" not in changes:
        return ()
    dropped = unreadable_requests(view.vm.read_status().get("stateChangeRequests"))
    if not dropped:
        return ()
    count = f"{len(dropped)} requests" if len(dropped) > 1 else "a request"
    message = f"{count} of status.stateChangeRequests cannot be read and will not be carried out: "
    message += f"{dropped[0][:_LONGEST_REQUEST]}. Write action Start, or action Stop with the uid of the VMI"
    return (_warning(Reason.INVALID_STATE_CHANGE_REQUEST, message),)


def _failure(conditions: Any) -> tuple[str, str]:
    row = find_condition(objects(conditions), FAILURE)
    if row is None or row.get("status") != TRUE:
        return "", ""
    return text(row.get("reason")), text(row.get("message"))


def _warning(reason: str, message: str) -> Announcement:
    return Announcement(about=Subject.VM, severity=Severity.WARNING, reason=reason, message=message)
