"""NICs that do not come in place: by migration, held, or taken back."""

from tests.build import nic
from tests.sim.cluster import MIGRATIONS, PODS
from tests.sim.dynamic_controller import set_ready, start_controller, stop_controller
from tests.sim.kubelet import interfaces_in
from tests.stories.people import a_stage, change_nic, guest, plug, pod_of, record
from tests.stories.stage import Stage
from tests.stories.telling import story

from nicplug.model.networks_annotation import hashed_interface_name

NODES = ("node01", "node02")


@story
def no_controller_on_the_node() -> Stage:
    """A NIC is plugged where no dynamic networks controller runs

    The VM is migrated at once, and arrives with its NIC.
    """
    stage = a_stage(nodes=NODES, has_controllers=False)
    before = pod_of(stage)
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert pod_of(stage) != before
    return stage


@story
def silent_controller() -> Stage:
    """The dynamic networks controller does not answer until the NIC's deadline

    It has ten seconds, then the VM is migrated.
    """
    stage = a_stage(nodes=NODES)
    stage.silence("dynamic networks controller")
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert record(stage, "blue")["path"] == "Migration"
    return stage


@story
def failing_controller() -> Stage:
    """The dynamic networks controller fails to attach a NIC

    It is asked once more; after the second failure the VM is migrated.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node01"].is_controller_broken = True
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert record(stage, "blue")["path"] == "Migration"
    return stage


@story
def controller_comes_while_the_target_pod_waits() -> Stage:
    """A dynamic networks controller comes to the node while the target pod has none

    The running pod goes on being asked: who delivers first wins, and the migration is not needed any more.
    """
    stage = a_stage(nodes=NODES)
    stop_controller(stage.cluster, "node01")
    stage.cluster.machines["node02"].has_room = False
    stage.settle(10)
    plug(stage, "blue")
    stage.settle(5)
    stage.chapter("The controller comes to node01.")
    start_controller(stage.cluster, "node01")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert not [job for job in stage.cluster.all(MIGRATIONS) if job["status"]["phase"] == "Succeeded"]
    return stage


@story
def controller_restarts() -> Stage:
    """The dynamic networks controller is not ready when a NIC is asked for

    It is given five seconds to come back, and does: no migration.
    """
    stage = a_stage(nodes=NODES)
    set_ready(stage.cluster, "node01", is_ready=False)
    stage.silence("dynamic networks controller")
    plug(stage, "blue")
    stage.settle(3)
    stage.chapter("It is back.")
    stage.resume("dynamic networks controller")
    set_ready(stage.cluster, "node01", is_ready=True)
    stage.settle()
    assert record(stage, "blue")["path"] == "Dynamic"
    return stage


@story
def held_with_back_off() -> Stage:
    """A controller fails, and the policy is to hold the NIC

    onFailure is Hold: the VM stays where it is, the record says Failed, and the controller is asked again with
    back-off. In the end somebody repairs it.
    """
    stage = a_stage(nodes=NODES, hotplug={"onFailure": "Hold"})
    stage.cluster.machines["node01"].is_controller_broken = True
    plug(stage, "blue")
    stage.settle(15)
    assert record(stage, "blue")["phase"] == "Failed"
    stage.chapter("Somebody repairs the controller.")
    stage.cluster.machines["node01"].is_controller_broken = False
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def roll_back() -> Stage:
    """A controller fails, and the policy is to take the NIC back

    onFailure is Rollback: the pod's annotation and the instance's spec go back to what works; the template keeps what
    its owner wrote, until they change the NIC.
    """
    stage = a_stage(nodes=NODES, hotplug={"onFailure": "Rollback"})
    stage.cluster.machines["node01"].is_controller_broken = True
    plug(stage, "blue")
    stage.settle()
    assert record(stage, "blue")["reason"] == "RolledBack"
    assert guest(stage) == ["default"]
    stage.chapter("The controller works again, and the owner gives the NIC another MAC address.")
    stage.cluster.machines["node01"].is_controller_broken = False
    change_nic(stage, "blue", macAddress="02:00:00:00:00:09")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def sriov() -> Stage:
    """An SR-IOV NIC is plugged

    A device is given to a pod only when the pod is made: the VM is migrated, controller or not.
    """
    stage = a_stage(nodes=NODES)
    plug(stage, nic("blue", binding="sriov"))
    stage.settle()
    return stage


@story
def phantom() -> Stage:
    """The pod's status lists an interface that the pod does not have

    A fault of the dynamic networks controller: where one of several NICs fails, it lists others that it has taken out
    again. The guest does not get the NIC, so it is taken out, detached and asked for again, alone; then it comes.
    """
    stage = a_stage(nodes=NODES, hotplug={"onFailure": "Hold"})
    stage.cluster.failing_networks.add("default/green-net")
    stage.cluster.phantoms.add("blue")
    plug(stage, "blue", "green")
    stage.settle(30, until=lambda: lists(stage, "blue"))
    stage.settle(30, until=lambda: not lists(stage, "blue"))
    stage.chapter("It is detached. From now on the controller lists what it attaches.")
    stage.cluster.phantoms.clear()
    stage.settle(30)
    assert guest(stage) == ["default", "blue"]
    return stage


def lists(stage: Stage, name: str) -> bool:
    """The network status of vm-a's pod lists the interface of this NIC."""
    pod = stage.cluster.get(PODS, pod_of(stage))
    return pod is not None and hashed_interface_name(name) in interfaces_in(pod)


@story
def phantom_that_stays() -> Stage:
    """The pod's status lists an interface that the pod does not have, each time

    After four attempts the VM is migrated: the pod that it moves to is made with all its networks. Until it runs, the
    NIC's record stays as it is.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.failing_networks.add("default/green-net")
    stage.cluster.phantoms.add("blue")
    plug(stage, "blue", "green")
    stage.settle(120)
    assert (record(stage, "blue")["path"], record(stage, "blue")["phase"]) == ("Migration", "Migrating")
    stage.chapter("The network of green is repaired.")
    stage.cluster.failing_networks.clear()
    before = pod_of(stage)
    stage.settle(until=lambda: pod_of(stage) != before)
    stage.cluster.phantoms.clear()
    stage.settle()
    assert guest(stage) == ["default", "blue", "green"]
    return stage
