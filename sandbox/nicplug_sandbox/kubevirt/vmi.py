"""The VMI controller: the launcher pod, its networks annotation, and the VMI's status (sections 4.2 to 4.7). Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from nicplug_sandbox.kubevirt import migration_required
from nicplug_sandbox.kubevirt.launcher_pod import UNPAUSED, current_pod, image_of, launcher_pod, pods_of
from nicplug_sandbox.kubevirt.objects import (
    NETWORKS,
    NODE_NAME,
    VM_FINALIZER,
    VMI_FINALIZER,
    Json,
    annotations_of,
    condition_of,
    is_being_deleted,
    is_condition,
    is_final,
    is_migrating,
    is_pod_down,
    is_pod_ready,
    labels_of,
    merged,
    phase_of,
    rows_of,
    status_of,
    text_of,
    uid_of,
    with_observed_versions,
)
from nicplug_sandbox.kubevirt.pod_networks import is_same, live_annotation, missing_network, status_rows
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.writes import (
    NOTHING,
    Decision,
    Event,
    Write,
    WriteRefused,
    change,
    create,
    pointer,
    write,
)

DESCHEDULER = "descheduler.alpha.kubernetes.io/request-evict-only"
KIND: Final = "VirtualMachineInstance"
OUTDATED_LABEL = "kubevirt.io/outdatedLauncherImage"
EVICTION = "EvictionRequested"
FAILED_CREATE, FAILED_PATCH = "FailedCreate", "FailedPodPatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the controller sees of one VMI.

    Attributes:
        pods: those that the VMI controls.
        is_owned: the VM that controls it exists.
        has_running_migration: a migration of it is in a running phase.
        networks: namespace and name of the attachment definitions, where KubeVirt looks them up.
    """

    vmi: Json
    pods: list[Json]
    is_owned: bool = False
    has_running_migration: bool = False
    settings: ClusterSettings = field(default_factory=ClusterSettings)
    networks: frozenset[tuple[str, str]] | None = None


def sync(view: View) -> Decision:
    """The pod: made, given its networks, or deleted."""
    vmi, pod = view.vmi, current_pod(view.vmi, view.pods)
    if (first := with_observed_versions(vmi)) is not None:
        return Decision(writes=(write("update", "VirtualMachineInstance", first),))
    if is_being_deleted(vmi):
        living = [item for item in pods_of(vmi, view.pods) if not is_being_deleted(item)]
        return Decision(writes=tuple(_delete(vmi, item) for item in living))
    if pod is None:
        if phase_of(vmi) not in ("", "Pending"):
            return NOTHING
        if view.has_running_migration:
            return Decision(error="active migration exists", reason=FAILED_CREATE)
        if missing := missing_network(vmi, view.networks):
            return Decision(error=f"failed to render launch manifest: {missing}", reason=FAILED_CREATE)
        return Decision(writes=(_create(vmi, view.settings),))
    writes = []
    if is_pod_ready(pod) and (text := live_annotation(vmi, pod)) is not None:
        writes.append(write("patch", "Pod", pod, body=annotation_patch(pod, text), reason=FAILED_PATCH))
    if phase_of(vmi) == "Running" and (gate := _gate(vmi, pod)) is not None:
        writes.append(write("patch-status", "Pod", pod, body=gate, reason=FAILED_PATCH))
    return Decision(writes=tuple(writes))


def annotation_patch(pod: Json, text: str) -> list[Json]:
    """Give the pod its networks: one `add` per changed key, without a test, as KubeVirt sends it."""
    wanted = {NETWORKS: text, DESCHEDULER: ""}
    changed = {key: value for key, value in wanted.items() if annotations_of(pod).get(key) != value}
    return [{"op": "add", "path": f"/metadata/annotations/{pointer(key)}", "value": changed[key]} for key in changed]


def _gate(vmi: Json, pod: Json) -> list[Json] | None:
    is_paused = is_condition(vmi, "Paused")
    present = condition_of(pod, UNPAUSED)
    wanted = "False" if is_paused else "True"
    if present is not None and present["status"] == wanted:
        return None
    reason, message = ("Paused", "the virtual machine is paused") if is_paused else (
        "NotPaused", "the virtual machine is not paused"
    )  # fmt: skip
    old = status_of(pod).get("conditions") or []
    fresh = {"type": UNPAUSED, "status": wanted, "reason": reason, "message": message}
    return change("/status/conditions", old=old, new=[*(item for item in old if item["type"] != UNPAUSED), fresh])


def _create(vmi: Json, settings: ClusterSettings) -> Write:
    return create(
        "Pod", launcher_pod(vmi, image=settings.launcher_image), reason=FAILED_CREATE,
        said=Event(about=vmi, kind=KIND, reason="SuccessfulCreate", message="Created virtual machine pod {name}"),
        failed=Event(
            about=vmi, kind=KIND, reason="FailedCreate", message="Error creating pod: {error}", type="Warning"
        ),
    )  # fmt: skip


def _delete(vmi: Json, pod: Json) -> Write:
    said = Event(about=vmi, kind=KIND, reason="SuccessfulDelete", message="Deleted virtual machine pod {name}")
    return write("delete", "Pod", pod, said=said)


def status(view: View, *, now: datetime, error: WriteRefused | None = None) -> Decision:
    """The VMI: a full update while the controller owns it, JSON patches while the node agent does (1.3.1).

    Args:
        view: after the sync.
        now: current time.
        error: of the sync in this pass.
    """
    vmi = view.vmi
    match phase_of(vmi):
        case "" | "Pending" | "Scheduling":
            return _update(vmi, _owned(view, now=now, error=error))
        case "Scheduled" | "Running":
            return _patch(view, now=now)
        case _:
            return _update(vmi, _final(view))


def _update(vmi: Json, wanted: Json) -> Decision:
    return NOTHING if wanted == vmi else Decision(writes=(write("update", "VirtualMachineInstance", wanted),))


def _owned(view: View, *, now: datetime, error: WriteRefused | None) -> Json:
    """The VMI as it must be while the controller owns it."""
    vmi, pod = view.vmi, current_pod(view.vmi, view.pods)
    conditions = _with_synchronized(_conditions(view, pod, now=now), now=now, error=error)
    wanted = _with_status(vmi, conditions=conditions, activePods=active(view))
    wanted = _with_finalizer(wanted)
    if phase_of(vmi) in ("", "Pending"):
        if pod is not None:
            return in_phase(wanted, "Scheduling", now=now)
        return in_phase(wanted, "Failed" if is_being_deleted(vmi) else "Pending", now=now)
    if pod is None or is_pod_down(pod) or is_being_deleted(pod):
        return in_phase(wanted, "Failed", now=now)
    if not is_pod_ready(pod) or is_being_deleted(vmi):
        return wanted
    node = pod["spec"]["nodeName"]
    metadata = {**wanted["metadata"], "labels": {**labels_of(wanted), NODE_NAME: node}}
    given = {"nodeName": node, "migrationTransport": "Unix", "interfaces": status_rows(vmi, pod)}
    return in_phase(_with_status({**wanted, "metadata": metadata}, **given), "Scheduled", now=now)


def _final(view: View) -> Json:
    """A VMI that has ended gives its finalizers back when its pods are gone; the VM controller's if that VM is."""
    vmi = view.vmi
    if pods_of(vmi, view.pods):
        return vmi
    gone = {VMI_FINALIZER} if view.is_owned else {VMI_FINALIZER, VM_FINALIZER}
    finalizers = vmi["metadata"].get("finalizers") or []
    kept = [item for item in finalizers if item not in gone]
    return vmi if kept == finalizers else {**vmi, "metadata": {**vmi["metadata"], "finalizers": kept}}


def _patch(view: View, *, now: datetime) -> Decision:
    vmi, pod = view.vmi, current_pod(view.vmi, view.pods)
    old = status_of(vmi)
    again: float | None = None
    new: Json = {"conditions": _conditions(view, pod, now=now), "activePods": active(view)}
    if pod is None:
        new["phase"] = "Failed"
    elif phase_of(vmi) == "Running":
        rows = status_rows(vmi, pod)
        if not is_same(rows_of(vmi), rows):
            new["interfaces"] = rows
        if image := image_of(pod):
            new["launcherContainerImageVersion"] = image
        required = next((item for item in new["conditions"] if item["type"] == migration_required.TYPE), None)
        if required is not None and required["status"] == "False":
            again = migration_required.LOOK_AGAIN_SECONDS
    changed = [
        change(f"/status/{key}", old=old.get(key), new=value) for key, value in new.items() if value != old.get(key)
    ]
    if phase_of(vmi) == "Running" and pod is not None:
        changed += _labels(vmi, is_outdated=image_of(pod) not in ("", view.settings.launcher_image))
    body = [operation for pair in changed for operation in pair]
    writes = (write("patch", "VirtualMachineInstance", vmi, body=body),) if body else ()
    return Decision(writes=writes, again=again)


def _labels(vmi: Json, *, is_outdated: bool) -> list[list[Json]]:
    """The change of the VMI's labels that tells whether an older KubeVirt has made its pod."""
    old = labels_of(vmi)
    if (OUTDATED_LABEL in old) == is_outdated:
        return []
    kept = {key: value for key, value in old.items() if key != OUTDATED_LABEL}
    return [change("/metadata/labels", old=old, new={**kept, **({OUTDATED_LABEL: ""} if is_outdated else {})})]


def active(view: View) -> Json:
    """status.activePods: every pod of the VMI and its node."""
    return {uid_of(pod): pod["spec"].get("nodeName", "") for pod in pods_of(view.vmi, view.pods)}


def _conditions(view: View, pod: Json | None, *, now: datetime) -> list[Json]:
    vmi = view.vmi
    told = {"Ready": _ready(vmi, pod), EVICTION: _eviction(vmi)}
    if pod is not None and phase_of(vmi) in ("", "Pending", "Scheduling"):
        scheduled = condition_of(pod, "PodScheduled")
        told["PodScheduled"] = scheduled if scheduled is not None and scheduled["status"] == "False" else None
    is_evaluated = view.settings.migrates_for_nics and phase_of(vmi) == "Running"
    if is_evaluated and pod is not None and not is_migrating(vmi, now=now):
        renames = view.settings.is_on("LiveUpdateNADRef")
        told[migration_required.TYPE] = migration_required.wanted_condition(vmi, pod, now=now, renames=renames)
    wanted = [item for item in told.values() if item is not None]
    gone = [kind for kind, item in told.items() if item is None]
    return merged(status_of(vmi).get("conditions") or (), wanted, gone=gone, now=now)


def _eviction(vmi: Json) -> Json | None:
    if not status_of(vmi).get("evacuationNodeName"):
        return None
    return {"type": EVICTION, "status": "True", "reason": EVICTION, "message": "VMI is marked for eviction"}


def _with_synchronized(conditions: list[Json], *, now: datetime, error: WriteRefused | None) -> list[Json]:
    """Tell of a failed sync, while the controller owns the VMI."""
    if error is None:
        return merged(conditions, [], gone=("Synchronized",), now=now)
    reason = error.reason or FAILED_CREATE
    failed = {"type": "Synchronized", "status": "False", "reason": reason, "message": error.message}
    return merged(conditions, [failed], now=now)


def _ready(vmi: Json, pod: Json | None) -> Json:
    if pod is None:
        return _not_ready("PodNotExists", "virt-launcher pod has not yet been scheduled")
    if is_being_deleted(pod):
        return _not_ready("PodTerminating", "virt-launcher pod is terminating")
    if phase_of(vmi) != "Running":
        return _not_ready("GuestNotRunning", "Guest VM is not reported as running")
    missing = _not_ready("PodConditionMissing", "virt-launcher pod is missing the Ready condition")
    found = condition_of(pod, "Ready") or missing
    return {key: value for key, value in found.items() if key != "observedGeneration"}


def _not_ready(reason: str, message: str) -> Json:
    return {"type": "Ready", "status": "False", "reason": reason, "message": message}


def in_phase(vmi: Json, phase: str, *, now: datetime) -> Json:
    """The VMI in a phase, with the moment at which it came there."""
    if phase_of(vmi) == phase:
        return vmi
    past = status_of(vmi).get("phaseTransitionTimestamps") or []
    here = {"phase": phase, "phaseTransitionTimestamp": text_of(now)}
    return _with_status(vmi, phase=phase, phaseTransitionTimestamps=[*past, here])


def _with_status(vmi: Json, **members: object) -> Json:
    return {**vmi, "status": {**status_of(vmi), **members}}


def _with_finalizer(vmi: Json) -> Json:
    finalizers = vmi["metadata"].get("finalizers") or []
    if VMI_FINALIZER in finalizers or is_final(vmi) or is_being_deleted(vmi):
        return vmi
    return {**vmi, "metadata": {**vmi["metadata"], "finalizers": [*finalizers, VMI_FINALIZER]}}
