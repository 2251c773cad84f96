"""VMs that are migrated: by nicplug, by users, and what comes in between."""

from tests.sim.cluster import MIGRATIONS, PODS, VMIS, Json, is_live, is_target, launcher_pods
from tests.sim.kubelet import end_pod
from tests.stories.people import (
    VM,
    a_stage,
    annotate,
    bring_node_back,
    cancel,
    guest,
    lose_node,
    migrate,
    plug,
    pod_of,
    record,
)
from tests.stories.stage import Stage
from tests.stories.telling import story

NODES = ("node01", "node02")
THREE_NODES = ("node01", "node02", "node03")


def phase(stage: Stage, name: str = "job") -> str:
    """The phase of a migration."""
    job = stage.cluster.get(MIGRATIONS, name)
    found: str = ((job or {}).get("status") or {}).get("phase", "")
    return found


def target_of(stage: Stage) -> Json:
    """The target pod that lives."""
    (pod,) = [item for item in launcher_pods(stage.cluster) if is_target(stage.cluster, item) and is_live(item)]
    return pod


@story
def user_migrates() -> Stage:
    """A user migrates a VM, and its NIC comes with it

    nicplug may not migrate the VM itself, as its owner says; what a person asks for is carried out.
    """
    stage = a_stage(nodes=NODES, has_controllers=False)
    annotate(stage, "nicplug.io/migration", "Never")
    plug(stage, "blue")
    stage.settle()
    stage.chapter("The owner migrates the VM.")
    migrate(stage)
    stage.settle()
    assert phase(stage) == "Succeeded"
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def cancelled_before_the_hand_off() -> Stage:
    """A migration is deleted before the guest is handed over

    Until then nothing of the VM has been touched: the target pod goes, and that is all.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node02"].has_room = False
    migrate(stage)
    stage.settle(3)
    before = pod_of(stage)
    cancel(stage)
    stage.settle()
    assert pod_of(stage) == before
    assert not stage.cluster.all(MIGRATIONS)
    return stage


@story
def cancelled_during_the_copy() -> Stage:
    """A migration is deleted while the node agents have the guest

    They are asked to stop, and the migration ends when they have.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node01"].sends_guests = False
    migrate(stage)
    stage.settle(5)
    cancel(stage)
    stage.settle()
    assert not stage.cluster.all(MIGRATIONS)
    assert stage.cluster.get(VMIS, VM)["status"]["nodeName"] == "node01"  # type: ignore[index]
    return stage


@story
def nic_while_the_target_pod_waits() -> Stage:
    """A NIC is asked for while the target pod waits for room

    The running pod gets it at once; the target pod, which was made without it, is replaced by one that has it.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node02"].has_room = False
    migrate(stage)
    stage.settle(3)
    plug(stage, "blue")
    stage.settle(5)
    assert guest(stage) == ["default", "blue"]
    stage.chapter("node02 has room again.")
    stage.cluster.machines["node02"].has_room = True
    stage.settle()
    assert phase(stage) == "Succeeded"
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def nic_during_the_copy() -> Stage:
    """A NIC is asked for while the guest is copied

    The node agents have the guest, so the NIC is served right after the migration.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node01"].sends_guests = False
    migrate(stage)
    stage.settle(5)
    plug(stage, "blue")
    stage.settle(3)
    assert record(stage, "blue")["reason"] == "AfterMigration"
    stage.chapter("The copy begins.")
    stage.cluster.machines["node01"].sends_guests = True
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def target_pod_finds_no_node() -> Stage:
    """The scheduler finds no node for the target pod

    After five minutes the migration fails, and the VM stays where it is.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node02"].has_room = False
    migrate(stage)
    stage.settle(400)
    assert phase(stage) == "Failed"
    return stage


@story
def target_pod_never_runs() -> Stage:
    """The image of the target pod cannot be pulled

    After fifteen minutes the migration fails, and the VM stays where it is.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node02"].pulls_images = False
    migrate(stage)
    stage.settle(1000)
    assert phase(stage) == "Failed"
    return stage


@story
def guest_dies_during_the_copy() -> Stage:
    """The guest crashes while it is copied

    The migration fails, the target pod goes, and the VM is started again as its run strategy says.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node01"].sends_guests = False
    migrate(stage)
    stage.settle(5)
    pod = stage.cluster.get(PODS, pod_of(stage))
    assert pod is not None
    end_pod(stage.cluster, pod, "Failed")
    stage.settle()
    assert phase(stage) == "Failed"
    return stage


@story
def target_pod_is_lost() -> Stage:
    """Somebody deletes the target pod before the hand-off

    The migration of a user fails; the VM stays where it is.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node02"].has_room = False
    migrate(stage)
    stage.settle(3)
    stage.cluster.delete(PODS, target_of(stage)["metadata"]["name"], by="somebody")
    stage.settle()
    assert phase(stage) == "Failed"
    return stage


@story
def source_node_is_lost_during_the_copy() -> Stage:
    """The node that a guest leaves is lost during the copy

    Nobody can say where the guest runs, so the migration is not ended. The node comes back, and it goes on.
    """
    stage = a_stage(nodes=NODES)
    migrate(stage)
    stage.settle(until=lambda: phase(stage) == "Running")
    lose_node(stage, "node01")
    stage.settle(400)
    assert phase(stage) == "Running"
    stage.chapter("The node is back.")
    bring_node_back(stage, "node01")
    stage.settle()
    assert phase(stage) == "Succeeded"
    return stage


@story
def silent_agents() -> Stage:
    """The node agent of the target does not answer

    After five minutes the node agents are asked to stop, and the migration fails.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.machines["node02"].takes_guests = False
    migrate(stage)
    stage.settle(400)
    assert phase(stage) == "Failed"
    return stage
