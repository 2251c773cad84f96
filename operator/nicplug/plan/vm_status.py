"""The status of a VM as it shall be.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/vm/vm.go`. `desiredGeneration` rides along with the next
write: a change that reached the VMI live leaves the VM in sync and is not worth a write of its own
(docs/differences.md).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from nicplug.model.conditions import (
    FAILURE,
    FALSE,
    POD_SCHEDULED,
    READY,
    RESTART_REQUIRED,
    TRUE,
    Condition,
    drop_condition,
    find_condition,
    is_true,
    merge_condition,
)
from nicplug.model.metadata import objects, text
from nicplug.model.vm import RunStrategy
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.restart_required import MESSAGE as RESTART_REQUIRED_MESSAGE
from nicplug.plan.start_backoff import start_failure
from nicplug.plan.views import Refusal, VmView

_STARTING_PHASES = frozenset({VmiPhase.UNSET, VmiPhase.PENDING, VmiPhase.SCHEDULING, VmiPhase.SCHEDULED})
# An annotation, so anything may stand in it; more digits than an int64 has would be refused, or worse.
_GENERATION = re.compile(r"[0-9]{1,18}")
_OWN_CONDITIONS = frozenset({READY, FAILURE, RESTART_REQUIRED})


class PrintableStatus(StrEnum):
    """`status.printableStatus`, the values that this version can reach."""

    STOPPED = "Stopped"
    STARTING = "Starting"
    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    TERMINATING = "Terminating"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    UNSCHEDULABLE = "ErrorUnschedulable"
    UNKNOWN = "Unknown"


def plan_vm_status(
    *,
    view: VmView,
    vmi: VirtualMachineInstance | None,
    failure: Refusal | None,
    needs_restart: bool = False,
    now: datetime,
) -> dict[str, Any]:
    """The wanted status.

    Args:
        vmi: the VM's own VMI; None when it has none.
        failure: what keeps the VM from being what its spec says.
        needs_restart: the template has changes that its running VMI gets only by a restart.
    """
    vm, status = view.vm, view.vm.read_status()
    conditions = objects(status.get("conditions"))
    wanted = {
        **status,
        "created": vmi is not None,
        "ready": vmi is not None and is_true(objects(vmi.read_status().get("conditions")), READY),
        "printableStatus": str(printable_status(view=view, vmi=vmi)),
        "conditions": _with_restart_required(
            _conditions(conditions, vmi=vmi, failure=failure, now=now), needs_restart=needs_restart, now=now
        ),
    }
    wanted["startFailure"] = start_failure(status=status, vmi=vmi, now=now)
    if vmi is not None:
        wanted["runStrategy"] = str(vm.run_strategy)
    if vmi is not None and _GENERATION.fullmatch(vmi.started_from_generation):
        wanted["observedGeneration"] = int(vmi.started_from_generation)
    return wanted


def printable_status(*, view: VmView, vmi: VirtualMachineInstance | None) -> PrintableStatus:
    """KubeVirt's ladder, first match wins."""
    halted = view.vm.run_strategy is RunStrategy.HALTED
    if view.vm.deleting:
        return PrintableStatus.TERMINATING
    if vmi is None:
        if halted:
            return PrintableStatus.STOPPED
        backs_off = bool(view.vm.read_status().get("startFailure"))
        return PrintableStatus.CRASH_LOOP_BACK_OFF if backs_off else PrintableStatus.STARTING
    if not vmi.is_final and (vmi.deleting or halted):
        return PrintableStatus.STOPPING
    return _status_of_live_vmi(vmi)


def _status_of_live_vmi(vmi: VirtualMachineInstance) -> PrintableStatus:
    conditions = objects(vmi.read_status().get("conditions"))
    if vmi.phase is VmiPhase.RUNNING:
        return PrintableStatus.PAUSED if is_true(conditions, "Paused") else PrintableStatus.RUNNING
    scheduled = find_condition(conditions, POD_SCHEDULED) or {}
    if scheduled.get("status") == FALSE and scheduled.get("reason") == "Unschedulable":
        return PrintableStatus.UNSCHEDULABLE
    if vmi.phase in _STARTING_PHASES:
        return PrintableStatus.STARTING
    return PrintableStatus.STOPPED if vmi.is_final else PrintableStatus.UNKNOWN


def _conditions(
    conditions: Sequence[Mapping[str, Any]],
    *,
    vmi: VirtualMachineInstance | None,
    failure: Refusal | None,
    now: datetime,
) -> list[dict[str, Any]]:
    """Ready and Failure of the VM's own; the rest mirrors the VMI."""
    theirs = objects(vmi.read_status().get("conditions")) if vmi is not None else []
    rows = merge_condition(conditions, _ready(vmi, theirs), now=now)
    mirrored = {text(row.get("type")) for row in theirs}
    # Without a VMI nothing is mirrored: a stopped VM has no NICs that could be ready.
    rows = [row for row in rows if text(row.get("type")) in _OWN_CONDITIONS | mirrored]
    for row in theirs:
        if text(row.get("type")) not in _OWN_CONDITIONS:
            rows = merge_condition(rows, _copy(row), now=now)
    if failure is None:
        return drop_condition(rows, FAILURE)
    condition = Condition(type=FAILURE, status=TRUE, reason=failure.reason, message=failure.message)
    return merge_condition(rows, condition, now=now)


def _with_restart_required(rows: list[dict[str, Any]], *, needs_restart: bool, now: datetime) -> list[dict[str, Any]]:
    if not needs_restart:
        return drop_condition(rows, RESTART_REQUIRED)
    condition = Condition(type=RESTART_REQUIRED, status=TRUE, message=RESTART_REQUIRED_MESSAGE)
    return merge_condition(rows, condition, now=now)


def _ready(vmi: VirtualMachineInstance | None, theirs: Sequence[Mapping[str, Any]]) -> Condition:
    if vmi is None:
        return Condition(type=READY, status=FALSE, reason="VMINotExists", message="VMI does not exist")
    row = find_condition(theirs, READY)
    if row is None:
        message = "VMI is missing the Ready condition"
        return Condition(type=READY, status=FALSE, reason="VMIConditionMissing", message=message)
    return _copy(row)


def _copy(row: Mapping[str, Any]) -> Condition:
    """Without the generation: that of a VMI means nothing on the VM."""
    return Condition(
        type=text(row.get("type")),
        status=text(row.get("status")),
        reason=text(row.get("reason")),
        message=text(row.get("message")),
    )
