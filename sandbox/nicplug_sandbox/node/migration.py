"""Live migration as the node side sees it: whose turn it is, read from the VMI and its two pods.

Pure. Source: KubeVirt 1.9, `pkg/virt-handler/migration-source.go` and `migration-target.go`, in our own words.
Every step leaves its trace in `status.migrationState`, so that a restarted simulator goes on from there.
"""

from datetime import datetime, timedelta
from enum import Enum, auto

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.faults import read_seconds
from nicplug_sandbox.node.mirror import Mirror
from nicplug_sandbox.node.networks import annotation
from nicplug_sandbox.node.settings import PREFIX

NODE_LABEL = "kubevirt.io/nodeName"
TARGET_NODE_LABEL = "kubevirt.io/migrationTargetNodeName"
OWNER_LABEL = "kubevirt.io/created-by"
JOB_LABEL = "kubevirt.io/migrationJobUID"
COPY = PREFIX + "migration-copy"
"""On a VMI: how long the copy of its memory takes, `2s` or `300ms`."""
PREPARE = PREFIX + "migration-prepare"
"""On a VMI: how long its target pod is prepared."""
CUT_OVER = PREFIX + "migration-cut-over"
"""On a VMI: how long its guest stands still between the copy and the target."""
FINAL = ("Succeeded", "Failed")
BROKEN_PIPE = "Unable to write to socket: Broken pipe"
CANCELED = "operation aborted: migration out job: canceled by client"


class SourceStep(Enum):
    """What the node that has the guest does next."""

    NOTHING = auto()
    START = auto()
    COPY = auto()
    ABORT = auto()
    BREAK = auto()
    """The target's end of the connection is gone."""
    LEAVE = auto()
    """The guest lives elsewhere: virt-launcher ends."""


class TargetStep(Enum):
    """What the node that is to get the guest does next."""

    NOTHING = auto()
    PREPARE = auto()
    REPORT = auto()
    """The guest runs here: say so."""
    MOVE = auto()
    """The label comes first: the source's pod ends soon, and nobody may take that for the guest's end."""
    FINISH = auto()
    COMPLETE = auto()
    LEAVE = auto()
    """No guest will come any more: virt-launcher ends."""


def label_of(obj: Json, label: str) -> str:
    """A label of an object, empty when it is not there."""
    value: str = (obj["metadata"].get("labels") or {}).get(label) or ""
    return value


def state_of(vmi: Json) -> Json:
    """`status.migrationState`, empty when there is none."""
    state: Json = vmi.get("status", {}).get("migrationState") or {}
    return state


def migration_uid(vmi: Json) -> str:
    """Which migration the state belongs to."""
    return state_of(vmi).get("migrationUid") or ""


def is_migrating(vmi: Json) -> bool:
    """From the hand-off to the end of the migration: guest and rows are not the ordinary role's."""
    return bool(migration_uid(vmi)) and not state_of(vmi).get("completed")


def is_reported(vmi: Json) -> bool:
    """Whether the target has told that the guest runs there."""
    return bool(state_of(vmi).get("targetNodeDomainReadyTimestamp"))


def is_copying(vmi: Json) -> bool:
    """Whether the source sends the guest, and the target has not told that it runs there."""
    return is_migrating(vmi) and bool(state_of(vmi).get("startTimestamp")) and not is_reported(vmi)


def is_compute_running(pod: Json) -> bool:
    """Whether virt-launcher can run a guest in this pod."""
    if pod.get("status", {}).get("phase") != "Running" or "deletionTimestamp" in pod["metadata"]:
        return False
    statuses = pod["status"].get("containerStatuses") or ()
    return any(item["name"] == "compute" and "running" in item.get("state", {}) for item in statuses)


def pods_of(*, vmi: Json, pods: Mirror, node: str) -> list[Json]:
    """The VMI's pods on a node; a label alone makes no launcher (anybody can write it).

    The real node agent finds a launcher's socket by the uids in `activePods`: where there are any, no other pod counts.
    """
    uid, active = vmi["metadata"]["uid"], vmi.get("status", {}).get("activePods") or {}
    return [
        pod
        for pod in pods.by_index("vmi", uid)
        if pod["spec"].get("nodeName") == node
        and (not active or pod["metadata"]["uid"] in active)
        and any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or ())
    ]


def source_pod(*, vmi: Json, pods: Mirror) -> Json | None:
    """The pod that the guest leaves."""
    state = state_of(vmi)
    found = pods_of(vmi=vmi, pods=pods, node=state.get("sourceNode") or "")
    return next((pod for pod in found if pod["metadata"]["name"] == state.get("sourcePod")), None)


def target_pod(*, vmi: Json, pods: Mirror) -> Json | None:
    """The pod that was made for this very migration."""
    state = state_of(vmi)
    found = pods_of(vmi=vmi, pods=pods, node=state.get("targetNode") or "")
    named = [pod for pod in found if pod["metadata"]["name"] == state.get("targetPod")]
    return next((pod for pod in named if label_of(pod, JOB_LABEL) == migration_uid(vmi)), None)


def pod_of_guest(vmi: Json) -> str:
    """The name of the pod in which the last migration has left the guest; empty without one."""
    state = state_of(vmi)
    has_moved = is_reported(vmi) and not state.get("failed")
    return str(state.get("targetPod" if has_moved else "sourcePod") or "")


def _is_alive(vmi: Json) -> bool:
    return vmi.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in vmi["metadata"]


def source_step(*, vmi: Json, pod: Json | None, target: Json | None, arrived: bool) -> SourceStep:
    """What the source does next.

    Args:
        pod: the source pod.
        target: the target pod.
        arrived: the guest has left already, whether or not the target has told.
    """
    state = state_of(vmi)
    if not migration_uid(vmi) or pod is None or not is_compute_running(pod):
        return SourceStep.NOTHING
    if state.get("completed"):
        has_moved = not state.get("failed") and label_of(vmi, NODE_LABEL) == state.get("targetNode")
        return SourceStep.LEAVE if has_moved else SourceStep.NOTHING
    if arrived or is_reported(vmi) or not _is_alive(vmi) or label_of(vmi, NODE_LABEL) != state.get("sourceNode"):
        return SourceStep.NOTHING
    if state.get("abortRequested") and not state.get("abortStatus"):
        return SourceStep.ABORT
    if not state.get("targetNodeAddress"):
        return SourceStep.NOTHING
    if not state.get("startTimestamp"):
        return SourceStep.START
    return SourceStep.COPY if target is not None and is_compute_running(target) else SourceStep.BREAK


def target_step(*, vmi: Json, pod: Json | None, arrived: bool) -> TargetStep:
    """What the target does next.

    Args:
        pod: the target pod.
        arrived: the guest is here, whether or not that is told.
    """
    state = state_of(vmi)
    if not migration_uid(vmi) or pod is None or not is_compute_running(pod):
        return TargetStep.NOTHING
    if is_reported(vmi):
        return _finishing_step(vmi)
    if state.get("completed") or vmi.get("status", {}).get("phase") in FINAL:
        return TargetStep.LEAVE
    if not _is_alive(vmi):
        return TargetStep.NOTHING
    if arrived:
        return TargetStep.REPORT
    wanted = not state.get("targetNodeAddress") and not state.get("abortRequested")
    return TargetStep.PREPARE if wanted else TargetStep.NOTHING


def _finishing_step(vmi: Json) -> TargetStep:
    state = state_of(vmi)
    if state.get("completed") or not _is_alive(vmi):
        return TargetStep.NOTHING
    if label_of(vmi, NODE_LABEL) != state["targetNode"]:
        return TargetStep.MOVE
    return TargetStep.COMPLETE if state.get("endTimestamp") else TargetStep.FINISH


def step_seconds(vmi: Json, key: str, *, default: float) -> float:
    """How long a step takes; an annotation that is not understood has no effect."""
    seconds = read_seconds(annotation(vmi, key))
    return default if seconds is None else seconds


def copy_seconds_left(vmi: Json, *, seconds: float, now: datetime) -> float:
    """How long a copy goes on that this process has not seen begin; a clock that runs ahead never prolongs it."""
    started = datetime.fromisoformat(state_of(vmi)["startTimestamp"])
    return min((started + timedelta(seconds=seconds) - now).total_seconds(), seconds)


def failure(reason: str, *, now: str) -> Json:
    """The members of migrationState that tell of a failed migration."""
    return {"failed": True, "completed": True, "endTimestamp": now, "failureReason": reason}
