"""What a change of a running VM's template costs: exactly these requests."""

import asyncio
from collections.abc import Callable

import pytest
from tests import manifests
from tests.api import objects
from tests.api.objects import Json
from tests.api.world import VM, VMI, World

PATIENT = 5.0
ORIGIN = "/metadata/annotations/nicplug.io~1template-interfaces"


def template(body: Json) -> Json:
    """The part of a VM that users edit."""
    spec: Json = body["spec"]["template"]["spec"]
    return spec


def declare(world: World) -> None:
    """The admin lets a deleted entry unplug."""

    def change(body: Json) -> None:
        body["spec"]["configuration"]["network"] = {"hotplug": {"removalPolicy": "Declarative"}}

    world.server.modify("kubevirts", "kubevirt", change, namespace="kubevirt")


def delete_entry(body: Json, name: str) -> None:
    """What `kubectl apply` does when the entry is no longer in the file."""
    devices = template(body)["domain"]["devices"]
    devices["interfaces"] = [item for item in devices["interfaces"] if item["name"] != name]
    template(body)["networks"] = [item for item in template(body)["networks"] if item["name"] != name]


def report_links(world: World, name: str) -> None:
    """virt-handler: every link is as the spec asks for."""

    def change(body: Json) -> None:
        states = {item["name"]: item.get("state") for item in body["spec"]["domain"]["devices"]["interfaces"]}
        for row in body["status"]["interfaces"]:
            row["linkState"] = "down" if states.get(row["name"]) == "down" else "up"

    world.server.modify(VMI, name, change, status=True)


async def test_where_a_plugged_nic_comes_from_travels_in_the_patch_that_plugs_it(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    await world.plugged(VM, name, "blue")
    (patch,) = [request for request in world.work() if request.resource == VMI and not request.subresource]
    assert [(item["op"], item["path"]) for item in patch.body] == [
        ("test", "/metadata/uid"),
        ("test", "/spec/networks"),
        ("add", "/spec/networks"),
        ("test", "/spec/domain/devices/interfaces"),
        ("add", "/spec/domain/devices/interfaces"),
        ("test", ORIGIN),
        ("add", ORIGIN),
    ]
    assert [item["value"] for item in patch.body if item["path"] == ORIGIN] == ['["main"]', '["blue","main"]']


async def test_a_deleted_entry_asks_the_guest_by_one_patch_after_a_look_at_the_vm(world: World) -> None:
    declare(world)
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a", ["blue"]))
    await world.quiet()
    world.server.modify(VM, name, lambda body: delete_entry(body, "blue"))
    await world.until(lambda: world.written())
    await world.at_rest()
    assert world.written() == [f"patch {VM} {name} 200", f"patch {VMI} {name} 200"]
    (absent,) = [item for item in world.get(VMI, name)["spec"]["domain"]["devices"]["interfaces"] if "state" in item]
    assert (absent["name"], absent["state"]) == ("blue", "absent")


async def test_a_nic_whose_entries_the_instance_lost_leaves_the_guest_when_its_template_says_absent(
    world: World,
) -> None:
    """Nobody asked the guest, and nobody was told: the VMI was InterfacesReady with the NIC in the guest."""
    await world.operator(report_delay_seconds=0.05)
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")

    def forget(body: Json) -> None:
        delete_entry({"spec": {"template": body}}, "blue")

    world.server.modify(VM, name, lambda body: delete_entry(body, "blue"))
    await world.at_rest()
    world.server.modify(VMI, name, forget)
    await world.until(lambda: world.record(name, "blue").get("reason") == "EntryDeleted")

    def write_back(body: Json) -> None:
        template(body)["domain"]["devices"]["interfaces"].append({"name": "blue", "bridge": {}, "state": "absent"})
        template(body)["networks"].append({"name": "blue", "multus": {"networkName": "lan"}})

    world.server.modify(VM, name, write_back)
    await world.until(lambda: world.record(name, "blue").get("phase") == "InGuest")
    world.release(name, "blue")
    await world.until(lambda: manifests.pod_interface("blue") not in objects.requested(world.pod_of(name)))
    world.attach(name)
    await world.until(lambda: world.row(name, "blue").get("infoSource") is None)
    world.forget_row(name, "blue")
    await world.until(lambda: "blue" not in world.nics(VM, name) + world.nics(VMI, name))
    await world.until(lambda: not world.record(name, "blue"))
    await world.at_rest()


async def test_a_vm_s_owner_lets_a_deleted_entry_unplug_for_this_vm_alone(world: World) -> None:
    """The policy for removal could be set for the cluster only."""
    await world.operator(report_delay_seconds=PATIENT)
    names = [await world.running(objects.vm(name, ["blue"])) for name in ("a", "b")]
    for name in names:
        world.server.modify(VM, name, lambda body: delete_entry(body, "blue"))
    await world.until(lambda: world.condition("a", "RestartRequired", plural=VM) == "True")
    await world.quiet()
    word = {"nicplug.io/removal-policy": "Declarative"}
    world.server.modify(VM, "a", lambda body: body["metadata"].update(annotations=word))
    await world.until(lambda: "absent" in str(world.get(VMI, "a")["spec"]))
    await world.at_rest()
    assert "absent" not in str(world.get(VMI, "b")["spec"])


async def test_a_removal_policy_that_is_not_understood_is_told_and_takes_nothing_out(world: World) -> None:
    await world.operator(report_delay_seconds=0.05)
    name = await world.running(objects.vm("a", ["blue"]))
    word = {"nicplug.io/removal-policy": "Delete"}
    world.server.modify(VM, name, lambda body: body["metadata"].update(annotations=word))
    world.server.modify(VM, name, lambda body: delete_entry(body, "blue"))
    await world.until(lambda: world.condition(name, "InvalidHotplugPolicy") == "True")
    await world.at_rest()
    (row,) = [row for row in world.get(VMI, name)["status"]["conditions"] if row["type"] == "InvalidHotplugPolicy"]
    assert row["message"].endswith(
        'removal-policy of VirtualMachine default/a is "Delete", and has no effect: write Explicit or Declarative'
    )
    assert "absent" not in str(world.get(VMI, name)["spec"])


@pytest.mark.parametrize("policy", ["Explicit", "Declarative"])
async def test_a_deleted_entry_that_never_attached_is_gone_by_four_patches(world: World, policy: str) -> None:
    """Two for the NIC; one that says that the VMI is what its VM asks for, as it was at its start; one that changes
    nothing, and looks before the pod loses an element whether the spec still says so. Under Explicit the NIC was a
    ghost, Blocked and with RestartRequired, until it was written back with `state: absent`."""
    if policy == "Declarative":
        declare(world)
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    world.plug(VM, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)))
    await world.quiet()
    world.server.modify(VM, name, lambda body: delete_entry(body, "blue"))
    await world.until(lambda: world.nics(VMI, name) == ["main"] and not objects.requested(world.pod_of(name)))
    await world.until(lambda: len([line for line in world.written() if line == f"patch {VMI} {name} 200"]) == 4)
    assert world.get(VMI, name)["metadata"]["annotations"]["kubevirt.io/vm-generation"] == "3"
    await world.at_rest()
    assert world.condition(name, "InterfacesReady") == "True"
    assert world.condition(name, "RestartRequired", plural=VM) == ""
    assert not world.get(VMI, name)["status"].get("interfaceOperations")


async def test_a_nic_of_the_vmi_alone_costs_the_vm_nothing(world: World) -> None:
    declare(world)
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    await world.plugged(VMI, name, "mine")
    await world.quiet()
    world.server.modify(VM, name, lambda body: body["metadata"].setdefault("labels", {}).update(a="b"))
    await world.plugged(VM, name, "blue")
    assert world.nics(VMI, name) == ["main", "mine", "blue"]
    assert world.condition(name, "RestartRequired", plural=VM) == ""
    assert world.get(VMI, name)["metadata"]["annotations"]["nicplug.io/template-interfaces"] == '["blue","main"]'


async def test_a_nic_that_the_template_adopts_costs_one_small_patch(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    await world.plugged(VMI, name, "blue")
    await world.quiet()
    world.plug(VM, name, "blue")
    await world.until(lambda: world.written())
    await world.at_rest()
    (patch,) = world.work()
    assert [(item["op"], item["path"]) for item in patch.body] == [
        ("test", "/metadata/uid"),
        ("test", ORIGIN),
        ("add", ORIGIN),
    ]


@pytest.mark.parametrize("nic", ["blue", "main"])
async def test_a_link_that_is_set_at_once_costs_one_spec_patch_and_one_report(world: World, nic: str) -> None:
    await world.operator(report_delay_seconds=1.0)
    name = await world.running(objects.vm("a", ["blue"]))
    report_links(world, name)
    await world.quiet()

    def down(body: Json) -> None:
        for item in template(body)["domain"]["devices"]["interfaces"]:
            if item["name"] == nic:
                item["state"] = "down"

    world.server.modify(VM, name, down)
    await world.until(lambda: "down" in str(world.get(VMI, name)["spec"]))
    report_links(world, name)
    await world.until(lambda: len(world.written()) > 1)
    await world.at_rest()
    assert world.written() == [f"patch {VMI} {name} 200", f"patch {VMI}/status {name} 200"]
    assert world.record(name, nic) == {}
    assert world.is_ready(name)


CHANGES: tuple[tuple[str, Callable[[Json], object], str], ...] = (
    ("placement", lambda body: template(body).update(nodeSelector={"zone": "a"}), f"patch {VMI} a 200"),
    ("cores", lambda body: template(body)["domain"].update(cpu={"cores": 2}), f"patch {VM}/status a 200"),
)


@pytest.mark.parametrize(("change", "wanted"), [item[1:] for item in CHANGES], ids=[item[0] for item in CHANGES])
async def test_other_changes_cost_one_write(world: World, change: Callable[[Json], object], wanted: str) -> None:
    await world.operator(report_delay_seconds=0.05)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    world.server.modify(VM, name, change)
    await world.until(lambda: world.written())
    await world.at_rest()
    assert world.written()[0] == wanted
    assert all(line.startswith(f"patch {VMI}/status") for line in world.written()[1:]), "the new generation"


async def test_another_order_of_the_template_costs_nothing_of_the_vmi(world: World) -> None:
    await world.operator(report_delay_seconds=0.05)
    name = await world.running(objects.vm("a", ["blue", "green"]))
    await world.quiet()
    world.server.modify(VM, name, lambda body: template(body)["domain"]["devices"]["interfaces"].reverse())
    await asyncio.sleep(0.3)
    await world.at_rest()
    assert not [line for line in world.written() if VMI in line]
    assert world.condition(name, "RestartRequired", plural=VM) == ""


async def test_with_rollout_strategy_stage_a_nic_waits_in_the_template_and_says_so(world: World) -> None:
    """It flowed all the same: the field was honoured for the rest only."""
    world.set_rollout("Stage")
    await world.operator(report_delay_seconds=0.05)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("phase") == "Blocked")
    await world.until(lambda: world.condition(name, "RestartRequired", plural=VM) == "True")
    await world.at_rest()
    record = world.record(name, "blue")
    assert (record["path"], record["reason"]) == ("Restart", "RolloutStrategyStage")
    assert record["message"].endswith("vmRolloutStrategy of KubeVirt CR kubevirt/kubevirt is Stage")
    assert record["remedy"] == "Restart the VM, or set it to LiveUpdate"
    assert world.nics(VMI, name) == ["main"]
    assert not objects.requested(world.pod_of(name))
    # Not so what is asked of the VMI itself.
    await world.plugged(VMI, name, "mine")
    world.set_rollout("LiveUpdate")
    await world.until(lambda: "blue" in world.nics(VMI, name))
    await world.until(lambda: world.condition(name, "RestartRequired", plural=VM) == "")
