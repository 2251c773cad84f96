"""The DaemonSets of Multus and of the dynamic networks controller, and where their pods are ready.

Real DaemonSets, whose pods the real controller makes: a role acts on a node only while its pod there is
Ready, and it is taken from a node by a node label that the affinity excludes.
"""

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.faults import RoleName
from nicplug_sandbox.node.mirror import Mirror
from nicplug_sandbox.node.settings import PREFIX

NAMESPACE = "kube-system"
SIMULATED = PREFIX + "simulated"
"""Label of everything that the simulator made: nodes and DaemonSets."""
INDEX = "daemonset-pod"

APPS = {
    RoleName.MULTUS: ("kube-multus-ds", "multus", "kube-multus"),
    RoleName.DYNAMIC_NETWORKS: (
        "dynamic-networks-controller-ds",
        "dynamic-networks-controller",
        "dynamic-networks-controller",
    ),
}
"""DaemonSet name, `app` label and container name, as in the projects' own manifests."""
IMAGES = {
    RoleName.MULTUS: "ghcr.io/k8snetworkplumbingwg/multus-cni:simulated",
    RoleName.DYNAMIC_NETWORKS: "ghcr.io/k8snetworkplumbingwg/multus-dynamic-networks-controller:simulated",
}
"""The projects' repositories, by which an operator may know them; nothing is pulled."""


def daemon_set(role: RoleName) -> Json:
    """The DaemonSet of a role, on simulated nodes only."""
    name, app, container = APPS[role]
    labels = {"tier": "node", "app": app, "name": app}
    terms = [
        {"key": SIMULATED, "operator": "In", "values": ["true"]},
        {"key": PREFIX + role, "operator": "NotIn", "values": ["absent"]},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {**labels, SIMULATED: "true"}},
        "spec": {
            "selector": {"matchLabels": {"name": app}},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": True,
                    "tolerations": [{"operator": "Exists"}],
                    "priorityClassName": "system-node-critical",
                    "terminationGracePeriodSeconds": 10,
                    "affinity": {
                        "nodeAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": {
                                "nodeSelectorTerms": [{"matchExpressions": terms}]
                            }
                        }
                    },
                    "containers": [{"name": container, "image": IMAGES[role]}],
                },
            },
        },
    }


def role_of(pod: Json) -> RoleName | None:
    """The role that a pod of one of the DaemonSets plays; None for any other pod."""
    metadata = pod["metadata"]
    if metadata["namespace"] != NAMESPACE or not is_daemon(pod):
        return None
    label = (metadata.get("labels") or {}).get("name")
    return next((role for role, (_, app, _) in APPS.items() if app == label), None)


def is_daemon(pod: Json) -> bool:
    """Whether the pod belongs to a DaemonSet: a node's fault must not take its own agents with it."""
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences") or ())


def index_daemonset_pods(pod: Json) -> tuple[str, ...]:
    """Index function: `node/app` for pods of DaemonSets in the system namespace."""
    metadata = pod["metadata"]
    app = (metadata.get("labels") or {}).get("name")
    if metadata["namespace"] != NAMESPACE or not app:
        return ()
    return (f"{pod['spec'].get('nodeName', '')}/{app}",)


def is_pod_ready(pod: Json) -> bool:
    """Whether the pod has condition Ready=True and is not being deleted."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def is_role_ready(*, pods: Mirror, role: RoleName, node: str) -> bool:
    """Whether the role's DaemonSet has a ready pod on the node."""
    return any(is_pod_ready(pod) for pod in pods.by_index(INDEX, f"{node}/{APPS[role][1]}"))
