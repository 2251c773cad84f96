"""DaemonSets, pods and nodes of dynamic networks controllers, as the API server serves them."""

from typing import Any

from tests.build import Json

from nicplug.model.node import Node, parse_node

NAME = "dynamic-networks-controller-ds"


UID = "d0000000-0000-4000-8000-000000000001"


MADE = "2026-01-02T03:00:00Z"


CHANGED = "2026-01-02T03:04:00Z"


LABELS = {"name": "dynamic-networks-controller"}


def daemon_set(
    name: str = NAME, *, namespace: str = "kube-system", image: str = "x", uid: str = UID, **members: Any
) -> Json:
    """A DaemonSet; `pod` has members of its template's spec."""
    pod = {"containers": [{"name": "c", "image": image}], **members.pop("pod", {})}
    selector = members.pop("selector", {"matchLabels": LABELS})
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": "1", **members},
        "spec": {"selector": selector, "template": {"metadata": {"labels": LABELS}, "spec": pod}},
    }


def pod(name: str = "p", *, ready: str = "True", owner: str = UID, node: str = "node01", **members: Any) -> Json:
    """A pod of it; `status` replaces the one with the condition Ready."""
    status = members.pop("status", {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": CHANGED}]})
    spec = members.pop("spec", {"nodeName": node})
    references = [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": NAME, "uid": owner, "controller": True}]
    metadata: Json = {"namespace": "kube-system", "name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
    metadata |= {"creationTimestamp": MADE, "ownerReferences": references, **members}
    return {"metadata": metadata, "spec": spec, "status": status}


def node(**labels: str) -> Node:
    return parse_node({"metadata": {"name": "node01", "labels": labels}})


GOING: Json = {"deletionTimestamp": "2026-01-02T03:04:30Z", "deletionGracePeriodSeconds": 30}
