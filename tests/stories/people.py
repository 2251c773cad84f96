"""What users and admins do in the stories; each function does one thing, as a request of theirs would."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.build import Nic, kubevirt, nad, nic, primary, vmi_spec
from tests.build import vm as a_vm
from tests.sim.cluster import KUBEVIRTS, MIGRATIONS, NADS, NODES, PODS, VMIS, VMS, Json
from tests.sim.dynamic_controller import deploy_controllers
from tests.sim.users import make_nodes
from tests.stories.seen import status_with_records
from tests.stories.stage import Stage

KUBEVIRT_API = "kubevirt.io/v1"
VM = "vm-a"
NETWORKS = ("red", "blue", "green")


def a_stage(
    *nics: Nic,
    nodes: Sequence[str] = ("node01",),
    networks: Sequence[str] = NETWORKS,
    hotplug: Mapping[str, Any] | None = None,
    has_controllers: bool = True,
    is_bare: bool = False,
    name: str = VM,
    **stage: Any,
) -> Stage:
    """A cluster in which vm-a runs with the pod network and these NICs; the story has begun.

    Args:
        networks: the network attachment definitions that exist, without their `-net`.
        hotplug: policy of the cluster.
        is_bare: a VMI of nobody's runs instead of a VM.
    """
    made = a_cluster(nodes=nodes, networks=networks, hotplug=hotplug, has_controllers=has_controllers, **stage)
    made.add_operator()
    create_vmi(made, name, primary(), *nics) if is_bare else create_vm(made, name, primary(), *nics)
    made.settle(10)
    made.begin()
    return made


def a_cluster(
    *,
    nodes: Sequence[str] = ("node01",),
    networks: Sequence[str] = NETWORKS,
    hotplug: Mapping[str, Any] | None = None,
    has_controllers: bool = True,
    **stage: Any,
) -> Stage:
    """A cluster without VMs and without an operator; nothing is written down yet."""
    made = Stage(nodes, **stage)
    make_nodes(made.cluster)
    if has_controllers:
        deploy_controllers(made.cluster)
    else:
        for machine in made.cluster.machines.values():
            machine.has_controller = False
    body = kubevirt(hotplug=dict(hotplug or {}))
    made.cluster.create(KUBEVIRTS, {**body, "metadata": {"name": "kubevirt"}}, by="admin")
    for name in networks:
        create_network(made, name)
    return made


def _body(kind: str, name: str, spec: Json, **metadata: Any) -> Json:
    return {"apiVersion": KUBEVIRT_API, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def create_vm(stage: Stage, name: str, *nics: Nic, **spec: Any) -> None:
    """Create a VM."""
    body = _body("VirtualMachine", name, {**a_vm(*nics)["spec"], **spec})
    stage.cluster.create(VMS, body, by="user")


def create_vmi(stage: Stage, name: str, *nics: Nic, **spec: Any) -> None:
    """Create a VMI that is nobody's."""
    body = _body("VirtualMachineInstance", name, {**vmi_spec(nics), **spec})
    stage.cluster.create(VMIS, body, by="user")


def edit(stage: Stage, plural: str, name: str, change: Callable[[Json], object], *, by: str = "user") -> None:
    """Read an object, change it, write it."""
    body = stage.cluster.get(plural, name)
    assert body is not None, f"there is no {plural} {name}"
    change(body)
    stage.cluster.replace(plural, name, body, by=by)


def edit_status(stage: Stage, plural: str, name: str, change: Callable[[Json], object], *, by: str = "user") -> None:
    """Read an object, change its status, write that."""
    body = stage.cluster.get(plural, name)
    assert body is not None, f"there is no {plural} {name}"
    change(body.setdefault("status", {}))
    stage.cluster.replace(plural, name, body, by=by, subresource="status")


def _spec(body: Json) -> Json:
    spec: Json = body["spec"]
    template: Json | None = spec.get("template")
    return template["spec"] if template is not None else spec


def _plural(stage: Stage, name: str) -> str:
    return VMS if stage.cluster.get(VMS, name) is not None else VMIS


def plug(stage: Stage, *nics: Nic | str, into: str = VM) -> None:
    """Add NICs to a VM's template, or to a VMI of nobody's: one request."""

    def change(body: Json) -> None:
        spec = _spec(body)
        for item in nics:
            interface, network = nic(item) if isinstance(item, str) else item
            spec["domain"]["devices"].setdefault("interfaces", []).append(interface)
            spec.setdefault("networks", []).append(network)

    edit(stage, _plural(stage, into), into, change)


def change_nic(stage: Stage, name: str, *, of: str = VM, plural: str | None = None, **members: Any) -> None:
    """Set members of an interface; None takes one out."""

    def change(body: Json) -> None:
        for interface in _spec(body)["domain"]["devices"]["interfaces"]:
            if interface["name"] == name:
                interface |= {key: value for key, value in members.items() if value is not None}
                for key in [key for key, value in members.items() if value is None]:
                    interface.pop(key, None)

    edit(stage, plural or _plural(stage, of), of, change)


def unplug(stage: Stage, name: str, *, of: str = VM) -> None:
    """Ask for a NIC to go."""
    change_nic(stage, name, of=of, state="absent")


def change_network(stage: Stage, name: str, attachment: str, *, of: str = VM) -> None:
    """Put a NIC on another network."""

    def change(body: Json) -> None:
        for network in _spec(body)["networks"]:
            if network["name"] == name:
                network["multus"]["networkName"] = attachment

    edit(stage, _plural(stage, of), of, change)


def remove_entry(stage: Stage, name: str, *, of: str = VM) -> None:
    """Take a NIC out of the lists."""

    def change(body: Json) -> None:
        spec = _spec(body)
        devices = spec["domain"]["devices"]
        devices["interfaces"] = [item for item in devices["interfaces"] if item["name"] != name]
        spec["networks"] = [item for item in spec["networks"] if item["name"] != name]

    edit(stage, _plural(stage, of), of, change)


def create_network(stage: Stage, name: str, **members: Any) -> None:
    """Create a network attachment definition, `<name>-net`."""
    body = nad(f"{name}-net", **members)
    stage.cluster.create(NADS, {**body, "metadata": {"name": f"{name}-net"}}, by="admin")


def delete_network(stage: Stage, name: str) -> None:
    """Delete a network attachment definition."""
    stage.cluster.delete(NADS, f"{name}-net", by="admin")


def edit_network(stage: Stage, name: str, config: Json | str) -> None:
    """Give a network attachment definition another configuration."""
    text = config if isinstance(config, str) else json.dumps(config)
    edit(stage, NADS, f"{name}-net", lambda body: body["spec"].update(config=text), by="admin")


def set_policy(stage: Stage, **fields: Any) -> None:
    """Set fields of the cluster's policy for hot-plug."""

    def change(body: Json) -> None:
        body["spec"]["configuration"]["network"].setdefault("hotplug", {}).update(fields)

    edit(stage, KUBEVIRTS, "kubevirt", change, by="admin")


def configure(stage: Stage, change: Callable[[Json], object]) -> None:
    """Change the configuration in the KubeVirt CR."""
    edit(stage, KUBEVIRTS, "kubevirt", lambda body: change(body["spec"]["configuration"]), by="admin")


def set_gates(stage: Stage, *gates: str) -> None:
    """List these feature gates."""
    configure(stage, lambda found: found["developerConfiguration"].update(featureGates=list(gates)))


def annotate(stage: Stage, annotation: str, value: str, *, name: str = VM) -> None:
    """Write an annotation on a VM, or on a VMI of nobody's."""
    edit(
        stage,
        _plural(stage, name),
        name,
        lambda body: body["metadata"].setdefault("annotations", {}).update({annotation: value}),
    )


def set_strategy(stage: Stage, strategy: str, *, of: str = VM) -> None:
    """Give a VM another run strategy."""
    edit(stage, VMS, of, lambda body: body["spec"].update(runStrategy=strategy))


def request(stage: Stage, *requests: Json, of: str = VM, kind: str = "interfaceRequests") -> None:
    """What a call of the aggregated API writes into the status of a VM."""

    def change(status: Json) -> None:
        status[kind] = [*(status.get(kind) or []), *requests]

    edit_status(stage, VMS, of, change, by="nicplug api")


def migrate(stage: Stage, vmi: str = VM, *, name: str = "job", by: str = "user", **spec: Any) -> None:
    """Ask for a migration."""
    body = _body("VirtualMachineInstanceMigration", name, {"vmiName": vmi, **spec})
    stage.cluster.create(MIGRATIONS, body, by=by)


def cancel(stage: Stage, name: str = "job") -> None:
    """Delete a migration."""
    stage.cluster.delete(MIGRATIONS, name, by="user")


def cordon(stage: Stage, node: str) -> None:
    """Cordon a node."""
    edit(stage, NODES, node, lambda body: body["spec"].update(unschedulable=True), by="admin")


def uncordon(stage: Stage, node: str) -> None:
    """Uncordon a node."""
    edit(stage, NODES, node, lambda body: body["spec"].pop("unschedulable"), by="admin")


def lose_node(stage: Stage, node: str) -> None:
    """The node is cut off: neither kubelet nor node agent does anything there."""
    stage.cluster.machines[node].is_lost = True
    _set_node(stage, node, "Unknown")


def bring_node_back(stage: Stage, node: str) -> None:
    """End what `lose_node` began."""
    stage.cluster.machines[node].is_lost = False
    _set_node(stage, node, "True")


def _set_node(stage: Stage, node: str, ready: str) -> None:
    def change(status: Json) -> None:
        status["conditions"] = [{"type": "Ready", "status": ready}]

    edit_status(stage, NODES, node, change, by="node controller")


def set_condition(stage: Stage, type_: str, status: str, *, of: str = VM, **members: Any) -> None:
    """The node agent says something of a guest."""

    def change(found: Json) -> None:
        rows = [row for row in found.get("conditions", []) if row["type"] != type_]
        found["conditions"] = [*rows, {"type": type_, "status": status, **members}]

    edit_status(stage, VMIS, of, change, by="node agent")


def pod_of(stage: Stage, vmi: str = VM) -> str:
    """The name of the pod that has the guest."""
    body = stage.cluster.get(VMIS, vmi)
    assert body is not None
    home = stage.cluster.homes[body["metadata"]["uid"]]
    name: str = next(pod["metadata"]["name"] for pod in stage.cluster.shown(PODS) if pod["metadata"]["uid"] == home)
    return name


def record(stage: Stage, name: str, *, of: str = VM) -> Json:
    """The record of a NIC; empty when there is none."""
    rows = status_with_records(stage.cluster, of)["interfaceOperations"]
    found: Json = next((row for row in rows or () if row["name"] == name), {})
    return found


def guest(stage: Stage, vmi: str = VM) -> list[str]:
    """The NICs that the guest has."""
    body = stage.cluster.get(VMIS, vmi)
    return stage.cluster.guests.get(body["metadata"]["uid"], []) if body is not None else []
