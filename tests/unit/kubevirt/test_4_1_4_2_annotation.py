"""Sections 4.1 and 4.2: names of pod interfaces, and the networks annotation of launcher pods."""

import json

import pytest
from tests.unit.kubevirt.build import net, nic, pod, vmi

from nicplug_sandbox.kubevirt.interface_names import hashed_name, secondary_names
from nicplug_sandbox.kubevirt.launcher_pod import current_pod
from nicplug_sandbox.kubevirt.pod_networks import live_annotation, new_pod_annotations
from nicplug_sandbox.kubevirt.vmi import View, sync

NETWORKS = "k8s.v1.cni.cncf.io/networks"
RED = '[{"name":"red-nad","namespace":"default","interface":"podb1f51a511f1"}]'


@pytest.mark.parametrize(
    ("name", "interface"),
    [("red", "podb1f51a511f1"), ("network1", "poda7662f44d65"), ("secondary-network", "pod56a025b6623")],
)
def test_hashed_names(name: str, interface: str) -> None:
    assert hashed_name(name) == interface


def test_one_ordinal_entry_makes_all_names_ordinal() -> None:
    assert secondary_names([net("a"), net("b")], [{"interface": "net7"}]) == {"a": "net1", "b": "net2"}


def test_the_keys_have_kubevirts_order() -> None:
    machine = vmi(nic("red", macAddress="de:ad:00:00:be:af"), networks=[net("red", "some-net")])
    assert new_pod_annotations(machine)[NETWORKS] == (
        '[{"name":"some-net","namespace":"default","mac":"de:ad:00:00:be:af","interface":"podb1f51a511f1"}]'
    )


def test_a_new_pod_has_no_absent_nic_and_the_order_of_the_interfaces() -> None:
    machine = vmi(nic("b"), nic("a"), nic("x", state="absent"), networks=[net("a"), net("x"), net("b")])
    assert [item["name"] for item in json.loads(new_pod_annotations(machine)[NETWORKS])] == ["b-nad", "a-nad"]
    assert new_pod_annotations(machine)["istio.io/reroute-virtual-interfaces"] == "k6t-eth0"


def test_without_a_secondary_network_a_new_pod_has_no_annotation() -> None:
    assert NETWORKS not in new_pod_annotations(vmi())


def test_a_live_pod_gets_a_bridge_nic_that_has_no_row() -> None:
    assert live_annotation(vmi(nic("red")), pod()) == RED


def test_a_live_pod_does_not_get_an_sriov_nic() -> None:
    assert live_annotation(vmi(nic("red", sriov={})), pod()) is None


def test_a_live_pod_is_left_alone_when_every_nic_has_a_row() -> None:
    told = [{"name": "default"}, {"name": "red", "podInterfaceName": "x"}]
    assert live_annotation(vmi(nic("red"), rows=told), pod()) is None


def test_a_foreign_text_is_written_over_while_a_nic_has_no_row() -> None:
    assert live_annotation(vmi(nic("red")), pod(annotations={NETWORKS: RED + " "})) == RED
    assert live_annotation(vmi(nic("red")), pod(annotations={NETWORKS: RED})) is None


def test_unplug_of_the_last_nic_leaves_an_empty_text() -> None:
    rows = [{"name": "default"}, {"name": "red"}]
    gone = vmi(nic("red", state="absent"), rows=rows)
    assert live_annotation(gone, pod(annotations={NETWORKS: RED})) == ""


def test_the_patch_adds_without_a_test_together_with_the_deschedulers_key() -> None:
    (found,) = sync(View(vmi=vmi(nic("red"), phase="Scheduled"), pods=[pod()])).writes
    assert (found.verb, found.kind) == ("patch", "Pod")
    assert found.body == [
        {"op": "add", "path": "/metadata/annotations/k8s.v1.cni.cncf.io~1networks", "value": RED},
        {
            "op": "add",
            "path": "/metadata/annotations/descheduler.alpha.kubernetes.io~1request-evict-only",
            "value": "",
        },
    ]


def test_during_a_migration_it_is_the_source_pod() -> None:
    source, other = pod(), pod(name="target", node="node02", age=1)
    writes = sync(View(vmi=vmi(nic("red"), phase="Scheduled"), pods=[other, source])).writes
    assert [item.name for item in writes] == [source["metadata"]["name"]]


def test_a_pod_that_is_not_ready_is_left_alone() -> None:
    assert sync(View(vmi=vmi(nic("red"), phase="Scheduled"), pods=[pod(phase="Pending")])).writes == ()


def test_the_pod_of_a_vmi_is_the_newest_on_its_node() -> None:
    pods = [pod(name="older", age=60), pod(name="newer", age=30), pod(name="elsewhere", node="other", age=10)]
    found = current_pod(vmi(), pods)
    assert found is not None
    assert found["metadata"]["name"] == "newer"


@pytest.mark.parametrize("order", [1, -1], ids=["the dead one first", "the dead one last"])
def test_of_two_pods_of_one_second_the_vmi_has_the_one_that_lives(order: int) -> None:
    """A migration to the node of one that had failed within the second left the guest in a pod that nobody asked."""
    pods = [pod(name="dead", phase="Failed"), pod(name="alive")]
    found = current_pod(vmi(), pods[::order])
    assert found is not None
    assert found["metadata"]["name"] == "alive"
