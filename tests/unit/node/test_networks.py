"""The wire formats of pod networks."""

import json

import pytest
from tests.unit.node import build

from nicplug_sandbox.node.networks import (
    POD_LINKS,
    AnnotationError,
    Element,
    NetworkConfiguration,
    format_status,
    generated_mac,
    hashed_interface,
    links_annotation,
    links_of,
    parse_configuration,
    parse_networks,
    read_status,
    status_entry,
)


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", ()),
        ("  ", ()),
        ("[]", ()),
        ("blue", (Element(namespace="ns", name="blue"),)),
        ("red/blue@net5", (Element(namespace="red", name="blue", interface="net5"),)),
        ("blue, red/green", (Element(namespace="ns", name="blue"), Element(namespace="red", name="green"))),
        (
            '[{"name":"blue","namespace":"red","mac":"de:ad:00:00:be:af","interface":"podb1f51a511f1","ips":["10.0.0.5/24"]}]',
            (
                Element(
                    namespace="red",
                    name="blue",
                    mac="de:ad:00:00:be:af",
                    interface="podb1f51a511f1",
                    ips=("10.0.0.5/24",),
                ),
            ),
        ),
        (
            '[{"name":"blue","cni-args":{"logicNetworkName":"x"}}]',
            (Element(namespace="ns", name="blue", cni_args='{"logicNetworkName": "x"}'),),
        ),
    ],
)
def test_both_forms_of_the_annotation(text: str, elements: tuple[Element, ...]) -> None:
    assert parse_networks(text, namespace="ns") == elements


@pytest.mark.parametrize(
    "text", ['[{"name":', '{"name":"blue"}', "[1]", '[{"interface":"net1"}]', "Blue", "a/b/c@", "a@"]
)
def test_a_bad_annotation_is_an_error(text: str) -> None:
    with pytest.raises(AnnotationError, match="networks"):
        parse_networks(text, namespace="ns")


def test_the_key_of_an_unnamed_element_cannot_match_a_status_entry() -> None:
    assert Element(namespace="ns", name="blue").key == "ns/blue"
    assert Element(namespace="ns", name="blue", interface="net1").key == "ns/blue/net1"


def test_a_status_entry_leaves_out_what_is_unknown() -> None:
    assert status_entry(network="ns/blue", interface="net1", mac="02:00:00:00:00:01") == {
        "name": "ns/blue",
        "interface": "net1",
        "mac": "02:00:00:00:00:01",
        "dns": {},
    }
    full = status_entry(network="cluster", interface="eth0", mac="m", ips=["10.0.0.1"], mtu=1300, default=True)
    assert full == {
        "name": "cluster",
        "interface": "eth0",
        "ips": ["10.0.0.1"],
        "mac": "m",
        "mtu": 1300,
        "default": True,
        "dns": {},
    }


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[1]"])
def test_a_broken_status_is_as_good_as_none(text: str) -> None:
    assert read_status(build.pod(annotations={"k8s.v1.cni.cncf.io/network-status": text})) == []


def test_status_survives_its_text_form() -> None:
    entries = [build.DEFAULT_ENTRY, build.entry("blue", "net1")]
    assert json.loads(format_status(entries)) == entries


def test_links_are_those_of_the_status_unless_the_pod_says_otherwise() -> None:
    entries = [build.DEFAULT_ENTRY, build.entry("blue", "net1")]
    assert links_of(build.pod(entries=entries)) == {"eth0", "net1"}
    assert links_of(build.pod(entries=entries, annotations={POD_LINKS: "eth0"})) == {"eth0"}
    assert links_of(build.pod(entries=entries, annotations={POD_LINKS: ""})) == frozenset()


def test_links_are_written_only_while_the_status_lies() -> None:
    entries = [build.DEFAULT_ENTRY, build.entry("blue", "net1")]
    assert links_annotation(links=frozenset({"eth0", "net1"}), entries=entries) is None
    assert links_annotation(links=frozenset({"eth0"}), entries=entries) == "eth0"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"type": "bridge", "mtu": 1300}, NetworkConfiguration(type="bridge", mtu=1300)),
        (
            {"plugins": [{"type": "macvlan", "ipam": {"type": "static"}}, {"type": "tuning"}]},
            NetworkConfiguration(type="macvlan", ipam={"type": "static"}),
        ),
        ({"type": "bridge", "ipam": {}}, NetworkConfiguration(type="bridge")),
    ],
)
def test_a_network_configuration(config: dict[str, object], expected: NetworkConfiguration) -> None:
    assert parse_configuration(build.nad("blue", config)) == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"plugins": []}', '{"plugins": [7]}'])
def test_a_bad_configuration_names_the_nad(text: str) -> None:
    with pytest.raises(AnnotationError, match='NAD "default/blue"'):
        parse_configuration(build.nad("blue", text))


def test_generated_macs_are_stable_local_and_unicast() -> None:
    mac = generated_mac("uid", "net1")
    assert mac == generated_mac("uid", "net1") != generated_mac("uid", "net2")
    assert mac.startswith("02:")
    assert len(mac.split(":")) == 6


@pytest.mark.parametrize(
    ("network", "name"), [("iface1", "pod7e0055a6880"), ("red", "podb1f51a511f1"), ("default", "pod37a8eec1ce1")]
)
def test_hashed_interface_names(network: str, name: str) -> None:
    assert hashed_interface(network) == name
