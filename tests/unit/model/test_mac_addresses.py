"""MAC addresses in every notation that admission takes."""

import pytest
from tests.build import nic

from nicplug.model.networks import normalised_mac, parse_interface, parse_network
from nicplug.model.networks_annotation import element_of


@pytest.mark.parametrize("mac", ["02:00:00:00:00:0a", "02-00-00-00-00-0A", "0200.0000.000A", "0200.0000.000a"])
def test_one_address_in_another_notation_was_another_address(mac: str) -> None:
    assert normalised_mac(mac) == "02:00:00:00:00:0a"


@pytest.mark.parametrize("text", ["", "0200.0000", "0200.0000.000g", "0200.0000.0000.0001"])
def test_what_is_no_dotted_address_stays_as_it_is(text: str) -> None:
    assert normalised_mac(text) == text


def test_a_dotted_address_was_left_out_of_the_pod_without_a_word() -> None:
    """KubeVirt's admission takes it; CNI plugins want colons."""
    interface, network = nic("blue", mac="0200.0000.000A")
    element = element_of(
        interface=parse_interface(interface), network=parse_network(network), pod_interface="pod1", namespace="default"
    )
    assert element["mac"] == "02:00:00:00:00:0A"
