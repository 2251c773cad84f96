"""A NIC that the controller took back together with a failing one, while network-status goes on listing it."""

import asyncio
from datetime import timedelta

import pytest
from tests import manifests
from tests.api import objects
from tests.api.world import POD, VM, World

from nicplug.plan.nic import phantoms

NAD = "network-attachment-definitions"
BLUE, RED = manifests.pod_interface("blue"), manifests.pod_interface("red")


def list_interfaces(world: World, name: str, *interfaces: str) -> None:
    """Multus: network-status lists these, whatever the pod has."""
    status = {objects.NETWORK_STATUS: objects.network_status(interfaces)}
    pod = world.pod_of(name)["metadata"]["name"]
    world.server.modify(POD, pod, lambda body: body["metadata"]["annotations"].update(status))


async def test_one_whose_network_is_deleted_comes_to_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantoms, "PATIENCE", timedelta(seconds=1))
    world.server.create(NAD, manifests.nad("two"))
    world.deploy_controller("node01")
    await world.operator()
    name = await world.running(objects.vm("a"))

    def both(body: objects.Json) -> None:
        manifests.plug("blue")(body)
        manifests.plug("red", attachment="two")(body)

    world.server.modify(VM, name, both)
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE, RED])
    list_interfaces(world, name, BLUE)
    world.server.create("core/events", objects.failure_event(world.pod_of(name), RED, network="two"))
    await world.until(lambda: world.record(name, "blue").get("suspect"))
    world.server.delete(NAD, "lan")
    await world.until(lambda: world.record(name, "blue")["phase"] == "Blocked")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [RED])
    await world.at_rest()
    world.server.clear_requests()
    await asyncio.sleep(3)
    # Red may be asked for again within this time.
    assert len(world.written()) <= 2
    assert (world.record(name, "blue")["phase"], objects.requested(world.pod_of(name))) == ("Blocked", [RED])


async def test_it_is_detached_and_asked_for_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantoms, "PATIENCE", timedelta(seconds=1))
    world.deploy_controller("node01")
    await world.operator()
    name = await world.running(objects.vm("a"))

    def both(body: objects.Json) -> None:
        manifests.plug("blue")(body)
        manifests.plug("red")(body)

    world.server.modify(VM, name, both)
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE, RED])
    list_interfaces(world, name, BLUE)
    world.server.create("core/events", objects.failure_event(world.pod_of(name), RED))
    await world.until(lambda: world.record(name, "blue").get("suspect"))
    assert world.record(name, "blue")["phase"] == "InPod"
    await world.until(lambda: objects.requested(world.pod_of(name)) == [])
    await world.at_rest()
    assert objects.requested(world.pod_of(name)) == [], "while it is listed, nobody is asked for"
    list_interfaces(world, name)
    await world.until(lambda: BLUE in objects.requested(world.pod_of(name)))
    list_interfaces(world, name, BLUE)
    await world.until(lambda: world.row(name, "blue").get("infoSource") == "multus-status")
    world.run_guest(name)
    await world.until(lambda: world.record(name, "blue").get("phase") == "Ready")
    record = world.record(name, "blue")
    assert (record["attempts"], "suspect" in record) == (2, False)
