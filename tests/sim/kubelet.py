"""Scheduler and kubelet with Multus: bind, start with all networks of the annotation, take away what is to end."""

import json

from tests.sim.cluster import NADS, NAMESPACE, NODES, PODS, Cluster, Json, copied, is_live

NETWORKS, STATUS = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"
HOSTNAME = "kubernetes.io/hostname"
_DEFAULT: Json = {"name": "cluster", "interface": "eth0", "default": True}


def scheduler(cluster: Cluster) -> bool:
    """Give a pod a node, or say once that there is none for it."""
    for pod in cluster.all(PODS):
        if "nodeName" in pod["spec"] or not is_live(pod):
            continue
        fitting = [node["metadata"]["name"] for node in cluster.shown(NODES) if _fits(cluster, pod, node)]
        name = pod["metadata"]["name"]
        if fitting:
            pod["spec"]["nodeName"] = cluster.choose_node(fitting)
            pod = cluster.replace(PODS, name, pod, by="scheduler")
        row = {"type": "PodScheduled", "status": "True"} if fitting else _unschedulable(cluster)
        if _say(cluster, pod, row) or fitting:
            return True
    return False


def _unschedulable(cluster: Cluster) -> Json:
    message = f"0/{len(cluster.shown(NODES))} nodes are available."
    moment = cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    row = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {**row, "lastTransitionTime": moment}


def _say(cluster: Cluster, pod: Json, row: Json) -> bool:
    """Write the scheduler's condition, unless it says the same already, or has never said anything but yes."""
    rows = pod["status"].get("conditions", [])
    old = next((item for item in rows if item["type"] == "PodScheduled"), {"status": "True"})
    if old["status"] == row["status"]:
        return False
    pod["status"]["conditions"] = [*(item for item in rows if item["type"] != "PodScheduled"), row]
    cluster.replace(PODS, pod["metadata"]["name"], pod, by="scheduler", subresource="status")
    return True


def _fits(cluster: Cluster, pod: Json, node: Json) -> bool:
    name, labels = node["metadata"]["name"], node["metadata"]["labels"]
    machine = cluster.machines[name]
    if node["spec"].get("unschedulable") or machine.is_lost or not machine.has_room:
        return False
    if any(labels.get(label) != value for label, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    anti = (pod["spec"].get("affinity") or {}).get("podAntiAffinity") or {}
    for term in anti.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
        wanted = term["labelSelector"]["matchLabels"].items()
        for other in cluster.shown(PODS):
            is_there = other["spec"].get("nodeName") == name and other["status"]["phase"] in ("Pending", "Running")
            if is_there and wanted <= (other["metadata"].get("labels") or {}).items():
                return False
    return True


def kubelet(cluster: Cluster) -> bool:
    """Start what was bound, and take away what is to end."""
    return any(serve_pod(cluster, pod) for pod in cluster.all(PODS))


def serve_pod(cluster: Cluster, pod: Json) -> bool:
    """Do one thing for a pod; whether there was one."""
    name, node = pod["metadata"]["name"], pod["spec"].get("nodeName")
    if node is None or cluster.machines[node].is_lost:
        return False
    if "deletionTimestamp" in pod["metadata"]:
        cluster.delete(PODS, name, by="kubelet", force=True)
        return True
    if pod["status"]["phase"] not in ("Pending", "Running"):
        return False
    if not all(network_exists(cluster, entry(item)["name"]) for item in elements_of(pod)) and _is_new(pod):
        return False  # ContainerCreating, until the network is there
    if STATUS not in pod["metadata"].setdefault("annotations", {}):
        pod["metadata"]["annotations"][STATUS] = _network_status(elements_of(pod))
        cluster.replace(PODS, name, pod, by="multus")
        return True
    if pod["status"]["phase"] == "Pending" and not cluster.machines[node].pulls_images:
        return _wait_for_image(cluster, pod)
    if pod["status"]["phase"] == "Pending":
        running = {"name": "compute", "ready": True, "state": {"running": {}}}
        pod["status"] |= {"phase": "Running", "containerStatuses": [running], "conditions": _with_ready(pod)}
    elif _with_ready(pod) != pod["status"].get("conditions"):
        pod["status"]["conditions"] = _with_ready(pod)
    else:
        return False
    cluster.replace(PODS, name, pod, by="kubelet", subresource="status")
    return True


def _wait_for_image(cluster: Cluster, pod: Json) -> bool:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    rows = [{"name": "compute", "ready": False, "state": {"waiting": waiting}}]
    if pod["status"].get("containerStatuses") == rows:
        return False
    pod["status"]["containerStatuses"] = rows
    cluster.replace(PODS, pod["metadata"]["name"], pod, by="kubelet", subresource="status")
    return True


def end_pod(cluster: Cluster, pod: Json, phase: str) -> None:
    """The launcher of this pod ends."""
    ended = copied(pod)
    ended["status"]["phase"] = phase
    cluster.replace(PODS, pod["metadata"]["name"], ended, by="kubelet", subresource="status")


def _is_new(pod: Json) -> bool:
    return STATUS not in (pod["metadata"].get("annotations") or {})


def _with_ready(pod: Json) -> list[Json]:
    """The kubelet's condition before those of others: Ready when every gate is open."""
    theirs = [row for row in pod["status"].get("conditions", []) if row["type"] != "Ready"]
    open_gates = {row["type"] for row in theirs if row["status"] == "True"}
    ready = all(gate["conditionType"] in open_gates for gate in pod["spec"].get("readinessGates", []))
    return [{"type": "Ready", "status": "True" if ready else "False"}, *theirs]


def network_exists(cluster: Cluster, network: str) -> bool:
    """There is an attachment definition of this name, `<namespace>/<name>`, with which something can be attached."""
    namespace, _, name = network.partition("/")
    if namespace != NAMESPACE:
        return True
    if network in cluster.failing_networks:
        return False
    found = cluster.get(NADS, name)
    return found is not None and found["spec"]["config"].startswith("{")


def entry(element: Json) -> Json:
    """What the status says of an element of the annotation that has its interface."""
    mac = {"mac": element["mac"]} if "mac" in element else {}
    return {"name": f"{element['namespace']}/{element['name']}", "interface": element["interface"], **mac}


def elements_of(pod: Json) -> list[Json]:
    """What the annotation asks for."""
    return elements_in((pod["metadata"].get("annotations") or {}).get(NETWORKS) or "")


def elements_in(annotation: str) -> list[Json]:
    """What this text of the annotation asks for."""
    elements: list[Json] = json.loads(annotation or "[]")
    return elements


def interfaces_in(pod: Json) -> dict[str, str]:
    """What the status says is there: interface -> network."""
    entries = json.loads((pod["metadata"].get("annotations") or {}).get(STATUS) or "[]")
    return {item["interface"]: item["name"] for item in entries}


def macs_in(pod: Json) -> dict[str, str]:
    """The MAC addresses that the status tells: interface -> address, "" for one of its own choice."""
    entries = json.loads((pod["metadata"].get("annotations") or {}).get(STATUS) or "[]")
    return {item["interface"]: item.get("mac", "") for item in entries}


def _network_status(elements: list[Json]) -> str:
    return json.dumps([_DEFAULT, *sorted(map(entry, elements), key=lambda item: item["interface"])])
