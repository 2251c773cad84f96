"""Phantoms: pod interfaces that network-status lists and the pod probably does not have."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from nicplug.model.attachments import AttachmentDefinition
from nicplug.model.conditions import PAUSED
from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, InterfaceRow, has_source
from nicplug.model.networks import first_by_name
from nicplug.model.operations import InterfaceOperation, OperationPhase, OperationType
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_failures import FAILED_ADDING, FAILED_REMOVING, PodFailure
from nicplug.plan.nic.attempts import Attempts, Failures
from nicplug.plan.nic.observed import interface_names
from nicplug.plan.views import VmiView

# The dynamic networks controller adds all newly requested interfaces in one pass. If one fails, Multus reverts the
# others of that pass, but network-status still lists them; no later change repairs that (docs/node-simulator.md,
# docs/adr/0012). The remedy is to remove the element, wait until network-status drops it, and request it again.
#
# Nothing in the API proves a phantom. A NIC is suspected if it was requested together with one that failed, and has not
# reached the guest for a while. A NIC that arrived before that is left alone, as its node agent may be plugging it.

PATIENCE = timedelta(seconds=5)
"""A node agent plugs an existing interface within a second. The controller gives up after four attempts in 35 ms."""
MOST_ATTEMPTS = 4
"""Limit of attempts, after which another one is not expected to help."""


class PhantomState(Enum):
    """State of a suspected phantom, until the guest has the NIC or network-status drops it."""

    SUSPECTED = auto()
    """The guest may still get it: no action yet."""
    WITHDRAWN = auto()
    """Removed from the annotation until network-status drops it; then it is requested again."""
    GIVEN_UP = auto()
    """`MOST_ATTEMPTS` attempts have failed, and nothing has changed since the last one."""


@dataclass(frozen=True, slots=True)
class Phantom:
    """A NIC that its pod probably does not have.

    Attributes:
        withdrawn_at: when it is, or was, removed from the annotation; None if that is no longer tried.
    """

    state: PhantomState
    withdrawn_at: datetime | None


def find_phantoms(
    view: VmiView,
    *,
    pod: LauncherPod,
    records: Mapping[str, InterfaceOperation],
    failures: Failures,
    now: datetime,
) -> Mapping[str, Phantom]:
    """The suspected phantoms of a VMI, by NIC.

    None while the guest is paused: no NIC can be plugged then, so its absence is no evidence.
    """
    if not records:
        return {}
    nics = {interface: name for name, interface in interface_names(view.vmi, pod).items()}
    failed = _failed_additions(failures, nics=nics, records=records)
    found = [
        item
        for item in records.values()
        if _may_be_phantom(item, row=view.vmi.status.interfaces.get(item.name))
        and not _came_by_migration(item, view, pod)
        and (item.is_suspect or _is_beside_failure(item, failed=failed, now=now))
    ]
    if not found or view.vmi.status.is_true(PAUSED):
        return {}
    return {item.name: _phantom(item, is_reset=_has_changed_since(item, view), now=now) for item in found}


_FailedAddition = tuple[datetime, InterfaceOperation]
"""When the controller reported that it could not add a NIC, and the record of that NIC."""


def _failed_additions(
    failures: Failures, *, nics: Mapping[str, str], records: Mapping[str, InterfaceOperation]
) -> list[_FailedAddition]:
    """The failed additions of NICs that have a record, oldest first."""
    named = ((nics.get(interface, ""), item) for interface, item in failures.items() if item.reason == FAILED_ADDING)
    found = [(item.heard_at, records[name]) for name, item in named if name in records]
    return sorted(found, key=_heard_at)


def _heard_at(failed: _FailedAddition) -> datetime:
    return failed[0]


def _may_be_phantom(record: InterfaceOperation, *, row: InterfaceRow | None) -> bool:
    """True if network-status lists it, and the guest does not have it.

    nicplug does not request a blocked NIC, so its interface is another writer's. A suspect stays one when it becomes
    blocked: restored, it would be suspected and removed again.
    """
    if record.operation != OperationType.PLUG or not has_source(row, MULTUS_STATUS) or has_source(row, DOMAIN):
        return False
    return record.is_suspect or record.phase != OperationPhase.BLOCKED


def _came_by_migration(record: InterfaceOperation, view: VmiView, pod: LauncherPod) -> bool:
    """True if its pod was created with it.

    Not while the migration is in progress: the guest is still in the source pod. A suspect that was cleared then would
    be observed in its pod again, waited for, migrated for, and so on indefinitely.
    """
    if record.phase != OperationPhase.MIGRATING:
        return bool(record.migration)
    state = view.vmi.migration_state
    job = next((item for item in view.migrations if item.key.name == record.migration), None)
    return state.target_pod == pod.key.name and (job is None or job.uid == state.migration_uid)


def _is_beside_failure(record: InterfaceOperation, *, failed: Sequence[_FailedAddition], now: datetime) -> bool:
    """True if it was requested together with a NIC that could not be added."""
    asked_at, arrived_at = _asked_at(record), _arrived_at(record, now=now)
    # The first attempt is counted from its first record, which may be later than the controller's failure.
    since = record.start_time if record.attempts <= 1 else asked_at
    for heard_at, other in failed[bisect_left(failed, since, key=_heard_at) :]:
        if heard_at > arrived_at + PATIENCE:
            return False
        if other.start_time <= asked_at and other.name != record.name:
            return True
    return False


def _phantom(record: InterfaceOperation, *, is_reset: bool, now: datetime) -> Phantom:
    if not is_reset and record.attempts >= MOST_ATTEMPTS:
        return Phantom(PhantomState.GIVEN_UP, None)
    due = _arrived_at(record, now=now) + PATIENCE
    return Phantom(PhantomState.WITHDRAWN if due <= now else PhantomState.SUSPECTED, due)


def _has_changed_since(record: InterfaceOperation, view: VmiView) -> bool:
    """True if the VMI or the network's configuration has changed since its last attempt."""
    network, last_at = first_by_name(view.vmi.networks).get(record.name), record.last_attempt_time
    definition = view.attachments.definition_of(network, namespace=view.vmi.key.namespace)
    changed_at = definition.changed_at if definition is not None else None
    return last_at is not None and (
        record.observed_generation != view.vmi.generation or (changed_at is not None and changed_at > last_at)
    )


def _arrived_at(record: InterfaceOperation, *, now: datetime) -> datetime:
    """When its interface was first listed, possibly long after its request: a controller may be slow, or missing.

    The record does not contain this yet in the pass that observes it first, and no longer after its withdrawal, when
    it has the time of the request to detach.
    """
    if record.phase == OperationPhase.IN_POD:
        return max(_asked_at(record), record.last_transition_time)
    return record.start_time if record.is_suspect else max(_asked_at(record), now)


def _asked_at(record: InterfaceOperation) -> datetime:
    """Time of the last attempt; of a NIC that was listed before its first record, the start."""
    return record.last_attempt_time or record.start_time


# Withdraws a phantom: removes it from a pod's annotation until the pod's network-status drops it.
#
# A dynamic networks controller that fails to detach it also falls silent until the text changes. So the request is
# repeated, and meanwhile no NIC is requested whose own attachment may fail (`plan.nic.attempts`).

# A controller that has not reported a failure within this time may be missing.
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
    """Attempts to withdraw it, those to attach it included: it is given up after `phantoms.MOST_ATTEMPTS`.

    Args:
        is_leaving: its element is removed in this pass, which is no attempt of its own.
        failure: the last reported failure of its pod interface.
    """
    since = max(record.last_attempt_time or record.start_time, record.last_transition_time)
    is_failed = failure is not None and failure.reason == FAILED_REMOVING and failure.heard_at >= since
    changed_at = definition.changed_at if definition is not None else None
    return Attempts(
        count=record.attempts,
        last_at=now if is_leaving else since,
        generation=record.observed_generation,
        error=failure.message if failure is not None and is_failed else "",
        is_reset=not is_leaving and changed_at is not None and changed_at > since,
        is_heard=is_heard,
    )


def overdue_withdrawals(withdrawals: Mapping[str, Attempts], *, now: datetime) -> frozenset[str]:
    """The NICs whose detachment is to be retried."""
    return frozenset(name for name, attempts in withdrawals.items() if attempts.is_due(now))


def may_be_released(withdrawals: Mapping[str, Attempts], *, now: datetime) -> bool:
    """True if a requested detachment may still succeed: the controller removes nothing before all additions succeed."""
    return any(not item.error and now < _patience_ends(item, now=now) for item in withdrawals.values())


def withdrawal_moments(withdrawals: Mapping[str, Attempts], *, now: datetime) -> Iterator[datetime | None]:
    """When the withdrawals change without any other event."""
    for attempts in withdrawals.values():
        yield attempts.due_at
        yield _patience_ends(attempts, now=now)


def _patience_ends(attempts: Attempts, *, now: datetime) -> datetime:
    return (attempts.last_at or now) + RELEASE_PATIENCE
