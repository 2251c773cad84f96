"""The dynamic networks controller of Multus, one on each node."""

import json

from tests.sim.cluster import CONTROLLER_PODS, DAEMON_SETS, PODS, Cluster, Json
from tests.sim.kubelet import NETWORKS, STATUS, elements_in, entry, network_exists

_NAME = "dynamic-networks-controller"
STATUS_POINTER = "/metadata/annotations/" + STATUS.replace("/", "~1")


def dynamic_controller(cluster: Cluster) -> bool:
    """Look at a running pod whose annotation's text has changed, once: additions in order, then removals.

    It takes up a text, and does later what that asks for, whatever the annotation asks for by then. It stops at the
    first that fails, says so in an event, and looks again only at another text.
    """
    for pod in cluster.shown(PODS):
        if pod["status"]["phase"] != "Running" or "deletionTimestamp" in pod["metadata"]:
            continue
        machine = cluster.machines[pod["spec"]["nodeName"]]
        uid, text = pod["metadata"]["uid"], pod["metadata"]["annotations"].get(NETWORKS) or ""
        if machine.is_lost or not machine.has_controller or cluster.handled.get(uid) == text:
            continue
        if (taken_up := cluster.taken_up.pop(uid, None)) is None:
            cluster.taken_up[uid] = text
            return True
        cluster.handled[uid] = taken_up
        _follow(cluster, pod, elements_in(taken_up))
        return True
    return False


def deploy_controllers(cluster: Cluster) -> None:
    """The DaemonSet, and its pod on every node."""
    container = {"name": "controller", "image": "ghcr.io/k8snetworkplumbingwg/multus-dynamic-networks-controller"}
    spec = {"selector": {"matchLabels": {"app": _NAME}}, "template": {"spec": {"containers": [container]}}}
    cluster.create(DAEMON_SETS, {"metadata": {"name": _NAME}, "spec": spec}, by="admin")
    for node in cluster.machines:
        start_controller(cluster, node)


def start_controller(cluster: Cluster, node: str) -> None:
    """It comes to a node; at its start it looks at every pod there."""
    cluster.machines[node].has_controller = True
    for pod in cluster.shown(PODS):
        if pod["spec"].get("nodeName") == node:
            cluster.handled.pop(pod["metadata"]["uid"], None)
    daemon_set = cluster.get(DAEMON_SETS, _NAME)
    assert daemon_set is not None
    uid = daemon_set["metadata"]["uid"]
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": _NAME, "uid": uid, "controller": True}
    body = {
        "metadata": {"name": f"{_NAME}-{node}", "labels": {"app": _NAME}, "ownerReferences": [owner]},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    cluster.create(CONTROLLER_PODS, body, by="DaemonSet controller")


def set_ready(cluster: Cluster, node: str, *, is_ready: bool) -> None:
    """Its pod says whether it is ready; what it does does not depend on it."""
    pod = cluster.get(CONTROLLER_PODS, f"{_NAME}-{node}")
    if pod is not None:
        moment = cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        status = "True" if is_ready else "False"
        pod["status"]["conditions"] = [{"type": "Ready", "status": status, "lastTransitionTime": moment}]
        cluster.replace(CONTROLLER_PODS, f"{_NAME}-{node}", pod, by="kubelet", subresource="status")


def stop_controller(cluster: Cluster, node: str) -> None:
    """It leaves a node, and whatever it worked on there."""
    cluster.machines[node].has_controller = False
    for pod in cluster.shown(PODS):
        if pod["spec"].get("nodeName") == node:
            cluster.taken_up.pop(pod["metadata"]["uid"], None)
    cluster.delete(CONTROLLER_PODS, f"{_NAME}-{node}", by="DaemonSet controller")


def _follow(cluster: Cluster, pod: Json, elements: list[Json]) -> None:
    present: list[Json] = json.loads(pod["metadata"]["annotations"].get(STATUS) or "[]")
    entries = {(item["name"], item["interface"]): item for item in present}
    wanted = {(item["name"], item["interface"]): item for item in map(entry, elements)}
    for key, item in wanted.items():
        if key in entries:
            continue
        if not _succeeds(cluster, pod, key, verb="adding", word="to"):
            break
        entries[key] = item
    else:
        for key in [key for key, item in entries.items() if key not in wanted and not item.get("default")]:
            if not _succeeds(cluster, pod, key, verb="removing", word="from"):
                break
            del entries[key]
    if list(entries.values()) != present:
        patch = [{"op": "add", "path": STATUS_POINTER, "value": json.dumps(list(entries.values()))}]
        cluster.patch(PODS, pod["metadata"]["name"], patch, by="dynamic networks controller")


def _succeeds(cluster: Cluster, pod: Json, key: tuple[str, str], *, verb: str, word: str) -> bool:
    network, interface = key
    if cluster.machines[pod["spec"]["nodeName"]].plugs and network_exists(cluster, network):
        return True
    message = f"pod [default/{pod['metadata']['name']}]: failed {verb} interface {interface} {word} network: {network}"
    cluster.report(pod, reason=f"Failed{verb.capitalize()}Interface", message=message)
    return False
