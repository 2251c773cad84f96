"""Starts and stops the VMI as the VM's run strategy and its requests say (section 3.5). Pure."""

from dataclasses import dataclass, field
from datetime import datetime

from nicplug_sandbox.kubevirt import start_failure
from nicplug_sandbox.kubevirt.objects import (
    VM_FINALIZER,
    VMI_FINALIZER,
    Json,
    interfaces_of,
    is_being_deleted,
    is_final,
    name_of,
    namespace_of,
    networks_of,
    owner_reference,
    phase_of,
    run_strategy,
    status_of,
    uid_of,
)
from nicplug_sandbox.kubevirt.revisions import generation_of, record, revision_name
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.template_sync import with_nics
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Event, Write, create, write

GENERATION = "kubevirt.io/vm-generation"
FAILED_CREATE, FAILED_DELETE = "FailedCreate", "FailedDelete"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the VM controller sees of one VM.

    Attributes:
        vmi: the one that it controls.
        revisions: all ControllerRevisions, or those of the VM.
    """

    vm: Json
    vmi: Json | None = None
    revisions: list[Json] = field(default_factory=list)
    settings: ClusterSettings = field(default_factory=ClusterSettings)


def step(view: View, *, now: datetime) -> Decision:
    """What the strategy asks for; nothing when the VMI is as it must be."""
    strategy = run_strategy(view.vm)
    if view.vmi is not None:
        return _with_vmi(view, view.vmi, strategy)
    if not _begins(view.vm, strategy):
        return NOTHING
    if strategy == "Halted":
        return Decision(writes=(_set_running(view.vm),))
    # KubeVirt backs off in these two only, though it counts the failures of Once as well.
    wait = start_failure.seconds_left(view.vm, now=now) if strategy in ("Always", "RerunOnFailure") else 0.0
    return Decision(again=wait) if wait else Decision(writes=tuple(start(view)))


def _begins(vm: Json, strategy: str) -> bool:
    match strategy:
        case "Always" | "Once":
            # Once as well: a deleted VMI is replaced; only a guest that ends is not started again.
            return True
        case "RerunOnFailure":
            return has_start_request(vm) or status_of(vm).get("runStrategy") != strategy
        case "Manual" | "Halted":
            return has_start_request(vm)
    return False


def _with_vmi(view: View, vmi: Json, strategy: str) -> Decision:
    vm, asked = view.vm, has_stop_request(view.vm, vmi)
    if is_being_deleted(vmi):
        return NOTHING
    ends = {"Always": asked or is_final(vmi), "RerunOnFailure": asked or is_final(vmi), "Manual": asked, "Halted": True}
    if not ends.get(strategy, False):
        return NOTHING
    writes = [stop(vm, vmi)]
    if strategy == "RerunOnFailure" and phase_of(vmi) == "Failed":
        writes.append(_request_start(vm))
    return Decision(writes=tuple(writes))


def _requests(vm: Json) -> list[Json]:
    return list(status_of(vm).get("stateChangeRequests") or ())


def has_start_request(vm: Json) -> bool:
    """Whether the first request is to start."""
    return any(item.get("action") == "Start" for item in _requests(vm)[:1])


def has_stop_request(vm: Json, vmi: Json) -> bool:
    """Whether the first request is to stop this very VMI."""
    return any(item.get("action") == "Stop" and item.get("uid") == uid_of(vmi) for item in _requests(vm)[:1])


def pending_requests(vm: Json, vmi: Json | None) -> list[Json]:
    """The requests that stay: one at a time goes, once it is done or cannot be done."""
    requests = _requests(vm)
    if not requests:
        return requests
    if requests[0].get("action") == "Stop":
        is_done = vmi is None or requests[0].get("uid") != uid_of(vmi)
    else:
        is_done = vmi is not None and not is_being_deleted(vmi) and not is_final(vmi)
    return requests[1:] if is_done else requests


def _request_start(vm: Json) -> Write:
    wanted = [*_requests(vm), {"action": "Start"}]
    body: list[Json] = [{"op": "add", "path": "/status/stateChangeRequests", "value": wanted}]
    complaint = "failed to patch VM with start action: {error}"
    return write("patch-status", "VirtualMachine", vm, body=body, reason=FAILED_DELETE, complaint=complaint)


def _set_running(vm: Json) -> Write:
    change = {"runStrategy": "Always"} if "runStrategy" in vm["spec"] else {"running": True}
    return write("update", "VirtualMachine", {**vm, "spec": {**vm["spec"], **change}})


def start(view: View) -> list[Write]:
    """Make the VMI, after the revision that it starts from."""
    vm = view.vm
    body = new_vmi(vm, default_binding=view.settings.default_binding)
    started = "Started the virtual machine by creating the new virtual machine instance {name}"
    failed = "Error creating virtual machine instance: {error}"
    made = create(
        "VirtualMachineInstance", body,
        said=Event(about=vm, kind="VirtualMachine", reason="SuccessfulCreate", message=started),
        failed=Event(about=vm, kind="VirtualMachine", reason="FailedCreate", message=failed, type="Warning"),
        reason=FAILED_CREATE, complaint="Failure while starting VMI: {error}",
    )  # fmt: skip
    return [*record(vm, view.revisions), made]


def stop(vm: Json, vmi: Json) -> Write:
    """Delete the VMI; the event names its uid, as KubeVirt's does."""
    stopped = f"Stopped the virtual machine by deleting the virtual machine instance {uid_of(vmi)}"
    failed = "Error deleting virtual machine instance {name}: {error}"
    return write(
        "delete", "VirtualMachineInstance", vmi,
        said=Event(about=vm, kind="VirtualMachine", reason="SuccessfulDelete", message=stopped),
        failed=Event(about=vm, kind="VirtualMachine", reason="FailedDelete", message=failed, type="Warning"),
        reason=FAILED_DELETE, complaint="Failure attempting to delete VMI: {error}",
    )  # fmt: skip


def new_vmi(vm: Json, *, default_binding: str = "bridge") -> Json:
    """The VMI of a VM (3.5); the pod network comes to the VMI alone, not to the template (1.2)."""
    template = vm["spec"]["template"]
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    devices = (spec.get("domain") or {}).get("devices") or {}
    if not interfaces_of(spec) and not networks_of(spec) and devices.get("autoattachPodInterface") is not False:
        nic = {"name": "default", default_binding: {}}
        spec = with_nics(spec, interfaces=[nic], networks=[{"name": "default", "pod": {}}])
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": name_of(vm),
            "namespace": namespace_of(vm),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {**(metadata.get("annotations") or {}), GENERATION: str(generation_of(vm))},
            "ownerReferences": [owner_reference(vm, "VirtualMachine")],
            "finalizers": [VM_FINALIZER, VMI_FINALIZER],
        },
        "spec": spec,
        "status": {"virtualMachineRevisionName": revision_name(vm)},
    }
