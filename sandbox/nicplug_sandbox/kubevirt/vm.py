"""The VM controller: starts and stops the VMI, and syncs NICs (sections 3.2 and 3.5). Pure."""

from datetime import datetime

from nicplug_sandbox.kubevirt import run_strategy
from nicplug_sandbox.kubevirt.objects import (
    VM_FINALIZER,
    Json,
    annotations_of,
    is_being_deleted,
    is_final,
    status_of,
    with_observed_versions,
)
from nicplug_sandbox.kubevirt.revisions import generation_of, named
from nicplug_sandbox.kubevirt.run_strategy import GENERATION, View
from nicplug_sandbox.kubevirt.template_sync import cleared_template, synced_spec, vmi_patch
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Write, change, write

HOTPLUG_ERROR = "HotPlugNetworkInterfaceError"
UPDATE_ERROR = "FailedUpdateError"
PATCH_COMPLAINT = "error encountered when trying to patch vmi: {error}"
UPDATE_COMPLAINT = (
    "Error encountered when trying to update vm according to add volume and/or memory dump requests: {error}"
)


def first_writes(view: View) -> Decision:
    """What comes before anything else: the API version, the VM's finalizer, the VMI's generation."""
    vm = view.vm
    if (first := with_observed_versions(vm)) is not None:
        return Decision(writes=(write("update", "VirtualMachine", first),))
    if is_being_deleted(vm):
        return NOTHING
    return Decision(writes=(*_add_finalizer(vm), *_raise_generation(view)))


def _add_finalizer(vm: Json) -> tuple[Write, ...]:
    finalizers = vm["metadata"].get("finalizers")
    if VM_FINALIZER in (finalizers or ()):
        return ()
    wanted = [*(finalizers or ()), VM_FINALIZER]
    return (write("patch", "VirtualMachine", vm, body=change("/metadata/finalizers", old=finalizers, new=wanted)),)


def _raise_generation(view: View) -> tuple[Write, ...]:
    """The guest counts as of the VM's present generation while the template is still that of its start."""
    vm, vmi = view.vm, view.vmi
    if vmi is None or annotations_of(vmi).get(GENERATION) == str(generation_of(vm)):
        return ()
    revision = named(status_of(vmi).get("virtualMachineRevisionName", ""), view.revisions)
    if revision is None or revision["data"]["spec"].get("template") != vm["spec"]["template"]:
        return ()
    old = vmi["metadata"].get("annotations")
    new = {**annotations_of(vmi), GENERATION: str(generation_of(vm))}
    return (write("patch", "VirtualMachineInstance", vmi, body=change("/metadata/annotations", old=old, new=new)),)


def sync(view: View, *, now: datetime) -> Decision:
    """Start or stop the VMI, or bring NICs to it and out of the template."""
    vm, vmi = view.vm, view.vmi
    if is_being_deleted(vm):
        return Decision(writes=_release(vm, vmi))
    step = run_strategy.step(view, now=now)
    if step.writes:
        return step
    if vmi is not None and is_being_deleted(vmi):
        return NOTHING
    return Decision(writes=_sync_nics(view), again=step.again)


def _release(vm: Json, vmi: Json | None) -> tuple[Write, ...]:
    """A VM that is being deleted: its VMI goes first."""
    if vmi is not None:
        return () if is_being_deleted(vmi) else (run_strategy.stop(vm, vmi),)
    finalizers = vm["metadata"].get("finalizers") or []
    if VM_FINALIZER not in finalizers:
        return ()
    kept = [item for item in finalizers if item != VM_FINALIZER]
    return (write("patch", "VirtualMachine", vm, body=change("/metadata/finalizers", old=finalizers, new=kept)),)


def _sync_nics(view: View) -> tuple[Write, ...]:
    vm, vmi, template = view.vm, view.vmi, view.vm["spec"]["template"]
    renames = view.settings.is_on("LiveUpdateNADRef")
    spec = synced_spec(template["spec"], vmi, renames=renames) if vmi is not None else None
    writes: list[Write] = []
    if vmi is not None and spec is not None and (patch := vmi_patch(vmi, spec)):
        writes.append(
            write(
                "patch", "VirtualMachineInstance", vmi, body=patch,
                reason=HOTPLUG_ERROR, complaint=PATCH_COMPLAINT,
            )
        )  # fmt: skip
    cleared = cleared_template(template["spec"], spec=spec, vmi=vmi)
    if cleared is not template["spec"]:
        wanted = {**vm, "spec": {**vm["spec"], "template": {**template, "spec": cleared}}}
        writes.append(write("update", "VirtualMachine", wanted, reason=UPDATE_ERROR, complaint=UPDATE_COMPLAINT))
    return tuple(writes)


def let_go(vmi: Json | None) -> Decision:
    """A guest that has ended is given free, once the VM's status has what there was to record of it."""
    finalizers = (vmi["metadata"].get("finalizers") or []) if vmi is not None else []
    if vmi is None or not is_final(vmi) or VM_FINALIZER not in finalizers:
        return NOTHING
    kept = [item for item in finalizers if item != VM_FINALIZER]
    body = change("/metadata/finalizers", old=finalizers, new=kept)
    return Decision(writes=(write("patch", "VirtualMachineInstance", vmi, body=body),))
