"""The node's half of the contract, as small as the reference allows: kubelet with Multus, the dynamic networks
controller, the node agent, and the garbage collector.

Written from KubeVirt's and Multus's behaviour alone; shares no code with the sandbox's simulator, nor with the
operator. Each role is a function that does at most one thing and says whether it did.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.sim.cluster import NADS, NAMESPACE, PODS, REVISIONS, VMIS, VMS, Cluster, Json

from nicplug.kube.errors import Stale

NODE = "node01"
NETWORKS, STATUS = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"
STATUS_POINTER = "/metadata/annotations/" + STATUS.replace("/", "~1")
_DEFAULT: Json = {"name": "cluster", "interface": "eth0", "default": True}


def kubelet(cluster: Cluster) -> bool:
    """Bind, start with all networks of the annotation, and take away what is to end."""
    if cluster.node_is_lost:
        return False
    for pod in cluster.all(PODS):
        name = pod["metadata"]["name"]
        if "deletionTimestamp" in pod["metadata"]:
            cluster.delete(PODS, name, by="kubelet", force=True)
            return True
        if "nodeName" not in pod["spec"]:
            pod["spec"]["nodeName"] = NODE
            cluster.replace(PODS, name, pod, by="scheduler")
            return True
        if not all(_exists(cluster, _entry(item)["name"]) for item in _elements(pod)) and _is_new(pod):
            continue  # ContainerCreating, until the network is there
        if STATUS not in pod["metadata"]["annotations"]:
            pod["metadata"]["annotations"][STATUS] = _network_status(_elements(pod))
            cluster.replace(PODS, name, pod, by="multus")
            return True
        if pod["status"]["phase"] == "Pending":
            running = {"name": "compute", "ready": True, "state": {"running": {}}}
            pod["status"] |= {"phase": "Running", "containerStatuses": [running], "conditions": _with_ready(pod)}
            cluster.replace(PODS, name, pod, by="kubelet", subresource="status")
            return True
        if pod["status"]["phase"] == "Running" and _with_ready(pod) != pod["status"]["conditions"]:
            pod["status"]["conditions"] = _with_ready(pod)
            cluster.replace(PODS, name, pod, by="kubelet", subresource="status")
            return True
    return False


def _is_new(pod: Json) -> bool:
    return STATUS not in pod["metadata"]["annotations"]


def _with_ready(pod: Json) -> list[Json]:
    """The kubelet's condition before those of others: Ready when every gate is open."""
    theirs = [row for row in pod["status"].get("conditions", []) if row["type"] != "Ready"]
    open_gates = {row["type"] for row in theirs if row["status"] == "True"}
    ready = all(gate["conditionType"] in open_gates for gate in pod["spec"].get("readinessGates", []))
    return [{"type": "Ready", "status": "True" if ready else "False"}, *theirs]


def dynamic_controller(cluster: Cluster) -> bool:
    """Look at a running pod whose annotation's text has changed, once: additions in order, then removals.

    It stops at the first that fails, says so in an event, and looks again only at another text.
    """
    for pod in cluster.all(PODS) if not cluster.node_is_lost else ():
        if pod["status"]["phase"] != "Running" or "deletionTimestamp" in pod["metadata"]:
            continue
        uid, text = pod["metadata"]["uid"], pod["metadata"]["annotations"].get(NETWORKS) or ""
        if cluster.handled.get(uid) == text:
            continue
        cluster.handled[uid] = text
        _follow(cluster, pod)
        return True
    return False


def _follow(cluster: Cluster, pod: Json) -> None:
    present: list[Json] = json.loads(pod["metadata"]["annotations"].get(STATUS) or "[]")
    entries = {(item["name"], item["interface"]): item for item in present}
    wanted = {(item["name"], item["interface"]): item for item in map(_entry, _elements(pod))}
    for key, entry in wanted.items():
        if key not in entries and not _succeeds(cluster, pod, key, verb="adding", word="to"):
            break
        entries[key] = entry
    else:
        for key in [key for key, entry in entries.items() if key not in wanted and not entry.get("default")]:
            if not _succeeds(cluster, pod, key, verb="removing", word="from"):
                break
            del entries[key]
    if list(entries.values()) != present:
        patch = [{"op": "add", "path": STATUS_POINTER, "value": json.dumps(list(entries.values()))}]
        cluster.patch(PODS, pod["metadata"]["name"], patch, by="dynamic networks controller")


def _succeeds(cluster: Cluster, pod: Json, key: tuple[str, str], *, verb: str, word: str) -> bool:
    network, interface = key
    if not cluster.is_controller_broken and _exists(cluster, network):
        return True
    message = f"pod [default/{pod['metadata']['name']}]: failed {verb} interface {interface} {word} network: {network}"
    cluster.report(pod, reason=f"Failed{verb.capitalize()}Interface", message=message)
    return False


def _exists(cluster: Cluster, network: str) -> bool:
    namespace, _, name = network.partition("/")
    return namespace != NAMESPACE or cluster.get(NADS, name) is not None


def _entry(element: Json) -> Json:
    return {"name": f"{element['namespace']}/{element['name']}", "interface": element["interface"]}


def _elements(pod: Json) -> list[Json]:
    text = pod["metadata"]["annotations"].get(NETWORKS) or "[]"
    elements: list[Json] = json.loads(text)
    return elements


def _network_status(elements: list[Json]) -> str:
    return json.dumps([_DEFAULT, *sorted(map(_entry, elements), key=lambda entry: entry["interface"])])


def node_agent(cluster: Cluster) -> bool:
    """Start guests, plug and unplug their NICs, end them, and report."""
    return not cluster.node_is_lost and any(_serve(cluster, vmi) for vmi in cluster.all(VMIS))


def _serve(cluster: Cluster, vmi: Json) -> bool:
    status = vmi.get("status") or {}
    if vmi["metadata"].get("labels", {}).get("kubevirt.io/nodeName") != NODE:
        return False
    if status.get("phase") not in ("Scheduled", "Running"):
        return False
    uid, guests = vmi["metadata"]["uid"], cluster.guests
    if "deletionTimestamp" in vmi["metadata"]:
        guests.pop(uid, None)
        return _report(cluster, vmi, {"phase": "Succeeded"})
    if _has_crashed(cluster, vmi):
        guests.pop(uid, None)
        return _report(cluster, vmi, {"phase": "Failed"})
    if status["phase"] == "Scheduled":
        in_pod = {row.get("name") for row in _old_rows(vmi) if "multus-status" in _tokens(row)}
        guests[uid] = [
            item["name"]
            for item in _interfaces(vmi)
            if item.get("state") != "absent" and ("bridge" not in item or item["name"] in in_pod)
        ]
        migratable = {"type": "LiveMigratable", "status": "True"}
        conditions = [*status.get("conditions", []), migratable]
        return _report(cluster, vmi, {"phase": "Running", "conditions": conditions, "interfaces": _rows(cluster, vmi)})
    before = list(guests.get(uid, []))
    _plug(cluster, vmi)
    rows = _rows(cluster, vmi)
    if rows == status.get("interfaces", []) and before == guests.get(uid, []):
        return False
    return _report(cluster, vmi, {"interfaces": rows})


def _has_crashed(cluster: Cluster, vmi: Json) -> bool:
    """An evicted pod is not told: its node is in trouble, and the agent with it."""
    mine = [pod for pod in cluster.all(PODS) if pod["metadata"]["ownerReferences"][0]["uid"] == vmi["metadata"]["uid"]]
    return any(pod["status"]["phase"] == "Failed" and "reason" not in pod["status"] for pod in mine)


def _plug(cluster: Cluster, vmi: Json) -> None:
    """`multus-status` is the go-ahead to attach, `absent` the order to detach; nothing else is."""
    guest = cluster.guests.setdefault(vmi["metadata"]["uid"], [])
    go_ahead = {row.get("name") for row in _old_rows(vmi) if "multus-status" in _tokens(row)}
    for interface in _interfaces(vmi):
        name, absent = interface["name"], interface.get("state") == "absent"
        if absent and name in guest:
            guest.remove(name)
        elif not absent and name in go_ahead and name not in guest:
            guest.append(name)


def _rows(cluster: Cluster, vmi: Json) -> list[Json]:
    """Rebuilt from the guest, in virt-handler's order."""
    old = {row["name"]: row for row in _old_rows(vmi) if row.get("name")}
    known = {item["name"]: item for item in _interfaces(vmi)}
    guest = [name for name in cluster.guests.get(vmi["metadata"]["uid"], []) if name in known]
    rows: list[Json] = []
    for name in guest:
        multus = ["multus-status"] if "multus-status" in _tokens(old.get(name, {})) else []
        link = "down" if known[name].get("state") == "down" else "up"
        rows.append({"name": name, "infoSource": ", ".join(["domain", *multus]), "linkState": link})
    for name, row in old.items():
        if name in known and name not in guest and "multus-status" in _tokens(row):
            rows.append({"name": name, "infoSource": "multus-status"})
    for row in rows:
        if pod_interface := old.get(row["name"], {}).get("podInterfaceName"):
            row["podInterfaceName"] = pod_interface
    return rows


def _report(cluster: Cluster, vmi: Json, members: Json) -> bool:
    old = vmi.get("status") or {}
    patch: list[Json] = [{"op": "test", "path": "/metadata/uid", "value": vmi["metadata"]["uid"]}]
    for member, value in members.items():
        patch += [
            {"op": "test", "path": f"/status/{member}", "value": old.get(member)},
            {"op": "add", "path": f"/status/{member}", "value": value},
        ]
    try:
        cluster.patch(VMIS, vmi["metadata"]["name"], patch, by="node agent", subresource="status")
    except Stale:
        return False
    return True


def _interfaces(vmi: Json) -> list[Json]:
    interfaces: list[Json] = vmi["spec"]["domain"]["devices"].get("interfaces") or []
    return interfaces


def _old_rows(vmi: Json) -> list[Json]:
    rows: list[Json] = (vmi.get("status") or {}).get("interfaces") or []
    return rows


def _tokens(row: dict[str, Any]) -> list[str]:
    return str(row.get("infoSource", "")).split(", ")


def garbage_collector(cluster: Cluster) -> bool:
    """Delete what has lost its owner."""
    alive = {body["metadata"]["uid"] for plural in (VMS, VMIS) for body in cluster.all(plural)}
    for plural in (VMIS, PODS, REVISIONS):
        for body in cluster.all(plural):
            owners = {owner["uid"] for owner in body["metadata"].get("ownerReferences", ())}
            if owners and not owners & alive and "deletionTimestamp" not in body["metadata"]:
                cluster.delete(plural, body["metadata"]["name"], by="garbage collector")
                return True
    return False


ROLES: tuple[Callable[[Cluster], bool], ...] = (kubelet, dynamic_controller, node_agent, garbage_collector)
