"""What the tests of `nicplug plan` have in common: the state before, what is done to it, and the question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.build import kubevirt, nic, primary, vmi_spec
from tests.build import vm as a_vm
from tests.sim.cluster import KUBEVIRTS, NODES, PODS, VMIS, VMS, Cluster, Json, is_target, launcher_pods
from tests.sim.dynamic_controller import deploy_controllers, set_ready, stop_controller
from tests.sim.kubelet import elements_of, kubelet, serve_pod
from tests.sim.node_side import Role
from tests.sim.planning import Stage, devices_of, nic_of
from tests.sim.users import make_networks, make_nodes

from nicplug.insight.outcome import NicForecast
from nicplug.plan.nic.path.rules import IN_PLACE, OBSTACLES

NODE_NAMES = ("node01", "node02", "node03")
NAME, NIC = "vmi-b", "blue"
ALL_RULES = (*IN_PLACE, *OBSTACLES)
Deed = Callable[[Stage], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """How the state comes about in which a rule decides.

    Attributes:
        before: done before the VM is asked for anything.
        edit: of the VMI: what is asked for.
        spoil: done before each step, until the plan is taken.
        owners: whose NIC it is: that of a VMI, or of a VM's template.
        otherwise: the reason that the plan before the change gives in its `otherwise`, where that is what comes true;
            "" where the plan itself does.
        is_unanswered: in the state in which the rule decides, too, the plan's `otherwise` is what comes true: the
            controller does not do its part.
        is_unforeseeable: target pods fail later on for what nobody can know before the change.
    """

    rule: str
    nic: str = NIC
    before: Deed = lambda _: None
    edit: Callable[[Json], object] = lambda body: plug(body, NIC)
    spoil: Deed = lambda _: None
    owners: Sequence[str] = (VMIS, VMS)
    otherwise: str = ""
    is_unanswered: bool = False
    is_unforeseeable: bool = False
    patience: float = 2000.0
    blind: frozenset[str] = frozenset()
    born_with: Sequence[str] = ()

    def __str__(self) -> str:
        return self.rule


def plug(body: Json, name: str, *, binding: str = "bridge") -> None:
    interface, network = nic(name, binding=binding)
    interfaces, networks = devices_of(body)
    interfaces.append(interface)
    networks.append(network)


def set_link_down(body: Json) -> None:
    devices_of(body)[0][-1]["state"] = "down"


def move_to(body: Json, name: str, attachment: str) -> None:
    networks = devices_of(body)[1]
    next(item for item in networks if item["name"] == name)["multus"]["networkName"] = attachment


def policy(**fields: str) -> Deed:
    def act(stage: Stage) -> None:
        found = stage.cluster.get(KUBEVIRTS, "kubevirt")
        assert found is not None
        found["spec"]["configuration"]["network"].setdefault("hotplug", {}).update(fields)
        stage.cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")

    return act


def workload_updates(*methods: str) -> Deed:
    def act(stage: Stage) -> None:
        found = stage.cluster.get(KUBEVIRTS, "kubevirt")
        assert found is not None
        found["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": list(methods)}
        stage.cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")

    return act


def no_controllers(stage: Stage) -> None:
    for node in stage.cluster.machines:
        stop_controller(stage.cluster, node)


def broken_controllers(stage: Stage) -> None:
    for machine in stage.cluster.machines.values():
        machine.is_controller_broken = True


def mute_controllers(stage: Stage) -> None:
    """They look ready and do nothing."""
    for machine in stage.cluster.machines.values():
        machine.has_controller = False


def unready_controllers(stage: Stage) -> None:
    for node in stage.cluster.machines:
        set_ready(stage.cluster, node, is_ready=False)
    mute_controllers(stage)


def not_migratable(stage: Stage) -> None:
    found = stage.cluster.get(VMIS, NAME)
    assert found is not None
    rows = [row for row in found["status"]["conditions"] if row["type"] != "LiveMigratable"]
    told = {"type": "LiveMigratable", "status": "False", "reason": "HostDeviceNotLiveMigratable", "message": "a GPU"}
    found["status"]["conditions"] = [*rows, told]
    stage.cluster.replace(VMIS, NAME, found, by="node agent", subresource="status")


def cordon_others(stage: Stage) -> None:
    found = stage.cluster.get(VMIS, NAME)
    assert found is not None
    for node in stage.cluster.all(NODES):
        if node["metadata"]["name"] != found["status"]["nodeName"]:
            node["spec"]["unschedulable"] = True
            stage.cluster.replace(NODES, node["metadata"]["name"], node, by="admin")


def fail_targets(stage: Stage) -> None:
    """Every target pod ends as soon as it has a node: no fault of any network."""
    for pod in launcher_pods(stage.cluster):
        is_new = pod["status"]["phase"] in ("Pending", "Running") and "nodeName" in pod["spec"]
        if is_target(stage.cluster, pod) and is_new:
            ended = {**pod, "status": {**pod["status"], "phase": "Failed", "reason": "Evicted", "message": "disk"}}
            stage.cluster.replace(PODS, pod["metadata"]["name"], ended, by="kubelet", subresource="status")


def failing_kubelet(network: str) -> Role:
    """A kubelet that can start no pod with this network, and says so; pods that have it already run on."""
    told: set[str] = set()

    def act(cluster: Cluster) -> bool:
        for pod in cluster.all(PODS):
            is_new = pod["status"]["phase"] == "Pending" and "nodeName" in pod["spec"]
            if not is_new or "deletionTimestamp" in pod["metadata"] or not _asks_for(pod, network):
                if serve_pod(cluster, pod):
                    return True
            elif pod["metadata"]["uid"] not in told:
                told.add(pod["metadata"]["uid"])
                message = f'plugin failed (add): error adding container to network "{network}": no such bridge'
                cluster.report(pod, reason="FailedCreatePodSandBox", message=message)
                return True
        return False

    return act


def _asks_for(pod: Json, network: str) -> bool:
    return any(f"{item['namespace']}/{item['name']}" == network for item in elements_of(pod))


def chained(*deeds: Deed) -> Deed:
    def act(stage: Stage) -> None:
        for deed in deeds:
            deed(stage)

    return act


def wait(seconds: float) -> Deed:
    return lambda stage: stage.settle(seconds=seconds)


def breaks_red(stage: Stage) -> None:
    kubelet_ = failing_kubelet("default/red-net")
    stage.roles = tuple(kubelet_ if role is kubelet else role for role in stage.roles)


def make_stage(row: Row, *, plural: str = VMIS) -> Stage:
    """A VMI that runs, with the NICs that it is born with: of nobody's, or of a VM of the same name."""
    cluster = Cluster(NODE_NAMES)
    make_nodes(cluster)
    deploy_controllers(cluster)
    cluster.create(KUBEVIRTS, {**kubevirt(), "metadata": {"name": "kubevirt"}}, by="admin")
    make_networks(cluster)
    nics = [nic(name, attachment="red-net" if name.startswith("nic") else None) for name in row.born_with]
    nics = [primary(), *nics][-8 if len(nics) > 7 else 0 :]
    annotations = {"kubevirt.io/placePCIDevicesOnRootComplex": "true"} if len(row.born_with) > 4 else {}
    body: Json = {"apiVersion": "kubevirt.io/v1", "metadata": {"name": NAME}}
    if plural == VMIS:
        body |= {"kind": "VirtualMachineInstance", "spec": vmi_spec(nics)}
        body["metadata"] |= {"annotations": annotations} if annotations else {}
    else:
        body |= {"kind": "VirtualMachine", "spec": a_vm(*nics)["spec"]}
        body["spec"]["template"]["metadata"] |= {"annotations": annotations} if annotations else {}
    cluster.create(plural, body, by="user")
    stage = Stage(cluster, blind=row.blind)
    stage.blind_operator()
    stage.settle(seconds=5)
    return stage


async def ask_and_change(stage: Stage, row: Row, *, plural: str) -> NicForecast:
    """The forecast before the change, which is then made."""
    changed = stage.change(plural, NAME, row.edit)
    told = nic_of(await stage.plan(NAME, changed), row.nic)
    assert told is not None
    stage.store(plural, NAME, changed)
    return told


def node_of(stage: Stage) -> str:
    """Where the guest runs."""
    found = stage.cluster.get(VMIS, NAME)
    assert found is not None
    return str(found["status"]["nodeName"])


def gate_off(stage: Stage) -> None:
    found = stage.cluster.get(KUBEVIRTS, "kubevirt")
    assert found is not None
    found["spec"]["configuration"]["developerConfiguration"]["featureGates"] = []
    stage.cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")


def staged(stage: Stage) -> None:
    found = stage.cluster.get(KUBEVIRTS, "kubevirt")
    assert found is not None
    found["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"
    stage.cluster.replace(KUBEVIRTS, "kubevirt", found, by="admin")


def plug_on(network: str) -> Callable[[Json], object]:
    def edit(body: Json) -> None:
        interface, entry = nic(NIC, attachment=network)
        interfaces, networks = devices_of(body)
        interfaces.append(interface)
        networks.append(entry)

    return edit


def unplug_red(body: Json) -> None:
    next(item for item in devices_of(body)[0] if item["name"] == "red")["state"] = "absent"
