"""The node simulator on a real control plane; the operator's part is played by plain API calls."""

import asyncio
import json
import os
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.kubectl import install_crds
from tests.integration.node_process import simulator
from tests.integration.played_operator import (
    PlayedOperator,
    attached,
    element,
    info_sources,
    is_ready,
    network_status,
    pod_body,
    vmi_body,
)
from tests.manifests import pod_interface

from nicplug_sandbox import controlplane
from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.node.api import PODS, VIRTUAL_MACHINE_INSTANCES, Json
from nicplug_sandbox.node.mirror import Key

NODES = ("node01", "node02", "node03")
MASS = int(os.environ.get("NICPLUG_TEST_VMIS", "60"))
"""1000 measures what `docs/adr/0004` says; the default keeps the suite fast."""


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[tuple[ControlPlane, int]]:
    """Three simulated nodes on a control plane with the CRDs; the simulator's pid."""
    install_crds(control_plane.kubeconfig)
    with simulator(control_plane.kubeconfig, "--nodes", "3", "--seed", "7", "--deregister") as (process, ready):
        assert ready["ready"]
        assert ready["nodes"] == list(NODES)
        assert ready["daemonSetPodsMissing"] == []
        yield control_plane, process.pid


@pytest.fixture
async def operator(cluster: tuple[ControlPlane, int]) -> AsyncIterator[PlayedOperator]:
    """An operator in a namespace of its own; every fault is taken away at the end."""
    control_plane, _ = cluster
    async with PlayedOperator.connect(control_plane.kubeconfig) as played:
        yield played
        roles = dict.fromkeys(("kubelet", "multus", "dynamic_networks_controller", "virt_handler", "devices"))
        for node in NODES:
            await played.annotate_node(node, **roles)
        await played.until(lambda: len(daemon_pods(played)) == 2 * len(NODES))


def daemon_pods(operator: PlayedOperator) -> list[tuple[str, str]]:
    """Ready pods of the agents, as (app, node)."""
    return [
        (pod["metadata"]["labels"]["name"], pod["spec"].get("nodeName", ""))
        for pod in operator.pods.all()
        if pod["metadata"]["namespace"] == "kube-system" and is_ready(pod)
    ]


def is_agent(pod: Json, app: str, node: str) -> bool:
    """Whether this is the agent's pod on the node."""
    labels = pod["metadata"].get("labels") or {}
    return labels.get("name") == app and pod["spec"].get("nodeName") == node


def offered(operator: PlayedOperator, node: str, device: str) -> str:
    """How many of a device the scheduler may give to pods on the node."""
    found = operator.nodes.get(Key("", node))
    assert found is not None
    return str(found["status"]["allocatable"].get(device, ""))


async def break_node(operator: PlayedOperator, node: str, **faults: str) -> None:
    """Set faults, and wait until the simulator has heard of them: by a device that comes with them."""
    device = f"sandbox.example/{uuid.uuid4().hex[:8]}"
    await operator.annotate_node(node, devices=f"{device}=1", **faults)
    await operator.until(lambda: offered(operator, node, device) == "1")


def is_unschedulable(pod: Json) -> bool:
    """Whether the scheduler has found no node."""
    conditions = pod["status"].get("conditions") or ()
    return any(item["type"] == "PodScheduled" and item.get("reason") == "Unschedulable" for item in conditions)


def writes(control_plane: ControlPlane, *, namespace: str, resource: str, since: int) -> list[Json]:
    """The simulator's writes from the audit log, from byte `since`; other tests' namespaces end meanwhile."""
    with control_plane.audit_log.open() as log:
        log.seek(since)
        records = [json.loads(line) for line in log if line.endswith("\n")]
    return [
        record
        for record in records
        if record.get("userAgent") == "nicplug-sandbox-node"
        and record["verb"] in ("create", "update", "patch", "delete")
        and record["objectRef"]["resource"] == resource
        and record["objectRef"].get("namespace") in (None, namespace)
    ]


async def test_a_vmi_runs_and_gets_a_nic(operator: PlayedOperator) -> None:
    await operator.create_nad("blue", {"cniVersion": "0.3.1", "type": "bridge", "mtu": 1300, "name": "blue"})
    vmi, pod_name = await operator.run(vmi_body("vm"))
    assert info_sources(vmi) == {"default": "domain"}
    assert {item["type"]: item["status"] for item in vmi["status"]["conditions"]} == {"LiveMigratable": "True"}
    assert vmi["status"]["interfaces"][0]["ipAddress"] == operator.pod(pod_name)["status"]["podIP"]

    vmi = await operator.hotplug("vm", pod_name, "blue", elements=[element("blue", mac="02:00:00:00:00:77")])
    assert info_sources(vmi) == {"default": "domain", "blue": "domain, multus-status"}
    blue = vmi["status"]["interfaces"][1]
    assert blue["mac"] == "02:00:00:00:00:77"
    assert blue["podInterfaceName"] == pod_interface("blue")
    entry = next(item for item in network_status(operator.pod(pod_name)) if not item.get("default"))
    assert entry["name"] == f"{operator.namespace}/blue"
    assert entry["mtu"] == 1300
    event = await operator.event(pod_name, "AddedInterface")
    assert event["message"] == (
        f"pod [{operator.namespace}/{pod_name}]: added interface {pod_interface('blue')} to network: "
        "blue(ips: [], mac: 02:00:00:00:00:77, cni-args: <nil>)"
    )
    assert event["source"]["component"] == "pod-networks-updates"


async def test_unplug_takes_the_nic_out_of_the_guest_and_then_out_of_the_pod(operator: PlayedOperator) -> None:
    await operator.create_nad("blue")
    vmi, pod_name = await operator.run(vmi_body("vm", nics=("blue",)), elements=[element("blue")])
    assert info_sources(vmi)["blue"] == "domain, multus-status"
    path = "/spec/domain/devices/interfaces/1/state"
    await operator.patch_vmi("vm", [{"op": "add", "path": path, "value": "absent"}])
    await operator.until(lambda: info_sources(operator.vmi("vm"))["blue"] == "multus-status")
    await operator.annotate_networks(pod_name, "")
    await operator.until(lambda: attached(operator.pod(pod_name)) == set())
    rows = [
        {**row, "infoSource": ""} if row["name"] == "blue" else row
        for row in operator.vmi("vm")["status"]["interfaces"]
    ]
    await operator.write_rows("vm", rows)
    await operator.until(lambda: "blue" not in info_sources(operator.vmi("vm")))


async def test_addresses_from_ipam_and_a_guest_agent(operator: PlayedOperator) -> None:
    ipam = {"type": "whereabouts", "range": "10.77.0.0/24", "exclude": ["10.77.0.0/28"]}
    await operator.create_nad("blue", {"type": "bridge", "ipam": ipam})
    agent = {"sandbox.nicplug.io/guest-agent": "connected", "sandbox.nicplug.io/guest-interfaces": "docker0"}
    vmi, _ = await operator.run(vmi_body("vm", nics=("blue",), annotations=agent), elements=[element("blue")])
    rows = {row["interfaceName"]: row for row in vmi["status"]["interfaces"]}
    assert rows["eth1"]["infoSource"] == "domain, guest-agent, multus-status"
    assert rows["eth1"]["ipAddress"] == "10.77.0.16"
    assert rows["docker0"]["infoSource"] == "guest-agent"
    assert "name" not in rows["docker0"]
    assert "AgentConnected" in {item["type"] for item in vmi["status"]["conditions"]}


def waits_for(pod: Json) -> str:
    """What the kubelet says that the container waits for; it says so after its first event."""
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    return str(statuses[0]["state"].get("waiting", {}).get("reason", ""))


async def test_a_missing_nad_at_creation_and_its_event(operator: PlayedOperator) -> None:
    vmi = await operator.create_vmi(vmi_body("vm", nics=("blue",)))
    pod_name = await operator.create_pod(pod_body(vmi, elements=[element("blue")]))
    event = await operator.event(pod_name, "FailedCreatePodSandBox")
    assert 'network-attachment-definitions.k8s.cni.cncf.io "blue" not found' in event["message"]
    await operator.until(lambda: waits_for(operator.pod(pod_name)) == "ContainerCreating")
    await operator.create_nad("blue")
    await operator.until(lambda: is_ready(operator.pod(pod_name)))


async def test_four_attempts_then_silence(operator: PlayedOperator) -> None:
    _, pod_name = await operator.run(vmi_body("vm"))
    await operator.annotate_networks(pod_name, [element("blue")])
    event = await operator.event(pod_name, "FailedAddingInterface", count=4)
    await operator.create_nad("blue")
    await asyncio.sleep(0.5)
    assert attached(operator.pod(pod_name)) == set()
    events = [item for item in await operator.events(pod_name) if item["reason"] == "FailedAddingInterface"]
    assert [(item["message"], item["count"]) for item in events] == [(event["message"], 4)]
    await operator.annotate_networks(pod_name, json.dumps([element("blue")]) + " ")
    await operator.until(lambda: attached(operator.pod(pod_name)) == {pod_interface("blue")})


async def test_a_phantom_is_not_plugged(operator: PlayedOperator) -> None:
    await operator.create_nad("blue")
    await operator.create_nad("bad", cni="fails")
    _, pod_name = await operator.run(vmi_body("vm", nics=("blue",)))
    await operator.annotate_networks(pod_name, [element("blue"), element("bad")])
    await operator.until(lambda: attached(operator.pod(pod_name)) == {pod_interface("blue")})
    await operator.go_ahead("vm", "blue")
    await operator.event("vm", "NicHotplug")
    assert info_sources(operator.vmi("vm"))["blue"] == "multus-status"


async def test_a_node_without_dynamic_controller_really_has_no_pod_of_it(operator: PlayedOperator) -> None:
    await operator.create_nad("blue")
    _, pod_name = await operator.run(vmi_body("vm"))
    node = operator.pod(pod_name)["spec"]["nodeName"]
    await operator.annotate_node(node, dynamic_networks_controller="absent")
    controller = ("dynamic-networks-controller", node)
    await operator.until(lambda: controller not in daemon_pods(operator))
    assert len(daemon_pods(operator)) == 2 * len(NODES) - 1
    await operator.annotate_networks(pod_name, [element("blue")])
    await asyncio.sleep(0.3)
    assert attached(operator.pod(pod_name)) == set()
    await operator.annotate_node(node, dynamic_networks_controller=None)
    await operator.until(lambda: controller in daemon_pods(operator))
    await operator.until(lambda: attached(operator.pod(pod_name)) == {pod_interface("blue")})


@pytest.mark.parametrize("how", ["crash", "unready"])
async def test_a_dynamic_controller_that_is_not_ready_serves_when_it_is_well_again(
    operator: PlayedOperator, how: str
) -> None:
    await operator.create_nad("blue")
    _, pod_name = await operator.run(vmi_body("vm"))
    node = operator.pod(pod_name)["spec"]["nodeName"]
    controller = ("dynamic-networks-controller", node)
    await operator.annotate_node(node, dynamic_networks_controller=f"broken={how}")
    await operator.until(lambda: controller not in daemon_pods(operator))
    await operator.annotate_networks(pod_name, [element("blue")])
    await asyncio.sleep(0.3)
    assert attached(operator.pod(pod_name)) == set()
    await operator.annotate_node(node, dynamic_networks_controller=None)
    await operator.until(lambda: attached(operator.pod(pod_name)) == {pod_interface("blue")})
    agent = next(pod for pod in operator.pods.all() if is_agent(pod, *controller))
    owner = agent["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("DaemonSet", "dynamic-networks-controller-ds")


async def test_a_pod_goes_where_its_device_is(operator: PlayedOperator) -> None:
    limits = {"limits": {"sandbox.example/fast": "1"}}
    vmi = await operator.create_vmi(vmi_body("vm"))
    body = pod_body(vmi)
    body["spec"]["containers"][0]["resources"] |= limits
    pod_name = await operator.create_pod(body)
    await operator.until(lambda: is_unschedulable(operator.pod(pod_name)))
    await operator.annotate_node("node02", devices="sandbox.example/fast=1")
    await operator.until(lambda: is_ready(operator.pod(pod_name)), seconds=60)
    assert operator.pod(pod_name)["spec"]["nodeName"] == "node02"
    await operator.annotate_node("node02", devices=None)
    await operator.until(lambda: offered(operator, "node02", "sandbox.example/fast") == "0")


async def test_a_node_whose_runtime_is_down_says_so_at_once(operator: PlayedOperator) -> None:
    await operator.annotate_node("node03", kubelet="broken=unready")
    await operator.until(lambda: not is_ready(operator.nodes.get(Key("", "node03"))))
    await operator.annotate_node("node03", kubelet=None)
    await operator.until(lambda: is_ready(operator.nodes.get(Key("", "node03"))))


@pytest.mark.parametrize(
    ("fault", "least_seconds"),
    [("slow=400ms", 0.4), ("broken", None)],
)
async def test_a_slow_or_broken_dynamic_controller(
    operator: PlayedOperator, fault: str, least_seconds: float | None
) -> None:
    await operator.create_nad("blue")
    _, pod_name = await operator.run(vmi_body("vm"))
    node = operator.pod(pod_name)["spec"]["nodeName"]
    await break_node(operator, node, dynamic_networks_controller=fault)
    started = time.monotonic()
    await operator.annotate_networks(pod_name, [element("blue")])
    if least_seconds is None:
        await operator.event(pod_name, "FailedAddingInterface", count=4)
        assert attached(operator.pod(pod_name)) == set()
    else:
        await operator.until(lambda: attached(operator.pod(pod_name)))
        assert time.monotonic() - started >= least_seconds


async def test_without_multus_on_the_node_no_pod_starts_there(operator: PlayedOperator) -> None:
    await operator.annotate_node("node02", multus="absent")
    await operator.until(lambda: ("multus", "node02") not in daemon_pods(operator))
    vmi = await operator.create_vmi(vmi_body("vm"))
    pod_name = await operator.create_pod(pod_body(vmi, nodeName="node02"))
    event = await operator.event(pod_name, "FailedCreatePodSandBox")
    assert "multus.sock" in event["message"]
    await operator.annotate_node("node02", multus=None)
    await operator.until(lambda: is_ready(operator.pod(pod_name)))


async def test_an_absent_kubelet_and_an_absent_virt_handler(operator: PlayedOperator) -> None:
    await break_node(operator, "node02", kubelet="absent", virt_handler="absent")
    vmi = await operator.create_vmi(vmi_body("vm"))
    pod_name = await operator.create_pod(pod_body(vmi, nodeName="node02"))
    await asyncio.sleep(0.3)
    assert operator.pod(pod_name)["status"]["phase"] == "Pending"
    await operator.annotate_node("node02", kubelet=None)
    await operator.until(lambda: is_ready(operator.pod(pod_name)))
    await operator.schedule(vmi, operator.pod(pod_name))
    await asyncio.sleep(0.3)
    assert operator.phase("vm") == "Scheduled"
    await operator.annotate_node("node02", virt_handler=None)
    await operator.until(lambda: operator.phase("vm") == "Running")


async def test_a_broken_kubelet_cannot_pull_images(operator: PlayedOperator) -> None:
    await break_node(operator, "node03", kubelet="broken")
    vmi = await operator.create_vmi(vmi_body("vm"))
    pod_name = await operator.create_pod(pod_body(vmi, nodeName="node03"))

    def reason() -> str:
        statuses = operator.pod(pod_name)["status"].get("containerStatuses") or [{"state": {}}]
        return str(statuses[0]["state"].get("waiting", {}).get("reason", ""))

    await operator.until(lambda: reason() == "ErrImagePull")
    await operator.until(lambda: reason() == "ImagePullBackOff")
    await operator.annotate_node("node03", kubelet=None)
    await operator.until(lambda: is_ready(operator.pod(pod_name)))


async def test_a_crashed_launcher_fails_the_vmi(operator: PlayedOperator) -> None:
    _, pod_name = await operator.run(vmi_body("vm"))
    note = {"metadata": {"annotations": {"sandbox.nicplug.io/pod": "exit=139"}}}
    await operator.api.patch(
        PODS, note, name=pod_name, namespace=operator.namespace, content_type="application/merge-patch+json"
    )
    await operator.until(lambda: operator.phase("vm") == "Failed")
    assert operator.pod(pod_name)["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 139


async def test_deleting_a_vmi_ends_guest_and_pod(operator: PlayedOperator) -> None:
    body = vmi_body("vm")
    body["metadata"]["finalizers"] = ["kubevirt.io/foregroundDeleteVirtualMachine"]
    _, pod_name = await operator.run(body)
    path = VIRTUAL_MACHINE_INSTANCES.path(namespace=operator.namespace, name="vm")
    await operator.api.request("DELETE", path)
    await operator.until(lambda: operator.phase("vm") == "Succeeded")
    started = time.monotonic()
    await operator.api.request("DELETE", PODS.path(namespace=operator.namespace, name=pod_name))
    await operator.until(lambda: operator.find_pod(pod_name) is None)
    assert time.monotonic() - started < 20, "30 s of grace are not waited out"
    await operator.patch_vmi("vm", [{"op": "remove", "path": "/metadata/finalizers"}])
    await operator.until(lambda: operator.find_vmi("vm") is None)


async def test_at_rest_only_leases_are_written(operator: PlayedOperator, cluster: tuple[ControlPlane, int]) -> None:
    control_plane, _ = cluster
    await operator.create_nad("blue")
    _, pod_name = await operator.run(vmi_body("vm"))
    await operator.hotplug("vm", pod_name, "blue", elements=[element("blue")])
    written: list[Any] = []
    for _ in range(20):  # events trail behind
        since = control_plane.audit_log.stat().st_size
        await asyncio.sleep(1.5)
        kinds = ("pods", "nodes", "events", "virtualmachineinstances")
        written = [
            entry
            for kind in kinds
            for entry in writes(control_plane, namespace=operator.namespace, resource=kind, since=since)
        ]
        if not written:
            break
    assert written == []


async def test_many_and_how_fast(
    operator: PlayedOperator, cluster: tuple[ControlPlane, int], record_property: Any
) -> None:
    """Throughput and latency, reported; the bounds only catch a simulator that became the bottleneck."""
    control_plane, pid = cluster
    await operator.create_nad("blue")
    since = control_plane.audit_log.stat().st_size
    process = psutil.Process(pid)
    before = process.cpu_times()
    gate = asyncio.Semaphore(32)

    async def run(number: int) -> str:
        async with gate:
            return (await operator.run(vmi_body(f"vm-{number}")))[1]

    started = time.monotonic()
    pod_names = await asyncio.gather(*(run(number) for number in range(MASS)))
    seconds = time.monotonic() - started
    after = process.cpu_times()
    cpu = (after.user + after.system - before.user - before.system) / MASS

    async def written(resource: str) -> list[Json]:
        """A write's line in the audit log may come after its watch line."""
        found = writes(control_plane, namespace=operator.namespace, resource=resource, since=since)
        return found if len(found) >= MASS else []

    mine = await operator.eventually(lambda: written("virtualmachineinstances"))
    assert len(mine) == MASS, "one status write per VMI: Scheduled to Running with everything in it"
    assert all(record["responseStatus"]["code"] == 200 for record in mine)
    assert len(await operator.eventually(lambda: written("pods"))) == MASS

    delays = []
    for number in range(50):
        pod_name = pod_names[number % MASS]
        answer = await operator.annotate_networks(pod_name, [element("blue", mac=f"02:00:00:00:01:{number:02x}")])
        assert answer["metadata"]["name"] == pod_name
        answered = time.monotonic()
        await operator.until(lambda name=pod_name: attached(operator.pod(name)))  # type: ignore[misc]
        delays.append(time.monotonic() - answered)
    figures = {
        "vmis": MASS,
        "to_running_seconds": round(seconds, 2),
        "per_second": round(MASS / seconds, 1),
        "simulator_cpu_ms_per_vmi": round(cpu * 1000, 2),
        "simulator_rss_mb": process.memory_info().rss // 2**20,
        "annotated_to_network_status_p50_ms": round(statistics.median(delays) * 1000, 2),
    }
    record_property("figures", json.dumps(figures))
    print(figures)
    assert cpu < 0.02, "CPU, not time: the same on a busy machine"


async def test_the_api_server_restarts_and_the_simulator_goes_on(
    operator: PlayedOperator, cluster: tuple[ControlPlane, int]
) -> None:
    control_plane, _ = cluster
    await operator.create_nad("blue")
    _, pod_name = await operator.run(vmi_body("vm"))
    await asyncio.to_thread(controlplane.restart, directory=control_plane.directory, down_seconds=1.0)

    async def annotate() -> bool:
        try:
            await operator.annotate_networks(pod_name, [element("blue")])
        except Exception as error:
            print("not yet:", error)
            return False
        return True

    await operator.eventually(annotate)
    await operator.until(lambda: attached(operator.pod(pod_name)) == {pod_interface("blue")})


@pytest.fixture
def bare_control_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane on which nobody else plays nodes."""
    yield controlplane.start(directory=tmp_path / "cp")
    controlplane.stop(directory=tmp_path / "cp")


async def test_a_restarted_simulator_goes_on_where_the_old_one_was(bare_control_plane: ControlPlane) -> None:
    kubeconfig = bare_control_plane.kubeconfig
    await asyncio.to_thread(install_crds, kubeconfig)
    async with PlayedOperator.connect(kubeconfig) as operator:
        await operator.create_nad("blue")
        with simulator(kubeconfig, "--nodes", "1"):
            vmi, pod_name = await operator.run(vmi_body("vm", nics=("blue",)), elements=[element("blue")])
        # Nobody is at home: the VMI gets another NIC, and somebody has to find it.
        await operator.create_nad("red")
        await operator.add_nic_to_spec("vm", "red")
        await operator.annotate_networks(pod_name, [element("blue"), element("red")])
        with simulator(kubeconfig, "--nodes", "1", "--deregister"):
            await operator.until(lambda: pod_interface("red") in attached(operator.pod(pod_name)))
            await operator.go_ahead("vm", "red")
            await operator.until(lambda: info_sources(operator.vmi("vm")).get("red") == "domain, multus-status")
            assert info_sources(operator.vmi("vm"))["blue"] == "domain, multus-status"
            assert operator.vmi("vm")["status"]["interfaces"][:2] == vmi["status"]["interfaces"]
        await operator.until(lambda: not operator.nodes.all())
