"""VMs that start, stop, restart, crash and are adopted."""

from tests.build import nic, primary
from tests.sim.cluster import PODS, VMIS, VMS, Cluster, is_live, launcher_pods
from tests.sim.kubelet import end_pod
from tests.sim.node_agent import report
from tests.stories.people import (
    VM,
    a_stage,
    bring_node_back,
    create_vm,
    create_vmi,
    guest,
    lose_node,
    plug,
    pod_of,
    record,
    request,
)
from tests.stories.stage import Stage
from tests.stories.telling import story

NODES = ("node01", "node02")


def starts_fail(cluster: Cluster) -> bool:
    """A node agent on whose node no guest starts: the launcher ends, and then the agent says so."""
    for vmi in cluster.shown(VMIS):
        if vmi.get("status", {}).get("phase") == "Scheduled":
            for pod in filter(is_live, launcher_pods(cluster, vmi["metadata"]["uid"])):
                end_pod(cluster, pod, "Failed")
                return True
            return report(cluster, vmi, {"phase": "Failed"})
    return False


@story
def restart_brings_what_hotplug_cannot() -> Stage:
    """A NIC needs a restart, and the user restarts the VM

    RestartRequired says so until then. The restart is asked for as virtctl does.
    """
    stage = a_stage()
    plug(stage, nic("blue", binding="macvtap"))
    stage.settle()
    stage.chapter("The user restarts the VM.")
    vmi = stage.cluster.get(VMIS, VM)
    assert vmi is not None
    uid = vmi["metadata"]["uid"]
    request(stage, {"action": "Stop", "uid": uid}, {"action": "Start"}, kind="stateChangeRequests")
    stage.settle()
    again = stage.cluster.get(VMIS, VM)
    assert again is not None
    assert again["metadata"]["uid"] != uid
    return stage


@story
def guest_crashes() -> Stage:
    """The guest of a VM crashes

    The VM is started again after a moment, as its run strategy Always says.
    """
    stage = a_stage(nic("blue"))
    pod = stage.cluster.get(PODS, pod_of(stage))
    assert pod is not None
    end_pod(stage.cluster, pod, "Failed")
    stage.settle(5, until=lambda: not guest(stage))
    stage.settle(30)
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def start_back_off() -> Stage:
    """A guest does not start

    The VM is started again each time, after a longer wait, until somebody repairs the node.
    """
    stage = a_stage(is_bare=True, name="another")
    stage.play("node agent", starts_fail)
    create_vm(stage, VM, primary())
    stage.settle(100)
    stage.chapter("Somebody repairs the node.")
    stage.resume("node agent")
    stage.settle(200, until=lambda: bool(guest(stage)))
    stage.settle(5)
    assert guest(stage) == ["default"]
    return stage


@story
def orphan_is_adopted() -> Stage:
    """An instance of a VM's name exists that no object controls

    Its VM adopts it instead of starting another one.
    """
    stage = a_stage(is_bare=True)
    create_vm(stage, VM, primary())
    stage.settle()
    (vmi,) = stage.cluster.all(VMIS)
    assert vmi["metadata"]["ownerReferences"][0]["kind"] == "VirtualMachine"
    return stage


@story
def name_is_taken() -> Stage:
    """An instance of a VM's name belongs to somebody else

    The VM says so, and starts when the name is free.
    """
    stage = a_stage(is_bare=True, name="another")
    create_vmi(stage, VM, primary())
    vmi = stage.cluster.get(VMIS, VM)
    assert vmi is not None
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceReplicaSet", "name": "set", "uid": "x"}
    vmi["metadata"]["ownerReferences"] = [{**owner, "controller": True}]
    stage.cluster.replace(VMIS, VM, vmi, by="replica set controller")
    create_vm(stage, VM, primary())
    stage.settle(15)
    stage.chapter("The other instance is deleted.")
    stage.cluster.delete(VMIS, VM, by="user")
    stage.settle(30)
    assert guest(stage) == ["default"]
    return stage


@story
def requests_from_virtctl() -> Stage:
    """NICs are asked for with virtctl addinterface and removeinterface

    The aggregated API notes the requests in the VM's status; the operator carries them out.
    """
    stage = a_stage()
    options = {"name": "blue", "networkAttachmentDefinitionName": "blue-net"}
    request(stage, {"addInterfaceOptions": options})
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    stage.chapter("The user takes the NIC out again.")
    request(stage, {"removeInterfaceOptions": {"name": "blue"}})
    stage.settle()
    assert guest(stage) == ["default"]
    stage.chapter("One of two requests cannot be carried out: there is no such NIC.")
    request(stage, {"removeInterfaceOptions": {"name": "pink"}})
    stage.settle()
    return stage


@story
def launcher_pod_is_deleted() -> Stage:
    """Somebody deletes the launcher pod of a running VM

    The guest ends with it; the VM is started again.
    """
    stage = a_stage(nic("blue"))
    stage.cluster.delete(PODS, pod_of(stage), by="somebody")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def node_is_lost() -> Stage:
    """The node of a VM is lost while a NIC is on its way, and comes back

    Nobody can say whether the guest runs there, so nothing is ended; the record waits.
    """
    stage = a_stage(nodes=NODES)
    plug(stage, "blue")
    lose_node(stage, "node01")
    stage.settle(30)
    assert guest(stage) == ["default"]
    stage.chapter("The node is back.")
    bring_node_back(stage, "node01")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert record(stage, "blue")["phase"] == "Ready"
    return stage


@story
def vm_is_deleted() -> Stage:
    """A VM is deleted while a NIC is on its way

    Its instance goes, then its pod, and nothing is left.
    """
    stage = a_stage()
    stage.silence("dynamic networks controller")
    plug(stage, "blue")
    stage.settle(2)
    stage.cluster.delete(VMS, VM, by="user")
    stage.settle()
    assert not stage.cluster.all(VMIS)
    assert not stage.cluster.all(PODS)
    return stage
