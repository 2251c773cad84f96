"""Raw objects as users and nodes write them."""

import json
from collections.abc import Iterable
from typing import Any

from tests import manifests

Json = dict[str, Any]


GATE = "HotplugNICs"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"


def vmi(name: str, nics: Iterable[str] = ()) -> Json:
    """A bare VMI."""
    return manifests.vmi(name, *nics)


def vm(name: str, nics: Iterable[str] = (), *, running: bool = True) -> Json:
    """A VM."""
    return manifests.vm(name, *nics, strategy="Always" if running else "Halted", labels={"app": name})


def kubevirt(gates: Iterable[str] = (GATE,)) -> Json:
    """The KubeVirt CR."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
        "spec": {"configuration": {"developerConfiguration": {"featureGates": list(gates)}}},
    }


def crd(plural: str) -> Json:
    """As much of an installed CRD as tells that it is served."""
    return {
        "metadata": {"name": f"{plural}.kubevirt.io"},
        "spec": {"group": "kubevirt.io"},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


def failure_event(pod: Json, interface: str, *, network: str = "lan", count: int = 1) -> Json:
    """How the dynamic networks controller says that it could not attach an interface."""
    name = pod["metadata"]["name"]
    return {
        "metadata": {"name": f"{name}.{interface}"},
        "reason": "FailedAddingInterface",
        "message": f"pod [default/{name}]: failed adding interface {interface} to network: {network}",
        "involvedObject": {"kind": "Pod", **{key: pod["metadata"][key] for key in ("namespace", "name", "uid")}},
        "type": "Warning",
        "count": count,
    }


def network_status(interfaces: Iterable[str]) -> str:
    """The annotation that Multus writes: the primary interface and `interfaces`."""
    rows: list[Json] = [{"name": "cbr0", "interface": "eth0", "ips": ["10.0.0.9"], "default": True, "dns": {}}]
    rows += [{"name": "default/lan", "interface": item, "mac": "02:00:00:00:00:01", "dns": {}} for item in interfaces]
    return json.dumps(rows)


def requested(pod: Json) -> list[str]:
    """The interfaces that the networks annotation of a pod asks for."""
    content = pod["metadata"].get("annotations", {}).get(NETWORKS) or "[]"
    return [element["interface"] for element in json.loads(content)]


CONTROLLER, CONTROLLER_NAMESPACE = "dynamic-networks-controller-ds", "kube-system"
_CONTROLLER_LABELS = {"name": "dynamic-networks-controller"}


def controller_daemon_set() -> Json:
    """The dynamic networks controller."""
    template = {
        "metadata": {"labels": _CONTROLLER_LABELS},
        "spec": {"containers": [{"name": "controller", "image": "multus-dynamic-networks-controller"}]},
    }
    return {
        "metadata": {"name": CONTROLLER},
        "spec": {"selector": {"matchLabels": _CONTROLLER_LABELS}, "template": template},
    }


def controller_pod_name(node: str) -> str:
    """Of its pod on a node."""
    return f"{CONTROLLER}-{node}"


def controller_pod(node: str, *, owner_uid: str, name: str = "") -> Json:
    """One pod of it."""
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": CONTROLLER, "uid": owner_uid, "controller": True}
    labels = {"labels": _CONTROLLER_LABELS, "ownerReferences": [owner]}
    return {"metadata": {"name": name or controller_pod_name(node), **labels}, "spec": {"nodeName": node}}


def cluster_node(name: str, *, ready: bool = True, **spec: Any) -> Json:
    """A node."""
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }
