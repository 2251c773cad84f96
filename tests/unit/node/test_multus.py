"""Multus: what attaching a network gives, and how it fails."""

import asyncio
import json
from typing import Any

import pytest
from tests.unit.node.build import DEFAULT_ENTRY, daemon_pod, element, entry, nad, node, pod
from tests.unit.node.world import NAD, NODE, POD, World, world

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.multus import CniError, MissingNetworkError, elements_at_creation
from nicplug_sandbox.node.multus_config import FILE, config_map, refuses
from nicplug_sandbox.node.networks import Element, read_status

BLUE = Element(namespace="default", name="blue", interface="net1")
NOBODY: tuple[str, ...] = ()
KUBELET = ("kubelet",)


async def add(
    w: World, config: Any = None, *, wanted: Element = BLUE, links: tuple[str, ...] = ("eth0",), **notes: str
) -> Json:
    """ADD `wanted` to the launcher on a NAD of the given configuration."""
    return await w.roles.multus.add(pod=pod(), element=wanted, nad=nad("blue", config, **notes), links=frozenset(links))


def test_unnamed_interfaces_are_numbered_by_position() -> None:
    launcher = pod(networks=[element("a"), element("b", "pod1"), element("c")])
    assert [item.interface for item in elements_at_creation(launcher)] == ["net1", "pod1", "net3"]


def test_a_bad_annotation_fails_the_sandbox() -> None:
    with pytest.raises(CniError, match="error getting k8s args"):
        elements_at_creation(pod(networks="[{"))


@pytest.mark.parametrize(
    ("config", "wanted", "ips"),
    [
        ({"type": "bridge"}, BLUE, None),
        ({"type": "bridge", "ipam": {"type": "dhcp"}}, BLUE, None),
        ({"type": "bridge", "ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24"}]}}, BLUE, ["10.1.0.5"]),
        ({"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.2.0.0/24"}}, BLUE, ["10.2.0.2"]),
        (
            {"plugins": [{"type": "bridge", "ipam": {"type": "whereabouts", "range": "10.3.0.0/24"}}]},
            Element(namespace="default", name="blue", interface="net1", ips=("10.3.0.99/24",)),
            ["10.3.0.99"],
        ),
    ],
)
async def test_addresses(config: Json, wanted: Element, ips: list[str] | None) -> None:
    async with world(play=NOBODY) as w:
        assert (await add(w, config, wanted=wanted)).get("ips") == ips


async def test_a_host_local_range_belongs_to_a_node_and_a_whereabouts_range_to_the_cluster() -> None:
    async with world(play=NOBODY, multus=True) as w:
        w.put(POD, daemon_pod("multus", on="node02"))
        await asyncio.sleep(0.01)
        here, there = pod("here"), pod("there", spec={"nodeName": "node02"})
        for kind, expected in (("host-local", ["10.4.0.2", "10.4.0.2"]), ("whereabouts", ["10.4.0.1", "10.4.0.2"])):
            network = nad(
                "blue", {"type": "b", "ipam": {"type": kind, "subnet": "10.4.0.0/24", "range": "10.4.0.0/24"}}
            )
            given = [
                await w.roles.multus.add(pod=item, element=BLUE, nad=network, links=frozenset())
                for item in (here, there)
            ]
            assert [item["ips"][0] for item in given] == expected


@pytest.mark.parametrize(
    ("config", "keywords", "complaint"),
    [
        (None, {"cni": "fails"}, "sandbox fault"),
        (None, {"wanted": Element(namespace="default", name="blue")}, "CNI_IFNAME is empty"),
        (None, {"links": ("eth0", "net1")}, 'container veth name "net1" already exists'),
        ("nonsense", {}, "is not JSON"),
        ({"type": "bridge", "ipam": {"type": "host-local"}}, {}, "invalid IPAM configuration"),
        (
            {"type": "bridge", "ipam": {"type": "whereabouts", "range": "10.0.0.1-10.0.0.0/24"}},
            {},
            "no IP addresses available",
        ),
    ],
)
async def test_a_failed_add_says_why(config: Any, keywords: dict[str, Any], complaint: str) -> None:
    async with world(play=NOBODY) as w:
        with pytest.raises(CniError, match=complaint):
            await add(w, config, **keywords)


async def test_broken_slow_and_absent() -> None:
    async with world((NODE, node(multus="broken=delete,slow=50ms")), play=NOBODY) as w:
        started = asyncio.get_running_loop().time()
        await add(w)
        assert asyncio.get_running_loop().time() - started >= 0.05
        with pytest.raises(CniError, match="sandbox fault"):
            await w.roles.multus.delete(pod=pod(), network="default/blue", nad=nad("blue"))
    async with world(play=NOBODY, multus=False) as w:
        with pytest.raises(CniError, match=r"multus\.sock"):
            await add(w)


async def test_a_nad_whose_plugin_cannot_delete_keeps_the_interface() -> None:
    launcher = pod(networks=[element("blue", "net1")], entries=[DEFAULT_ENTRY, entry("blue", "net1")])
    async with world((POD, launcher), (NAD, nad("blue", cni="delete-fails")), play=("dynamic_networks",)) as w:
        w.annotate("")
        await w.until(lambda: w.api.reasons().count("FailedRemovingInterface") == 4)
        assert len(read_status(w.pod())) == 2


async def test_a_nad_can_stand_in_for_the_default_network() -> None:
    launcher = pod(phase="Pending", annotations={"v1.multus-cni.io/default-network": "blue"})
    static = {"type": "bridge", "ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24"}]}}
    async with world((POD, launcher), (NAD, nad("blue", static)), play=KUBELET) as w:
        await w.until(lambda: w.pod()["status"]["phase"] == "Running")
        (only,) = read_status(w.pod())
        assert (only["name"], only["interface"], only["default"]) == ("default/blue", "eth0", True)
        assert w.pod()["status"]["podIP"] == "10.1.0.5"


async def test_a_failed_sandbox_keeps_no_addresses() -> None:
    launcher = pod(phase="Pending", networks=[element("blue", "net1"), element("missing", "net2")])
    whereabouts = {"type": "bridge", "ipam": {"type": "whereabouts", "range": "10.5.0.0/24"}}
    async with world((POD, launcher), (NAD, nad("blue", whereabouts)), play=NOBODY) as w:
        for _ in range(3):
            with pytest.raises(MissingNetworkError):
                await w.roles.multus.create_sandbox(launcher)
        w.put(NAD, nad("missing"))
        entries = await w.roles.multus.create_sandbox(launcher)
        assert [item.get("ips") for item in entries] == [["10.128.0.2"], ["10.5.0.1"], None]


@pytest.mark.parametrize(
    ("config", "target", "refused"),
    [
        pytest.param({}, "other", False, id="not isolated"),
        pytest.param({"namespaceIsolation": True}, "other", True, id="isolated"),
        pytest.param({"namespaceIsolation": True}, "vms", False, id="its own namespace"),
        pytest.param({"namespaceIsolation": True}, "default", False, id="default is global where nothing is said"),
        pytest.param({"namespaceIsolation": True, "globalNamespaces": "a, b"}, "b", False, id="global"),
        pytest.param({"namespaceIsolation": True, "globalNamespaces": "a, b"}, "default", True, id="default is not"),
    ],
)
def test_isolation_of_namespaces(config: dict[str, object], target: str, refused: bool) -> None:
    found = {"data": {FILE: json.dumps(config)}}
    assert refuses(found, namespace="vms", target=target) is refused


def test_the_config_map_is_that_of_the_thick_plugin_and_isolates_nobody() -> None:
    body = config_map()
    assert (body["metadata"]["namespace"], body["metadata"]["name"]) == ("kube-system", "multus-daemon-config")
    assert not refuses(body, namespace="vms", target="other")
