"""`status.printableStatus` by KubeVirt's ladder, a case per rung (reference 3.6), and who wins of two."""

from typing import Any

import pytest
from tests.build import NOW, VM_UID, Json, later, vm, vm_view, vmi

from nicplug.model.vmi import own_vmi
from nicplug.plan.views import Refusal
from nicplug.plan.vm.run_strategy import decide, run_state_of
from nicplug.plan.vm.vm_status import plan_vm_status

PAUSED = {"type": "Paused", "status": "True"}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
IMPORTING = {"type": "DataVolumesReady", "status": "False", "reason": "NotAllDVsReady"}
BINDING = {"type": "Provisioning", "status": "True"}
FAILED_TWICE = {"startFailure": {"consecutiveFailCount": 2, "lastFailedVMIUID": "before"}}
RERUN_FAILED = vm(run_strategy="RerunOnFailure", status={**FAILED_TWICE, "runStrategy": "RerunOnFailure"})


def _synchronized(reason: str, status: str = "False") -> Json:
    return {"type": "Synchronized", "status": status, "reason": reason}


def _own(**members: Any) -> Json:
    return vmi(owner_uid=VM_UID, **members)


def _pending(*conditions: Json) -> Json:
    return _own(phase="Pending", conditions=conditions)


def _scheduling(*conditions: Json) -> Json:
    return _own(phase="Scheduling", conditions=conditions)


def _migrating(start: Any, end: Any = None, *, conditions: list[Json] | None = None, **members: Any) -> Json:
    raw = _own(conditions=conditions or [])
    raw["status"]["migrationState"] = {"startTimestamp": start, "endTimestamp": end, **members}
    return raw


def _at(seconds: float) -> str:
    return later(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def _printable(raw: Json, found: Json | None, failure: Refusal | None = None) -> str:
    view = vm_view(raw, vmi=found)
    run_state = run_state_of(view.vm, own_vmi(view.vmi, vm_uid=view.vm.uid), now=NOW)
    decision = decide(run_state, now=NOW)
    status = plan_vm_status(view=view, run_state=run_state, decision=decision, failure=failure, now=NOW)
    return str(status["printableStatus"])


PVC_FOUND = _synchronized("FailedPvcNotFound", "True")
BACKED_OFF = {"startFailure": {"consecutiveFailCount": 2, "retryAfterTimestamp": _at(9)}}
RUNGS: list[tuple[str, Json, Json | None, str]] = [
    ("the VM is being deleted", vm(deleting=True), _own(), "Terminating"),
    ("the VM is being deleted, nothing runs", vm(deleting=True), None, "Terminating"),
    ("the VMI is being deleted", vm(), _own(deleting=True), "Stopping"),
    ("the VMI is to be deleted", vm(run_strategy="Halted"), _own(), "Stopping"),
    ("a final VMI does not stop", vm(run_strategy="Halted"), _own(phase="Failed"), "Stopped"),
    ("it migrates", vm(), _migrating(_at(-5)), "Migrating"),
    ("it migrates from a node whose clock is ahead", vm(), _migrating(_at(60)), "Migrating"),
    ("the migration is over", vm(), _migrating(_at(-5), _at(-1)), "Running"),
    ("it is over on a node whose clock is ahead", vm(), _migrating(_at(-5), _at(60)), "Running"),
    ("it has failed, and nobody has written when", vm(), _migrating(_at(-5), failed=True), "Running"),
    ("it is completed, and nobody has written when", vm(), _migrating(_at(-5), completed=True), "Running"),
    ("the migration has not begun", vm(), _migrating(None), "Running"),
    ("migration times that are none", vm(), _migrating("soon", 7), "Running"),
    ("paused while it migrates", vm(), _migrating(_at(-5), conditions=[PAUSED]), "Migrating"),
    ("the guest is paused", vm(), _own(conditions=[PAUSED]), "Paused"),
    ("paused counts while it runs only", vm(), _own(phase="Scheduled", conditions=[PAUSED]), "Starting"),
    ("the guest runs", vm(), _own(), "Running"),
    ("a claim is missing", vm(), _pending(_synchronized("FailedPvcNotFound")), "ErrorPvcNotFound"),
    ("the claim has come", vm(), _pending(PVC_FOUND), "Starting"),
    ("an import failed", vm(), _pending(_synchronized("FailedDataVolumeImport")), "DataVolumeError"),
    ("no node takes the pod", vm(), _scheduling(UNSCHEDULABLE), "ErrorUnschedulable"),
    ("unschedulable before provisioning", vm(), _scheduling(IMPORTING, UNSCHEDULABLE), "ErrorUnschedulable"),
    ("disks are being imported", vm(), _pending(IMPORTING), "Provisioning"),
    ("a claim waits for its first consumer", vm(), _pending(BINDING), "WaitingForVolumeBinding"),
    ("the image cannot be pulled", vm(), _scheduling(_synchronized("ErrImagePull")), "ErrImagePull"),
    ("pulling the image is backed off", vm(), _scheduling(_synchronized("ImagePullBackOff")), "ImagePullBackOff"),
    ("a VMI is about to be made", vm(), None, "Starting"),
    ("no phase yet", vm(), _own(phase=""), "Starting"),
    ("phase Pending", vm(), _own(phase="Pending"), "Starting"),
    ("phase Scheduling", vm(), _own(phase="Scheduling"), "Starting"),
    ("phase Scheduled", vm(), _own(phase="Scheduled"), "Starting"),
    ("Always, starts have failed", vm(status=BACKED_OFF), None, "CrashLoopBackOff"),
    ("RerunOnFailure, starts have failed", RERUN_FAILED, None, "CrashLoopBackOff"),
    ("Once, the start has failed", vm(run_strategy="Once"), _own(phase="Failed"), "CrashLoopBackOff"),
    ("Always, the VMI failed early", vm(), _own(phase="Failed"), "CrashLoopBackOff"),
    ("Halted forgets failed starts", vm(run_strategy="Halted", status=FAILED_TWICE), None, "Stopped"),
    ("Manual forgets them too", vm(run_strategy="Manual", status=FAILED_TWICE), None, "Stopped"),
    ("Halted, nothing there", vm(run_strategy="Halted"), None, "Stopped"),
    ("Manual, nothing there", vm(run_strategy="Manual"), None, "Stopped"),
    ("Manual, the guest has ended", vm(run_strategy="Manual"), _own(phase="Succeeded"), "Stopped"),
    ("Once, it was started before", vm(run_strategy="Once", status={"runStrategy": "Once"}), None, "Stopped"),
    ("a receiver that waits", vm(run_strategy="WaitAsReceiver"), _own(phase="WaitingForSync"), "WaitingForReceiver"),
    ("only a receiver waits so", vm(), _own(phase="WaitingForSync"), "Unknown"),
    ("a phase that nobody knows", vm(), _own(phase="Unheard"), "Unknown"),
]


@pytest.mark.parametrize(("title", "raw", "found", "wanted"), RUNGS, ids=[title for title, *_ in RUNGS])
def test_printable_status(title: str, raw: Json, found: Json | None, wanted: str) -> None:
    assert _printable(raw, found) == wanted, title


def test_a_start_that_is_refused_is_none() -> None:
    assert _printable(vm(), None, Refusal(reason="FailedCreate", message="quota")) == "Stopped"
    assert _printable(vm(), vmi(), Refusal(reason="NameTaken", message="somebody else's")) == "Stopped"
