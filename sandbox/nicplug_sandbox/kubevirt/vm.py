"""The VM controller: starts and stops the VMI, and syncs NICs (sections 3.2, 3.5 and 3.6). Pure."""

from datetime import datetime

from nicplug_sandbox.kubevirt import start_failure
from nicplug_sandbox.kubevirt.objects import (
    VM_FINALIZER,
    VMI_FINALIZER,
    Json,
    condition_of,
    interfaces_of,
    is_being_deleted,
    is_condition,
    is_final,
    is_migrating,
    merged,
    name_of,
    namespace_of,
    networks_of,
    owner_reference,
    phase_of,
    run_strategy,
    status_of,
    with_observed_versions,
)
from nicplug_sandbox.kubevirt.template_sync import cleared_template, synced_spec, vmi_patch, with_nics
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Event, Write, create, write

GENERATION = "kubevirt.io/vm-generation"
HOTPLUG_ERROR = "HotPlugNetworkInterfaceError"
OWN_CONDITIONS = ("Ready", "Failure", "RestartRequired")


def sync(vm: Json, vmi: Json | None, *, now: datetime, default_binding: str = "bridge") -> Decision:
    """Start or stop the VMI, then bring NICs to it and out of the template."""
    if (first := with_observed_versions(vm)) is not None:
        return Decision(writes=(write("update", "VirtualMachine", first),))
    if is_being_deleted(vm):
        return Decision(writes=_release(vm, vmi))
    step = _run_strategy_step(vm, vmi, now=now, default_binding=default_binding)
    if step.writes:
        return step
    if vmi is not None and is_being_deleted(vmi):
        return NOTHING
    return Decision(writes=_sync_nics(vm, vmi), again=step.again)


def _release(vm: Json, vmi: Json | None) -> tuple[Write, ...]:
    """A VM that is being deleted: its VMI goes first."""
    if vmi is not None:
        return () if is_being_deleted(vmi) else (_stop(vm, vmi),)
    finalizers = vm["metadata"].get("finalizers") or []
    if VM_FINALIZER not in finalizers:
        return ()
    kept = [item for item in finalizers if item != VM_FINALIZER]
    return (write("update", "VirtualMachine", {**vm, "metadata": {**vm["metadata"], "finalizers": kept}}),)


def _run_strategy_step(vm: Json, vmi: Json | None, *, now: datetime, default_binding: str) -> Decision:
    strategy = run_strategy(vm)
    if vmi is None:
        begins = strategy in ("Always", "RerunOnFailure") or (strategy == "Once" and not status_of(vm).get("created"))
        if not begins:
            return NOTHING
        if wait := start_failure.seconds_left(vm, now=now):
            return Decision(again=wait)
        return Decision(writes=(_start(vm, default_binding=default_binding),))
    if is_being_deleted(vmi):
        return NOTHING
    again = {"Always": is_final(vmi), "RerunOnFailure": phase_of(vmi) == "Failed", "Halted": True}
    return Decision(writes=(_stop(vm, vmi),)) if again.get(strategy, False) else NOTHING


def _start(vm: Json, *, default_binding: str) -> Write:
    body = new_vmi(vm, default_binding=default_binding)
    started = "Started the virtual machine by creating the new virtual machine instance {name}"
    failed = "Error creating virtual machine instance: {error}"
    return create(
        "VirtualMachineInstance", body,
        said=Event(about=vm, kind="VirtualMachine", reason="SuccessfulCreate", message=started),
        failed=Event(about=vm, kind="VirtualMachine", reason="FailedCreate", message=failed, type="Warning"),
    )  # fmt: skip


def _stop(vm: Json, vmi: Json) -> Write:
    stopped = "Stopped the virtual machine by deleting the virtual machine instance {name}"
    failed = "Error deleting virtual machine instance {name}: {error}"
    return write(
        "delete", "VirtualMachineInstance", vmi,
        said=Event(about=vm, kind="VirtualMachine", reason="SuccessfulDelete", message=stopped),
        failed=Event(about=vm, kind="VirtualMachine", reason="FailedDelete", message=failed, type="Warning"),
    )  # fmt: skip


def new_vmi(vm: Json, *, default_binding: str = "bridge") -> Json:
    """The VMI of a VM (3.5); the pod network comes to the VMI alone, not to the template (1.2)."""
    template = vm["spec"]["template"]
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    devices = (spec.get("domain") or {}).get("devices") or {}
    if not interfaces_of(spec) and not networks_of(spec) and devices.get("autoattachPodInterface") is not False:
        nic = {"name": "default", default_binding: {}}
        spec = with_nics(spec, interfaces=[nic], networks=[{"name": "default", "pod": {}}])
    generation = str(vm["metadata"].get("generation", 1))
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": name_of(vm),
            "namespace": namespace_of(vm),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {**(metadata.get("annotations") or {}), GENERATION: generation},
            "ownerReferences": [owner_reference(vm, "VirtualMachine")],
            "finalizers": [VM_FINALIZER, VMI_FINALIZER],
        },
        "spec": spec,
    }


def _sync_nics(vm: Json, vmi: Json | None) -> tuple[Write, ...]:
    template = vm["spec"]["template"]
    spec = synced_spec(template["spec"], vmi) if vmi is not None else None
    writes: list[Write] = []
    if vmi is not None and spec is not None and (patch := vmi_patch(vmi, spec)):
        writes.append(write("patch", "VirtualMachineInstance", vmi, body=patch))
    cleared = cleared_template(template["spec"], spec=spec, vmi=vmi)
    if cleared is not template["spec"]:
        wanted = {**vm, "spec": {**vm["spec"], "template": {**template, "spec": cleared}}}
        writes.append(write("update", "VirtualMachine", wanted))
    return tuple(writes)


def status(vm: Json, vmi: Json | None, *, now: datetime, error: str = "") -> Decision:
    """Write the VM's status when it differs; `error` is that of the sync before."""
    present = status_of(vm)
    failure = start_failure.recorded(vm, vmi, now=now)
    kept = {key: value for key, value in present.items() if key not in ("created", "ready", "startFailure")}
    vm = {**vm, "status": {**kept, **({"startFailure": failure} if failure else {})}}
    wanted = {
        **status_of(vm),
        **({"created": True} if vmi is not None else {}),
        **({"ready": True} if vmi is not None and is_condition(vmi, "Ready") else {}),
        "printableStatus": printable_status(vm, vmi, now=now),
        "conditions": _conditions(vm, vmi, now=now, error=error),
        "desiredGeneration": vm["metadata"].get("generation", 1),
    }
    if vmi is not None and (generation := (vmi["metadata"].get("annotations") or {}).get(GENERATION)):
        wanted["observedGeneration"] = int(generation)
    if wanted == present:
        return NOTHING
    return Decision(writes=(write("update-status", "VirtualMachine", {**vm, "status": wanted}),))


def _conditions(vm: Json, vmi: Json | None, *, now: datetime, error: str) -> list[Json]:
    present = list(status_of(vm).get("conditions") or ())
    wanted, gone = [_ready(vmi)], set()
    if error:
        message = f"error encountered when trying to patch vmi: {error}"
        wanted.append({"type": "Failure", "status": "True", "reason": HOTPLUG_ERROR, "message": message})
    else:
        gone.add("Failure")
    if vmi is not None:
        mirrored = [item for item in status_of(vmi).get("conditions") or () if item["type"] not in OWN_CONDITIONS]
        wanted += mirrored
        gone |= {item["type"] for item in present} - {item["type"] for item in mirrored} - set(OWN_CONDITIONS)
    return merged(present, wanted, gone=gone, now=now)


def _ready(vmi: Json | None) -> Json:
    if vmi is None:
        return {"type": "Ready", "status": "False", "reason": "VMINotExists", "message": "VMI does not exist"}
    missing = "VMI is missing the Ready condition"
    found = condition_of(vmi, "Ready")
    return found or {"type": "Ready", "status": "False", "reason": "VMIConditionMissing", "message": missing}


def printable_status(vm: Json, vmi: Json | None, *, now: datetime) -> str:
    """The word for people (3.6), as far as these controllers can tell it; the first match wins."""
    if is_being_deleted(vm):
        return "Terminating"
    stopped = "CrashLoopBackOff" if start_failure.is_backing_off(vm, vmi, now=now) else "Stopped"
    if vmi is None:
        is_expected = run_strategy(vm) in ("Always", "RerunOnFailure") and not start_failure.seconds_left(vm, now=now)
        return "Starting" if is_expected else stopped
    if not is_final(vmi) and is_being_deleted(vmi):
        return "Stopping"
    if is_migrating(vmi, now=now):
        return "Migrating"
    if phase_of(vmi) == "Running":
        return "Paused" if is_condition(vmi, "Paused") else "Running"
    scheduled = condition_of(vmi, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False" and scheduled.get("reason") == "Unschedulable":
        return "ErrorUnschedulable"
    return stopped if is_final(vmi) else "Starting"
