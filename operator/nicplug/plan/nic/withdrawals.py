"""A phantom that is taken out of a pod's annotation, until the pod's network-status drops it.

The dynamic networks controller that fails to detach it falls as silent as one that fails to attach: until the text
changes. So it is asked again, and while it is, nobody waits for it whose own attachment may fail (`plan.nic.turns`).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from nicplug.model.attachments import AttachmentDefinition
from nicplug.model.operations import InterfaceOperation
from nicplug.model.pod_failures import FAILED_REMOVING, PodFailure
from nicplug.plan.nic.attempts import Attempts

# A controller that has not said within this time that it has failed may be away.
RELEASE_PATIENCE = timedelta(seconds=8)


def withdraw_attempts(
    record: InterfaceOperation,
    *,
    is_leaving: bool,
    definition: AttachmentDefinition | None,
    failure: PodFailure | None,
    now: datetime,
    is_heard: bool,
) -> Attempts:
    """How often it was tried, those to attach it included: after `phantoms.MOST_ATTEMPTS` nobody tries any more.

    Args:
        is_leaving: its element goes in this pass, which is no attempt of its own.
        failure: what was last said to have failed about its pod interface.
    """
    since = max(record.last_attempt_time or record.start_time, record.last_transition_time)
    is_failed = failure is not None and failure.reason == FAILED_REMOVING and failure.heard_at >= since
    changed_at = definition.changed_at if definition is not None else None
    return Attempts(
        count=record.attempts,
        last_at=now if is_leaving else since,
        generation=record.observed_generation,
        error=failure.message if failure is not None and is_failed else "",
        is_anew=not is_leaving and changed_at is not None and changed_at > since,
        is_heard=is_heard,
    )


def overdue_withdrawals(withdrawals: Mapping[str, Attempts], *, now: datetime) -> frozenset[str]:
    """Those that are to be asked for once more."""
    return frozenset(name for name, attempts in withdrawals.items() if attempts.is_due(now))


def may_be_released(withdrawals: Mapping[str, Attempts], *, now: datetime) -> bool:
    """One may be detached by what was asked: the controller removes nothing before all additions succeed."""
    return any(not item.error and now < _patience_ends(item, now=now) for item in withdrawals.values())


def withdrawal_moments(withdrawals: Mapping[str, Attempts], *, now: datetime) -> Iterator[datetime | None]:
    """When time alone changes something of them."""
    for attempts in withdrawals.values():
        yield attempts.due_at
        yield _patience_ends(attempts, now=now)


def _patience_ends(attempts: Attempts, *, now: datetime) -> datetime:
    return (attempts.last_at or now) + RELEASE_PATIENCE
