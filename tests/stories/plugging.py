"""NICs that are plugged and unplugged in place."""

from tests.build import nic, primary
from tests.sim.cluster import VMIS
from tests.stories.people import (
    VM,
    a_stage,
    change_network,
    change_nic,
    create_vm,
    guest,
    plug,
    pod_of,
    record,
    remove_entry,
    unplug,
)
from tests.stories.stage import Stage
from tests.stories.telling import story


@story
def plug_in_place() -> Stage:
    """A NIC is plugged in place

    The user adds an interface and a network to the template of a VM that runs. The dynamic networks controller on its
    node works.
    """
    stage = a_stage()
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert (record(stage, "blue")["path"], record(stage, "blue")["phase"]) == ("Dynamic", "Ready")
    return stage


@story
def plug_several_at_once() -> Stage:
    """Three NICs are plugged by one change

    The pod is asked for all of them by one patch, and they arrive together.
    """
    stage = a_stage()
    plug(stage, "red", "blue", "green")
    stage.settle()
    assert guest(stage) == ["default", "red", "blue", "green"]
    return stage


@story
def unplug_in_place() -> Stage:
    """A NIC is unplugged in place

    The guest lets go first, then the pod, then the entries go from the template and from the instance.
    """
    stage = a_stage(nic("red"), nic("blue"))
    unplug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "red"]
    assert record(stage, "blue") == {}
    return stage


@story
def link_down_and_up() -> Stage:
    """The link of a NIC is set down, and up again

    Nothing is asked of the pod: the node agent sets the link.
    """
    stage = a_stage(nic("blue"))
    change_nic(stage, "blue", state="down")
    stage.settle()
    stage.chapter("The user sets it up again.")
    change_nic(stage, "blue", state="up")
    stage.settle()
    assert record(stage, "blue").get("reason") in (None, "Attached", "LinkSet")
    return stage


@story
def start_with_nics() -> Stage:
    """A VM is created with a NIC, and starts

    The launcher pod is made with all networks of the template, so nothing has to be hot-plugged.
    """
    stage = a_stage(is_bare=True, name="another")
    create_vm(stage, VM, primary(), nic("blue"))
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def bare_instance() -> Stage:
    """A NIC is plugged into an instance without a VM, and unplugged

    Nobody else edits the instance's spec, so the user writes there.
    """
    stage = a_stage(is_bare=True)
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    stage.chapter("The user asks for the NIC to go.")
    unplug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default"]
    return stage


@story
def unplug_before_it_came() -> Stage:
    """A NIC is taken back before it has come

    The controller does not answer, the user changes their mind. The guest never had the NIC, so nobody waits for it.
    """
    stage = a_stage()
    stage.silence("dynamic networks controller")
    plug(stage, "blue")
    stage.settle(3)
    stage.chapter("The user takes the NIC back; the controller answers again.")
    unplug(stage, "blue")
    stage.settle(1)
    stage.resume("dynamic networks controller")
    stage.settle()
    assert guest(stage) == ["default"]
    assert record(stage, "blue") == {}
    assert stage.cluster.get(VMIS, VM)["spec"]["domain"]["devices"]["interfaces"] == [primary()[0]]  # type: ignore[index]
    return stage


@story
def plug_again_while_it_goes() -> Stage:
    """A NIC is asked for again while it is on its way out

    The guest has let it go, the pod still has it, and the user takes `state: absent` back.
    """
    stage = a_stage(nic("blue"))
    unplug(stage, "blue")
    stage.settle(until=lambda: "blue" not in guest(stage))
    stage.chapter("The guest has let the NIC go. The user wants it back.")
    change_nic(stage, "blue", state=None)
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def another_mac_address() -> Stage:
    """The MAC address of a NIC in the guest is changed

    A NIC keeps the address that it was plugged with: the change waits for a restart.
    """
    stage = a_stage(nic("blue", mac="02:00:00:00:00:01"))
    change_nic(stage, "blue", macAddress="02:00:00:00:00:02")
    stage.settle()
    return stage


@story
def mac_address_is_corrected() -> Stage:
    """A NIC is asked for with a malformed MAC address, which is then corrected

    Nothing of it reaches the pod: one bad element would stop all behind it.
    """
    stage = a_stage()
    plug(stage, nic("blue", mac="02:00:00:00:00"), nic("green"))
    stage.settle()
    assert guest(stage) == ["default", "green"]
    stage.chapter("The user corrects the address.")
    change_nic(stage, "blue", macAddress="02:00:00:00:00:01")
    stage.settle()
    assert "blue" in guest(stage)
    return stage


@story
def entry_is_deleted() -> Stage:
    """A NIC is deleted from the template without being unplugged first

    With removalPolicy Explicit that is not an order: the guest keeps the NIC until somebody says what is meant.
    """
    stage = a_stage(nic("blue"))
    remove_entry(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def entry_is_deleted_declarative() -> Stage:
    """A NIC is deleted from the template, and the policy takes that for an order

    removalPolicy is Declarative, as for manifests that are applied from Git.
    """
    stage = a_stage(nic("blue"), hotplug={"removalPolicy": "Declarative"})
    remove_entry(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default"]
    return stage


@story
def another_network_for_a_nic() -> Stage:
    """A NIC in the guest is put on another network

    That takes a new pod, so the VM is migrated.
    """
    stage = a_stage(nic("blue"), nodes=("node01", "node02"))
    before = pod_of(stage)
    change_network(stage, "blue", "green-net")
    stage.settle()
    assert pod_of(stage) != before
    return stage
