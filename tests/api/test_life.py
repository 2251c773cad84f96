"""The lives of VMs, VMIs and pods: start, stop, loss, deletion at any moment, names that are taken."""

import asyncio

import pytest
from tests.api import objects
from tests.api.objects import Json
from tests.api.world import POD, VM, VMI, World
from tests.manifests import pod_interface


def _halt(body: Json) -> None:
    body["spec"]["runStrategy"] = "Halted"


def _start(body: Json) -> None:
    body["spec"]["runStrategy"] = "Always"


def _printable(world: World, name: str) -> str:
    return str(world.get(VM, name).get("status", {}).get("printableStatus", ""))


async def test_a_halted_vm_has_nothing_and_starts_when_told_to(world: World) -> None:
    await world.operator()
    world.server.create(VM, objects.vm("a", running=False))
    await world.until(lambda: _printable(world, "a") == "Stopped")
    assert world.server.items(VMI) == []
    world.server.modify(VM, "a", _start)
    await world.until(lambda: world.has_pod("a"))
    assert world.get(VMI, "a")["metadata"]["labels"]["app"] == "a"


async def test_a_halted_vm_takes_its_pod_along_and_may_start_again(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vm("a", ["blue"]))
    first = world.get(VMI, name)["metadata"]["uid"]
    world.server.modify(VM, name, _halt)
    await world.until(lambda: world.server.get(VMI, name) is None and not world.server.items(POD))
    await world.until(lambda: _printable(world, name) == "Stopped")
    world.server.modify(VM, name, _start)
    await world.until(lambda: world.has_pod(name))
    assert world.get(VMI, name)["metadata"]["uid"] != first


async def test_a_deleted_vm_leaves_nothing(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vm("a"))
    world.server.delete(VM, name)
    await world.until(lambda: not any(world.server.items(plural) for plural in (VM, VMI, POD)))


@pytest.mark.parametrize("moment", ["pod pending", "scheduled", "running", "plugging"])
async def test_a_vmi_deleted_at_any_moment_goes_after_its_pod(world: World, moment: str) -> None:
    await world.operator()
    world.server.create(VMI, objects.vmi("a"))
    await world.until(lambda: world.has_pod("a"))
    if moment != "pod pending":
        world.run_pod("a")
        await world.until(lambda: world.phase("a") == "Scheduled")
    if moment in ("running", "plugging"):
        world.run_guest("a")
        await world.until(lambda: world.is_ready("a"))
    if moment == "plugging":
        world.plug(VMI, "a", "blue")
        await world.until(lambda: objects.requested(world.pod_of("a")))
    await world.quiet()
    world.server.delete(VMI, "a")
    await world.until(lambda: not world.server.items(POD) and world.server.get(VMI, "a") is None)
    deletion, finalizers = world.work()
    assert (deletion.verb, deletion.resource) == ("delete", POD)
    assert (finalizers.verb, finalizers.resource, finalizers.body[-1]["value"]) == ("patch", VMI, [])


async def test_a_foreign_finalizer_is_left_to_its_owner(world: World) -> None:
    await world.operator()
    body = objects.vmi("a")
    body["metadata"]["finalizers"] = ["example.com/backup"]
    world.server.create(VMI, body)
    await world.until(lambda: world.has_pod("a"))
    world.server.delete(VMI, "a")
    await world.until(lambda: world.get(VMI, "a")["metadata"]["finalizers"] == ["example.com/backup"])


async def test_a_vmi_whose_pod_is_lost_has_failed_and_its_vm_takes_it_away_to_start_anew_later(world: World) -> None:
    await world.operator()
    await world.running(objects.vmi("bare"))
    world.server.delete(POD, world.pod_of("bare")["metadata"]["name"])
    await world.until(lambda: world.phase("bare") == "Failed")
    name = await world.running(objects.vm("a"))
    first = world.get(VMI, name)["metadata"]["uid"]
    world.server.delete(POD, world.pod_of(name)["metadata"]["name"])
    await world.until(lambda: _uid(world, name) != first)
    # Not at once: what fails every time would be started every time.
    await world.until(lambda: world.get(VM, name)["status"].get("startFailure"))


def _uid(world: World, name: str) -> str:
    vmi = world.server.get(VMI, name)
    return vmi["metadata"]["uid"] if vmi else ""


async def test_a_vm_whose_name_a_foreign_vmi_has_says_so_and_starts_when_it_is_gone(world: World) -> None:
    await world.operator()
    body = objects.vmi("a")
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "pool.kubevirt.io/v1alpha1", "kind": "Pool", "name": "p", "uid": "p", "controller": True}
    ]
    await world.running(body)
    foreign = _uid(world, "a")
    world.server.create(VM, objects.vm("a"))
    await world.until(lambda: world.condition("a", "Failure", plural=VM) == "True")
    assert world.condition("a", "Failure", plural=VM, member="reason") == "NameTaken"
    assert _uid(world, "a") == foreign
    world.server.delete(VMI, "a")
    await world.until(lambda: _uid(world, "a") not in ("", foreign))
    await world.until(lambda: world.condition("a", "Failure", plural=VM) == "")


async def test_a_vmi_that_nobody_controls_is_adopted_by_the_vm_of_its_name_and_runs_on(world: World) -> None:
    """It said NameTaken without end, as after `kubectl delete vm --cascade=orphan` and `kubectl apply`."""
    await world.operator()
    await world.running(objects.vmi("a"))
    guest, pod = _uid(world, "a"), world.pod_of("a")["metadata"]["uid"]
    vm = world.server.create(VM, objects.vm("a", ["blue"]))
    await world.until(lambda: "blue" in world.nics(VMI, "a"))
    await world.until(lambda: world.condition("a", "InterfacesReady") == "True")
    metadata = world.get(VMI, "a")["metadata"]
    assert [owner["uid"] for owner in metadata["ownerReferences"]] == [vm["metadata"]["uid"]]
    await world.until(lambda: world.condition("a", "Ready", plural=VM) == "True")
    assert world.condition("a", "Failure", plural=VM) == ""
    assert (_uid(world, "a"), world.pod_of("a")["metadata"]["uid"]) == (guest, pod)
    world.server.delete(VM, "a")
    await world.until(lambda: not _uid(world, "a"))


async def test_a_pod_of_the_launchers_name_that_belongs_to_nobody_is_neither_used_nor_touched(world: World) -> None:
    operator = await world.operator(until_works=False)
    world.server.fail(status=500, verb="create", resource=POD, times=3)
    world.server.create(VMI, objects.vmi("a"))
    await world.until(lambda: [item for item in world.work() if item.verb == "create"])
    [refused, *_] = [item for item in world.work() if item.verb == "create"]
    squatter = {**refused.body, "metadata": {"name": refused.body["metadata"]["name"]}}
    before = world.server.create(POD, squatter)
    await world.until(lambda: world.has_pod("a"))
    assert world.pod_of("a")["metadata"]["name"] != squatter["metadata"]["name"]
    assert world.get(POD, squatter["metadata"]["name"]) == before
    assert not operator.has_ended


async def test_a_forged_pod_gets_no_network(world: World) -> None:
    """The labels of a launcher are anybody's to write; the owner's uid is not (CVE-2025-64435)."""
    await world.operator()
    name = await world.running(objects.vmi("a"))
    real = world.pod_of(name)
    forged: Json = {
        "metadata": {"name": "virt-launcher-a-zzzzz", "labels": real["metadata"]["labels"]},
        "spec": real["spec"],
    }
    world.server.create(POD, forged)
    await world.quiet()
    world.plug(VMI, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])
    assert {request.name for request in world.server.writes(POD)} == {real["metadata"]["name"]}


async def test_the_gate_is_read_live_and_a_blocked_nic_says_which_line_to_add_where(world: World) -> None:
    world.set_gates()
    await world.operator()
    name = await world.running(objects.vm("a"))
    await world.quiet()
    world.plug(VM, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("phase") == "Blocked")
    record = world.record(name, "blue")
    assert record["reason"] == "FeatureGateDisabled"
    assert "KubeVirt CR kubevirt/kubevirt" in record["message"]
    assert record["remedy"].startswith('Add "HotplugNICs" to spec.configuration.developerConfiguration.featureGates')
    assert world.nics(VMI, name) == ["main"]
    generation = world.get(VM, name)["metadata"]["generation"]
    world.set_gates(objects.GATE)
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])
    assert world.get(VM, name)["metadata"]["generation"] == generation


async def test_a_missing_kubevirt_cr_blocks_by_name(world: World) -> None:
    world.server.delete("kubevirts", "kubevirt", namespace="kubevirt")
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "KubevirtCRMissing")
    world.server.create("kubevirts", objects.kubevirt(), namespace="kubevirt")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [pod_interface("blue")])


async def test_a_nic_asked_for_while_the_vm_starts_is_in_the_pod_when_it_runs(world: World) -> None:
    await world.operator()
    world.server.create(VM, objects.vm("a"))
    await world.until(lambda: world.has_pod("a"))
    world.plug(VM, "a", "blue")
    await asyncio.sleep(0.1)
    assert objects.requested(world.pod_of("a")) == []
    world.run_pod("a")
    await world.until(lambda: objects.requested(world.pod_of("a")) == [pod_interface("blue")])
