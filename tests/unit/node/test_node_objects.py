"""Nodes, DaemonSets, events and the command line."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.unit.node.build import daemon_pod, node, pod
from tests.unit.node.memory_api import MemoryApi, merged, refusal

from nicplug_sandbox.node.__main__ import main
from nicplug_sandbox.node.accounts import Clients
from nicplug_sandbox.node.api import NODES, Json
from nicplug_sandbox.node.daemonsets import APPS, daemon_set, index_daemonset_pods, is_pod_ready, role_of
from nicplug_sandbox.node.events import Event, EventPoster
from nicplug_sandbox.node.faults import RoleName
from nicplug_sandbox.node.mirror import Mirror
from nicplug_sandbox.node.node_objects import NodeKeeper, label_patch, node_address, node_body
from nicplug_sandbox.node.node_status import devices_patch, is_node_ready, node_status, readiness_patch
from nicplug_sandbox.node.settings import Settings

MANIFESTS = Path(__file__).parents[3] / "sandbox" / "nicplug_sandbox" / "manifests"


def test_a_node_is_ready_schedulable_and_large() -> None:
    body = node_body("node01")
    assert body["metadata"]["labels"]["kubevirt.io/schedulable"] == "true"
    assert body["metadata"]["labels"]["kubernetes.io/hostname"] == "node01"
    status = node_status(address="172.31.0.2", now=datetime(2026, 1, 1, tzinfo=UTC))
    assert is_node_ready({"status": status})
    assert int(status["allocatable"]["pods"]) * 3 > 1000
    assert not is_node_ready(body)
    assert not is_node_ready(None)


def test_node_addresses_differ() -> None:
    assert len({node_address(number) for number in range(1, 501)}) == 500


def test_absent_agents_become_node_labels_and_back() -> None:
    key = "sandbox.nicplug.io/dynamic-networks-controller"
    absent = node(dynamic_networks_controller="absent", kubelet="absent")
    assert label_patch(absent) == {"metadata": {"labels": {key: "absent"}}}
    absent["metadata"]["labels"] = {key: "absent"}
    assert label_patch(absent) == {}
    present = node()
    present["metadata"]["labels"] = {key: "absent"}
    assert label_patch(present) == {"metadata": {"labels": {key: None}}}


@pytest.mark.parametrize("role", list(APPS))
def test_a_daemon_set_avoids_nodes_where_its_role_is_absent(role: RoleName) -> None:
    body = daemon_set(role)
    spec = body["spec"]["template"]["spec"]
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert {"key": f"sandbox.nicplug.io/{role}", "operator": "NotIn", "values": ["absent"]} in terms[0][
        "matchExpressions"
    ]
    assert spec["hostNetwork"], "the agents must start without the network that they bring"
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert body["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_dynamic_controller_looks_as_its_project_deploys_it() -> None:
    body = daemon_set(RoleName.DYNAMIC_NETWORKS)
    assert body["metadata"]["namespace"] == "kube-system"
    assert body["metadata"]["name"] == "dynamic-networks-controller-ds"
    labels = {"tier": "node", "app": "dynamic-networks-controller", "name": "dynamic-networks-controller"}
    assert labels.items() <= body["metadata"]["labels"].items()
    assert body["spec"]["template"]["metadata"]["labels"] == labels
    image = body["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.partition(":")[0].endswith("/multus-dynamic-networks-controller")


@pytest.mark.parametrize(
    ("obj", "role"),
    [
        pytest.param(daemon_pod("dynamic-networks-controller"), RoleName.DYNAMIC_NETWORKS, id="dynamic controller"),
        pytest.param(daemon_pod("multus"), RoleName.MULTUS, id="multus"),
        pytest.param(daemon_pod("kube-proxy"), None, id="another agent"),
        pytest.param(pod(labels={"name": "multus"}), None, id="a label alone"),
    ],
)
def test_which_role_a_pod_plays(obj: Json, role: RoleName | None) -> None:
    assert role_of(obj) is role


def with_status(obj: Json, **status: Any) -> Json:
    return {**obj, "status": status}


NOW = datetime(2026, 1, 1, tzinfo=UTC)
WELL = node_status(address="172.31.0.2", now=NOW)
UNKNOWN = {"conditions": [{"type": "Ready", "status": "Unknown"}]}


@pytest.mark.parametrize(
    ("obj", "ready"),
    [
        pytest.param(with_status(node(), **WELL), None, id="well, and says so"),
        pytest.param(with_status(node(), **UNKNOWN), "True", id="the node controller has given it up"),
        pytest.param(with_status(node(kubelet="broken=unready"), **WELL), "False", id="the runtime went down"),
        pytest.param(with_status(node(kubelet="absent"), **UNKNOWN), None, id="no kubelet says nothing"),
    ],
)
def test_the_nodes_readiness(obj: Json, ready: str | None) -> None:
    patch = readiness_patch(obj, now=NOW)
    assert (is_node_ready({"status": patch}) if patch else None) == (None if ready is None else ready == "True")
    if ready:
        after = {item["type"]: item["status"] for item in patch["conditions"]}
        assert after == {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": ready}


def offering(text: str) -> Json:
    obj = node()
    return {**obj, "metadata": {**obj["metadata"], "annotations": {"sandbox.nicplug.io/devices": text}}}


@pytest.mark.parametrize(
    ("obj", "gone", "amounts"),
    [
        pytest.param(offering("x.io/fast=4, x.io/slow=1"), (), {"x.io/fast": "4", "x.io/slow": "1"}, id="two kinds"),
        pytest.param(with_status(offering("x.io/fast=4"), allocatable={"x.io/fast": "4"}), (), {}, id="there already"),
        pytest.param(
            with_status(node(), allocatable={"x.io/fast": "4"}), ("x.io/fast",), {"x.io/fast": "0"}, id="plugin gone"
        ),
        pytest.param(with_status(node(), allocatable={"x.io/fast": "4"}), (), {}, id="somebody else's"),
        pytest.param(offering("fast=4"), (), {}, id="no domain"),
        pytest.param(offering("x.io/fast=many"), (), {}, id="no number"),
    ],
)
def test_devices_of_a_node(obj: Json, gone: tuple[str, ...], amounts: dict[str, str]) -> None:
    patch = devices_patch(obj, gone=gone)
    assert patch == ({"capacity": amounts, "allocatable": amounts} if amounts else {})


@asynccontextmanager
async def kept(*, dynamic_controller_nodes: str = "all") -> AsyncIterator[MemoryApi]:
    """One node and the DaemonSets, kept as the annotations say."""
    api = MemoryApi()
    nodes = Mirror(api=api, resource=NODES)  # type: ignore[arg-type]
    settings = Settings(kubeconfig=Path("x"), nodes=1, dynamic_controller_nodes=dynamic_controller_nodes)
    keeper = NodeKeeper(clients=Clients.make(api), nodes=nodes, settings=settings)  # type: ignore[arg-type]
    await keeper.register()
    tasks = [asyncio.create_task(nodes.run()), asyncio.create_task(keeper.run())]
    await nodes.synced.wait()
    await asyncio.sleep(0.005)
    yield api
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until_node(api: MemoryApi, condition: Callable[[Json], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition(api.read(NODES, "node01", "")):
            await api.changed.wait()
            api.changed.clear()


@pytest.mark.parametrize(
    ("where", "names"),
    [("none", ["kube-multus-ds", "dynamic-networks-controller-ds"]), ("not-deployed", ["kube-multus-ds"])],
)
async def test_a_cluster_may_have_no_dynamic_controller_at_all(where: str, names: list[str]) -> None:
    async with kept(dynamic_controller_nodes=where) as api:
        assert [name for verb, kind, name, _ in api.requests if (verb, kind) == ("apply", "daemonsets")] == names


async def test_a_node_follows_its_annotations_while_it_runs() -> None:
    async with kept() as api:
        plain = api.read(NODES, "node01", "")
        wanted = {"sandbox.nicplug.io/devices": "x.io/fast=4", "sandbox.nicplug.io/kubelet": "broken=unready"}
        api.put(NODES, merged(plain, {"metadata": {"annotations": wanted}}))
        await until_node(api, lambda obj: obj["status"]["allocatable"].get("x.io/fast") == "4")
        await until_node(api, lambda obj: not is_node_ready(obj))
        gone = {"metadata": {"annotations": dict.fromkeys(wanted)}}
        api.put(NODES, merged(api.read(NODES, "node01", ""), gone))
        await until_node(api, lambda obj: obj["status"]["allocatable"]["x.io/fast"] == "0" and is_node_ready(obj))
        assert api.read(NODES, "node01", "")["status"]["capacity"]["cpu"] == "1000"


def test_daemon_pods_are_found_by_node_and_app() -> None:
    assert index_daemonset_pods(daemon_pod("multus")) == ("node01/multus",)
    assert index_daemonset_pods(pod(labels={"name": "multus"})) == (), "another namespace"
    assert is_pod_ready(daemon_pod("multus"))
    assert not is_pod_ready(daemon_pod("multus", ready=False))
    dying = daemon_pod("multus")
    dying["metadata"]["deletionTimestamp"] = "x"
    assert not is_pod_ready(dying)


def event(message: str = "it failed") -> Event:
    return Event(
        about=pod(), kind="Pod", api_version="v1", component="test", host="node01", type="Warning", reason="Failed",
        message=message,
    )  # fmt: skip


async def posted(api: MemoryApi, *events: Event) -> list[dict[str, Any]]:
    poster = EventPoster(clients=Clients.make(api))  # type: ignore[arg-type]
    for item in events:
        poster.post(item)
    task = asyncio.create_task(poster.run())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return [body for _, kind, _, body in api.requests if kind == "events"]


async def test_repeats_are_counted_on_the_first_event() -> None:
    api = MemoryApi()
    bodies = await posted(api, event(), event(), event("another"), event())
    assert [body.get("count") for body in bodies] == [1, 2, 1, 3]
    assert bodies[0]["involvedObject"]["uid"] == pod()["metadata"]["uid"]
    assert bodies[0]["source"] == {"component": "test", "host": "node01"}


async def test_a_restart_goes_on_counting() -> None:
    api = MemoryApi()
    await posted(api, event(), event())
    bodies = await posted(api, event())
    assert bodies[-1]["count"] == 3


async def test_a_refused_event_does_not_stop_the_next() -> None:
    class Refusing(MemoryApi):
        async def create(self, *arguments: Any, **keywords: Any) -> Any:
            if not self.requests:
                self.requests.append(("refused", "events", "", {}))
                raise refusal(HTTPStatus.FORBIDDEN)
            return await super().create(*arguments, **keywords)

    bodies = await posted(Refusing(), event("one"), event("two"))
    assert [body.get("message") for body in bodies] == [None, "two"]


@pytest.mark.parametrize(("text", "nodes"), [("all", {"node01", "node02"}), ("none", set()), (" node02", {"node02"})])
def test_where_the_dynamic_controller_runs(text: str, nodes: set[str]) -> None:
    settings = Settings(kubeconfig=Path("x"), nodes=2, dynamic_controller_nodes=text)
    assert {name for name in settings.node_names if settings.has_dynamic_controller(name)} == nodes


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--kubeconfig", "/does/not/exist"], 'kubeconfig "/does/not/exist" cannot be used'),
        (["--kubeconfig", "x", "--nodes", "2", "--dynamic-controller-nodes", "node03"], "no such node: node03"),
        (["--kubeconfig", "x", "--nodes", "0"], "0 is not in the range"),
        ([], "Missing option '--kubeconfig'"),
    ],
)
def test_the_command_line_says_what_is_wrong(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    assert complaint in result.stderr
    assert result.stdout == ""


def test_the_nad_crd_takes_the_config_as_text() -> None:
    crd = yaml.safe_load((MANIFESTS / "network-attachment-definition.yaml").read_text())
    assert crd["metadata"]["name"] == "network-attachment-definitions.k8s.cni.cncf.io"
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["properties"]["spec"]["properties"]["config"]["type"] == "string"
