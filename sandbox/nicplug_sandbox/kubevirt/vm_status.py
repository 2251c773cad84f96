"""The status of a VM (section 3.6), as far as these controllers can tell it. Pure."""

import random
from datetime import datetime

from nicplug_sandbox.kubevirt import restart_required, start_failure
from nicplug_sandbox.kubevirt.objects import (
    Json,
    annotations_of,
    condition_of,
    is_being_deleted,
    is_condition,
    is_final,
    is_migrating,
    merged,
    phase_of,
    run_strategy,
    status_of,
)
from nicplug_sandbox.kubevirt.revisions import generation_of, started_from
from nicplug_sandbox.kubevirt.run_strategy import GENERATION, View, pending_requests
from nicplug_sandbox.kubevirt.start_failure import Pick
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, WriteRefused, write

OWN_CONDITIONS = ("Ready", "Failure", restart_required.TYPE)
COMPUTED = ("created", "ready", "startFailure", "stateChangeRequests")


def status(view: View, *, now: datetime, error: WriteRefused | None = None, pick: Pick = random.randint) -> Decision:
    """Write the VM's status when it differs; `error` is that of the sync before."""
    vm, vmi, present = view.vm, view.vmi, status_of(view.vm)
    wanted = {key: value for key, value in present.items() if key not in COMPUTED}
    if vmi is not None:
        wanted |= {"created": True, **({"ready": True} if is_condition(vmi, "Ready") else {})}
        if generation := annotations_of(vmi).get(GENERATION):
            wanted |= {"observedGeneration": int(generation), "desiredGeneration": generation_of(vm)}
    if vmi is not None or wanted.get("runStrategy"):
        # Not before the first start: by this one can tell whether the VM was ever started.
        wanted["runStrategy"] = run_strategy(vm)
    if requests := pending_requests(vm, vmi):
        wanted["stateChangeRequests"] = requests
    if failure := start_failure.recorded(vm, vmi, now=now, pick=pick):
        wanted["startFailure"] = failure
    wanted["conditions"] = _conditions(view, now=now, error=error)
    wanted["printableStatus"] = printable_status({**vm, "status": wanted}, vmi, now=now)
    if wanted == present:
        return NOTHING
    return Decision(writes=(write("update-status", "VirtualMachine", {**vm, "status": wanted}),))


def _conditions(view: View, *, now: datetime, error: WriteRefused | None) -> list[Json]:
    vmi, present = view.vmi, list(status_of(view.vm).get("conditions") or ())
    wanted, gone = [_ready(vmi)], set()
    if error is not None:
        reason = error.reason or "FailedCreate"
        wanted.append({"type": "Failure", "status": "True", "reason": reason, "message": error.message})
    else:
        gone.add("Failure")
    if vmi is not None:
        mirrored = [item for item in status_of(vmi).get("conditions") or () if item["type"] not in OWN_CONDITIONS]
        wanted += mirrored
        gone |= {item["type"] for item in present} - {item["type"] for item in mirrored} - set(OWN_CONDITIONS)
    match _is_restart_required(view):
        case True:
            wanted.append({"type": restart_required.TYPE, "status": "True", "message": restart_required.MESSAGE})
        case False:
            gone.add(restart_required.TYPE)
    return merged(present, wanted, gone=gone, now=now)


def _is_restart_required(view: View) -> bool | None:
    """None where the condition stays as it is: no guest, or nobody knows what it was started from."""
    if view.vmi is None or is_being_deleted(view.vm):
        return None
    before = started_from(view.vm, view.revisions)
    if before is None:
        return None
    return restart_required.is_required(view.vm, view.vmi, started_from=before, settings=view.settings)


def _ready(vmi: Json | None) -> Json:
    if vmi is None:
        return {"type": "Ready", "status": "False", "reason": "VMINotExists", "message": "VMI does not exist"}
    missing = "VMI is missing the Ready condition"
    found = condition_of(vmi, "Ready")
    return found or {"type": "Ready", "status": "False", "reason": "VMIConditionMissing", "message": missing}


def printable_status(vm: Json, vmi: Json | None, *, now: datetime) -> str:
    """The word for people; the first match wins."""
    if is_being_deleted(vm):
        return "Terminating"
    if vmi is None or is_final(vmi):
        # KubeVirt says Starting between the order for a VMI and its appearance, which is within a pass here.
        return "CrashLoopBackOff" if start_failure.is_backing_off(vm, vmi) else "Stopped"
    if is_being_deleted(vmi):
        return "Stopping"
    if is_migrating(vmi, now=now):
        return "Migrating"
    if phase_of(vmi) == "Running":
        return "Paused" if is_condition(vmi, "Paused") else "Running"
    scheduled = condition_of(vmi, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False" and scheduled.get("reason") == "Unschedulable":
        return "ErrorUnschedulable"
    return "Starting"
