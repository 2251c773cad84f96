"""Phantoms: pod interfaces that network-status lists and the pod probably has not got."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.attachments import AttachmentDefinition
from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, has_source
from nicplug.model.operations import InterfaceOperation, OperationPhase, OperationType
from nicplug.model.pod_failures import FAILED_ADDING, FAILED_REMOVING, PodFailure
from nicplug.plan.nic.attempts import Attempts

# NICs that network-status lists and that the pod has probably not got.
#
# The dynamic networks controller adds in one pass what it was asked for together. When one of them fails, Multus
# takes back what the same pass had added, and network-status keeps it; no later change repairs that
# (docs/node-simulator.md, docs/adr/0012). What helps is to take the element out, to wait until the status drops it,
# and to ask again.
#
# Nothing in the API proves a phantom. It is suspected when a NIC that was asked for together with one that failed has
# not reached the guest for a while: a NIC that had arrived before is never touched, as its node agent may be plugging
# it.

PATIENCE = timedelta(seconds=5)
"""A node agent plugs what is there within a second. The controller has failed four times within 35 ms."""
MOST_ATTEMPTS = 4
"""What has not helped so often does not help."""


@dataclass(frozen=True, slots=True)
class FailedAddition:
    """A NIC that the controller could not add.

    Attributes:
        start_time: when the NIC was asked for.
    """

    name: str
    heard_at: datetime
    start_time: datetime


def failed_additions(
    failures: Iterable[PodFailure], *, nics: Mapping[str, str], records: Mapping[str, InterfaceOperation]
) -> list[FailedAddition]:
    """Those that a record tells of, by when the failure was heard of.

    Args:
        failures: what was last said to have failed on the pod.
        nics: the NIC of each pod interface.
        records: of all NICs of the VMI.
    """
    named = ((nics.get(item.interface, ""), item) for item in failures if item.reason == FAILED_ADDING)
    found = [FailedAddition(name, item.heard_at, records[name].start_time) for name, item in named if name in records]
    return sorted(found, key=_heard_at)


def _heard_at(failed: FailedAddition) -> datetime:
    return failed.heard_at


def is_suspect(
    record: InterfaceOperation | None,
    *,
    row: Mapping[str, Any] | None,
    failed: Sequence[FailedAddition],
    came_by_migration: bool,
    now: datetime,
) -> bool:
    """The NIC may be a phantom; once suspected, it is until the guest has it or the status drops it.

    Args:
        row: its row of `status.interfaces`.
        failed: the NICs that could not be added to its pod, by when that was said.
        came_by_migration: its pod was made with it.
    """
    if record is None or record.operation != OperationType.PLUG:
        return False
    if not has_source(row, MULTUS_STATUS) or has_source(row, DOMAIN) or came_by_migration:
        return False
    if record.is_suspect:
        return True  # also when it is blocked by now: put back, it would be suspected anew, and taken out again
    if record.phase == OperationPhase.BLOCKED:
        return False  # nobody asks for what is blocked: whoever put the interface there did it alone
    asked_at, arrived_at = _asked_at(record), _arrived_at(record, now=now)
    # The first attempt is counted from its first record, which the controller's failure may be before.
    since = record.start_time if record.attempts <= 1 else asked_at
    for other in failed[bisect_left(failed, since, key=_heard_at) :]:
        if other.heard_at > arrived_at + PATIENCE:
            return False
        if other.start_time <= asked_at and other.name != record.name:
            return True
    return False


def withdrawn_at(record: InterfaceOperation, *, is_anew: bool, now: datetime) -> datetime | None:
    """When the element of a suspect is taken out; None when that is no longer tried.

    Args:
        is_anew: something has changed since the last attempt.
    """
    return _arrived_at(record, now=now) + PATIENCE if is_anew or record.attempts < MOST_ATTEMPTS else None


def _arrived_at(record: InterfaceOperation, *, now: datetime) -> datetime:
    """When its interface was first listed, which may be long after it was asked for: a controller may be slow, or away.

    In the pass that sees it first the record does not say so yet; of one that was taken out it says so no more, and
    has been asked since to be detached.
    """
    if record.phase == OperationPhase.IN_POD:
        return max(_asked_at(record), record.last_transition_time)
    return record.start_time if record.is_suspect else max(_asked_at(record), now)


def _asked_at(record: InterfaceOperation) -> datetime:
    """What the status lists before its first record is written has no attempt in it."""
    return record.last_attempt_time or record.start_time


# A phantom that is taken out of a pod's annotation, until the pod's network-status drops it.
#
# The dynamic networks controller that fails to detach it falls as silent as one that fails to attach: until the text
# changes. So it is asked again, and while it is, nobody waits for it whose own attachment may fail
# (`plan.nic.attempts`).

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
