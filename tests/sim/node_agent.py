"""The node agent where no guest is on the move: starts guests, plugs and unplugs their NICs, ends them, and reports."""

from typing import Any

from tests.sim.cluster import VMIS, Cluster, Json, is_target, launcher_pods

from nicplug.kube.errors import Stale

NODE_LABEL = "kubevirt.io/nodeName"


def node_agent(cluster: Cluster) -> bool:
    """Do one thing for one VMI."""
    return any(_serve(cluster, vmi) for vmi in cluster.shown(VMIS))


def _serve(cluster: Cluster, vmi: Json) -> bool:
    status, node = vmi.get("status") or {}, (vmi["metadata"].get("labels") or {}).get(NODE_LABEL)
    if node not in cluster.machines or cluster.machines[node].is_lost:
        return False
    if status.get("phase") not in ("Scheduled", "Running"):
        return False
    uid, guests = vmi["metadata"]["uid"], cluster.guests
    if "deletionTimestamp" in vmi["metadata"]:
        guests.pop(uid, None)
        return report(cluster, vmi, {"phase": "Succeeded"})
    if _has_crashed(cluster, vmi, node):
        guests.pop(uid, None)
        return report(cluster, vmi, {"phase": "Failed"})
    if status["phase"] == "Scheduled":
        return _start(cluster, vmi, node)
    if is_migrating(vmi):
        return False
    before = list(guests.get(uid, []))
    _plug(cluster, vmi)
    rows = rows_of(cluster, vmi)
    if rows == status.get("interfaces", []) and before == guests.get(uid, []):
        return False
    return report(cluster, vmi, {"interfaces": rows})


def _start(cluster: Cluster, vmi: Json, node: str) -> bool:
    uid, status = vmi["metadata"]["uid"], vmi["status"]
    mine = launcher_pods(cluster, uid)
    active = status.get("activePods") or {}
    on_node = [pod for pod in mine if pod["spec"].get("nodeName") == node and not is_target(cluster, pod)]
    pods = [pod for pod in on_node if pod["metadata"]["uid"] in active]
    if pods:
        cluster.homes[uid] = pods[0]["metadata"]["uid"]
    in_pod = {row.get("name") for row in _old_rows(vmi) if "multus-status" in _tokens(row)}
    cluster.guests[uid] = [
        item["name"]
        for item in interfaces_of(vmi)
        if item.get("state") != "absent" and ("bridge" not in item or item["name"] in in_pod)
    ]
    migratable = {"type": "LiveMigratable", "status": "True"}
    conditions = [*status.get("conditions", []), migratable]
    return report(cluster, vmi, {"phase": "Running", "conditions": conditions, "interfaces": rows_of(cluster, vmi)})


def _has_crashed(cluster: Cluster, vmi: Json, node: str) -> bool:
    """An evicted pod is not told: its node is in trouble, and the agent with it.

    A guest that has died where it has just arrived is told by the node whose label the VMI has: the one that it came
    from, which still has a pod, or the one where it arrived.
    """
    uid = vmi["metadata"]["uid"]
    mine, home = launcher_pods(cluster, uid), cluster.homes.get(uid)
    if any(pod["status"]["phase"] == "Failed" and "reason" not in pod["status"] for pod in mine if _is(pod, home)):
        return True
    has_home = any(_is(pod, home) and pod["status"]["phase"] in ("Pending", "Running") for pod in mine)
    others = [pod for pod in mine if pod["spec"].get("nodeName") == node and pod["status"]["phase"] == "Running"]
    state = state_of(vmi)
    had_arrived = bool(state.get("targetNodeDomainReadyTimestamp")) and node == state.get("targetNode")
    return vmi["status"]["phase"] == "Running" and not has_home and (bool(others) or had_arrived)


def _is(pod: Json, uid: str | None) -> bool:
    return bool(pod["metadata"]["uid"] == uid)


def state_of(vmi: Json) -> Json:
    """`status.migrationState`, empty when there is none."""
    state: Json = (vmi.get("status") or {}).get("migrationState") or {}
    return state


def is_migrating(vmi: Json) -> bool:
    """From the hand-off to the end, guest and rows belong to the agents of both ends."""
    state = state_of(vmi)
    return bool(state.get("migrationUid")) and not state.get("completed")


def _plug(cluster: Cluster, vmi: Json) -> None:
    """`multus-status` is the go-ahead to attach, `absent` the order to detach; nothing else is."""
    guest, go_ahead = cluster.guests.setdefault(vmi["metadata"]["uid"], []), go_aheads(vmi)
    for interface in interfaces_of(vmi):
        name, absent = interface["name"], interface.get("state") == "absent"
        if absent and name in guest:
            guest.remove(name)
        elif not absent and name in go_ahead and name not in guest and name not in cluster.phantoms:
            guest.append(name)


def go_aheads(vmi: Json) -> set[str]:
    """The NICs that the agent may plug."""
    return {str(row.get("name")) for row in _old_rows(vmi) if "multus-status" in _tokens(row)}


def rows_of(cluster: Cluster, vmi: Json) -> list[Json]:
    """Rebuilt from the guest, in virt-handler's order; KubeVirt's tells also of NICs that no spec has any more."""
    old = {row["name"]: row for row in _old_rows(vmi) if row.get("name")}
    known = {item["name"]: item for item in interfaces_of(vmi)}
    guest = [name for name in cluster.guests.get(vmi["metadata"]["uid"], []) if name in known or cluster.is_kubevirts]
    rows: list[Json] = []
    for name in guest:
        multus = ["multus-status"] if "multus-status" in _tokens(old.get(name, {})) else []
        link = "down" if known.get(name, {}).get("state") == "down" else "up"
        rows.append({"name": name, "infoSource": ", ".join(["domain", *multus]), "linkState": link})
    for name, row in old.items():
        if name in known and name not in guest and "multus-status" in _tokens(row):
            rows.append({"name": name, "infoSource": "multus-status"})
    for row in rows:
        if pod_interface := old.get(row["name"], {}).get("podInterfaceName"):
            row["podInterfaceName"] = pod_interface
    return rows


def report(cluster: Cluster, vmi: Json, members: Json) -> bool:
    """Replace members of the status, each if it is still what was read; whether they were."""
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


def interfaces_of(vmi: Json) -> list[Json]:
    """The NICs of the spec."""
    interfaces: list[Json] = vmi["spec"]["domain"]["devices"].get("interfaces") or []
    return interfaces


def _old_rows(vmi: Json) -> list[Json]:
    rows: list[Json] = (vmi.get("status") or {}).get("interfaces") or []
    return rows


def _tokens(row: dict[str, Any]) -> list[str]:
    return str(row.get("infoSource", "")).split(", ")
