"""Guests that an eviction must not end."""

from tests.build import nic, primary
from tests.sim.cluster import VMIS
from tests.stories.migrations import NODES
from tests.stories.people import VM, a_cluster, configure, cordon, create_vm, edit_status
from tests.stories.stage import Stage
from tests.stories.telling import story


@story
def drain() -> Stage:
    """A node is drained, and a guest on it must not be ended

    evictionStrategy is LiveMigrate: a disruption budget holds the eviction up, and the guest is migrated away. While
    it moves it has two pods, and the budget asks for both.
    """
    stage = a_cluster(nodes=NODES)
    stage.add_operator()
    configure(stage, lambda found: found.update(evictionStrategy="LiveMigrate"))
    create_vm(stage, VM, primary(), nic("blue"))
    stage.settle(10)
    stage.begin()
    cordon(stage, "node01")
    edit_status(stage, VMIS, VM, lambda status: status.update(evacuationNodeName="node01"), by="eviction webhook")
    stage.settle()
    assert stage.cluster.get(VMIS, VM)["status"]["nodeName"] == "node02"  # type: ignore[index]
    return stage


@story
def drain_without_a_node() -> Stage:
    """A node is drained, and no other node can take the guest

    The guest stays, and status says what is in the way.
    """
    stage = a_cluster(nodes=NODES)
    stage.add_operator()
    configure(stage, lambda found: found.update(evictionStrategy="LiveMigrate"))
    create_vm(stage, VM, primary())
    stage.settle(10)
    stage.begin()
    for node in NODES:
        cordon(stage, node)
    edit_status(stage, VMIS, VM, lambda status: status.update(evacuationNodeName="node01"), by="eviction webhook")
    stage.settle(30)
    assert stage.cluster.get(VMIS, VM)["status"]["nodeName"] == "node01"  # type: ignore[index]
    return stage
