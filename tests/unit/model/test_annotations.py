"""What stands in the two annotations of Multus, and how pod interfaces are called."""

import contextlib
import json
from typing import Any

import pytest
from tests.build import POD_INTERFACES, nic

from nicplug.model.network_status import MAXIMUM_ENTRIES, parse_network_status
from nicplug.model.networks import parse_interface, parse_network
from nicplug.model.networks_annotation import (
    UnreadableAnnotation,
    element_of,
    hashed_interface_name,
    is_hashed_name,
    is_ordinal_name,
    parse_annotation,
    pod_interface_names,
    render_annotation,
)


@pytest.mark.parametrize(("network", "interface"), POD_INTERFACES.items())
def test_kubevirts_vectors(network: str, interface: str) -> None:
    assert hashed_interface_name(network) == interface
    assert is_hashed_name(interface)


@pytest.mark.parametrize(
    "name", ["pod", "pod16477688c0", "pod16477688c0e1", "pod16477688C0E", "eth0", "net1", "pod16477688c0e\n"]
)
def test_what_is_no_hashed_name(name: str) -> None:
    assert not is_hashed_name(name)


@pytest.mark.parametrize(
    ("name", "ordinal"), [("net1", True), ("net12", True), ("net", False), ("net1\n", False), ("anet1", False)]
)
def test_ordinal_names(name: str, ordinal: bool) -> None:
    assert is_ordinal_name(name) is ordinal


def test_names_by_number_count_the_secondary_networks_from_one() -> None:
    assert pod_interface_names(secondary_networks=["b", "a"], ordinal=True) == {"b": "net1", "a": "net2"}


def test_names_by_hash_do_not_depend_on_the_order() -> None:
    one = pod_interface_names(secondary_networks=["red", "blue"], ordinal=False)
    assert one == pod_interface_names(secondary_networks=["blue", "red"], ordinal=False)


@pytest.mark.parametrize(
    ("attachment", "namespace", "name"),
    [("lan", "default", "lan"), ("ops/lan", "ops", "lan"), ("a/b/c", "a", "b/c"), ("/lan", "", "lan")],
)
def test_the_reference_is_split_at_the_first_slash(attachment: str, namespace: str, name: str) -> None:
    network = parse_network(nic("blue", attachment=attachment)[1])
    assert network.attachment_reference(namespace="default") == (namespace, name)


def test_an_element_has_kubevirts_key_order() -> None:
    interface, network = nic("red", mac="de:ad:00:00:be:af", attachment="some-net")
    element = element_of(
        interface=parse_interface(interface),
        network=parse_network(network),
        pod_interface="podb1f51a511f1",
        namespace="default",
    )
    text = '[{"name":"some-net","namespace":"default","mac":"de:ad:00:00:be:af","interface":"podb1f51a511f1"}]'
    assert render_annotation([element]) == text


def test_no_element_is_the_empty_string() -> None:
    assert render_annotation([]) == ""


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        (None, []),
        ("", []),
        ("  ", []),
        ("[]", []),
        (' [{"name":"a"}] ', [{"name": "a"}]),
        ("a", [{"name": "a"}]),
        ("a,b", [{"name": "a"}, {"name": "b"}]),
        ("ns/a@eth1, b", [{"name": "a", "namespace": "ns", "interface": "eth1"}, {"name": "b"}]),
    ],
)
def test_both_forms_of_the_annotation(text: str | None, elements: list[Any]) -> None:
    assert parse_annotation(text) == elements


@pytest.mark.parametrize(
    "text", ["[", "{}", '{"name":"a"}', "[1]", "[null]", '"a"', '["a"]', "[" * 5000, '[{"name":"a"},]']
)
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(UnreadableAnnotation):
        parse_annotation(text)


@pytest.mark.parametrize("text", [None, "", "[", "{}", "null", "1", '"x"', "[" * 5000])
def test_broken_network_status_is_empty(text: str | None) -> None:
    assert parse_network_status(text).entries == ()


def test_network_status() -> None:
    entries = [
        {"name": "default/lan", "interface": "podb1f51a511f1", "mac": "02:00:00:00:00:01", "dns": {}},
        {"name": "cluster", "interface": "eth0", "default": True},
        "nonsense",
        {"interface": 7},
    ]
    status = parse_network_status(json.dumps(entries))
    assert status.has("podb1f51a511f1")
    assert not status.has("eth0"), "the default network is not a secondary one"
    assert not status.has("pod16477688c0e")
    assert status.primary_interface == "eth0"
    assert not status.is_ordinal


def test_the_order_of_network_status_carries_no_meaning() -> None:
    entries = [{"name": "a", "interface": "b1"}, {"name": "b", "interface": "a1"}, {"default": True}]
    assert parse_network_status(json.dumps(entries)) == parse_network_status(json.dumps(entries[::-1]))


def test_a_huge_network_status_is_cut() -> None:
    entries = [{"interface": f"i{index}"} for index in range(MAXIMUM_ENTRIES + 50)]
    assert len(parse_network_status(json.dumps(entries)).entries) == MAXIMUM_ENTRIES


def test_half_a_surrogate_pair_stays_escaped_as_it_was_and_is_legible_where_it_is_quoted() -> None:
    """JSON can escape what UTF-8 cannot hold: every pass for the VM ended in a UnicodeEncodeError."""
    text = '[{"name":"lan","x":"\\ud800"}]'
    assert render_annotation(parse_annotation(text)) == text
    status = parse_network_status('[{"name":"a/\\udfff","interface":"x\\ud800"}]')
    assert (status.entries[0].network, status.entries[0].interface) == ("a/?", "x?")


@pytest.mark.parametrize("name", ['a","namespace":"victim', "a}],[{", "a\\", 'a\u0022,"x":"', "a\nb", "\u202ea"])
def test_a_name_with_quotes_or_brackets_asked_for_a_second_network(name: str) -> None:
    element = {"name": name, "namespace": "default", "interface": "podb1f51a511f1"}
    assert parse_annotation(render_annotation([element])) == [element]


def test_of_a_key_that_is_there_twice_the_last_counts_as_in_go_and_one_is_written() -> None:
    """Else one of the two would be looked at, and the other one attached."""
    (element,) = parse_annotation('[{"name":"lan","namespace":"default","name":"secret","namespace":"victim"}]')
    assert element == {"name": "secret", "namespace": "victim"}
    assert render_annotation([element]) == '[{"name":"secret","namespace":"victim"}]'
    status = parse_network_status('[{"name":"default/lan","interface":"a","interface":"b","name":"victim/secret"}]')
    assert [(entry.network, entry.interface) for entry in status.entries] == [("victim/secret", "b")]


_LARGEST = 256 * 1024
AWKWARD = {
    "empty elements": "[" + "{}," * (_LARGEST // 3 - 1) + "{}]",
    "lists": "[" + "[]," * (_LARGEST // 3 - 1) + "[]]",
    "never closed": "[" * _LARGEST,
    "one text": '"' + "x" * (_LARGEST - 2) + '"',
    "one name": '[{"name":"' + "x" * (_LARGEST - 13) + '"}]',
    "one number": "9" * _LARGEST,
    "commas": "," * _LARGEST,
    "names": "a," * (_LARGEST // 2),
    "emoji": "\N{BRIDGE AT NIGHT}" * (_LARGEST // 4),
    "members": "[{" + ",".join(f'"{number:05}":1' for number in range(_LARGEST // 10)) + "}]",
}


@pytest.mark.parametrize("title", AWKWARD)
def test_annotations_as_long_as_the_api_server_stores_them_are_read_or_said_to_be_unreadable(title: str) -> None:
    assert len(AWKWARD[title].encode()) <= _LARGEST
    assert len(parse_network_status(AWKWARD[title]).entries) <= MAXIMUM_ENTRIES
    with contextlib.suppress(UnreadableAnnotation):
        assert parse_annotation(render_annotation(parse_annotation(AWKWARD[title]))) is not None
