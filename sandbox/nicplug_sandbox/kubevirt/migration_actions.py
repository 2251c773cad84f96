"""What the migration controller does in each phase: target pod, hand-off, cancel, clean up (5.3 to 5.7). Pure."""

from datetime import datetime
from typing import Final

from nicplug_sandbox.kubevirt.interface_names import has_ordinal_names
from nicplug_sandbox.kubevirt.launcher_pod import current_pod, target_pod
from nicplug_sandbox.kubevirt.migration_rules import (
    View,
    backoff_seconds,
    can_migrate,
    is_handed_off,
    seconds_to_wait,
)
from nicplug_sandbox.kubevirt.objects import (
    TARGET_NODE_NAME,
    VMI_NAME,
    Json,
    annotations_of,
    condition_of,
    created_at,
    is_being_deleted,
    is_final,
    is_pod_down,
    is_pod_ready,
    labels_of,
    moment_of,
    name_of,
    namespace_of,
    phase_of,
    status_of,
    text_of,
    uid_of,
    with_observed_versions,
)
from nicplug_sandbox.kubevirt.pod_networks import (
    live_annotation,
    missing_network,
    network_status,
    ordinal_annotation,
)
from nicplug_sandbox.kubevirt.vmi import annotation_patch
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Event, Write, change, create, pointer, write

KIND: Final = "VirtualMachineInstanceMigration"
VMI: Final = "VirtualMachineInstance"
KEPT = 5
UNSCHEDULABLE_SECONDS, PENDING_SECONDS = 300.0, 900.0
UNSCHEDULABLE_KEY = "kubevirt.io/migrationUnschedulablePodTimeoutSeconds"
PENDING_KEY = "kubevirt.io/migrationPendingPodTimeoutSeconds"
HANDED_OVER = "Migration target pod is ready for preparation by virt-handler."
ABORTING = "Migration is ready to be canceled by virt-handler."
INELIGIBLE = "vmi is ineligible for migration because another migration job is running"


def first_write(migration: Json) -> Decision:
    """The annotations of the API version and the label of the VMI, before anything else (5.1)."""
    wanted = with_observed_versions(migration)
    if wanted is None:
        return NOTHING
    labels = {**labels_of(wanted), VMI_NAME: migration["spec"]["vmiName"]}
    return Decision(writes=(write("update", KIND, {**wanted, "metadata": {**wanted["metadata"], "labels": labels}}),))


def orphaned(migration: Json) -> Decision:
    """A migration whose VMI is gone is deleted."""
    return NOTHING if is_being_deleted(migration) else Decision(writes=(write("delete", KIND, migration),))


def sync(view: View, *, now: datetime) -> Decision:
    """The action of the phase that the migration is in."""
    vmi, migration = view.vmi, view.migration
    assert vmi is not None
    if is_being_deleted(vmi) or (view.is_ours and view.state.get("completed")):
        return NOTHING
    if not can_migrate(view):
        return Decision(error=INELIGIBLE)
    match phase_of(migration):
        case "Pending":
            return _pending(view, vmi, now=now)
        case "Scheduling":
            return _cancel(view) if is_being_deleted(migration) else _timeouts(view, vmi, now=now)
        case "Scheduled":
            return _scheduled(view, vmi)
        case "PreparingTarget" | "TargetReady":
            is_lost = view.target is None or is_pod_down(view.target)
            return mark_failed(view, vmi, now=now) if is_lost and not view.state.get("startTimestamp") else NOTHING
        case "Failed":
            return mark_failed(view, vmi, now=now)
        case "Running" if is_being_deleted(migration):
            return _abort(view, vmi)
    return NOTHING


def _pending(view: View, vmi: Json, *, now: datetime) -> Decision:
    migration, target = view.migration, view.target
    if is_being_deleted(migration):
        return _cancel(view)
    if wait := backoff_seconds(view, now=now):
        message = f"backoff migrating vmi {namespace_of(vmi)}/{name_of(vmi)}"
        told = Event(about=vmi, kind=VMI, reason="MigrationBackoff", message=message, type="Warning")
        return Decision(events=(told,), again=wait)
    if target is not None:
        return NOTHING if is_pod_ready(target) else _timeouts(view, vmi, now=now)
    if current_pod(vmi, view.pods) is None:
        return NOTHING
    if wait_again := seconds_to_wait(view):
        return Decision(again=wait_again)
    if phase_of(vmi) != "Running":
        return NOTHING
    if missing := missing_network(vmi, view.networks):
        # No pod, and so no deadline: it is tried again and again.
        return Decision(error=f"failed to render launch manifest: {missing}")
    return Decision(writes=(_create_target(view, vmi),))


def _create_target(view: View, vmi: Json) -> Write:
    source = current_pod(vmi, view.pods)
    is_ordinal = source is not None and has_ordinal_names(network_status(source))
    keeps_names = is_ordinal and not view.settings.is_on("PodSecondaryInterfaceNamingUpgrade")
    networks = ordinal_annotation(vmi) if keeps_names else ""
    body = target_pod(vmi, view.migration, image=view.settings.launcher_image, networks=networks)
    made = Event(
        about=view.migration, kind=KIND, reason="SuccessfulCreate",
        message="Created migration target pod {name}",
    )  # fmt: skip
    refused = Event(
        about=vmi, kind=VMI, reason="FailedCreate",
        message="Error creating pod: {error}", type="Warning",
    )  # fmt: skip
    return create("Pod", body, said=made, failed=refused)


def _timeouts(view: View, vmi: Json, *, now: datetime) -> Decision:
    """A target pod that stays Pending is given up (5.5)."""
    pod = view.target
    if pod is None or phase_of(pod) != "Pending":
        return NOTHING
    scheduled = condition_of(pod, "PodScheduled")
    is_unschedulable = (
        scheduled is not None and scheduled["status"] == "False" and scheduled.get("reason") == "Unschedulable"
    )
    age = (now - moment_of(created_at(pod))).total_seconds()
    limits = [("pending", _limit(view.migration, PENDING_KEY, PENDING_SECONDS))]
    if is_unschedulable:
        limits.insert(0, ("unschedulable", _limit(view.migration, UNSCHEDULABLE_KEY, UNSCHEDULABLE_SECONDS)))
    for word, seconds in limits:
        if age >= seconds:
            message = f"{word} pod {namespace_of(pod)}/{name_of(pod)} timeout period exceeded"
            return Decision(writes=(_delete_target(view, pod, message),))
    left = min(seconds for _, seconds in limits) - age
    if not is_unschedulable:
        return Decision(again=left)
    message = f"Migration target pod for VMI [{namespace_of(vmi)}/{name_of(vmi)}] is currently unschedulable."
    told = Event(
        about=view.migration, kind=KIND, reason="migrationTargetPodUnschedulable",
        message=message, type="Warning",
    )  # fmt: skip
    return Decision(events=(told,), again=left)


def _limit(migration: Json, key: str, default: float) -> float:
    text = annotations_of(migration).get(key, "")
    return float(text) if text.isdigit() else default


def _delete_target(view: View, pod: Json, message: str) -> Write:
    about = view.migration
    said = Event(about=about, kind=KIND, reason="SuccessfulDelete", message=message)
    return write("delete", "Pod", pod, said=said)


def _cancel(view: View) -> Decision:
    """Before the hand-off the target pod goes; the phase follows by the ladder."""
    pod = view.target
    if pod is None or is_being_deleted(pod):
        return NOTHING
    message = f"migration canceled and pod {namespace_of(pod)}/{name_of(pod)} is deleted"
    return Decision(writes=(_delete_target(view, pod, message),))


def _scheduled(view: View, vmi: Json) -> Decision:
    pod = view.target
    if is_being_deleted(view.migration) and not is_handed_off(view.migration) and not view.is_ours:
        return _cancel(view)
    if pod is None or not is_pod_ready(pod) or view.is_ours:
        return NOTHING
    writes: list[Write] = []
    if (text := live_annotation(vmi, pod)) is not None:
        writes.append(write("patch", "Pod", pod, body=annotation_patch(pod, text)))
    return Decision(writes=(*writes, _hand_off(view, vmi, pod)))


def _hand_off(view: View, vmi: Json, pod: Json) -> Write:
    """From here on the node agents have the migration."""
    source, node, old = current_pod(vmi, view.pods), pod["spec"]["nodeName"], status_of(vmi).get("migrationState")
    state = {
        "migrationUid": uid_of(view.migration),
        "targetNode": node,
        "sourceNode": status_of(vmi).get("nodeName", ""),
        "targetPod": name_of(pod),
        "sourcePod": name_of(source) if source is not None else "",
    }
    labels = labels_of(vmi)
    patch: list[Json] = [
        {"op": "test", "path": "/status/migrationState", "value": old},
        {"op": "add" if old is None else "replace", "path": "/status/migrationState", "value": state},
        {"op": "test", "path": "/metadata/labels", "value": labels},
        {"op": "replace", "path": "/metadata/labels", "value": {**labels, TARGET_NODE_NAME: node}},
    ]
    about = view.migration
    failed = "Failed to set MigrationStat in VMI status. :{error}"
    return write(
        "patch", VMI, vmi, body=patch,
        said=Event(
            about=about, kind=KIND, reason="SuccessfulHandOver", message=HANDED_OVER
        ),
        failed=Event(
            about=about, kind=KIND, reason="FailedHandOver", message=failed, type="Warning"
        ),
    )  # fmt: skip


def mark_failed(view: View, vmi: Json, *, now: datetime) -> Decision:
    """Tell in the VMI that the target pod is lost."""
    state = view.state
    if not view.is_ours or state.get("failed"):
        return NOTHING
    base, uid = "/status/migrationState", uid_of(view.migration)
    patch: list[Json] = [{"op": "test", "path": f"{base}/migrationUid", "value": uid}]
    members = {"failed": True, "completed": True}
    times = {key: text_of(now) for key in ("endTimestamp", "startTimestamp") if not state.get(key)}
    reason = {} if state.get("failureReason") else {"failureReason": "Target pod is down"}
    for key, value in {**members, **times, **reason}.items():
        patch.append({"op": "add", "path": f"{base}/{pointer(key)}", "value": value})
    message = f"VirtualMachineInstance migration uid {uid} failed. reason: Target pod is down"
    said = Event(about=vmi, kind=VMI, reason="FailedMigration", message=message, type="Warning")
    return Decision(writes=(write("patch", VMI, vmi, body=patch, said=said),))


def _abort(view: View, vmi: Json) -> Decision:
    if not view.is_ours or view.state.get("abortRequested"):
        return NOTHING
    about = view.migration
    said = Event(about=about, kind=KIND, reason="SuccessfulAbortMigration", message=ABORTING)
    patch = change("/status/migrationState", old=view.state, new={**view.state, "abortRequested": True})
    return Decision(writes=(write("patch", VMI, vmi, body=patch, said=said),))


def collect_garbage(view: View) -> Decision:
    """Of the final migrations of a VMI the five newest stay; with an older one goes the pod it left behind (5.7)."""
    key = namespace_of(view.migration), view.migration["spec"]["vmiName"]
    of_vmi = [
        item
        for item in view.migrations
        if is_final(item) and (namespace_of(item), item["spec"]["vmiName"]) == key and not is_being_deleted(item)
    ]
    old = sorted(of_vmi, key=lambda item: (created_at(item), name_of(item)))[:-KEPT]
    writes: list[Write] = []
    for migration in old:
        writes.append(write("delete", KIND, migration))
        state = status_of(migration).get("migrationState") or {}
        defunct = state.get("targetPod" if state.get("failed") else "sourcePod")
        for pod in view.pods:
            if (namespace_of(pod), name_of(pod)) == (namespace_of(migration), defunct) and is_final(pod):
                writes.append(write("delete", "Pod", pod))
    return Decision(writes=tuple(writes))
