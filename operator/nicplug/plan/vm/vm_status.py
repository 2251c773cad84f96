"""The wanted status of a VM, and the events that report it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from nicplug.model.conditions import (
    FAILURE,
    FALSE,
    INTERFACES_READY,
    INVALID_HOTPLUG_POLICY,
    NO_STATUS,
    OUTDATED_ATTACHMENTS,
    READY,
    RESTART_REQUIRED,
    TRUE,
    Condition,
    Status,
    find_condition,
    merge_condition,
    with_condition,
)
from nicplug.model.metadata import mapping, text
from nicplug.model.requests import RERUN, unreadable_requests
from nicplug.model.revision import parse_generation
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.transitions import SUMMARY_MEMBER, mirror_summary
from nicplug.plan.outcome import Announcement, Subject, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmView
from nicplug.plan.vm.printable_status import Facts, printable_status
from nicplug.plan.vm.restart_required import MESSAGE as RESTART_REQUIRED_MESSAGE
from nicplug.plan.vm.run_strategy import (
    Decision,
    RunAction,
    RunState,
    Start,
    failed_starts,
    start_failure,
    strategy_to_record,
)

_LONGEST_REQUEST = 80


def announce_failure(view: VmView, failure: Refusal | None, *, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """Report what is wrong with the VM itself; rejections of the API server are reported when they happen."""
    if failure is None or failure == view.refusal or "conditions" not in changes:
        return ()
    is_known = _failure(view.vm.status) == _failure(Status(changes))
    return () if is_known else (warning(Subject.VM, failure.reason, failure.message),)


def announce_unreadable_requests(view: VmView, *, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """Report requests that are dropped because they are invalid: their sender waits for a result."""
    if "stateChangeRequests" not in changes:
        return ()
    dropped = unreadable_requests(view.vm.status.members.get("stateChangeRequests"))
    if not dropped:
        return ()
    count = f"{len(dropped)} requests" if len(dropped) > 1 else "a request"
    message = f"{count} of status.stateChangeRequests cannot be read and will not be carried out: "
    message += f"{dropped[0][:_LONGEST_REQUEST]}. Write action Start, or action Stop with the uid of the VMI"
    return (warning(Subject.VM, Reason.INVALID_STATE_CHANGE_REQUEST, message),)


def _failure(status: Status) -> tuple[str, str]:
    found = status.condition(FAILURE)
    return (found.reason, found.message) if found.status == TRUE else ("", "")


# Source: KubeVirt 1.9 `pkg/virt-controller/watch/vm/vm.go`. `desiredGeneration` is included in the next write: a change
# that reached the VMI live leaves the VM in sync. That of `InterfacesReady` causes a write of its own if nothing else
# does (docs/differences.md).

_OWN_CONDITIONS = frozenset({READY, FAILURE, RESTART_REQUIRED})
# The message of nicplug's own conditions is for users; a changed message of KubeVirt's causes no write.
_MESSAGE_COUNTS = frozenset({INTERFACES_READY, INVALID_HOTPLUG_POLICY, OUTDATED_ATTACHMENTS})


def plan_vm_status(
    *,
    view: VmView,
    run_state: RunState,
    decision: Decision,
    failure: Refusal | None,
    needs_restart: bool = False,
    now: datetime,
) -> dict[str, Any]:
    """Return the wanted status.

    Args:
        failure: what keeps the VM from being what its spec says.
        needs_restart: True if the template has changes that its running VMI gets only by a restart.
    """
    vm, vmi, status = view.vm, run_state.vmi, view.vm.status.members
    requests = [request.to_row() for request in run_state.requests]
    if decision is RunAction.REMEMBER_START:
        requests.append(RERUN.to_row())
    start_failed = start_failure(status=status, strategy=vm.run_strategy, vmi=vmi, now=now)
    wanted = {
        **status,
        "created": vmi is not None,
        "ready": vmi is not None and vmi.status.is_true(READY),
        "conditions": _conditions(view, vmi, failure, needs_restart=needs_restart, now=now),
        SUMMARY_MEMBER: mirror_summary(vmi) if vmi is not None else None,
        "stateChangeRequests": requests,
        "startFailure": start_failed,
        "runStrategy": strategy_to_record(run_state, decision),
    }
    starts, count = isinstance(decision, Start) and failure is None, failed_starts(mapping(start_failed))
    facts = Facts(vm=vm, vmi=vmi, starts=starts, stops=decision is RunAction.STOP, failed_starts=count)
    wanted["printableStatus"] = str(printable_status(facts))
    if vmi is not None and (generation := parse_generation(vmi.started_from_generation)) is not None:
        wanted["observedGeneration"] = generation
    return wanted


def with_observed_generation(
    conditions: Sequence[Mapping[str, Any]], *, vm: VirtualMachine, vmi: VirtualMachineInstance
) -> list[dict[str, Any]]:
    """Return the conditions, `InterfacesReady` with the VM's generation that it describes.

    `kubectl wait` on the VM compares it, and so never accepts an outdated condition.
    """
    rows = [dict(row) for row in conditions]
    for row in rows:
        if row.get("type") == INTERFACES_READY and _is_about(vm, vmi):
            row["observedGeneration"] = vm.generation
    return rows


def is_of_earlier_generation(
    reported: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], *, vm: VirtualMachine
) -> bool:
    """Report whether `reported` has an earlier generation than `now`: `kubectl wait` on the VM would wait in vain.

    kubectl also uses `status.observedGeneration` for a condition without a generation of its own.
    """
    of_vm = vm.status.members.get("observedGeneration")
    before, after = (find_condition(rows, INTERFACES_READY) or {} for rows in (reported, now))
    return after.get("observedGeneration") not in (None, before.get("observedGeneration", of_vm))


def _is_about(vm: VirtualMachine, vmi: VirtualMachineInstance) -> bool:
    """Report whether the VMI's condition describes the NICs of the VM's current template.

    It does not while the VMI has not been reconciled since its last change; nor does the VMI know of a NIC that only
    the template has, which makes the condition False (`plan.nic.records`).
    """
    condition = vmi.status.condition(INTERFACES_READY)
    if condition.observed_generation != vmi.generation:
        return False
    present = {item.name: item.is_absent for item in vmi.interfaces}
    return condition.status != TRUE or all(present.get(item.name, True) == item.is_absent for item in vm.interfaces)


def _conditions(
    view: VmView, vmi: VirtualMachineInstance | None, failure: Refusal | None, *, needs_restart: bool, now: datetime
) -> list[dict[str, Any]]:
    """Return the VM's own Ready, Failure and RestartRequired; the others mirror the VMI."""
    status, theirs = view.vm.status, vmi.status if vmi is not None else NO_STATUS
    mirrored = dict.fromkeys(type_ for row in theirs.conditions if (type_ := text(row.get("type"))))
    rows = merge_condition(status.conditions, _ready(vmi), now=now)
    # Without a VMI nothing is mirrored: a stopped VM has no NICs that could be ready.
    rows = [row for row in rows if text(row.get("type")) in _OWN_CONDITIONS | mirrored.keys()]
    for type_ in mirrored:
        if type_ not in _OWN_CONDITIONS:
            rows = merge_condition(rows, _copy(theirs.condition(type_)), now=now)
    about = status.condition(INTERFACES_READY).observed_generation
    for row in rows:
        if row.get("type") == INTERFACES_READY and about is not None:
            row["observedGeneration"] = about
    failed = _as_condition(view, failure) if failure is not None else None
    restart = Condition(type=RESTART_REQUIRED, status=TRUE, message=RESTART_REQUIRED_MESSAGE)
    rows = with_condition(rows, FAILURE, failed, now=now)
    return with_condition(rows, RESTART_REQUIRED, restart if needs_restart else None, now=now)


def _as_condition(view: VmView, failure: Refusal) -> Condition:
    """Return the condition. A rejection may be worded differently each time; a fault of the spec is constant."""
    return Condition(
        type=FAILURE,
        status=TRUE,
        reason=failure.reason,
        message=failure.message,
        # Remains after the requests that it reports have gone, until the template changes.
        observed_generation=view.vm.generation if failure.requests else None,
        message_counts=failure != view.refusal,
    )


def _ready(vmi: VirtualMachineInstance | None) -> Condition:
    if vmi is None:
        return Condition(type=READY, status=FALSE, reason="VMINotExists", message="VMI does not exist")
    if not (found := vmi.status.condition(READY)).status:
        message = "VMI is missing the Ready condition"
        return Condition(type=READY, status=FALSE, reason="VMIConditionMissing", message=message)
    return _copy(found)


def _copy(theirs: Condition) -> Condition:
    """Copy it without the generation: that of a VMI means nothing on the VM (`with_observed_generation`)."""
    return replace(theirs, observed_generation=None, members={}, message_counts=theirs.type in _MESSAGE_COUNTS)
