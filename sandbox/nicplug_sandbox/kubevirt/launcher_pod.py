"""The launcher pod of a VMI, and that of a migration's target (4.7, 5.4). Pure."""

from nicplug_sandbox.kubevirt.objects import (
    CREATED_BY,
    JOB_UID,
    NETWORKS,
    Json,
    annotations_of,
    controller_uid,
    created_at,
    is_final,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    status_of,
    uid_of,
)
from nicplug_sandbox.kubevirt.pod_networks import new_pod_annotations

UNPAUSED = "kubevirt.io/virtual-machine-unpaused"
IMAGE = "quay.io/kubevirt/virt-launcher:v1.9.0"
DEFAULT_GRACE_SECONDS = 30
_NOT_INHERITED = ("kubectl.kubernetes.io/last-applied-configuration",)


def launcher_pod(vmi: Json, *, image: str = IMAGE) -> Json:
    """The pod that a VMI starts in."""
    name, spec = name_of(vmi), vmi["spec"]
    grace = spec.get("terminationGracePeriodSeconds")
    labels = {
        **labels_of(vmi),
        "kubevirt.io": "virt-launcher",
        CREATED_BY: uid_of(vmi),
        "vm.kubevirt.io/name": spec.get("hostname") or name,
        "vmi.kubevirt.io/id": name,
    }
    annotations = {key: text for key, text in annotations_of(vmi).items() if key not in _NOT_INHERITED}
    annotations |= {
        "kubevirt.io/domain": name,
        "kubectl.kubernetes.io/default-container": "compute",
        "kubevirt.io/migrationTransportUnix": "true",
        **new_pod_annotations(vmi),
    }
    wishes = {key: spec[key] for key in ("nodeSelector", "affinity", "tolerations") if spec.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"virt-launcher-{name}-",
            "namespace": namespace_of(vmi),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(vmi, "VirtualMachineInstance")],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": (DEFAULT_GRACE_SECONDS if grace is None else grace) + 30,
            "automountServiceAccountToken": False,
            "readinessGates": [{"conditionType": UNPAUSED}],
            "containers": [
                {
                    "name": "compute",
                    "image": image,
                    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                }
            ],
            **wishes,
        },
    }


def target_pod(vmi: Json, migration: Json, *, image: str = IMAGE, networks: str = "") -> Json:
    """The pod that a guest migrates to: as the VMI is now, on another node.

    Args:
        vmi: the guest's.
        migration: for which it is made.
        image: of the launcher.
        networks: instead of the annotation with hashed names.
    """
    pod = launcher_pod(vmi, image=image)
    metadata, spec = pod["metadata"], pod["spec"]
    metadata["annotations"] |= {NETWORKS: networks} if networks else {}
    metadata["labels"] |= {JOB_UID: uid_of(migration)}
    metadata["annotations"] |= {"kubevirt.io/migrationJobName": name_of(migration)}
    affinity = dict(spec.get("affinity") or {})
    apart = dict(affinity.get("podAntiAffinity") or {})
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    term = {
        "labelSelector": {"matchLabels": {CREATED_BY: uid_of(vmi)}},
        "topologyKey": "kubernetes.io/hostname",
    }
    apart[key] = [*(apart.get(key) or ()), term]
    spec["affinity"] = {**affinity, "podAntiAffinity": apart}
    selector = {**(migration["spec"].get("addedNodeSelector") or {}), **(spec.get("nodeSelector") or {})}
    if selector:
        spec["nodeSelector"] = selector
    return pod


def image_of(pod: Json) -> str:
    """The image of the launcher; "" for a pod without one."""
    containers = pod["spec"].get("containers") or ()
    return next((str(item.get("image", "")) for item in containers if item["name"] == "compute"), "")


def pods_of(vmi: Json, pods: list[Json]) -> list[Json]:
    """The pods that the VMI controls."""
    return [pod for pod in pods if controller_uid(pod) == uid_of(vmi)]


def current_pod(vmi: Json, pods: list[Json]) -> Json | None:
    """The pod of the VMI (4.2, "Which pod"): on its node once it has one, the newest.

    Of two of the same second KubeVirt takes any, in each pass anew; here it is one that has not ended.
    """
    node = status_of(vmi).get("nodeName")
    found = [pod for pod in pods_of(vmi, pods) if not node or pod["spec"].get("nodeName") == node]
    return max(found, key=lambda pod: (created_at(pod), not is_final(pod)), default=None)


def active_pods(vmi: Json, pods: list[Json]) -> list[Json]:
    """The VMI's pods that have not ended."""
    return [pod for pod in pods_of(vmi, pods) if not is_final(pod)]
