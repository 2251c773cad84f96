"""Migrations that fail of a network, or of a copy: whom they are held against, and when that ends."""

from tests.build import nic
from tests.sim.cluster import VMIS, Cluster, Json
from tests.sim.migration_agents import fail
from tests.sim.node_agent import state_of
from tests.stories.migrations import NODES, target_of
from tests.stories.people import a_stage, change_nic, create_network, delete_network, guest, plug, record
from tests.stories.stage import Stage
from tests.stories.telling import story


def copies_break(cluster: Cluster) -> bool:
    """A node agent of the source whose copies fail."""
    for vmi in cluster.shown(VMIS):
        state = state_of(vmi)
        if state.get("targetNodeAddress") and not state.get("completed"):
            return fail(cluster, vmi, "unexpected end of stream")
    return False


def sandbox_fails(stage: Stage, pod: Json, network: str) -> None:
    """The kubelet reports what keeps a pod from starting."""
    name = pod["metadata"]["name"]
    message = (
        f'Failed to create pod sandbox: plugin type="multus" failed (add): [default/{name}:{network}]: '
        f'error adding container to network "{network}": no such bridge'
    )
    stage.cluster.report(pod, reason="FailedCreatePodSandBox", message=message)


@story
def blame_of_one_nic() -> Stage:
    """Two NICs are to come by migration, and the network of one is broken

    The kubelet names it, so that NIC alone has failed; the other one rides the next migration without it.
    """
    stage = a_stage(nodes=NODES, has_controllers=False)
    stage.cluster.failing_networks.add("default/blue-net")
    plug(stage, "blue", "green")
    stage.settle(3)
    sandbox_fails(stage, target_of(stage), "blue-net")
    stage.settle(600)
    assert guest(stage) == ["default", "green"]
    assert record(stage, "blue")["phase"] == "Failed"
    stage.chapter("The admin repairs the network and writes its definition anew.")
    stage.cluster.failing_networks.clear()
    delete_network(stage, "blue")
    create_network(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "green", "blue"]
    return stage


@story
def blame_of_a_nic_that_the_guest_has() -> Stage:
    """A migration for one NIC fails of the network of another one, which the guest has

    That one comes with every target pod, so the NIC that waits is Blocked, and is not to blame.
    """
    stage = a_stage(nic("red"), nodes=NODES, has_controllers=False)
    stage.cluster.failing_networks.add("default/red-net")
    plug(stage, "blue")
    stage.settle(3)
    sandbox_fails(stage, target_of(stage), "red-net")
    stage.settle(400)
    assert record(stage, "blue")["phase"] == "Blocked"
    stage.chapter("The admin repairs the network and writes its definition anew.")
    stage.cluster.failing_networks.clear()
    delete_network(stage, "red")
    create_network(stage, "red")
    stage.settle()
    assert guest(stage) == ["default", "red", "blue"]
    return stage


@story
def blame_of_nobody() -> Stage:
    """Two NICs are to come by migration, one of them is broken, and nobody says which

    Each is migrated by itself next: the healthy one comes, the other one fails once more, alone.
    """
    stage = a_stage(nodes=NODES, has_controllers=False)
    stage.cluster.failing_networks.add("default/blue-net")
    plug(stage, "blue", "green")
    stage.settle(4000)
    assert guest(stage) == ["default", "green"]
    return stage


@story
def give_up_after_five() -> Stage:
    """The copy fails each time

    The VM is migrated again after 20, 40, 80 and 160 seconds; after the fifth failure the record is Failed until
    something changes. Then the user gives the NIC another MAC address.
    """
    stage = a_stage(nodes=NODES, has_controllers=False)
    stage.play("node agent of the source", copies_break)
    plug(stage, "blue")
    stage.settle(600)
    assert record(stage, "blue")["phase"] == "Failed"
    stage.chapter("The node is repaired, and the user changes the NIC.")
    stage.resume("node agent of the source")
    change_nic(stage, "blue", macAddress="02:00:00:00:00:09")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage
