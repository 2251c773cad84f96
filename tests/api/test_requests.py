"""What a change costs: exactly these requests, in this order, and none for changes that mean nothing."""

import asyncio
import json
from collections.abc import Callable

from tests import manifests
from tests.api import objects
from tests.api.objects import NETWORK_STATUS, NETWORKS, Json
from tests.api.world import POD, VM, VMI, World
from tests.manifests import pod_interface

from nicplug.kube.connect import connect
from nicplug.kube.resources import VIRTUAL_MACHINES

# Reports that nobody acts on never fall due, whatever the machine is busy with.
PATIENT = 5.0


async def test_a_bare_vmi_starts_with_six_writes(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vmi("a", ["blue"]))
    pod = world.pod_of(name)["metadata"]["name"]
    assert world.written() == [
        "patch virtualmachineinstances a 200",  # the finalizer
        f"create pods {pod} 201",
        "patch virtualmachineinstances a 200",  # the node's name
        f"patch pods/status {pod} 200",  # its readiness gate
        "patch virtualmachineinstances/status a 200",  # Scheduled, and the rows
        "patch virtualmachineinstances/status a 200",  # Ready
    ]


async def test_a_vm_starts_with_one_write_more_on_itself_per_state_worth_seeing(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    pod = world.pod_of(name)["metadata"]["name"]
    revision = f"revision-start-vm-{world.get(VM, name)['metadata']['uid']}-1"
    of_the_vm = [line for line in world.written() if line == "patch virtualmachines/status a 200"]
    assert [line for line in world.written() if line not in of_the_vm] == [
        "patch virtualmachines a 200",  # the finalizer
        f"create controllerrevisions {revision} 201",
        "create virtualmachineinstances a 201",
        f"create pods {pod} 201",
        "patch virtualmachineinstances a 200",
        f"patch pods/status {pod} 200",
        "patch virtualmachineinstances/status a 200",
        "patch virtualmachineinstances/status a 200",
    ]
    assert 1 <= len(of_the_vm) <= 2


async def test_a_hot_plug_on_a_vm_costs_one_spec_one_pod_and_two_status_patches(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    pod = world.pod_of(name)["metadata"]["name"]
    await world.quiet()
    await world.plugged(VM, name, "blue")
    await world.at_rest()
    assert world.written() == [
        "patch virtualmachineinstances a 200",
        f"patch pods {pod} 200",
        "patch virtualmachineinstances/status a 200",
        "patch virtualmachineinstances/status a 200",
    ]


async def test_the_patches_of_a_hot_plug_say_what_they_have_seen_and_what_they_want(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vmi("a"))
    pod = world.pod_of(name)
    await world.quiet()
    await world.plugged(VMI, name, "blue")
    annotation = f"/metadata/annotations/{NETWORKS.replace('/', '~1')}"
    interface = pod_interface("blue")
    [patch] = world.server.writes(POD)
    assert patch.body == [
        {"op": "test", "path": "/metadata/uid", "value": pod["metadata"]["uid"]},
        {"op": "test", "path": annotation, "value": None},
        {
            "op": "add",
            "path": annotation,
            "value": f'[{{"name":"lan","namespace":"default","interface":"{interface}"}}]',
        },
    ]
    assert patch.content_type == "application/json-patch+json"
    first, second = (request for request in world.work() if request.resource == VMI)
    for status in (first, second):
        assert status.subresource == "status"
        assert {item["op"] for item in status.body} <= {"test", "add", "remove"}
        tested = {item["path"] for item in status.body if item["op"] == "test"}
        assert {item["path"] for item in status.body if item["op"] != "test"} <= tested
    assert world.row(name, "blue") == {
        "name": "blue",
        "infoSource": "domain, multus-status",
        "podInterfaceName": interface,
    }


async def test_two_nics_in_one_apply_reach_the_pod_in_one_patch(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    await world.quiet()

    def change(body: Json) -> None:
        manifests.plug("blue")(body)
        manifests.plug("green")(body)

    world.server.modify(VM, name, change)
    await world.until(lambda: len(objects.requested(world.pod_of(name))) == 2)
    world.attach(name)
    await world.until(lambda: world.row(name, "green").get("infoSource") == "multus-status")
    world.run_guest(name)
    await world.until(lambda: world.is_ready(name))
    await world.at_rest()
    assert [line.split()[1] for line in world.written()] == [VMI, POD, f"{VMI}/status", f"{VMI}/status"]


async def test_an_unplug_lets_the_guest_go_first_and_ends_with_an_empty_annotation(world: World) -> None:
    await world.operator(report_delay_seconds=0.05)
    name = await world.running(objects.vm("a", ["blue"]))
    await world.quiet()
    world.unplug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "WaitingForGuestRelease")
    assert world.server.writes(POD) == []
    world.release(name, "blue")
    await world.until(lambda: world.pod_of(name)["metadata"]["annotations"][NETWORKS] == "")
    world.attach(name)
    await world.until(lambda: "infoSource" not in world.row(name, "blue"))
    world.forget_row(name, "blue")
    await world.until(lambda: world.nics(VMI, name) == ["main"] and world.nics(VM, name) == ["main"])
    await world.until(lambda: not world.record(name, "blue") and world.is_ready(name))
    assert len(world.server.writes(POD)) == 1


def _label(body: Json) -> None:
    body["metadata"].setdefault("labels", {})["seen"] = "yes"


def _annotate(body: Json) -> None:
    body["metadata"].setdefault("annotations", {})["note"] = "nothing"


def _agent_info(body: Json) -> None:
    body["status"]["guestOSInfo"] = {"name": "Fedora"}


def _pod_noise(body: Json) -> None:
    body["status"]["podIPs"] = [{"ip": "10.0.0.9"}]


def _reordered_status(body: Json) -> None:
    rows = json.loads(body["metadata"]["annotations"][NETWORK_STATUS])
    body["metadata"]["annotations"][NETWORK_STATUS] = json.dumps(rows[::-1])


NOISE: tuple[tuple[str, Callable[[Json], None], bool], ...] = (
    (VM, _label, False),
    (VM, _annotate, False),
    (VMI, _annotate, False),
    (VMI, _agent_info, True),
    (POD, _label, False),
    (POD, _pod_noise, True),
    (POD, _reordered_status, False),
)


async def test_noise_costs_no_write(world: World) -> None:
    await world.operator()
    names = {"vm": await world.running(objects.vm("a", ["blue"])), "vmi": await world.running(objects.vmi("b"))}
    await world.quiet()
    for plural, change, status in NOISE:
        target = world.pod_of(names["vm"])["metadata"]["name"] if plural == POD else names["vm"]
        world.server.modify(plural, target, change, status=status)
    # Another NIC's go-ahead comes behind the noise, so that the noise has been taken in.
    world.plug(VMI, names["vmi"], "blue")
    await world.until(lambda: world.server.writes(POD))
    await world.until(lambda: "b" in {request.name for request in world.work()})  # its report waits a moment
    await world.at_rest()
    assert {request.name for request in world.work()} == {"b", world.pod_of("b")["metadata"]["name"]}


async def test_objects_of_others_cost_no_request_at_all(world: World) -> None:
    await world.operator()
    await world.running(objects.vm("a"))
    await world.quiet()
    world.server.create(POD, {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {"containers": []}})
    world.server.create("network-attachment-definitions", {"metadata": {"name": "wan"}, "spec": {"config": "{}"}})
    world.server.create("namespaces", {"metadata": {"name": "other"}})
    world.server.bookmark()
    await asyncio.sleep(0.5)
    assert world.server.requests == []


async def test_a_restarted_operator_writes_nothing_to_what_is_at_rest(world: World) -> None:
    first = await world.operator()
    for index in range(3):
        await world.running(objects.vm(f"a{index}", ["blue"]))
    await world.stop(first)
    await world.quiet()
    await world.operator()
    await world.at_rest()
    assert world.written() == []


async def test_two_changes_five_milliseconds_apart_are_both_served(world: World) -> None:
    """Kopf's change detection holds the second back until the first has been written (docs/adr/0001, trap E)."""
    await world.operator()
    name = await world.running(objects.vm("a"))
    world.plug(VM, name, "blue")
    await asyncio.sleep(0.005)
    world.plug(VM, name, "green")
    wanted = {pod_interface("blue"), pod_interface("green")}
    await world.until(lambda: set(objects.requested(world.pod_of(name))) == wanted)
    assert world.nics(VMI, name) == ["main", "blue", "green"]


async def test_a_change_right_after_a_write_that_changed_nothing_is_served(world: World) -> None:
    """Kopf waits for the echo of a patch, and a patch that changes nothing has none (docs/adr/0001, trap F)."""
    await world.operator()
    name = await world.running(objects.vm("a"))
    connection = await connect(kubeconfig=world.kubeconfig)
    await connection.api.patch(VIRTUAL_MACHINES, [], name=name, namespace="default")
    await connection.close()
    world.plug(VM, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])


async def test_the_operator_leaves_no_trace_of_kopf_on_objects(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    for plural in (VM, VMI):
        body = world.get(plural, name)
        assert not any("kopf" in key for key in body["metadata"].get("annotations", {}))
        assert not any("kopf" in item for item in body["metadata"]["finalizers"])
        assert "kopf" not in body.get("status", {})
