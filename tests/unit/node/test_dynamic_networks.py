"""The dynamic networks controller, sharp edges included."""

import json

import pytest
from tests.unit.node.build import DEFAULT_ENTRY, daemon_pod, element, entry, nad, node, pod
from tests.unit.node.world import NAD, NODE, POD, World, world

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.dynamic_networks import attributes_text, difference, shuffled, status_patch
from nicplug_sandbox.node.networks import NETWORK_STATUS, POD_LINKS, Element, links_of, parse_networks, read_status

ONLY = ("dynamic_networks",)


def interfaces(world: World) -> set[str]:
    return {item["interface"] for item in read_status(world.pod())}


def text(*elements: Json) -> str:
    return json.dumps(elements)


def test_difference_compares_by_namespace_name_and_interface() -> None:
    elements = parse_networks(text(element("a", "net1"), element("b", "net2"), element("c")), namespace="default")
    entries = [DEFAULT_ENTRY, entry("a", "net1"), entry("b", "net9"), entry("c", "net3")]
    found = difference(elements=elements, entries=entries)
    assert [item.key for item in found.add] == ["default/b/net2", "default/c"]
    assert [item["interface"] for item in found.remove] == ["net9", "net3"]


def test_an_empty_annotation_detaches_everything_but_the_default() -> None:
    found = difference(elements=(), entries=[DEFAULT_ENTRY, entry("a", "net1")])
    assert [item["interface"] for item in found.remove] == ["net1"]


def test_the_order_is_random_but_the_same_for_the_same_seed() -> None:
    entries = [entry(name, name) for name in "abcdefgh"]
    assert shuffled(entries, seed="1") == shuffled(entries, seed="1") != shuffled(entries, seed="2")
    assert sorted(item["name"] for item in shuffled(entries, seed="1")) == [item["name"] for item in entries]


def test_the_write_is_guarded_by_uid_and_old_value() -> None:
    launcher = pod(entries=[DEFAULT_ENTRY])
    patch = status_patch(pod=launcher, entries=[DEFAULT_ENTRY, entry("a", "net1")], links=frozenset({"eth0", "net1"}))
    assert [item["op"] for item in patch] == ["test", "test", "add"]
    assert patch[0]["value"] == launcher["metadata"]["uid"]
    assert patch[1]["value"] == launcher["metadata"]["annotations"][NETWORK_STATUS]
    assert status_patch(pod=launcher, entries=[DEFAULT_ENTRY], links=frozenset({"eth0"})) == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Element(namespace="d", name="a"), ""),
        (
            Element(namespace="d", name="a", mac="02:00:00:00:00:05"),
            "(ips: [], mac: 02:00:00:00:00:05, cni-args: <nil>)",
        ),
        (
            Element(namespace="d", name="a", ips=("10.0.0.1/24", "fd00::1/64")),
            "(ips: [10.0.0.1/24 fd00::1/64], mac: , cni-args: <nil>)",
        ),
        (Element(namespace="d", name="a", cni_args='{"k": "v"}'), "(ips: [], mac: , cni-args: &map[k:v])"),
    ],
)
def test_attributes_in_events(wanted: Element, expected: str) -> None:
    assert attributes_text(wanted) == expected


async def test_add_and_remove_with_their_events() -> None:
    async with world(
        (POD, pod(networks="", entries=[DEFAULT_ENTRY])), (NAD, nad("blue", {"type": "bridge", "mtu": 1300})), play=ONLY
    ) as w:
        w.annotate(text(element("blue", "net1", mac="02:00:00:00:00:77")))
        await w.until(lambda: interfaces(w) == {"eth0", "net1"})
        added = next(item for item in read_status(w.pod()) if item["interface"] == "net1")
        assert added == {
            "name": "default/blue",
            "interface": "net1",
            "mac": "02:00:00:00:00:77",
            "mtu": 1300,
            "dns": {},
        }
        w.annotate("")
        await w.until(lambda: interfaces(w) == {"eth0"})
        await w.until(lambda: len(w.api.reasons()) == 2)
        assert w.api.reasons() == ["AddedInterface", "RemovedInterface"]
        messages = [body["message"] for verb, kind, _, body in w.api.requests if kind == "events"]
        assert messages[0] == (
            "pod [default/launcher]: added interface net1 to network: "
            "blue(ips: [], mac: 02:00:00:00:00:77, cni-args: <nil>)"
        )
        assert messages[1] == "pod [default/launcher]: removed interface net1 from network: blue"
        assert POD_LINKS not in w.pod()["metadata"]["annotations"]


async def test_one_change_is_one_write() -> None:
    async with world(
        (POD, pod(networks="", entries=[DEFAULT_ENTRY])), (NAD, nad("a")), (NAD, nad("b")), play=ONLY
    ) as w:
        w.annotate(text(element("a", "net1"), element("b", "net2")))
        await w.until(lambda: interfaces(w) == {"eth0", "net1", "net2"})
        await w.settle()
        assert len(w.api.writes("pods")) == 1


async def test_an_unchanged_text_is_ignored_whatever_else_changes() -> None:
    missing = text(element("blue", "net1"))
    async with world(
        (POD, pod(networks=missing, entries=[DEFAULT_ENTRY])), (NAD, nad("blue")), controller=False, play=ONLY
    ) as w:
        w.put(POD, daemon_pod("dynamic-networks-controller", ready=False))
        w.put(POD, {**w.pod(), "metadata": {**w.pod()["metadata"], "labels": {"touched": "yes"}}})
        await w.settle()
        assert interfaces(w) == {"eth0"}


async def test_four_attempts_then_silence_until_the_text_changes() -> None:
    async with world((POD, pod(networks="", entries=[DEFAULT_ENTRY])), play=ONLY) as w:
        wanted = text(element("blue", "net1"))
        w.annotate(wanted)
        await w.until(lambda: len(w.api.reasons()) == 4)
        w.put(NAD, nad("blue"))
        await w.settle()
        assert set(w.api.reasons()) == {"FailedAddingInterface"}
        assert len(w.api.reasons()) == 4
        assert interfaces(w) == {"eth0"}
        w.annotate(wanted + " ")
        await w.until(lambda: interfaces(w) == {"eth0", "net1"})


async def test_the_first_failing_element_blocks_the_rest_and_all_removals() -> None:
    launcher = pod(networks=[element("old", "net9")], entries=[DEFAULT_ENTRY, entry("old", "net9")])
    async with world((POD, launcher), (NAD, nad("first")), (NAD, nad("last")), (NAD, nad("old")), play=ONLY) as w:
        w.annotate(text(element("first", "net1"), element("missing", "net2"), element("last", "net3")))
        await w.until(lambda: w.api.reasons().count("FailedAddingInterface") == 4)
        await w.settle()
        assert interfaces(w) == {"eth0", "net9", "net1"}
        assert links_of(w.pod()) == {"eth0", "net9", "net1"}


async def test_a_failed_plugin_rolls_back_and_leaves_a_phantom() -> None:
    async with world(
        (POD, pod(networks="", entries=[DEFAULT_ENTRY])), (NAD, nad("good")), (NAD, nad("bad", cni="fails")), play=ONLY
    ) as w:
        w.annotate(text(element("good", "net1"), element("bad", "net2")))
        await w.until(lambda: w.api.reasons().count("FailedAddingInterface") == 4)
        assert interfaces(w) == {"eth0", "net1"}
        assert links_of(w.pod()) == {"eth0"}
        w.annotate(text(element("good", "net1")))
        await w.settle()
        assert links_of(w.pod()) == {"eth0"}, "taking the broken one out repairs nothing"
        w.annotate("")
        await w.until(lambda: interfaces(w) == {"eth0"})
        w.annotate(text(element("good", "net1")))
        await w.until(lambda: interfaces(w) == {"eth0", "net1"})
        assert links_of(w.pod()) == {"eth0", "net1"}


async def test_an_existing_name_costs_the_pod_its_real_interface() -> None:
    async with world((POD, pod(networks="", entries=[DEFAULT_ENTRY])), (NAD, nad("blue")), play=ONLY) as w:
        w.annotate(text(element("blue", "eth0")))
        await w.until(lambda: "AddedInterface" in w.api.reasons())
        assert w.api.reasons() == ["FailedAddingInterface", "AddedInterface"]
        assert sorted(item["name"] for item in read_status(w.pod())) == ["cluster", "default/blue"]
        assert links_of(w.pod()) == {"eth0"}


async def test_an_unnamed_element_fails_every_later_change() -> None:
    launcher = pod(networks=[element("old")], entries=[DEFAULT_ENTRY, entry("old", "net1")])
    async with world((POD, launcher), (NAD, nad("old")), (NAD, nad("blue")), play=ONLY) as w:
        w.annotate(text(element("old"), element("blue", "net2")))
        await w.until(lambda: w.api.reasons().count("FailedAddingInterface") == 4)
        await w.settle()
        assert interfaces(w) == {"eth0", "net1"}


async def test_a_nad_deleted_before_removal_keeps_the_interface() -> None:
    launcher = pod(networks=[element("old", "net1")], entries=[DEFAULT_ENTRY, entry("old", "net1")])
    async with world((POD, launcher), play=ONLY) as w:
        w.annotate("")
        await w.until(lambda: w.api.reasons().count("FailedRemovingInterface") == 4)
        await w.settle()
        assert interfaces(w) == {"eth0", "net1"}


async def test_bad_json_is_ignored_silently() -> None:
    async with world((POD, pod(networks="", entries=[DEFAULT_ENTRY])), play=ONLY) as w:
        w.annotate('[{"name":')
        await w.settle()
        assert w.api.requests == []


async def test_a_change_before_running_is_lost_until_the_next_one() -> None:
    async with world(
        (POD, pod(networks="", entries=[DEFAULT_ENTRY], phase="Pending")), (NAD, nad("blue")), play=ONLY
    ) as w:
        wanted = text(element("blue", "net1"))
        w.annotate(wanted)
        w.put(POD, {**w.pod(), "status": {"phase": "Running"}})
        await w.settle()
        assert interfaces(w) == {"eth0"}
        w.annotate(wanted + " ")
        await w.until(lambda: interfaces(w) == {"eth0", "net1"})


async def test_a_starting_controller_looks_at_every_running_pod() -> None:
    launcher = pod(networks=[element("blue", "net1")], entries=[DEFAULT_ENTRY])
    async with world((POD, launcher), (NAD, nad("blue")), controller=False, play=ONLY) as w:
        await w.settle()
        assert interfaces(w) == {"eth0"}
        w.put(POD, daemon_pod("dynamic-networks-controller"))
        await w.until(lambda: interfaces(w) == {"eth0", "net1"})


async def test_the_controller_of_another_node_does_not_help() -> None:
    async with world(
        (POD, pod(networks="", entries=[DEFAULT_ENTRY])), (NAD, nad("blue")), controller=False, play=ONLY
    ) as w:
        w.put(POD, daemon_pod("dynamic-networks-controller", on="node02"))
        w.annotate(text(element("blue", "net1")))
        await w.settle()
        assert interfaces(w) == {"eth0"}


async def test_host_network_pods_are_rejected() -> None:
    async with world((POD, pod(networks="", spec={"hostNetwork": True})), play=ONLY) as w:
        w.annotate(text(element("blue", "net1")))
        await w.until(lambda: w.api.reasons() == ["InterfaceAddRejected"])


@pytest.mark.parametrize(("fault", "reasons"), [("broken", {"FailedAddingInterface"}), ("broken=silent", set())])
async def test_broken(fault: str, reasons: set[str]) -> None:
    async with world(
        (NODE, node(dynamic_networks_controller=fault)),
        (POD, pod(networks="", entries=[DEFAULT_ENTRY])),
        (NAD, nad("blue")),
        play=ONLY,
    ) as w:
        w.annotate(text(element("blue", "net1")))
        await w.settle()
        assert interfaces(w) == {"eth0"}
        assert set(w.api.reasons()) == reasons


async def test_an_addition_beside_a_removal_loses_its_status() -> None:
    launcher = pod(networks=[element("old", "net1")], entries=[DEFAULT_ENTRY, entry("old", "net1")])
    mixed = node(dynamic_networks_controller="broken=mixed")
    async with world((NODE, mixed), (POD, launcher), (NAD, nad("old")), (NAD, nad("blue")), play=ONLY) as w:
        w.annotate(text(element("blue", "net2")))
        await w.until(lambda: interfaces(w) == {"eth0"})
        assert links_of(w.pod()) == {"eth0", "net2"}
        await w.until(lambda: len(w.api.reasons()) == 2)
        assert w.api.reasons() == ["AddedInterface", "RemovedInterface"], "nothing tells of it"
        w.annotate(text(element("blue", "net2")) + " ")
        await w.until(lambda: interfaces(w) == {"eth0", "net2"})


async def test_another_network_under_the_same_interface_ends_as_a_phantom() -> None:
    launcher = pod(networks=[element("old", "net1")], entries=[DEFAULT_ENTRY, entry("old", "net1")])
    async with world((POD, launcher), (NAD, nad("old")), (NAD, nad("blue")), play=ONLY) as w:
        w.annotate(text(element("blue", "net1")))
        await w.until(lambda: "RemovedInterface" in w.api.reasons())
        assert sorted(item["name"] for item in read_status(w.pod())) == ["cluster", "default/blue"]
        assert links_of(w.pod()) == {"eth0"}


async def test_slow() -> None:
    async with world(
        (NODE, node(dynamic_networks_controller="slow=200ms")),
        (POD, pod(networks="", entries=[DEFAULT_ENTRY])),
        (NAD, nad("blue")),
        play=ONLY,
    ) as w:
        w.annotate(text(element("blue", "net1")))
        await w.settle()
        assert interfaces(w) == {"eth0"}
        await w.until(lambda: interfaces(w) == {"eth0", "net1"})


async def test_without_multus_nothing_can_be_added() -> None:
    async with world(
        (POD, pod(networks="", entries=[DEFAULT_ENTRY])), (NAD, nad("blue")), multus=False, play=ONLY
    ) as w:
        w.annotate(text(element("blue", "net1")))
        await w.until(lambda: w.api.reasons().count("FailedAddingInterface") == 4)
        assert interfaces(w) == {"eth0"}


async def test_addresses_come_from_the_nad_and_go_back() -> None:
    ipam = {"type": "bridge", "ipam": {"type": "whereabouts", "range": "10.9.0.0/30"}}
    async with world((POD, pod(networks="", entries=[DEFAULT_ENTRY])), (NAD, nad("blue", ipam)), play=ONLY) as w:
        for _ in range(3):
            w.annotate(text(element("blue", "net1")))
            await w.until(lambda: interfaces(w) == {"eth0", "net1"})
            assert next(i["ips"] for i in read_status(w.pod()) if i["interface"] == "net1") == ["10.9.0.1"]
            w.annotate("")
            await w.until(lambda: interfaces(w) == {"eth0"})
