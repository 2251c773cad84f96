"""NICs that nothing is done for as things are: the record says why, and what has to change."""

from tests.build import nic
from tests.stories.people import (
    a_stage,
    annotate,
    configure,
    cordon,
    create_network,
    edit_network,
    guest,
    plug,
    record,
    set_condition,
    set_gates,
    set_policy,
    set_strategy,
    uncordon,
    unplug,
)
from tests.stories.stage import Stage
from tests.stories.telling import story

NODES = ("node01", "node02")


@story
def network_does_not_exist() -> Stage:
    """A NIC's network does not exist, and is created later

    Nobody has to ask again: the NIC is plugged when the network attachment definition is there.
    """
    stage = a_stage(networks=("red",))
    plug(stage, "blue")
    stage.settle()
    assert record(stage, "blue")["reason"] == "NetworkAttachmentDefinitionMissing"
    stage.chapter("The admin creates the network.")
    create_network(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def network_is_changed() -> Stage:
    """A network attachment definition is changed under a NIC

    Nothing is done by itself: the record says that the NIC goes on as it was attached.
    """
    stage = a_stage(nic("blue"))
    edit_network(stage, "blue", {"type": "bridge", "mtu": 9000})
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def network_of_a_namespace_that_is_not_shared() -> Stage:
    """A NIC is on a network that the cluster's policy does not let the VM use

    Whether the network exists is said only when the VM may use it: it does not.
    """
    stage = a_stage(hotplug={"nadPolicy": "SameNamespace"})
    plug(stage, nic("blue", attachment="ops/blue-net"))
    stage.settle()
    assert record(stage, "blue")["reason"] == "NetworkNotAllowed"
    stage.chapter("The admin shares the namespace.")
    set_policy(stage, sharedNamespaces=["ops"])
    stage.settle()
    assert record(stage, "blue")["reason"] == "NetworkAttachmentDefinitionMissing"
    return stage


@story
def name_that_does_not_reach_a_pod() -> Stage:
    """A NIC has a name that KubeVirt does not allow

    It never reaches the pod; the NIC beside it is plugged.
    """
    stage = a_stage()
    plug(stage, nic("Blue/1", attachment="blue-net"), nic("green"))
    stage.settle()
    assert guest(stage) == ["default", "green"]
    return stage


@story
def no_pci_slot() -> Stage:
    """The guest has no PCI slot left

    Neither is the pod asked nor the VM migrated: only a restart brings slots. When another NIC leaves, this one comes.
    """
    stage = a_stage()
    plug(stage, *(nic(f"n{number}", attachment="red-net") for number in range(7)))
    stage.settle()
    stage.begin()
    plug(stage, "blue")
    stage.settle()
    assert record(stage, "blue")["reason"] == "NoPciSlot"
    stage.chapter("The user unplugs another NIC.")
    unplug(stage, "n3")
    stage.settle()
    assert "blue" in guest(stage)
    return stage


@story
def feature_gate_is_off() -> Stage:
    """Hot-plug is switched off, and then on

    The record names the line that is missing in the KubeVirt CR.
    """
    stage = a_stage()
    set_gates(stage)
    plug(stage, "blue")
    stage.settle()
    assert record(stage, "blue")["reason"] == "FeatureGateDisabled"
    stage.chapter("The admin switches it on.")
    set_gates(stage, "HotplugNICs")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def rollout_strategy_stage() -> Stage:
    """Changes of the template wait for a restart

    vmRolloutStrategy is Stage. What is asked of the instance itself would flow.
    """
    stage = a_stage()
    configure(stage, lambda found: found.update(vmRolloutStrategy="Stage"))
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default"]
    stage.chapter("The admin sets LiveUpdate.")
    configure(stage, lambda found: found.update(vmRolloutStrategy="LiveUpdate"))
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def stopped_vm() -> Stage:
    """A NIC is added to a VM that is stopped

    There is nothing to hot-plug: the VM starts with it.
    """
    stage = a_stage()
    set_strategy(stage, "Halted")
    stage.settle()
    stage.chapter("The VM is stopped. The user adds a NIC, and starts the VM.")
    plug(stage, "blue")
    stage.settle()
    set_strategy(stage, "Always")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def binding_that_needs_a_restart() -> Stage:
    """A NIC has a binding that cannot follow a running VM

    Only bridge and SR-IOV can.
    """
    stage = a_stage()
    plug(stage, nic("blue", binding="macvtap"))
    stage.settle()
    assert record(stage, "blue")["reason"] == "BindingNeedsRestart"
    return stage


@story
def not_migratable() -> Stage:
    """The NIC cannot come in place, and the VM cannot be migrated

    The record quotes the condition LiveMigratable. When the node agent says that it can, the VM is migrated.
    """
    stage = a_stage(nodes=NODES, has_controllers=False)
    why = {"reason": "DisksNotLiveMigratable", "message": "cannot migrate VMI with non-shared PVCs"}
    set_condition(stage, "LiveMigratable", "False", **why)
    plug(stage, "blue")
    stage.settle()
    assert record(stage, "blue")["reason"] == "NotLiveMigratable"
    stage.chapter("The disk is replaced by a shared one.")
    set_condition(stage, "LiveMigratable", "True")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def migration_never() -> Stage:
    """The NIC cannot come in place, and the owner does not want the VM to be migrated

    Annotation nicplug.io/migration: Never. A migration that somebody makes brings the NIC all the same.
    """
    stage = a_stage(nodes=NODES, has_controllers=False)
    annotate(stage, "nicplug.io/migration", "Never")
    plug(stage, "blue")
    stage.settle()
    assert record(stage, "blue")["reason"] == "MigrationForbidden"
    return stage


@story
def no_node_can_take_the_vm() -> Stage:
    """The NIC cannot come in place, and no other node can take the VM

    Said within a moment, with what is against each node. A node that is uncordoned is noticed.
    """
    stage = a_stage(nodes=NODES, has_controllers=False)
    cordon(stage, "node02")
    plug(stage, "blue")
    stage.settle()
    assert record(stage, "blue")["reason"] == "NoCandidateNode"
    stage.chapter("The admin uncordons node02.")
    uncordon(stage, "node02")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def dynamic_path_always() -> Stage:
    """A NIC shall come in place or not at all, and no controller runs

    dynamicPath is Always; the admin then sets Auto.
    """
    stage = a_stage(nodes=NODES, has_controllers=False, hotplug={"dynamicPath": "Always"})
    plug(stage, "blue")
    stage.settle()
    assert record(stage, "blue")["reason"] == "NoDynamicController"
    stage.chapter("The admin sets Auto.")
    set_policy(stage, dynamicPath="Auto")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage
