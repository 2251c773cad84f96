"""`onFailure: Rollback` over the API: one patch takes a NIC back, whatever happens to the operator meanwhile."""

import json
from typing import Any

from tests import manifests
from tests.api import objects
from tests.api.objects import Json
from tests.api.world import MIGRATION, POD, VM, VMI, World
from tests.fakes.faults import Fault

NOTE = "nicplug.io/rolled-back-interfaces"
POLICY = {"nicplug.io/on-failure": "Rollback", "nicplug.io/dynamic-timeout": "1s"}


async def asked(world: World, *, kind: str = VM, **options: Any) -> str:
    """A running VM, or VMI, whose new NIC the controller is asked for, and does not attach."""
    world.deploy_controller("node01")
    await world.operator(**options)
    body = objects.vm("a") if kind == VM else objects.vmi("a")
    body["metadata"]["annotations"] = dict(POLICY)
    name = await world.running(body)
    await world.quiet()
    world.plug(kind, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)))
    return name


def note(world: World, name: str = "a") -> Any:
    """What the annotation says; None without one."""
    text = world.get(VMI, name)["metadata"].get("annotations", {}).get(NOTE)
    return json.loads(text) if text else None


def spec_patches(world: World) -> list[str]:
    """The patches of the VMI's lists that were carried out."""
    return [
        request.resource
        for request in world.work()
        if (request.verb, request.resource, request.subresource, request.code) == ("patch", VMI, "", 200)
        and any("/spec/" in operation["path"] for operation in request.body or [])
    ]


async def is_rolled_back(world: World, name: str = "a") -> None:
    """It is in neither spec nor pod, and nobody does anything more."""
    await world.until(lambda: world.record(name, "blue").get("reason") == "RolledBack" and note(world, name))
    await world.at_rest()
    assert (world.nics(VM, name), world.nics(VMI, name)) == (["main", "blue"], ["main"])
    assert objects.requested(world.pod_of(name)) == []
    assert world.record(name, "blue")["phase"] == "Failed"
    assert world.server.items(MIGRATION) == []


async def test_a_nic_is_taken_back_by_one_patch(world: World) -> None:
    name = await asked(world)
    await is_rolled_back(world)
    assert len(spec_patches(world)) == 2, "it came, and it went"
    assert len([item for item in world.work() if (item.resource, item.subresource) == (POD, "")]) == 2
    assert world.condition(name, "InterfacesReady") == "False"

    def told() -> str:
        return world.condition(name, "InterfacesReady", plural=VM, member="message")

    # The VM's status follows the instance's a moment later.
    await world.until(lambda: "change its entry or onFailure" in told())


async def test_an_answer_that_is_lost_takes_nothing_back_twice(world: World) -> None:
    await asked(world)
    world.server.inject(Fault(resource=VMI, verb="patch", subresource="", when="after", drop=True))
    await is_rolled_back(world)
    assert len(spec_patches(world)) <= 2


async def test_the_next_operator_leaves_it_as_it_is(world: World) -> None:
    world.deploy_controller("node01")
    first = await world.operator()
    body = objects.vm("a")
    body["metadata"]["annotations"] = dict(POLICY)
    await world.running(body)
    world.plug(VM, "a", "blue")
    await is_rolled_back(world)
    await world.at_rest(seconds=1)  # its last reports may still wait, on a busy machine longer than rest is waited for
    await world.stop(first)
    world.server.clear_requests()
    await world.operator()
    await world.at_rest()
    assert world.written() == []


async def test_an_operator_that_dies_before_it_has_told_leaves_it_taken_back(world: World) -> None:
    world.deploy_controller("node01")
    first = await world.operator()
    body = objects.vm("a")
    body["metadata"]["annotations"] = dict(POLICY)
    name = await world.running(body)
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("waitingSince"))
    world.server.fail(status=503, resource=VMI, subresource="status", times=999)
    await world.until(lambda: note(world))
    await world.stop(first)
    world.server.heal()
    await world.operator()
    await is_rolled_back(world)


async def test_a_nic_that_its_owner_changes_is_served_anew(world: World) -> None:
    name = await asked(world)
    await is_rolled_back(world)

    def correct(body: Json) -> None:
        devices = body["spec"]["template"]["spec"]["domain"]["devices"]
        devices["interfaces"][1]["macAddress"] = "02:00:00:00:00:07"

    world.server.modify(VM, name, correct)
    await world.until(lambda: objects.requested(world.pod_of(name)))
    world.attach(name)
    await world.until(lambda: world.row(name, "blue").get("infoSource") == "multus-status")
    world.run_guest(name)
    await world.until(lambda: world.record(name, "blue").get("phase") == "Ready")
    await world.at_rest()
    assert note(world) is None


async def test_the_entries_of_a_vmi_without_a_vm_stay(world: World) -> None:
    name = await asked(world, kind=VMI)
    await world.until(lambda: world.record(name, "blue").get("reason") == "RolledBack" and note(world))
    await world.at_rest()
    assert (world.nics(VMI, name), objects.requested(world.pod_of(name))) == (["main", "blue"], [])
    world.plug(VMI, name, "green")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [manifests.pod_interface("green")])
    assert world.record(name, "blue")["reason"] == "RolledBack"
