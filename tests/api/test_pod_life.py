"""What happens to launcher pods, and exactly what it makes the operator ask and write."""

import asyncio

import pytest
from tests.api import objects
from tests.api.objects import Json
from tests.api.world import POD, VM, VMI, World

GATE = "kubevirt.io/virtual-machine-unpaused"


async def test_a_pod_that_loses_its_label_costs_one_get_and_one_patch_and_is_followed_again(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vm("a"))
    pod = world.pod_of(name)["metadata"]["name"]
    uid = world.get(VMI, name)["metadata"]["uid"]
    await world.quiet()
    world.server.modify(POD, pod, lambda body: body["metadata"]["labels"].pop("kubevirt.io"))
    await world.until(lambda: world.get(POD, pod)["metadata"]["labels"].get("kubevirt.io") == "virt-launcher")
    await world.at_rest()
    assert [item.verb for item in world.server.requests if item.resource == POD and item.verb != "watch"] == [
        "get",
        "patch",
    ]
    assert world.written() == [f"patch pods {pod} 200"]
    assert world.phase(name) == "Running"
    await world.plugged(VM, name, "blue")
    assert world.get(VMI, name)["metadata"]["uid"] == uid


async def test_an_operator_that_was_away_when_the_label_went_finds_the_pod_too(world: World) -> None:
    first = await world.operator()
    name = await world.running(objects.vmi("a"))
    pod = world.pod_of(name)["metadata"]["name"]
    await world.stop(first)
    world.server.modify(POD, pod, lambda body: body["metadata"].pop("labels"))
    await world.operator()
    await world.until(lambda: world.get(POD, pod)["metadata"].get("labels", {}).get("kubevirt.io"))
    await world.at_rest()
    assert world.phase(name) == "Running"


async def test_a_vmi_without_its_pod_is_failed_after_one_get(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vmi("a"))
    pod = world.pod_of(name)["metadata"]["name"]
    await world.quiet()
    world.server.modify(POD, pod, lambda body: body["metadata"].pop("labels"))
    await world.until(lambda: "labels" in world.get(POD, pod)["metadata"])
    world.server.delete(POD, pod)
    await world.until(lambda: world.phase(name) == "Failed")
    await world.at_rest()
    assert len([item for item in world.server.requests if item.resource == POD and item.verb == "get"]) == 2
    assert world.get(VMI, name)["status"]["reason"] == "LauncherPodLost"


async def test_a_paused_guest_closes_its_gate_once_and_opens_it_once(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vmi("a"))
    pod = world.pod_of(name)["metadata"]["name"]
    assert _gate(world, pod) == "True"
    await world.quiet()
    world.server.modify(VMI, name, lambda body: _set_paused(body, "True"), status=True)
    await world.until(lambda: _gate(world, pod) == "False")
    world.server.modify(VMI, name, lambda body: _set_paused(body, "False"), status=True)
    await world.until(lambda: _gate(world, pod) == "True")
    await world.at_rest()
    assert [line for line in world.written() if "pods" in line] == [f"patch pods/status {pod} 200"] * 2


def _set_paused(body: Json, status: str) -> None:
    rows = [row for row in body["status"]["conditions"] if row["type"] != "Paused"]
    body["status"]["conditions"] = [*rows, {"type": "Paused", "status": status}]


def _gate(world: World, pod: str) -> str:
    rows = world.get(POD, pod)["status"].get("conditions", [])
    return str(next((row["status"] for row in rows if row["type"] == GATE), ""))


async def test_a_vm_that_fits_on_no_node_starts_when_its_selector_is_corrected(world: World) -> None:
    """KubeVirt carries the selector to the instance and leaves the old pod waiting for ever."""
    await world.operator()
    body = objects.vm("a")
    body["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "sdd"}
    world.server.create(VM, body)
    await world.until(lambda: world.has_pod("a") and world.phase("a") == "Scheduling")
    first, instance = world.pod_of("a")["metadata"], world.get(VMI, "a")["metadata"]["uid"]
    world.server.modify(POD, first["name"], _no_node, status=True)
    await world.until(lambda: world.get(VM, "a")["status"].get("printableStatus") == "ErrorUnschedulable")
    world.server.modify(VM, "a", lambda found: found["spec"]["template"]["spec"].update(nodeSelector={"disk": "ssd"}))
    # In one look: between two the first pod goes.
    await world.until(lambda: {item["metadata"]["uid"] for item in world.server.items(POD)} - {first["uid"]})
    assert world.pod_of("a")["spec"]["nodeSelector"] == {"disk": "ssd"}
    world.run_pod("a")
    await world.until(lambda: world.phase("a") == "Scheduled")
    assert world.get(VMI, "a")["metadata"]["uid"] == instance
    assert world.condition("a", "PodScheduled") == ""


def _no_node(body: Json) -> None:
    row = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    body["status"] = {"phase": "Pending", "conditions": [row]}


async def test_the_kubelet_s_words_about_an_image_reach_the_vmi_and_go_again(world: World) -> None:
    await world.operator(report_delay_seconds=0.05)
    world.server.create(VMI, objects.vmi("a"))
    await world.until(lambda: world.has_pod("a"))
    pod = world.pod_of("a")["metadata"]["name"]
    world.server.bind(pod, node="node01")
    for reason in ("ErrImagePull", "ImagePullBackOff"):
        _fail_pull(world, pod, reason)
        await world.until(lambda: world.condition("a", "Synchronized", member="reason") == reason)  # noqa: B023
        assert "no such host" in world.condition("a", "Synchronized", member="message")
    world.attach("a")
    world.run_pod("a")
    await world.until(lambda: world.phase("a") == "Scheduled")
    assert world.condition("a", "Synchronized") == ""


def _fail_pull(world: World, pod: str, reason: str) -> None:
    waiting = {"waiting": {"reason": reason, "message": f"{reason}: no such host"}}
    status = {"phase": "Pending", "containerStatuses": [{"name": "compute", "ready": False, "state": waiting}]}
    world.server.modify(POD, pod, lambda body: body.update(status=status), status=True)


async def test_a_pod_whose_network_fails_says_so_on_the_vm_and_no_more_when_it_is_up(world: World) -> None:
    """The VM said Starting, and nobody said why."""
    await world.operator(report_delay_seconds=0.05)
    world.server.create(VM, objects.vm("a"))
    await world.until(lambda: world.has_pod("a"))
    pod = world.pod_of("a")
    world.server.bind(pod["metadata"]["name"], node="node01")
    await world.until(lambda: world.phase("a") == "Scheduling")
    failed = objects.failure_event(pod, "sandbox")
    failed |= {"reason": "FailedCreatePodSandBox", "message": "plugin type multus failed (add): no bridge br1"}
    event = world.server.create("core/events", failed)
    await world.until(lambda: world.condition("a", "Synchronized", plural=VM, member="reason") == failed["reason"])
    assert world.condition("a", "Synchronized", plural=VM, member="message").endswith("on node01: no bridge br1")
    for count in range(2, 5):
        world.server.modify("core/events", event["metadata"]["name"], lambda body: body.update(count=count))  # noqa: B023
    await world.at_rest()
    told = [item for item in world.server.items("events") if item["reason"] == failed["reason"]]
    assert sorted((item["regarding"]["kind"], item.get("series")) for item in told) == [
        ("VirtualMachine", None),
        ("VirtualMachineInstance", None),
    ]
    world.attach("a")
    world.run_pod("a")
    await world.until(lambda: world.phase("a") == "Scheduled")
    assert world.condition("a", "Synchronized") == ""


async def test_a_pod_made_by_a_post_whose_answer_was_lost_does_not_outlive_its_vmi(world: World) -> None:
    """The VMI is deleted before anybody has heard of the pod."""
    await world.operator()
    world.server.fail(status=504, verb="create", resource=POD, times=1, when="after")
    world.server.create(VMI, objects.vmi("a"))
    await world.until(lambda: world.server.items(POD))
    world.server.delete(VMI, "a")
    await world.until(lambda: world.server.get(VMI, "a") is None)
    assert world.server.items(POD) == []


@pytest.mark.parametrize("finalizer", ["foregroundDeletion", "orphan"])
async def test_finalizers_of_the_garbage_collector_are_left_to_it(world: World, finalizer: str) -> None:
    """Foreground and orphaning deletion: the pod goes at once, the VMI when the garbage collector says so."""
    await world.operator()
    body = objects.vmi("a")
    body["metadata"]["finalizers"] = [finalizer]
    world.server.create(VMI, body)
    await world.until(lambda: world.has_pod("a"))
    if finalizer == "orphan":
        pod = world.pod_of("a")["metadata"]["name"]
        world.server.modify(POD, pod, lambda item: item["metadata"].pop("ownerReferences"))
    world.server.delete(VMI, "a")
    await world.until(lambda: not world.server.items(POD))
    await world.until(lambda: world.get(VMI, "a")["metadata"]["finalizers"] == [finalizer])
    await world.until(lambda: world.phase("a") == "Failed")
    await asyncio.sleep(0.1)
    world.server.modify(VMI, "a", lambda item: item["metadata"].update(finalizers=[]))
    await world.until(lambda: world.server.get(VMI, "a") is None)
