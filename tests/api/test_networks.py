"""Networks that do not exist, come late, are broken, or cannot be attached: told at once, and healed without a hand."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from tests import manifests
from tests.api import objects
from tests.api.objects import NETWORKS, Json
from tests.api.world import POD, VM, VMI, World
from tests.manifests import pod_interface

from nicplug.cache import optional_watch
from nicplug.plan.nic import attempts

NADS, EVENTS = "network-attachment-definitions", "core/events"
BLUE = pod_interface("blue")


async def test_a_network_that_is_created_later_is_noticed_and_the_pod_asked_once(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vm("a"))
    world.plug(VM, name, "blue", "later")
    await world.until(lambda: world.record(name, "blue").get("reason") == "NetworkAttachmentDefinitionMissing")
    assert world.record(name, "blue")["phase"] == "Blocked"
    assert "default/later does not exist" in world.record(name, "blue")["message"]
    await world.quiet()
    assert objects.requested(world.pod_of(name)) == []
    world.server.create(NADS, manifests.nad("later"))
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE])
    world.attach(name)
    await world.until(lambda: world.row(name, "blue").get("infoSource") == "multus-status")
    world.run_guest(name)
    await world.until(lambda: world.record(name, "blue").get("phase") == "Ready")
    assert [line for line in world.written() if line.startswith("patch pods")] == [
        f"patch pods {world.pod_of(name)['metadata']['name']} 200"
    ]


async def test_a_network_that_only_the_template_names_is_noticed_when_it_is_created(world: World) -> None:
    """The instance does not name it: nobody looked again until something else happened to the VM."""
    await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")

    def change(body: Json) -> None:
        body["spec"]["template"]["spec"]["networks"][-1]["multus"]["networkName"] = "later"

    world.server.modify(VM, name, change)
    await world.until(lambda: world.record(name, "blue").get("reason") == "NetworkAttachmentDefinitionMissing")
    assert world.get(VMI, name)["spec"]["networks"][-1]["multus"]["networkName"] == "lan"
    await world.quiet()
    world.server.create(NADS, manifests.nad("later"))
    await world.until(lambda: world.record(name, "blue").get("reason") == "NetworkChangeNeedsRestart")


async def test_a_missing_network_does_not_hold_up_the_nic_behind_it(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "first", "missing")
    world.plug(VMI, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE])
    await world.until(lambda: world.record(name, "first").get("phase") == "Blocked")


async def test_a_broken_configuration_is_told_and_its_correction_noticed(world: World) -> None:
    await world.operator()
    world.server.create(NADS, manifests.nad("broken", "{"))
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue", "broken")
    await world.until(lambda: world.record(name, "blue").get("reason") == "NetworkAttachmentDefinitionInvalid")
    world.server.modify(NADS, "broken", lambda body: body["spec"].update(config='{"type": "bridge"}'))
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE])


async def test_multus_is_installed_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional_watch, "_NOT_SERVED_PAUSE_SECONDS", 0.05)
    world.server.stop_serving(NADS)
    operator = await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("reason") == "MultusNotInstalled")
    world.server.serve(NADS)
    world.server.create(NADS, manifests.nad())
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE])
    assert not operator.has_ended


async def test_without_the_right_to_read_networks_pods_are_asked_as_kubevirt_does(world: World) -> None:
    world.server.fail(status=403, verb="list", resource=NADS, times=1000)
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue", "whatever")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE])


async def test_a_vm_starts_without_a_network_that_is_missing_and_gets_it_when_it_comes(world: World) -> None:
    await world.operator()
    body = objects.vmi("a", ["blue"])
    body["spec"]["networks"][1]["multus"]["networkName"] = "later"
    world.server.create(VMI, body)
    await world.until(lambda: world.has_pod("a"))
    assert objects.requested(world.pod_of("a")) == []
    world.run_pod("a")
    await world.until(lambda: world.phase("a") == "Scheduled")
    world.run_guest("a")
    await world.until(lambda: world.record("a", "blue").get("reason") == "NetworkAttachmentDefinitionMissing")
    world.server.create(NADS, manifests.nad("later"))
    await world.until(lambda: objects.requested(world.pod_of("a")) == [BLUE])


async def test_the_first_pod_of_an_sriov_nic_asks_for_its_device_and_is_not_made_without(world: World) -> None:
    await world.operator()
    body, fast = objects.vm("a", ["blue"]), manifests.nad("fast")
    template = body["spec"]["template"]["spec"]
    template["networks"][1]["multus"]["networkName"] = "fast"
    template["domain"]["devices"]["interfaces"][1] = {"name": "blue", "sriov": {}}
    fast["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "example.com/fast"}
    world.server.create(VM, body)
    await world.until(lambda: world.server.get(VMI, "a"))
    await world.until(lambda: world.condition("a", "Synchronized", member="reason") == "FailedCreate")
    assert not world.has_pod("a")
    world.server.create(NADS, fast)
    await world.until(lambda: world.has_pod("a"))
    (compute,) = world.pod_of("a")["spec"]["containers"]
    assert compute["resources"]["limits"]["example.com/fast"] == "1"
    await world.until(lambda: world.condition("a", "Synchronized") == "")
    (told,) = [item for item in world.server.items("events") if item["reason"] == "FailedCreate"]
    assert "failed to locate network attachment definition default/fast" in told["note"]


async def test_a_network_created_together_with_its_vm_is_there_from_the_start(world: World) -> None:
    """Two watches bring them, in any order."""
    await world.operator()

    def apply() -> None:
        body = objects.vmi("a", ["blue"])
        body["spec"]["networks"][1]["multus"]["networkName"] = "new"
        world.server.create(VMI, body)
        world.server.create(NADS, manifests.nad("new"))

    world.server.atomically(apply)
    await world.until(lambda: world.has_pod("a"))
    assert objects.requested(world.pod_of("a")) == [BLUE]


async def test_what_the_controller_says_is_quoted_and_the_pod_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE])
    pod = world.pod_of(name)
    world.server.create(EVENTS, objects.failure_event(pod, BLUE))
    await world.until(lambda: "failed adding interface" in world.record(name, "blue").get("lastError", ""))
    record = world.record(name, "blue")
    assert (record["phase"], record["reason"], record["attempts"]) == ("Pending", "AttachFailed", 1)
    before = _annotation(pod)
    await world.until(lambda: world.record(name, "blue").get("attempts") == 2)
    after = _annotation(world.pod_of(name))
    assert after != before
    assert json.loads(after) == json.loads(before)
    asks = [request for request in world.server.writes(POD) if (request.verb, request.subresource) == ("patch", "")]
    assert len(asks) == 2, "asked, asked again"
    world.attach(name)
    await world.until(lambda: world.row(name, "blue").get("infoSource") == "multus-status")
    world.run_guest(name)
    await world.until(lambda: world.record(name, "blue").get("phase") == "Ready")
    assert "lastError" not in world.record(name, "blue")


async def test_what_is_said_of_pods_of_others_is_not_heard(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [BLUE])
    await world.at_rest()
    ours = world.pod_of(name)["metadata"]
    world.server.create("namespaces", {"metadata": {"name": "tenant"}})
    for number, claim in enumerate(({"uid": "x"}, {"namespace": "tenant"}, {"namespace": "tenant", "name": "x"})):
        forged = objects.failure_event({"metadata": {**ours, **claim}}, BLUE)
        forged["metadata"]["name"] = f"forged-{number}"
        world.server.create(EVENTS, forged, namespace=claim.get("namespace", "default"))
    await world.at_rest()
    assert "lastError" not in world.record(name, "blue")


async def test_attempts_survive_a_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_SILENT_PAUSE", timedelta(seconds=0))
    operator = await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue")
    await world.until(lambda: world.record(name, "blue").get("attempts") == 2)
    record = world.record(name, "blue")
    await world.stop(operator)
    world.server.clear_requests()
    await world.operator()
    await world.at_rest()
    assert world.work() == []
    assert world.record(name, "blue") == record


def _annotation(pod: Json) -> Any:
    return pod["metadata"]["annotations"][NETWORKS]


async def test_a_network_that_goes_away_leaves_what_is_attached_alone(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vm("a", ["blue"]))
    await world.quiet()
    world.server.delete(NADS, "lan")
    await asyncio.sleep(0.2)
    await world.at_rest()
    assert world.work() == []
    assert world.is_ready(name)
    assert objects.requested(world.server.items(POD)[0]) == [BLUE]


def multus_config(**config: Any) -> Json:
    """The ConfigMap of Multus's daemon."""
    body: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "multus-daemon-config"}}
    return {**body, "data": {"daemon-config.json": json.dumps(config)}}


def foreign_network(world: World) -> None:
    """Of somebody else."""
    world.server.create("namespaces", {"metadata": {"name": "victim"}})
    world.server.create(NADS, manifests.nad("secret"), namespace="victim")


async def test_a_network_of_another_namespace_is_used_as_far_as_multus_allows_it(world: World) -> None:
    foreign_network(world)
    world.server.create("configmaps", multus_config(namespaceIsolation=True), namespace="kube-system")
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue", "victim/secret")
    await world.until(lambda: world.record(name, "blue").get("reason") == "NetworkNotAllowed")
    message = world.record(name, "blue")["message"]
    assert "with the isolation of ConfigMap kube-system/multus-daemon-config" in message
    assert objects.requested(world.pod_of(name)) == []

    def open_up(body: Json) -> None:
        body["data"] = multus_config()["data"]

    world.server.modify("configmaps", "multus-daemon-config", open_up, namespace="kube-system")
    await world.until(lambda: objects.requested(world.pod_of(name)) == [manifests.pod_interface("blue")])


async def test_where_multus_cannot_be_read_only_own_and_shared_networks_are_used(world: World) -> None:
    foreign_network(world)
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue", "victim/secret")
    await world.until(lambda: "counts as SameNamespace" in world.record(name, "blue").get("message", ""))
    assert objects.requested(world.pod_of(name)) == []
    world.set_hotplug(nadPolicy="SameNamespace", sharedNamespaces=["victim"])
    await world.until(lambda: objects.requested(world.pod_of(name)) == [manifests.pod_interface("blue")])


async def test_no_message_write_or_event_tells_whether_a_foreign_network_exists(world: World) -> None:
    world.set_hotplug(nadPolicy="SameNamespace")
    await world.operator()
    name = await world.running(objects.vmi("a"))
    world.plug(VMI, name, "blue", "victim/secret")
    await world.until(lambda: world.record(name, "blue").get("reason") == "NetworkNotAllowed")
    await world.until(lambda: any(text.startswith("InterfaceBlocked ") for text in world.events()))
    await world.at_rest()
    before, writes, events = world.record(name, "blue"), len(world.written()), world.events()
    foreign_network(world)
    await world.at_rest()
    assert (world.record(name, "blue"), len(world.written()), world.events()) == (before, writes, events)


async def test_a_definition_that_is_edited_under_a_nic_is_shown_on_vmi_and_vm_by_one_write_each(world: World) -> None:
    await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    await world.quiet()

    def edit(body: Json) -> None:
        body["spec"]["config"] = '{"type": "macvlan"}'

    world.server.modify(NADS, "lan", edit)
    await world.until(lambda: world.condition(name, "OutdatedNetworkAttachments", plural=VM) == "True")
    await world.at_rest()
    assert world.written() == ["patch virtualmachineinstances/status a 200", "patch virtualmachines/status a 200"]
    assert world.condition(name, "InterfacesReady") == "True"
