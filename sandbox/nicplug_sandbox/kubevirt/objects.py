"""Reading objects of the API: what several controllers ask of a VMI, a pod or a migration. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

CREATED_BY = "kubevirt.io/created-by"
NODE_NAME = "kubevirt.io/nodeName"
TARGET_NODE_NAME = "kubevirt.io/migrationTargetNodeName"
JOB_UID = "kubevirt.io/migrationJobUID"
VMI_NAME = "kubevirt.io/vmi-name"
OBSERVED_VERSIONS = ("kubevirt.io/latest-observed-api-version", "kubevirt.io/storage-observed-api-version")
WORKLOAD_UPDATE = "kubevirt.io/workloadUpdateMigration"
EVACUATION = "kubevirt.io/evacuationMigration"
MIGRATION_FINALIZER = "kubevirt.io/migrationJobFinalize"
VMI_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
VM_FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
NETWORKS = "k8s.v1.cni.cncf.io/networks"

FINAL = ("Succeeded", "Failed")


def name_of(obj: Json) -> str:
    """metadata.name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Json) -> str:
    """metadata.namespace."""
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Json) -> str:
    """metadata.uid."""
    return str(obj["metadata"]["uid"])


def labels_of(obj: Json) -> Json:
    """metadata.labels, never None."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Json) -> Json:
    """metadata.annotations, never None."""
    return obj["metadata"].get("annotations") or {}


def status_of(obj: Json) -> Json:
    """The status, never None."""
    return obj.get("status") or {}


def phase_of(obj: Json) -> str:
    """status.phase, "" when unset."""
    return str(status_of(obj).get("phase") or "")


def is_being_deleted(obj: Json) -> bool:
    """Whether metadata.deletionTimestamp is set."""
    return "deletionTimestamp" in obj["metadata"]


def is_final(obj: Json) -> bool:
    """Whether a VMI, pod or migration has ended."""
    return phase_of(obj) in FINAL


def condition_of(obj: Json, kind: str) -> Json | None:
    """The condition of a type."""
    return next((item for item in status_of(obj).get("conditions") or () if item["type"] == kind), None)


def is_condition(obj: Json, kind: str, status: str = "True") -> bool:
    """Whether the condition is there with this status."""
    found = condition_of(obj, kind)
    return found is not None and found["status"] == status


def merged(
    conditions: Iterable[Json], wanted: Iterable[Json], *, gone: Iterable[str] = (), now: datetime
) -> list[Json]:
    """Conditions merged by KubeVirt's rule: an entry is replaced only when status or reason differ (1.3.4)."""
    result = [item for item in conditions if item["type"] not in set(gone)]
    for fresh in wanted:
        item = {"lastProbeTime": None, "lastTransitionTime": text_of(now), **fresh}
        index = next((i for i, old in enumerate(result) if old["type"] == item["type"]), None)
        if index is None:
            result.append(item)
        elif any((result[index].get(key) or "") != (item.get(key) or "") for key in ("status", "reason")):
            result[index] = item
    return result


def run_strategy(vm: Json) -> str:
    """The effective run strategy of a VM (1.1)."""
    spec = vm["spec"]
    if "running" in spec:
        return "Always" if spec["running"] else "Halted"
    return str(spec.get("runStrategy") or "Halted")


def interfaces_of(spec: Json) -> list[Json]:
    """The interfaces of a VMI spec."""
    devices = (spec.get("domain") or {}).get("devices") or {}
    return list(devices.get("interfaces") or ())


def networks_of(spec: Json) -> list[Json]:
    """The networks of a VMI spec."""
    return list(spec.get("networks") or ())


def rows_of(vmi: Json) -> list[Json]:
    """status.interfaces."""
    return list(status_of(vmi).get("interfaces") or ())


def is_absent(interface: Json) -> bool:
    """Whether the interface is to be unplugged."""
    return interface.get("state") == "absent"


def controller_uid(obj: Json) -> str:
    """The uid of the controller that owns the object, "" when nobody does."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def owner_reference(owner: Json, kind: str) -> Json:
    """The reference by which `owner` controls an object."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def text_of(moment: datetime) -> str:
    """As the API writes moments: whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(text: str) -> datetime:
    """Back from the API's form."""
    return datetime.fromisoformat(text)


def created_at(obj: Json) -> str:
    """metadata.creationTimestamp, which sorts by age."""
    return str(obj["metadata"].get("creationTimestamp", ""))


def with_observed_versions(obj: Json) -> Json | None:
    """The object with the annotations of the API version, the first write of a controller; None when it has them."""
    if all(key in annotations_of(obj) for key in OBSERVED_VERSIONS):
        return None
    annotations = {**annotations_of(obj), **dict.fromkeys(OBSERVED_VERSIONS, "v1")}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def is_pod_ready(pod: Json) -> bool:
    """KubeVirt's `IsPodReady` (4.2): Running, not being deleted, compute running, all other containers ready."""
    if phase_of(pod) != "Running" or is_being_deleted(pod):
        return False
    return all(_serves(container) for container in status_of(pod).get("containerStatuses") or ())


def _serves(container: Json) -> bool:
    if container["name"] in ("compute", "istio-proxy"):
        return bool((container.get("state") or {}).get("running") is not None)
    return bool(container.get("ready"))


def is_pod_down(pod: Json) -> bool:
    """Whether the pod has ended."""
    return is_final(pod)


def is_migrating(vmi: Json, *, now: datetime) -> bool:
    """KubeVirt's `IsMigrating` (3.6): begun, and not ended yet."""
    state = status_of(vmi).get("migrationState") or {}
    start, end = state.get("startTimestamp"), state.get("endTimestamp")
    if not start or moment_of(start) > now:
        return False
    return not end or moment_of(end) > now
