"""Which NICs are fit to reach a pod (docs/node-simulator.md tells what happens to the others)."""

import re

import pytest
from tests.build import Json, nic, primary

from nicplug.model.networks import parse_interface, parse_network
from nicplug.plan.nic.spec_checks import in_precedence, mac_address_twin, refuse
from nicplug.plan.reasons import Reason


def _reason(name: str = "blue", *, mac: str = "", attachment: str = "blue-net") -> str | None:
    interface, network = nic(name, mac=mac, attachment=attachment)
    refusal = refuse(parse_interface(interface), parse_network(network))
    return refusal.reason if refusal else None


@pytest.mark.parametrize("name", ["blue", "Blue_Net-1", "0", "a" * 128, "eth0", "-", "_"])
def test_names_that_kubevirt_admits(name: str) -> None:
    assert _reason(name) is None


@pytest.mark.parametrize("name", ["", "a.b", "a b", "blue\n", "größe", "a" * 129, "a/b", '"', "a\x00"])
def test_names_that_it_does_not(name: str) -> None:
    assert _reason(name) == Reason.INVALID_NAME


@pytest.mark.parametrize(
    "mac", ["", "02:00:00:00:00:01", "de:ad:00:00:be:af", "DE-AD-00-00-BE-AF", "02:00:00:00:00:00", "0200.0000.0001"]
)
def test_mac_addresses_that_may_be_used(mac: str) -> None:
    assert _reason(mac=mac) is None


@pytest.mark.parametrize(
    "mac",
    [
        "01:00:5e:00:00:01",
        "33:33:00:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "0f:00:00:00:00:01",
        "02:00:00:00:00",
        "02:00:00:00:00:01:02:03",
        "02:00:00:00:00:0g",
        "020000000001",
        "02:00:00:00:00:01\n",
        "02:00:00:00:00:01 ",
        "nonsense",
        "00:00:00:00:00:00",
        "00-00-00-00-00-00",
    ],
)
def test_mac_addresses_that_may_not(mac: str) -> None:
    assert _reason(mac=mac) == Reason.INVALID_MAC_ADDRESS


@pytest.mark.parametrize("attachment", ["net", "ops/net", "a.b-c", "ops/a.b", "0", "a" * 253])
def test_references_that_can_resolve(attachment: str) -> None:
    assert _reason(attachment=attachment) is None


@pytest.mark.parametrize(
    "attachment",
    [" ", "Net", "net/", "/net", "a/b/c", "net@eth1", "a,b", "-a", "a-", "net\n", "größe", "a" * 254, '"},{"name":"x'],
)
def test_references_that_cannot(attachment: str) -> None:
    assert _reason(attachment=attachment) == Reason.INVALID_ATTACHMENT_REFERENCE


def test_an_interface_without_a_network() -> None:
    refusal = refuse(parse_interface(nic("blue")[0]), None)
    assert refusal is not None
    assert refusal.reason == Reason.NO_NETWORK
    assert '"blue"' in refusal.message


def test_the_message_names_what_was_found_and_the_remedy() -> None:
    interface, network = nic("blue", mac="01:00:5e:00:00:01")
    refusal = refuse(parse_interface(interface), parse_network(network))
    assert refusal is not None
    assert "01:00:5e:00:00:01" in refusal.message
    assert "leave it out" in refusal.remedy


def test_a_very_long_name_does_not_make_a_very_long_message() -> None:
    interface, network = nic("x" * 10_000)
    refusal = refuse(parse_interface(interface), parse_network(network))
    assert refusal is not None
    assert len(refusal.message) < 300


def test_the_address_of_the_bridge_in_the_pod_is_not_for_a_masquerade_nic() -> None:
    interface, network = primary()
    refusal = refuse(parse_interface(interface | {"macAddress": "02-00-00-00-00-00"}), parse_network(network))
    assert refusal is not None
    assert "The requested MAC address is reserved for the in-pod bridge. Please choose another one." in refusal.sentence


def test_a_masquerade_nic_on_a_multus_network_was_given_to_the_pod() -> None:
    """KubeVirt's admission refuses it; an instance that was stored before there was a rule may have it."""
    interface, network = nic("blue", binding="masquerade")
    refusal = refuse(parse_interface(interface), parse_network(network))
    assert refusal is not None
    assert refusal.reason == Reason.INVALID_INTERFACE
    assert "Masquerade interface only implemented with pod network" in refusal.message
    assert refuse(parse_interface(interface), parse_network({"name": "blue", "pod": {}})) is None


def test_one_of_two_nics_with_the_same_address_was_left_out() -> None:
    """KubeVirt's admission accepts them. The later one names the other, and the primary NIC comes first."""
    first, second = nic("blue", mac="02:00:00:00:00:01"), primary()
    interfaces = [parse_interface(first[0]), parse_interface(second[0] | {"macAddress": "02:00:00:00:00:01"})]
    networks = [parse_network(first[1]), parse_network(second[1])]
    siblings = in_precedence(interfaces, networks, {})
    assert [refuse(*pair) for pair in zip(interfaces, networks, strict=True)] == [None, None]
    assert mac_address_twin(interfaces[0], siblings) == interfaces[1]
    assert mac_address_twin(interfaces[1], siblings) is None


@pytest.mark.parametrize("kind", [{}, {"multus": {}}, {"multus": {"networkName": ""}}, {"multus": None, "pod": None}])
def test_a_network_that_names_nothing_to_connect_to(kind: Json) -> None:
    """It counted as the primary one, and its NIC was neither served nor told of."""
    refusal = refuse(parse_interface(nic("blue")[0]), parse_network({"name": "blue", **kind}))
    assert refusal is not None
    assert refusal.reason == Reason.INVALID_ATTACHMENT_REFERENCE
    assert 'network "blue" of spec.networks' in refusal.message


@pytest.mark.parametrize("kind", [{"pod": {}}, {"resourceClaim": {"claimName": "x"}}])
def test_networks_that_are_not_multus_s(kind: Json) -> None:
    assert refuse(parse_interface(nic("blue")[0]), parse_network({"name": "blue", **kind})) is None


UNKNOWN_HARDWARE = [
    ({"sriov": {}}, "2 bindings (bridge, sriov)"),
    ({"masquerade": {}, "binding": {"name": "x"}}, "3 bindings (bridge, masquerade, binding)"),
    ({"model": "nosuch"}, 'model "nosuch"'),
    ({"model": "VIRTIO"}, 'model "VIRTIO"'),
    ({"pciAddress": "foo"}, 'pciAddress "foo"'),
    ({"pciAddress": "0000:81:00.8"}, 'pciAddress "0000:81:00.8"'),
    ({"pciAddress": "0000:81:00.1\n"}, "pciAddress"),
    ({"acpiIndex": -4}, "acpiIndex -4"),
    ({"acpiIndex": 16_384}, "acpiIndex 16384"),
]


@pytest.mark.parametrize(("members", "says"), UNKNOWN_HARDWARE, ids=str)
def test_what_kubevirt_admits_to_no_guest_waited_for_the_guest(members: Json, says: str) -> None:
    interface, network = nic("blue")
    refusal = refuse(parse_interface(interface | members), parse_network(network))
    assert refusal is not None
    assert refusal.reason == Reason.INVALID_INTERFACE
    assert says in refusal.message
    assert re.search("Remove all but one|leave it out", refusal.remedy)


@pytest.mark.parametrize(
    "members",
    [
        {"sriov": None},
        {"model": ""},
        *({"model": model} for model in ("virtio", "e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139")),
        {"pciAddress": "0000:81:00.1"},
        {"pciAddress": "AAAA:ff:1f.7"},
        {"acpiIndex": 0},
        {"acpiIndex": 1},
        {"acpiIndex": 16_383},
    ],
    ids=str,
)
def test_hardware_that_kubevirt_knows(members: Json) -> None:
    interface, network = nic("blue")
    assert refuse(parse_interface(interface | members), parse_network(network)) is None
