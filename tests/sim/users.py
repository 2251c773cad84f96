"""What people do to their VMs, and to the cluster, while everything else goes on."""

import json
import random
from collections.abc import Callable

from tests.build import kubevirt, nad, nic, primary, vmi_spec
from tests.build import vm as a_vm
from tests.sim.cluster import KUBEVIRTS, NADS, NODES, PODS, VMIS, VMS, Cluster, Json, copied, launcher_pods
from tests.sim.dynamic_controller import deploy_controllers, stop_controller
from tests.sim.kubelet import HOSTNAME, NETWORKS

from nicplug.kube.errors import AlreadyExists, Gone

NAMES = ("red", "blue", "green", "foo")
ALONE = "mine"
"""The NIC that somebody adds to the VM's VMI and not to its template."""
VM, BARE = "vm-a", "vmi-b"
OTHERS = ("vmi-c", "vmi-d")
"""VMIs of nobody's that are there where there is more than one node."""
FOREIGN: Json = {"name": "monitoring", "namespace": "ops", "interface": "mon0"}

Deed = Callable[[Cluster, random.Random], None]


def _body(plural: str, name: str, spec: Json) -> Json:
    kind = {VMS: "VirtualMachine", VMIS: "VirtualMachineInstance"}[plural]
    return {"apiVersion": "kubevirt.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def make_world(cluster: Cluster, *, removal_policy: str) -> None:
    """Nodes, a KubeVirt CR with the gate, a VM that shall run, and VMIs of nobody's."""
    make_nodes(cluster)
    deploy_controllers(cluster)
    cluster.create(KUBEVIRTS, _named(kubevirt(hotplug={"removalPolicy": removal_policy})), by="admin")
    make_networks(cluster)
    cluster.create(VMS, _body(VMS, VM, a_vm(primary(), nic("red"))["spec"]), by="user")
    for name in (BARE, *(OTHERS if len(cluster.machines) > 1 else ())):
        cluster.create(VMIS, _body(VMIS, name, vmi_spec([primary()])), by="user")


def make_nodes(cluster: Cluster) -> None:
    """A Node object for each machine."""
    for name in cluster.machines:
        _make_node(cluster, name)


def _make_node(cluster: Cluster, name: str) -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    body = {"metadata": {"name": name, "labels": {HOSTNAME: name}}, "spec": {}, "status": status}
    cluster.create(NODES, body, by="kubelet")


def make_networks(cluster: Cluster, *, mends_controllers: bool = True) -> None:
    """All networks exist and are whole, and the dynamic networks controllers that run work."""
    for machine in cluster.machines.values() if mends_controllers else ():
        machine.is_controller_broken = False
    for name in (*NAMES, ALONE):
        found = cluster.get(NADS, f"{name}-net")
        if found is None:
            cluster.create(NADS, _named(nad(f"{name}-net")), by="admin")
        elif not found["spec"]["config"].startswith("{"):
            cluster.replace(NADS, f"{name}-net", {**found, "spec": nad(name)["spec"]}, by="admin")


def toggle_network(cluster: Cluster, randomness: random.Random) -> None:
    """Delete a network, or create it again."""
    name = f"{randomness.choice(NAMES)}-net"
    if cluster.get(NADS, name) is None:
        cluster.create(NADS, _named(nad(name)), by="admin")
    else:
        cluster.delete(NADS, name, by="admin")


def break_controller(cluster: Cluster, randomness: random.Random) -> None:
    """A dynamic networks controller fails at everything, or is mended: it does not look again by itself."""
    node = randomness.choice(list(cluster.machines))
    machine = cluster.machines[node]
    machine.is_controller_broken = not machine.is_controller_broken
    cluster.say(f"the dynamic networks controller of {node} {'fails' if machine.is_controller_broken else 'works'}")


def _named(body: Json) -> Json:
    return {**body, "metadata": {"name": body["metadata"]["name"]}}


def _edit(cluster: Cluster, plural: str, name: str, change: Callable[[Json], None], what: str) -> None:
    found = cluster.get(plural, name)
    if found is None or "deletionTimestamp" in found["metadata"]:
        return
    change(found["spec"])
    cluster.say(f"user: {name}: {what}")
    cluster.replace(plural, name, found, by="user")


def _devices(spec: Json) -> tuple[list[Json], list[Json]]:
    vmi = spec["template"]["spec"] if "template" in spec else spec
    interfaces = vmi["domain"]["devices"].setdefault("interfaces", [])
    return interfaces, vmi.setdefault("networks", [])


def _target(cluster: Cluster, randomness: random.Random) -> tuple[str, str]:
    others = [(VMIS, name) for name in OTHERS if len(cluster.machines) > 1]
    return randomness.choice(((VMS, VM), (VMS, VM), (VMIS, BARE), *others))


def plug(cluster: Cluster, randomness: random.Random) -> None:
    """Add a NIC that the template does not have, or take back that it shall go."""
    plural, name = _target(cluster, randomness)
    interface, network = nic(randomness.choice(NAMES))

    def change(spec: Json) -> None:
        interfaces, networks = _devices(spec)
        present = next((item for item in interfaces if item["name"] == interface["name"]), None)
        if present is None:
            interfaces.append(interface)
            networks.append(network)
        elif plural == VMS:
            present.pop("state", None)

    _edit(cluster, plural, name, change, f"plug {interface['name']}")


def unplug(cluster: Cluster, randomness: random.Random) -> None:
    """Ask for a secondary NIC to go."""
    plural, name = _target(cluster, randomness)

    def change(spec: Json) -> None:
        present = [item for item in _devices(spec)[0] if "bridge" in item]
        if present:
            randomness.choice(present)["state"] = "absent"

    _edit(cluster, plural, name, change, "unplug one")


def delete_entry(cluster: Cluster, randomness: random.Random) -> None:
    """Apply a manifest in which a NIC is no longer listed."""

    def change(spec: Json) -> None:
        interfaces, networks = _devices(spec)
        names = [item["name"] for item in interfaces if "bridge" in item]
        if names:
            name = randomness.choice(names)
            interfaces[:] = [item for item in interfaces if item["name"] != name]
            networks[:] = [item for item in networks if item["name"] != name]

    _edit(cluster, VMS, VM, change, "delete an entry")


def plug_alone(cluster: Cluster, _: random.Random) -> None:
    """Add a NIC to the VM's VMI alone."""
    interface, network = nic(ALONE)

    def change(spec: Json) -> None:
        interfaces, networks = _devices(spec)
        if all(item["name"] != ALONE for item in interfaces):
            interfaces.append(interface)
            networks.append(network)

    _edit(cluster, VMIS, VM, change, f"plug {ALONE} into the VMI alone")


def correct_mac(cluster: Cluster, randomness: random.Random) -> None:
    """Give a NIC of the template that the guest has not got another MAC address."""
    rows = {row.get("name") for row in (cluster.get(VMIS, VM) or {}).get("status", {}).get("interfaces") or ()}

    def change(spec: Json) -> None:
        present = [item for item in _devices(spec)[0] if "bridge" in item and item["name"] not in rows]
        if present:
            chosen = randomness.choice(present)
            chosen["macAddress"] = f"02:00:00:00:{NAMES.index(chosen['name']):02x}:{randomness.randrange(4):02x}"

    _edit(cluster, VMS, VM, change, "give one another MAC address")


def set_link(cluster: Cluster, randomness: random.Random) -> None:
    """Set the link of a NIC up or down, the primary's too."""
    plural, name = _target(cluster, randomness)

    def change(spec: Json) -> None:
        present = [item for item in _devices(spec)[0] if item.get("state") != "absent"]
        if present:
            randomness.choice(present)["state"] = randomness.choice(("up", "down"))

    _edit(cluster, plural, name, change, "set a link")


def halt(cluster: Cluster, _: random.Random) -> None:
    """Stop the VM."""
    _edit(cluster, VMS, VM, lambda spec: spec.update(runStrategy="Halted"), "halt")


def start(cluster: Cluster, _: random.Random) -> None:
    """Start the VM."""
    _edit(cluster, VMS, VM, lambda spec: spec.update(runStrategy="Always"), "start")


def choose_strategy(cluster: Cluster, randomness: random.Random) -> None:
    """Give the VM another run strategy."""
    strategy = randomness.choice(("Always", "RerunOnFailure", "Manual", "Once", "Halted"))
    _edit(cluster, VMS, VM, lambda spec: spec.update(runStrategy=strategy), strategy)


def ask(cluster: Cluster, randomness: random.Random) -> None:
    """What the start, stop and restart subresources write, and what nobody should."""
    found = cluster.get(VMS, VM)
    if found is None or "deletionTimestamp" in found["metadata"]:
        return
    running = cluster.get(VMIS, VM)
    stop = {"action": "Stop", "uid": running["metadata"]["uid"] if running else "before"}
    wishes: list[list[Json]] = [
        [{"action": "Start"}],
        [stop],
        [stop, {"action": "Start"}],
        [{"action": "Stop", "uid": "before"}],
        [{"action": "Dance"}, {"action": "Stop"}],
    ]
    requests = randomness.choice(wishes)
    status = found.setdefault("status", {})
    status["stateChangeRequests"] = [*(status.get("stateChangeRequests") or []), *requests]
    cluster.say(f"user: asks {[request['action'] for request in requests]}")
    cluster.replace(VMS, VM, found, by="user", subresource="status")


def ask_for_nic(cluster: Cluster, randomness: random.Random) -> None:
    """What the addinterface and removeinterface subresources write, and what nobody should."""
    found = cluster.get(VMS, VM)
    if found is None or "deletionTimestamp" in found["metadata"]:
        return
    interface, network = nic(randomness.choice(NAMES))
    name, attachment = interface["name"], network["multus"]["networkName"]
    add = {"addInterfaceOptions": {"name": name, "networkAttachmentDefinitionName": attachment}}
    remove = {"removeInterfaceOptions": {"name": name}}
    wishes: list[list[Json]] = [[add], [add], [remove], [remove, add], [add, remove], [{}, add]]
    requests = randomness.choice(wishes)
    status = found.setdefault("status", {})
    status["interfaceRequests"] = [*(status.get("interfaceRequests") or []), *requests]
    cluster.say(f"user: asks for {name}: {[next(iter(request), '') for request in requests]}")
    cluster.replace(VMS, VM, found, by="user", subresource="status")


def end_guest(cluster: Cluster, randomness: random.Random) -> None:
    """The guest of the VM powers off, or crashes."""
    found = cluster.get(VMIS, VM)
    if found is None or found.get("status", {}).get("phase") != "Running":
        return
    uid, phase = found["metadata"]["uid"], randomness.choice(("Succeeded", "Failed"))
    cluster.guests.pop(uid, None)
    for pod in launcher_pods(cluster, uid):
        if pod["metadata"]["uid"] == cluster.homes.get(uid):
            ended = copied(pod)
            ended["status"]["phase"] = phase
            cluster.replace(PODS, pod["metadata"]["name"], ended, by="kubelet", subresource="status")
    found["status"]["phase"] = phase
    cluster.replace(VMIS, VM, found, by="node agent", subresource="status")


def lose_pod(cluster: Cluster, randomness: random.Random) -> None:
    """A pod is gone: its node was, or somebody was."""
    if pods := cluster.all(PODS):
        cluster.delete(
            PODS, randomness.choice(pods)["metadata"]["name"], by="somebody", force=randomness.random() < 0.5
        )


def delete_pod(cluster: Cluster, randomness: random.Random) -> None:
    """A pod is asked to go, as the taint manager does on a lost node; its guest may run as long as it is there."""
    if pods := cluster.all(PODS):
        cluster.delete(PODS, randomness.choice(pods)["metadata"]["name"], by="taint manager")


def unlabel_pod(cluster: Cluster, randomness: random.Random) -> None:
    """Somebody takes labels from a pod: the one by which it is watched, another value of it, or all."""
    pods = cluster.all(PODS)
    if not pods:
        return
    pod = randomness.choice(pods)
    labels = pod["metadata"].get("labels") or {}
    change = randomness.choice(("remove", "overwrite", "clear"))
    if change == "overwrite":
        labels["kubevirt.io"] = "virt-nothing"
    elif change == "clear":
        labels.clear()
    else:
        labels.pop("kubevirt.io", None)
    pod["metadata"]["labels"] = labels
    cluster.say(f"somebody: {pod['metadata']['name']}: labels: {change}")
    cluster.replace(PODS, pod["metadata"]["name"], pod, by="somebody")


def end_pod(cluster: Cluster, randomness: random.Random) -> None:
    """A pod ends where it is and stays: its guest's process dies, or the kubelet evicts it."""
    pods = [pod for pod in cluster.all(PODS) if pod["status"]["phase"] == "Running"]
    if not pods:
        return
    pod = randomness.choice(pods)
    moment = cluster.now.isoformat()
    terminated = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": moment}
    evicted = {"reason": "Evicted", "message": "The node was low on resource: memory."}
    pod["status"] |= {
        "phase": "Failed",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": moment}],
        "containerStatuses": [{"name": "compute", "ready": False, "state": {"terminated": terminated}}],
        **randomness.choice(({}, evicted)),
    }
    cluster.replace(PODS, pod["metadata"]["name"], pod, by="kubelet", subresource="status")


def lose_node(cluster: Cluster, randomness: random.Random) -> None:
    """A node is cut off, or comes back."""
    node = randomness.choice([node["metadata"]["name"] for node in cluster.all(NODES)])
    _cut_off(cluster, node, is_lost=not cluster.machines[node].is_lost)


def _cut_off(cluster: Cluster, node: str, *, is_lost: bool) -> None:
    cluster.machines[node].is_lost = is_lost
    cluster.say(f"{node} is {'lost' if is_lost else 'back'}")
    body = cluster.get(NODES, node)
    assert body is not None
    body["status"]["conditions"] = [{"type": "Ready", "status": "Unknown" if is_lost else "True"}]
    cluster.replace(NODES, node, body, by="node controller", subresource="status")


def remove_node(cluster: Cluster, randomness: random.Random) -> None:
    """A node is taken out of the cluster, with whatever runs there; never the last one."""
    nodes = [node["metadata"]["name"] for node in cluster.all(NODES)]
    if len(nodes) == 1:
        return
    node = randomness.choice(nodes)
    machine = cluster.machines[node]
    machine.is_lost = True
    cluster.say(f"{node} is gone for good")
    cluster.delete(NODES, node, by="admin")
    if machine.has_controller:
        stop_controller(cluster, node)
    for pod in cluster.all(PODS):
        if pod["spec"].get("nodeName") == node:
            for uid in [uid for uid, home in cluster.homes.items() if home == pod["metadata"]["uid"]]:
                cluster.guests.pop(uid, None)
            cluster.delete(PODS, pod["metadata"]["name"], by="pod garbage collector", force=True)


def bring_nodes_back(cluster: Cluster) -> None:
    """End what `lose_node` and `remove_node` began."""
    for node, machine in cluster.machines.items():
        if cluster.get(NODES, node) is None:
            machine.is_lost = False
            _make_node(cluster, node)
        elif machine.is_lost:
            _cut_off(cluster, node, is_lost=False)


def pause(cluster: Cluster, randomness: random.Random) -> None:
    """Pause a guest."""
    if vmis := [vmi for vmi in cluster.all(VMIS) if vmi.get("status", {}).get("phase") == "Running"]:
        _set_paused(cluster, randomness.choice(vmis), paused=True)


def resume_all(cluster: Cluster, _: random.Random) -> None:
    """Let every paused guest go on."""
    for vmi in cluster.all(VMIS):
        if "status" in vmi:
            _set_paused(cluster, vmi, paused=False)


def _set_paused(cluster: Cluster, vmi: Json, *, paused: bool) -> None:
    rows = [row for row in vmi["status"].get("conditions", []) if row["type"] != "Paused"]
    vmi["status"]["conditions"] = [*rows, {"type": "Paused", "status": "True"}] if paused else rows
    cluster.replace(VMIS, vmi["metadata"]["name"], vmi, by="node agent", subresource="status")


def delete(cluster: Cluster, randomness: random.Random) -> None:
    """Delete the VM or the VMI, and make it anew later."""
    plural, name = _target(cluster, randomness)
    try:
        cluster.delete(plural, name, by="user")
    except Gone:
        spec = a_vm(primary(), nic("blue"))["spec"] if plural == VMS else vmi_spec([primary(), nic("foo")])
        cluster.create(plural, _body(plural, name, spec), by="user")


def delete_vmi_of_vm(cluster: Cluster, _: random.Random) -> None:
    """Restart by deleting the VMI."""
    if cluster.get(VMIS, VM) is not None:
        cluster.delete(VMIS, VM, by="user")


def take_the_name(cluster: Cluster, _: random.Random) -> None:
    """Make a VMI of the VM's name that is nobody's, where that is possible."""
    try:
        cluster.create(VMIS, _body(VMIS, VM, vmi_spec([primary()])), by="somebody")
    except AlreadyExists:
        return


def toggle_gate(cluster: Cluster, randomness: random.Random) -> None:
    """Switch hot-plug off or on, or take the whole KubeVirt CR away."""
    found = cluster.get(KUBEVIRTS, "kubevirt")
    if found is None:
        cluster.create(KUBEVIRTS, _named(kubevirt()), by="admin")
    elif randomness.random() < 0.3:
        cluster.delete(KUBEVIRTS, "kubevirt", by="admin", force=True)
    else:
        developer = found["spec"]["configuration"]["developerConfiguration"]
        developer["featureGates"] = [] if developer["featureGates"] else ["HotplugNICs"]
        cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")


def attach_foreign(cluster: Cluster, randomness: random.Random) -> None:
    """Somebody else asks Multus for an interface of a launcher pod."""
    pods = [pod for pod in cluster.all(PODS) if pod["status"]["phase"] == "Running"]
    if not pods:
        return
    pod = randomness.choice(pods)
    annotations = pod["metadata"]["annotations"]
    elements = json.loads(annotations.get(NETWORKS) or "[]")
    if FOREIGN not in elements:
        annotations[NETWORKS] = json.dumps([*elements, FOREIGN])
        cluster.replace(PODS, pod["metadata"]["name"], pod, by="somebody")
