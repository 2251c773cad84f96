"""The node agents at both ends of a live migration: each reads whose turn it is from the VMI, and does one thing.

Source: KubeVirt's `migration-source.go` and `migration-target.go`, in our own words.
"""

from datetime import timedelta
from typing import Any

from tests.sim.cluster import VMIS, Cluster, Json, launcher_pods
from tests.sim.kubelet import end_pod, interfaces_in
from tests.sim.node_agent import NODE_LABEL, interfaces_of, report, rows_of, state_of

from nicplug.kube.errors import Stale
from nicplug.model.networks_annotation import hashed_interface_name

TARGET_NODE_LABEL = "kubevirt.io/migrationTargetNodeName"
_CLEARED = ("evacuationNodeName", "launcherContainerImageVersion")
_BROKEN_PIPE = "Unable to write to socket: Broken pipe"


def source_agent(cluster: Cluster) -> bool:
    """Start, copy, break off, or leave."""
    return any(_step_at_source(cluster, vmi) for vmi in cluster.shown(VMIS) if state_of(vmi).get("migrationUid"))


def target_agent(cluster: Cluster) -> bool:
    """Prepare, take over, finish, or leave."""
    return any(_step_at_target(cluster, vmi) for vmi in cluster.shown(VMIS) if state_of(vmi).get("migrationUid"))


def _works(cluster: Cluster, node: str | None) -> bool:
    return node in cluster.machines and not cluster.machines[node].is_lost


def _is_alive(vmi: Json) -> bool:
    return vmi["status"].get("phase") == "Running" and "deletionTimestamp" not in vmi["metadata"]


def _pod(cluster: Cluster, vmi: Json, *, name: str | None, node: str | None) -> Json | None:
    """The running launcher of that name on that node."""
    active = (vmi.get("status") or {}).get("activePods") or {}
    for pod in launcher_pods(cluster, vmi["metadata"]["uid"]):
        if pod["metadata"]["uid"] not in active:
            continue
        is_it = pod["metadata"]["name"] == name and pod["spec"].get("nodeName") == node
        if is_it and pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
            return pod
    return None


def _source_pod(cluster: Cluster, vmi: Json) -> Json | None:
    state = state_of(vmi)
    return _pod(cluster, vmi, name=state.get("sourcePod"), node=state.get("sourceNode"))


def _target_pod(cluster: Cluster, vmi: Json) -> Json | None:
    state = state_of(vmi)
    pod = _pod(cluster, vmi, name=state.get("targetPod"), node=state.get("targetNode"))
    return pod if pod and cluster.made_for.get(pod["metadata"]["uid"]) == state["migrationUid"] else None


def _node_of(vmi: Json) -> str | None:
    node: str | None = _label(vmi, NODE_LABEL)
    return node


def _label(vmi: Json, name: str) -> Any:
    """A VMI that somebody hands off before it has a node has no labels."""
    return (vmi["metadata"].get("labels") or {}).get(name)


def _step_at_source(cluster: Cluster, vmi: Json) -> bool:
    state, home = state_of(vmi), cluster.homes.get(vmi["metadata"]["uid"])
    pod = _source_pod(cluster, vmi)
    if pod is None or not _works(cluster, state.get("sourceNode")):
        return False
    is_home = pod["metadata"]["uid"] == home
    if state.get("completed"):
        # A guest that has left has ended here, whatever became of it: the launcher ends with it, and so does its pod.
        if not is_home and (state.get("failed") or _node_of(vmi) == state.get("targetNode")):
            end_pod(cluster, pod, "Succeeded")
            return True
        return False
    if not is_home or not _is_alive(vmi):
        return False
    if state.get("abortRequested") and not state.get("abortStatus"):
        return fail(cluster, vmi, "migration out job: canceled by client", abortStatus="Succeeded")
    if not state.get("targetNodeAddress"):
        return False
    if not state.get("startTimestamp"):
        if not cluster.machines[state["sourceNode"]].sends_guests:
            return False
        return _tell(cluster, vmi, {"startTimestamp": moment(cluster, state["sourceNode"]), "mode": "PreCopy"})
    return _copy(cluster, vmi)


def _copy(cluster: Cluster, vmi: Json) -> bool:
    uid, target = vmi["metadata"]["uid"], _target_pod(cluster, vmi)
    if target is None:
        return fail(cluster, vmi, _BROKEN_PIPE)
    known = {item["name"]: item for item in interfaces_of(vmi)}
    pod_interfaces = interfaces_in(target)
    for name in cluster.guests.get(uid, []):
        if "bridge" in known.get(name, {}) and hashed_interface_name(name) not in pod_interfaces:
            return fail(cluster, vmi, f"load of migration failed: no tap for {name}")
    cluster.homes[uid] = target["metadata"]["uid"]
    cluster.say(f"node agent: the guest of {vmi['metadata']['name']} runs in {target['metadata']['name']} now")
    return True


def _step_at_target(cluster: Cluster, vmi: Json) -> bool:
    state, node = state_of(vmi), _label(vmi, TARGET_NODE_LABEL)
    pod = _target_pod(cluster, vmi)
    if pod is None or node != state.get("targetNode") or not _works(cluster, node):
        return False
    is_home = pod["metadata"]["uid"] == cluster.homes.get(vmi["metadata"]["uid"])
    if state.get("targetNodeDomainReadyTimestamp"):
        return _finish(cluster, vmi)
    if (state.get("completed") or vmi["status"].get("phase") in ("Succeeded", "Failed")) and not is_home:
        end_pod(cluster, pod, "Succeeded")
        return True
    if not _is_alive(vmi) or state.get("completed"):
        return False
    if is_home:
        rows = [row for row in vmi["status"].get("conditions", []) if row["type"] != "MigrationRequired"]
        members = {"targetNodeDomainDetected": True, "targetNodeDomainReadyTimestamp": moment(cluster, node)}
        return _tell(cluster, vmi, members, conditions=rows)
    if state.get("targetNodeAddress") or state.get("abortRequested") or not cluster.machines[node].takes_guests:
        return False
    return _tell(cluster, vmi, {"targetNodeAddress": "10.0.0.1", "targetDirectMigrationNodePorts": {"41000": 0}})


def _finish(cluster: Cluster, vmi: Json) -> bool:
    """The label first: the source's pod ends soon, and nobody may take that for the guest's end."""
    state = state_of(vmi)
    if state.get("completed") or not _is_alive(vmi):
        return False
    if _node_of(vmi) != state["targetNode"]:
        path = "/metadata/labels/" + NODE_LABEL.replace("/", "~1")
        guard = {"op": "test", "path": path, "value": _node_of(vmi)}
        return _send(cluster, vmi, [guard, {"op": "add", "path": path, "value": state["targetNode"]}])
    if not state.get("endTimestamp"):
        others = {"nodeName": state["targetNode"], "interfaces": rows_of(cluster, vmi)}
        if cluster.is_kubevirts:
            others |= {key: "" for key in _CLEARED if vmi["status"].get(key)}
        return _tell(cluster, vmi, {"endTimestamp": moment(cluster, state["targetNode"])}, **others)
    return _tell(cluster, vmi, {"completed": True})


def fail(cluster: Cluster, vmi: Json, reason: str, **members: str) -> bool:
    """An agent tells that the migration has failed."""
    now = moment(cluster, state_of(vmi).get("sourceNode"))
    started = state_of(vmi).get("startTimestamp") or now
    told = {"failed": True, "completed": True, "startTimestamp": started, "endTimestamp": now}
    return _tell(cluster, vmi, {**told, "failureReason": reason, **members})


def moment(cluster: Cluster, node: str | None) -> str:
    """Now, as the agent of a node writes it."""
    machine = cluster.machines.get(node or "")
    ahead = timedelta(seconds=machine.seconds_ahead if machine is not None else 0.0)
    return (cluster.now + ahead).strftime("%Y-%m-%dT%H:%M:%SZ")


def _tell(cluster: Cluster, vmi: Json, members: Json, **others: object) -> bool:
    return report(cluster, vmi, {"migrationState": {**state_of(vmi), **members}, **others})


def _send(cluster: Cluster, vmi: Json, patch: list[Json]) -> bool:
    try:
        cluster.patch(VMIS, vmi["metadata"]["name"], patch, by="node agent")
    except Stale:
        return False
    return True
