"""What people and misfortune do to migrations, nodes and policies."""

import hashlib
import json
import random
from collections.abc import Callable

from tests.build import nad
from tests.sim.cluster import (
    KUBEVIRTS,
    MIGRATIONS,
    NADS,
    NODES,
    PODS,
    VMIS,
    VMS,
    Cluster,
    Json,
    is_live,
    is_target,
    launcher_pods,
)
from tests.sim.dynamic_controller import set_ready, start_controller, stop_controller
from tests.sim.kubelet import end_pod
from tests.sim.migration_agents import fail, moment
from tests.sim.node_agent import is_migrating, state_of
from tests.sim.users import BARE, NAMES, OTHERS, VM

from nicplug.kube.errors import AlreadyExists

POLICY_ANNOTATIONS = {
    "dynamicPath": ("nicplug.io/dynamic-path", ("Auto", "Always", "Never")),
    "dynamicTimeout": ("nicplug.io/dynamic-timeout", ("1s", "10s", "30s")),
    "onFailure": ("nicplug.io/on-failure", ("Migrate", "Hold", "Rollback")),
    "migration": ("nicplug.io/migration", ("Allowed", "Never")),
}
"""Field of the KubeVirt CR -> annotation of the VM, and what may stand there."""
_FORGED = "forged"
_SCHEDULED = ("Scheduling", "Scheduled")
MOVABLE = (VM, BARE, *OTHERS)


def migrate(cluster: Cluster, randomness: random.Random) -> None:
    """Ask for a migration as `kubectl apply` does: no label, no finalizer; now and then for two at once."""
    vmi = randomness.choice(MOVABLE)
    for _ in range(randomness.choice((1, 1, 2))):
        _ask(cluster, vmi, f"job-{cluster.version}")


def _ask(cluster: Cluster, vmi: str, name: str, **spec: object) -> None:
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    cluster.create(MIGRATIONS, {**body, "metadata": {"name": name}, "spec": {"vmiName": vmi, **spec}}, by="user")


def migrate_nobody(cluster: Cluster, _: random.Random) -> None:
    """Ask for the migration of a VMI that there is not."""
    _ask(cluster, "nobody", f"job-{cluster.version}")


def migrate_nowhere(cluster: Cluster, randomness: random.Random) -> None:
    """Ask for a migration to a node that there is not."""
    _ask(cluster, randomness.choice(MOVABLE), f"job-{cluster.version}", addedNodeSelector={"zone": "nowhere"})


def cancel(cluster: Cluster, randomness: random.Random) -> None:
    """Delete a migration, whoever made it."""
    if found := cluster.all(MIGRATIONS):
        cluster.delete(MIGRATIONS, randomness.choice(found)["metadata"]["name"], by="user")


def cancel_scheduled(cluster: Cluster, randomness: random.Random) -> None:
    """Delete a migration that has a target pod and waits: for the pod, or for its turn on that node."""
    waiting = [job for job in cluster.all(MIGRATIONS) if (job.get("status") or {}).get("phase") in _SCHEDULED]
    if waiting:
        cluster.delete(MIGRATIONS, randomness.choice(waiting)["metadata"]["name"], by="user")


def unlabel_migration(cluster: Cluster, randomness: random.Random) -> None:
    """Take all labels from a migration."""
    if found := cluster.all(MIGRATIONS):
        body = randomness.choice(found)
        body["metadata"].pop("labels", None)
        cluster.replace(MIGRATIONS, body["metadata"]["name"], body, by="somebody")


def cordon(cluster: Cluster, randomness: random.Random) -> None:
    """Cordon a node, or uncordon it."""
    body = randomness.choice(cluster.all(NODES))
    _cordon(cluster, body, is_cordoned=not body["spec"].get("unschedulable"))


def empty_nodes(cluster: Cluster, randomness: random.Random) -> None:
    """Cordon every node but one, and ask for all VMs to leave the others."""
    nodes = cluster.all(NODES)
    kept = randomness.choice(nodes)["metadata"]["name"]
    for body in nodes:
        _cordon(cluster, body, is_cordoned=body["metadata"]["name"] != kept)
    for vmi in cluster.all(VMIS):
        if (vmi.get("status") or {}).get("nodeName") != kept:
            _ask(cluster, vmi["metadata"]["name"], f"job-{cluster.version}")


def uncordon_all(cluster: Cluster) -> None:
    """End what `cordon` began."""
    for body in cluster.all(NODES):
        if body["spec"].get("unschedulable"):
            _cordon(cluster, body, is_cordoned=False)


def _cordon(cluster: Cluster, body: Json, *, is_cordoned: bool) -> None:
    body["spec"]["unschedulable"] = is_cordoned
    cluster.say(f"admin: {'cordons' if is_cordoned else 'uncordons'} {body['metadata']['name']}")
    cluster.replace(NODES, body["metadata"]["name"], body, by="admin")


def toggle_controller(cluster: Cluster, randomness: random.Random) -> None:
    """The dynamic networks controller leaves a node, or comes to it."""
    node = randomness.choice([node["metadata"]["name"] for node in cluster.all(NODES)])
    has_it = not cluster.machines[node].has_controller
    cluster.say(f"the dynamic networks controller {'comes to' if has_it else 'leaves'} {node}")
    if has_it:
        start_controller(cluster, node)
    else:
        stop_controller(cluster, node)


def mend_controllers(cluster: Cluster) -> None:
    """The dynamic networks controller is everywhere."""
    for node, machine in cluster.machines.items():
        if not machine.has_controller:
            start_controller(cluster, node)
        set_ready(cluster, node, is_ready=True)


def mute_target(cluster: Cluster, randomness: random.Random) -> None:
    """The agent of a node does not answer when a guest is to come, or does again."""
    node = randomness.choice(list(cluster.machines))
    machine = cluster.machines[node]
    machine.takes_guests = not machine.takes_guests
    cluster.say(f"{node} {'takes guests' if machine.takes_guests else 'does not answer for guests that come'}")


def mute_source(cluster: Cluster, randomness: random.Random) -> None:
    """The agent of a node does not begin when a guest is to leave, or does again."""
    node = randomness.choice(list(cluster.machines))
    machine = cluster.machines[node]
    machine.sends_guests = not machine.sends_guests
    cluster.say(f"{node} {'sends guests' if machine.sends_guests else 'begins no copy'}")


def stall_copies(cluster: Cluster, _: random.Random) -> None:
    """No guest leaves its node any more, or all may again: the copies of large guests take long."""
    stalls = all(machine.sends_guests for machine in cluster.machines.values())
    for machine in cluster.machines.values():
        machine.sends_guests = not stalls
    cluster.say(f"copies {'stand still' if stalls else 'go on'}")


def unmute(cluster: Cluster) -> None:
    """End what `mute_target` and `mute_source` began."""
    for machine in cluster.machines.values():
        machine.takes_guests = machine.sends_guests = True


def _moving(cluster: Cluster) -> list[Json]:
    return [vmi for vmi in cluster.all(VMIS) if is_migrating(vmi)]


def fail_copy(cluster: Cluster, randomness: random.Random) -> None:
    """A migration fails at its source, wherever it stands, as long as the guest is there."""
    sources = [(state_of(vmi)["sourcePod"], vmi) for vmi in _moving(cluster)]
    homes = set(cluster.homes.values())
    names = {pod["metadata"]["name"] for pod in cluster.all(PODS) if pod["metadata"]["uid"] in homes}
    if failing := [vmi for source, vmi in sources if source in names]:
        fail(cluster, randomness.choice(failing), "unexpected end of stream")


def _targets(cluster: Cluster) -> list[Json]:
    return [pod for pod in launcher_pods(cluster) if is_target(cluster, pod) and is_live(pod)]


def end_target(cluster: Cluster, randomness: random.Random) -> None:
    """A target pod ends, wherever its migration stands: refused by its node, or out of memory."""
    if found := _targets(cluster):
        end_pod(cluster, randomness.choice(found), "Failed")


def delete_target(cluster: Cluster, randomness: random.Random) -> None:
    """Somebody deletes a target pod."""
    if found := _targets(cluster):
        name = randomness.choice(found)["metadata"]["name"]
        cluster.delete(PODS, name, by="somebody", force=randomness.random() < 0.3)


def end_source(cluster: Cluster, randomness: random.Random) -> None:
    """The guest of a VM that is on the move dies."""
    names = {state_of(vmi)["sourcePod"] for vmi in _moving(cluster)}
    if found := [pod for pod in launcher_pods(cluster) if pod["metadata"]["name"] in names and is_live(pod)]:
        end_pod(cluster, randomness.choice(found), "Failed")


def change_network(cluster: Cluster, randomness: random.Random) -> None:
    """Put a NIC of a VM's template, or of a VMI of nobody's, on another network."""
    plural, name = randomness.choice(((VMS, VM), (VMS, VM), *((VMIS, name) for name in (BARE, *OTHERS))))
    body = cluster.get(plural, name)
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    spec = body["spec"]["template"]["spec"] if plural == VMS else body["spec"]
    networks = [item["multus"] for item in spec.get("networks") or () if "multus" in item]
    if networks:
        network = f"{randomness.choice(NAMES)}-net"
        randomness.choice(networks)["networkName"] = network
        cluster.say(f"user: {name}: a NIC goes to {network}")
        cluster.replace(plural, name, body, by="user")


def break_network(cluster: Cluster, randomness: random.Random) -> None:
    """Edit an attachment definition so that nobody can read it."""
    name = f"{randomness.choice(NAMES)}-net"
    body = cluster.get(NADS, name)
    if body is not None:
        body["spec"]["config"] = "broken"
        cluster.replace(NADS, name, body, by="admin")


def edit_network(cluster: Cluster, randomness: random.Random) -> None:
    """Edit an attachment definition, as somebody does who mends it."""
    name = f"{randomness.choice(NAMES)}-net"
    body = cluster.get(NADS, name)
    if body is not None:
        body["spec"] = nad(name, config=json.dumps({"type": "bridge", "edit": cluster.version}))["spec"]
        cluster.replace(NADS, name, body, by="admin")


def _edit_configuration(cluster: Cluster, change: Callable[[Json], None]) -> None:
    body = cluster.get(KUBEVIRTS, "kubevirt")
    if body is not None:
        change(body["spec"]["configuration"])
        cluster.replace(KUBEVIRTS, "kubevirt", body, by="admin")


def edit_limits(cluster: Cluster, randomness: random.Random) -> None:
    """Set other limits."""
    limits = [randomness.choice(values) for values in ((1, 2, 3), (1, 2), (1, 2))]
    cluster.say(f"admin: limits {limits}")
    set_limits(cluster, *limits)


def set_limits(cluster: Cluster, per_cluster: int, outbound: int, inbound: int) -> None:
    """How many at once in the cluster, away from a node, and to a node."""

    def change(configuration: Json) -> None:
        names = ("parallelMigrationsPerCluster", "parallelOutboundMigrationsPerNode")
        configuration["migrations"] = dict(zip(names, (per_cluster, outbound), strict=True))
        configuration["network"].setdefault("hotplug", {})["parallelInboundMigrationsPerNode"] = inbound

    _edit_configuration(cluster, change)


def edit_policy(cluster: Cluster, randomness: random.Random) -> None:
    """Set a field of the cluster's policy."""
    field, (_, values) = randomness.choice(list(POLICY_ANNOTATIONS.items()))
    value = randomness.choice(values)
    cluster.say(f"admin: {field} {value}")
    _edit_configuration(
        cluster, lambda configuration: configuration["network"].setdefault("hotplug", {}).update({field: value})
    )


def override_policy(cluster: Cluster, randomness: random.Random) -> None:
    """Set or take back a field of the policy for one VM, or for a VMI of nobody's."""
    plural, name = randomness.choice(((VMS, VM), (VMIS, BARE)))
    body = cluster.get(plural, name)
    if body is None or "deletionTimestamp" in body["metadata"]:
        return
    annotation, values = randomness.choice(list(POLICY_ANNOTATIONS.values()))
    annotations = body["metadata"].setdefault("annotations", {})
    value = randomness.choice((None, *values))
    annotations.pop(annotation, None)
    annotations |= {annotation: value} if value else {}
    cluster.say(f"user: {name}: {annotation} {value}")
    cluster.replace(plural, name, body, by="user")


def edit_workload_update(cluster: Cluster, randomness: random.Random) -> None:
    """Say which workload updates are allowed, or nothing about them."""
    body = cluster.get(KUBEVIRTS, "kubevirt")
    if body is not None:
        methods = randomness.choice((None, [], ["LiveMigrate"], ["Evict"]))
        body["spec"].pop("workloadUpdateStrategy", None)
        body["spec"] |= {} if methods is None else {"workloadUpdateStrategy": {"workloadUpdateMethods": methods}}
        cluster.say(f"admin: workloadUpdateMethods {methods}")
        cluster.replace(KUBEVIRTS, "kubevirt", body, by="admin")


def end_overrides(cluster: Cluster) -> None:
    """The policy is the default again, for everybody."""
    found = cluster.get(KUBEVIRTS, "kubevirt")
    if found is not None and found["spec"].pop("workloadUpdateStrategy", None) is not None:
        cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")

    def change(configuration: Json) -> None:
        for field in POLICY_ANNOTATIONS:
            configuration["network"].get("hotplug", {}).pop(field, None)

    _edit_configuration(cluster, change)
    names = {annotation for annotation, _ in POLICY_ANNOTATIONS.values()}
    for plural, body in [(kind, item) for kind in (VMS, VMIS) for item in cluster.all(kind)]:
        annotations = body["metadata"].get("annotations") or {}
        if names & annotations.keys():
            body["metadata"]["annotations"] = {key: annotations[key] for key in annotations.keys() - names}
            cluster.replace(plural, body["metadata"]["name"], body, by="user")


def impersonate(cluster: Cluster, randomness: random.Random) -> None:
    """Make a pod with the labels of a target pod that somebody else owns."""
    vmis = cluster.all(VMIS)
    if not vmis:
        return
    vmi = randomness.choice(vmis)
    jobs = [job["metadata"]["uid"] for job in cluster.all(MIGRATIONS)] or ["nobody"]
    labels = {
        "kubevirt.io": "virt-launcher",
        "kubevirt.io/created-by": vmi["metadata"]["uid"],
        "kubevirt.io/migrationJobUID": randomness.choice(jobs),
    }
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "other", "uid": "foreign", "controller": True}
    metadata = {"name": f"impostor-{cluster.version}", "labels": labels, "ownerReferences": [owner]}
    try:
        cluster.create(PODS, {"metadata": metadata, "spec": {"containers": [{"name": "compute"}]}}, by="somebody")
    except AlreadyExists:
        return


def take_pod_name(cluster: Cluster, randomness: random.Random) -> None:
    """Make a pod with the name that a launcher or a target pod would be given, owned by the VMI; forged more or less.

    Now and then in place of a pod that has the name.
    """
    vmis = cluster.all(VMIS)
    if not vmis:
        return
    vmi = randomness.choice(vmis)
    uid, name = vmi["metadata"]["uid"], vmi["metadata"]["name"]
    jobs = [job["metadata"]["uid"] for job in cluster.all(MIGRATIONS) if job["spec"]["vmiName"] == name]
    job = randomness.choice(["", *jobs])
    digits = hashlib.sha256((f"{uid}/{job}" if job else uid).encode()).hexdigest()[:5]
    labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid}
    labels |= {"kubevirt.io/migrationJobUID": job} if job else {}
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": name, "uid": uid}
    metadata = {
        "name": f"virt-launcher-{name}-{digits}",
        "labels": randomness.choice((labels, labels, {})),
        "annotations": randomness.choice(({}, {"nicplug.io/pod-spec": "0123456789abcdef"})),
        "ownerReferences": [{**owner, "controller": True}],
    }
    present = cluster.get(PODS, f"virt-launcher-{name}-{digits}")
    if present is not None and randomness.random() < 0.2:
        if cluster.homes.get(uid) == present["metadata"]["uid"]:
            cluster.guests.pop(uid, None)
        cluster.delete(PODS, present["metadata"]["name"], by="somebody", force=True)
    try:
        cluster.create(PODS, {"metadata": metadata, "spec": {"containers": [{"name": "compute"}]}}, by="somebody")
    except AlreadyExists:
        return


def forge_state(cluster: Cluster, randomness: random.Random) -> None:
    """Write into the state of a migration that has not begun, clear it, or make one up for a migration that waits."""
    if randomness.random() < 0.3:
        _forge_hand_off(cluster, randomness)
        return
    if vmis := [vmi for vmi in _moving(cluster) if not state_of(vmi).get("startTimestamp")]:
        _forge(cluster, randomness, randomness.choice(vmis))


def _forge(cluster: Cluster, randomness: random.Random, vmi: Json) -> None:
    forgeries: list[Json | None] = [None, None, {"migrationUid": _FORGED}, {"completed": True}]
    forged = randomness.choice(forgeries)
    cluster.say(f"somebody: {vmi['metadata']['name']}: migrationState: {forged or 'cleared'}")
    _set_state(cluster, vmi, {**state_of(vmi), **forged} if forged else None)


def _forge_hand_off(cluster: Cluster, randomness: random.Random) -> None:
    """Say of a migration that has still to wait that it is with the node agents."""
    idle = {vmi["metadata"]["name"]: vmi for vmi in cluster.all(VMIS) if "status" in vmi and not is_migrating(vmi)}
    waiting = [job for job in cluster.all(MIGRATIONS) if job["spec"]["vmiName"] in idle and _waits(job)]
    if waiting:
        job = randomness.choice(waiting)
        vmi = idle[job["spec"]["vmiName"]]
        nodes = {"sourceNode": vmi["status"].get("nodeName", ""), "targetNode": "node01"}
        pods = {"sourcePod": _FORGED, "targetPod": _FORGED}
        cluster.say(f"somebody: {vmi['metadata']['name']}: hands {job['metadata']['name']} off")
        _set_state(cluster, vmi, {"migrationUid": job["metadata"]["uid"], **nodes, **pods})


def _waits(job: Json) -> bool:
    return (job.get("status") or {}).get("phase", "") in ("", "Pending")


def repeat_report(cluster: Cluster, randomness: random.Random) -> None:
    """An agent tells once more what it has told of a migration that is under way."""
    if vmis := _moving(cluster):
        vmi = randomness.choice(vmis)
        state = state_of(vmi)
        told = {"startTimestamp": state.get("sourceNode"), "endTimestamp": state.get("targetNode")}
        known = [member for member in told if member in state]
        if known:
            member = randomness.choice(known)
            cluster.say(f"node agent: {vmi['metadata']['name']}: tells {member} again")
            _set_state(cluster, vmi, {**state, member: moment(cluster, told[member])})


def clear_forgeries(cluster: Cluster) -> None:
    """End what `forge_state` began: no agent does anything for a migration that there is not."""
    for vmi in cluster.all(VMIS):
        if _FORGED in (state_of(vmi).get("migrationUid"), state_of(vmi).get("targetPod")):
            _set_state(cluster, vmi, None)


def _set_state(cluster: Cluster, vmi: Json, state: Json | None) -> None:
    status = {name: value for name, value in vmi["status"].items() if name != "migrationState"}
    vmi["status"] = status | ({"migrationState": state} if state else {})
    cluster.replace(VMIS, vmi["metadata"]["name"], vmi, by="somebody", subresource="status")
