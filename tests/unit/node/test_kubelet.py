"""The kubelet: what it does with a pod, and what it writes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.node.build import DEFAULT_ENTRY, daemon_pod, element, entry, nad, node, pod
from tests.unit.node.world import NAD, NODE, POD, World, world

from nicplug_sandbox.node import pod_status
from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.faults import HEALTHY, Fault
from nicplug_sandbox.node.kubelet import Step, next_step
from nicplug_sandbox.node.networks import NETWORK_STATUS, read_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONLY = ("kubelet",)
READY = {"conditions": [{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "True"}]}
CRASHED = {"containerStatuses": [{"name": "compute", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}
NEVER = {"restartPolicy": "Never"}
DELETED: dict[str, Any] = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}


def told(text: str) -> dict[str, str]:
    return {"sandbox.nicplug.io/pod": text}


@pytest.mark.parametrize(
    ("obj", "fault", "step"),
    [
        (pod(phase="Pending"), HEALTHY, Step.START),
        (pod(phase=""), HEALTHY, Step.START),
        (pod(status=READY), HEALTHY, Step.NOTHING),
        (pod(phase="Succeeded"), HEALTHY, Step.NOTHING),
        (pod(phase="Pending"), Fault(broken="image-pull"), Step.FAIL_IMAGE_PULL),
        (pod(phase="Pending", annotations=told("image-pull")), HEALTHY, Step.FAIL_IMAGE_PULL),
        (
            pod(phase="Pending", spec={"containers": [{"name": "c", "image": "registry.invalid/x:1"}]}),
            HEALTHY,
            Step.FAIL_IMAGE_PULL,
        ),
        (
            pod(phase="Pending", spec={"containers": [{"name": "c", "image": "registry.invalid:5000/x"}]}),
            HEALTHY,
            Step.FAIL_IMAGE_PULL,
        ),
        (pod(status=READY, spec=NEVER, annotations=told("exit=3")), HEALTHY, Step.EXIT),
        (pod(status=READY, spec=NEVER, annotations=told("exit=x")), HEALTHY, Step.NOTHING),
        (pod(status=READY, spec=NEVER), Fault(broken="crash"), Step.EXIT),
        (pod(status=READY, annotations=told("exit=1")), HEALTHY, Step.HOLD_BACK),
        (pod(status={**READY, **CRASHED}, annotations=told("exit=1")), HEALTHY, Step.NOTHING),
        (pod(status={**READY, **CRASHED}), HEALTHY, Step.RESTART),
        (daemon_pod("multus"), Fault(broken="crash"), Step.NOTHING),
        (pod(status=READY, spec={"readinessGates": [{"conditionType": "open"}]}), HEALTHY, Step.UPDATE_READINESS),
        (pod(status=READY, **DELETED), HEALTHY, Step.TERMINATE),
        (pod(phase="Succeeded", **DELETED), HEALTHY, Step.TERMINATE),
        (pod(phase="Succeeded", deletionTimestamp="x", deletionGracePeriodSeconds=0), HEALTHY, Step.NOTHING),
    ],
)
def test_next_step(obj: Json, fault: Fault, step: Step) -> None:
    assert next_step(obj, fault=fault) is step


CONTROLLER = "dynamic-networks-controller"


@pytest.mark.parametrize(
    ("obj", "agent", "step"),
    [
        pytest.param(daemon_pod(CONTROLLER), Fault(broken="crash"), Step.HOLD_BACK, id="crashes"),
        pytest.param(daemon_pod(CONTROLLER), Fault(broken="unready"), Step.FAIL_PROBE, id="fails its probe"),
        pytest.param(daemon_pod(CONTROLLER, ready=False), Fault(broken="unready"), Step.NOTHING, id="is not ready"),
        pytest.param(daemon_pod(CONTROLLER, ready=False), HEALTHY, Step.PASS_PROBE, id="is well again"),
        pytest.param(daemon_pod(CONTROLLER), Fault(broken="silent"), Step.NOTHING, id="fails in a way no probe sees"),
    ],
)
def test_next_step_of_an_agent(obj: Json, agent: Fault, step: Step) -> None:
    assert next_step(obj, fault=HEALTHY, agent=agent) is step


@pytest.mark.parametrize(
    ("how", "waits"), [pytest.param("crash", "CrashLoopBackOff", id="crash"), pytest.param("unready", "", id="unready")]
)
async def test_an_agent_is_not_ready_for_a_while(how: str, waits: str) -> None:
    agent = daemon_pod(CONTROLLER)
    agent["status"] |= pod_status.running(agent, addresses=["172.31.0.2"], host="172.31.0.2", now=NOW)
    async with world((POD, agent), controller=False, play=ONLY) as w:

        def seen() -> Json:
            return w.api.read(POD, agent["metadata"]["name"], "kube-system")

        w.put(NODE, node(dynamic_networks_controller=f"broken={how}"))
        await w.until(lambda: condition(seen(), "Ready") == "False")
        assert pod_status.waiting_reason(seen()) == waits
        assert not seen()["status"]["containerStatuses"][0]["ready"]
        w.put(NODE, node())
        await w.until(lambda: condition(seen(), "Ready") == "True")
        assert seen()["status"]["containerStatuses"][0]["ready"]


def condition(obj: Json, kind: str) -> str:
    return next((item["status"] for item in obj["status"].get("conditions") or () if item["type"] == kind), "")


def test_a_running_pod_in_full() -> None:
    launcher = pod(
        spec={
            "initContainers": [
                {"name": "copy", "image": "c"},
                {"name": "side", "image": "s", "restartPolicy": "Always"},
            ]
        }
    )
    status = pod_status.running(launcher, addresses=["10.128.0.2"], host="172.31.0.2", now=NOW)
    assert status["phase"] == "Running"
    assert status["podIPs"] == [{"ip": "10.128.0.2"}]
    assert status["hostIP"] == "172.31.0.2"
    assert status["startTime"] == "2026-01-01T00:00:00Z"
    compute = status["containerStatuses"][0]
    assert compute["ready"]
    assert compute["state"] == {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    copy, side = status["initContainerStatuses"]
    assert copy["state"]["terminated"]["exitCode"] == 0
    assert "running" in side["state"]


def test_readiness_gates_hold_back_ready_but_not_containers_ready() -> None:
    launcher = pod(spec={"readinessGates": [{"conditionType": "open"}]})
    conditions = {item["type"]: item for item in pod_status.ready_conditions(launcher, containers_ready=True, now="t")}
    assert conditions["ContainersReady"]["status"] == "True"
    assert conditions["Ready"]["status"] == "False"
    assert conditions["Ready"]["reason"] == "ReadinessGatesNotReady"


async def test_start_writes_status_and_networks_in_one_patch() -> None:
    launcher = pod(phase="Pending", networks=[element("blue", "net1"), element("red")])
    async with world(
        (POD, launcher), (NAD, nad("blue", {"type": "bridge", "mtu": 1300})), (NAD, nad("red")), play=ONLY
    ) as w:
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")
        entries = read_status(w.pod())
        assert [(item["name"], item["interface"]) for item in entries] == [
            ("cluster", "eth0"),
            ("default/blue", "net1"),
            ("default/red", "net2"),
        ]
        assert entries[0]["default"]
        assert entries[1]["mtu"] == 1300
        assert w.pod()["status"]["podIP"] == entries[0]["ips"][0] == "10.128.0.2"
        assert condition(w.pod(), "Ready") == "True"
        assert len([name for verb, kind, name, _ in w.api.requests if (kind, name) == ("pods", "launcher")]) == 1


async def test_host_network_pods_have_the_nodes_address_and_no_network_status() -> None:
    async with world((POD, pod(phase="Pending", spec={"hostNetwork": True})), multus=False, play=ONLY) as w:
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")
        assert w.pod()["status"]["podIP"] == w.pod()["status"]["hostIP"]
        assert NETWORK_STATUS not in w.pod()["metadata"]["annotations"]


async def test_a_missing_nad_keeps_the_pod_in_container_creating_until_it_comes() -> None:
    async with world((POD, pod(phase="Pending", networks=[element("blue", "net1")])), play=ONLY) as w:
        await w.until(lambda: w.api.reasons().count("FailedCreatePodSandBox") > 1)
        assert pod_status.waiting_reason(w.pod()) == "ContainerCreating"
        assert w.pod()["status"]["phase"] == "Pending"
        event = next(body for verb, kind, _, body in w.api.requests if kind == "events")
        assert 'network-attachment-definitions.k8s.cni.cncf.io "blue" not found' in event["message"]
        w.put(NAD, nad("blue"))
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")


@pytest.mark.parametrize("absent", ["pod", "broken"])
async def test_without_a_working_multus_no_pod_starts(absent: str) -> None:
    broken = (NODE, node(multus="broken")) if absent == "broken" else (NODE, node())
    async with world(
        broken,
        (POD, pod(phase="Pending", networks=[element("blue", "net1")])),
        (NAD, nad("blue")),
        multus=absent == "broken",
        play=ONLY,
    ) as w:
        await w.until(lambda: "FailedCreatePodSandBox" in w.api.reasons())
        assert w.pod()["status"]["phase"] == "Pending"
        w.put(NODE, node())
        w.put(POD, daemon_pod("multus"))
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")


async def test_an_image_that_cannot_be_pulled() -> None:
    async with world((POD, pod(phase="Pending", annotations=told("image-pull"))), play=ONLY) as w:
        await w.until(lambda: pod_status.waiting_reason(w.pod()) == "ErrImagePull")
        await w.until(lambda: pod_status.waiting_reason(w.pod()) == "ImagePullBackOff")
        pod_now = w.pod()
        w.put(POD, {**pod_now, "metadata": {**pod_now["metadata"], "annotations": {}}})
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")


@pytest.mark.parametrize(("code", "phase"), [("0", "Succeeded"), ("137", "Failed")])
async def test_containers_end(code: str, phase: str) -> None:
    async with world((POD, pod(status=READY, spec=NEVER, annotations=told(f"exit={code}"))), play=ONLY) as w:
        await w.until(lambda: w.pod()["status"]["phase"] == phase)
        assert w.pod()["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == int(code)
        assert condition(w.pod(), "Ready") == "False"


async def test_a_crashing_daemon_is_held_back_and_comes_back() -> None:
    async with world((POD, pod(phase="Pending", annotations=told("exit=1"))), play=ONLY) as w:
        await w.until(lambda: pod_status.waiting_reason(w.pod()) == "CrashLoopBackOff")
        assert condition(w.pod(), "Ready") == "False"
        obj = w.pod()
        annotations = {key: value for key, value in obj["metadata"]["annotations"].items() if key == NETWORK_STATUS}
        w.put(POD, {**obj, "metadata": {**obj["metadata"], "annotations": annotations}})
        await w.until(lambda: condition(w.pod(), "Ready") == "True")
        assert pod_status.restarts_of(w.pod(), "compute") == 1


def deleted(w: World, name: str = "launcher") -> bool:
    try:
        w.pod(name)
    except KeyError:
        return True
    return False


async def test_deletion_ends_the_containers_first_and_frees_the_address() -> None:
    launcher = pod(phase="Pending")
    async with world((POD, launcher), play=ONLY) as w:
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")
        address = w.pod()["status"]["podIP"]
        w.put(POD, {**w.pod(), "metadata": {**w.pod()["metadata"], **DELETED}})
        await w.until(lambda: deleted(w))
        last_status = w.api.writes("pods")[-1]["status"]
        assert last_status["phase"] == "Succeeded"
        assert [verb for verb, _, name, _ in w.api.requests if name == "launcher"] == ["patch", "patch", "delete"]
        w.put(POD, pod("next", phase="Pending"))
        await w.until(lambda: w.pod("next")["status"]["phase"] == "Running")
        assert w.pod("next")["status"]["podIP"] == address


async def test_grace_is_never_exceeded() -> None:
    launcher = pod(status=READY, deletionTimestamp="x", deletionGracePeriodSeconds=0)
    async with world((POD, launcher), play=ONLY, termination_seconds=60.0) as w:
        await w.until(lambda: deleted(w))


async def test_an_absent_kubelet_neither_starts_nor_ends_pods() -> None:
    async with world(
        (NODE, node(kubelet="absent")),
        (POD, pod("new", phase="Pending")),
        (POD, pod("old", status=READY, **DELETED)),
        play=ONLY,
    ) as w:
        await w.settle()
        assert w.api.requests == []
        w.put(NODE, node())
        await w.until(lambda: w.pod("new")["status"]["phase"] == "Running" and deleted(w, "old"))


async def test_a_slow_kubelet() -> None:
    async with world((NODE, node(kubelet="slow=200ms")), (POD, pod(phase="Pending")), play=ONLY) as w:
        await w.settle()
        assert w.pod()["status"]["phase"] == "Pending"
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")


async def test_start_seconds_show_container_creating_first() -> None:
    async with world((POD, pod(phase="Pending")), play=ONLY, start_seconds=0.1) as w:
        await w.until(lambda: pod_status.waiting_reason(w.pod()) == "ContainerCreating")
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")


async def test_pods_of_foreign_nodes_are_left_alone() -> None:
    async with world((POD, pod(phase="Pending", spec={"nodeName": "real-node"})), play=ONLY) as w:
        await w.settle()
        assert w.api.requests == []


async def test_addresses_of_pods_from_before_are_not_given_again() -> None:
    before = pod(
        "before",
        status={**READY, "podIP": "10.128.0.2"},
        entries=[DEFAULT_ENTRY, entry("blue", "net1", ips=["10.9.0.1"])],
    )
    blue = nad(
        "blue", {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.9.0.0/24", "gateway": "10.9.0.254"}}
    )
    launcher = pod(phase="Pending", networks=[element("blue", "net1")])
    async with world((POD, before), (POD, launcher), (NAD, blue), play=ONLY) as w:
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")
        assert [item["ips"] for item in read_status(w.pod())] == [["10.128.0.3"], ["10.9.0.2"]]
