"""Section 3.2: NICs from the template to the VMI, and back out of both."""

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, net, nic, spec, vm, vmi

from nicplug_sandbox.kubevirt.objects import interfaces_of, networks_of
from nicplug_sandbox.kubevirt.run_strategy import View
from nicplug_sandbox.kubevirt.template_sync import cleared_template, synced_spec, vmi_patch
from nicplug_sandbox.kubevirt.vm import sync

HASHED = {"name": "blue", "infoSource": "domain, multus-status", "podInterfaceName": "pod16477688c0e"}
ORDINAL = {**HASHED, "podInterfaceName": "net1"}


@pytest.mark.parametrize(
    ("binding", "comes"),
    [({"bridge": {}}, True), ({"sriov": {}}, True), ({"masquerade": {}}, False), ({"binding": {"name": "x"}}, False)],
)
def test_only_bridge_and_sriov_are_plugged(binding: dict[str, object], comes: bool) -> None:
    template = spec({"name": "blue", **binding})
    found = synced_spec(template, vmi())
    assert ([item["name"] for item in interfaces_of(found)] == ["default", "blue"]) is comes
    assert ([item["name"] for item in networks_of(found)] == ["default", "blue"]) is comes


def test_a_nic_that_is_absent_from_the_start_is_not_plugged() -> None:
    assert synced_spec(spec(nic("blue", state="absent")), vmi()) == vmi()["spec"]


@pytest.mark.parametrize(
    ("rows", "state"), [([HASHED], "absent"), ([ORDINAL], None), ([{"name": "blue"}], None)], ids=str
)
def test_unplug_waits_while_names_are_ordinal_or_unknown(rows: list[dict[str, str]], state: str | None) -> None:
    found = synced_spec(spec(nic("blue", state="absent")), vmi(nic("blue"), rows=rows))
    assert interfaces_of(found)[1].get("state") == state


def test_an_absent_nic_is_never_revived() -> None:
    found = synced_spec(spec(nic("blue")), vmi(nic("blue", state="absent"), rows=[HASHED]))
    assert interfaces_of(found)[1]["state"] == "absent"


def test_an_absent_nic_without_a_row_goes_from_the_vmi_and_then_from_the_template() -> None:
    found = synced_spec(spec(nic("blue", state="absent")), vmi(nic("blue", state="absent"), rows=[]))
    assert [item["name"] for item in interfaces_of(found)] == ["default"]
    assert cleared_template(spec(nic("blue", state="absent")), spec=found, vmi=vmi(rows=[])) == spec()


def test_a_stopped_vm_is_cleared_too() -> None:
    assert cleared_template(spec(nic("blue", state="absent")), spec=None, vmi=None) == spec()


@pytest.mark.parametrize(("conditions", "name"), [((LIVE,), "ns/other"), ((), "blue-nad")])
def test_the_network_name_follows_where_the_vmi_can_migrate(conditions: tuple[dict[str, str]], name: str) -> None:
    template = spec(nic("blue"), networks=[net("blue", "ns/other")])
    found = synced_spec(template, vmi(nic("blue"), conditions=conditions, rows=[HASHED]))
    assert networks_of(found)[1]["multus"]["networkName"] == name


def test_the_patch_tests_what_was_read_in_kubevirts_order() -> None:
    bare = {"metadata": vmi()["metadata"], "spec": {"domain": {}}, "status": {}}
    patch = vmi_patch(bare, synced_spec(spec(nic("blue")), bare))
    assert [(item["op"], item["path"]) for item in patch] == [
        ("test", "/spec/networks"),
        ("add", "/spec/networks"),
        ("test", "/spec/domain/devices/interfaces"),
        ("add", "/spec/domain/devices/interfaces"),
    ]
    assert patch[0]["value"] is None
    assert patch[2]["value"] is None


def test_a_template_in_another_order_is_rewritten_in_both() -> None:
    turned = [net("blue"), {"name": "default", "pod": {}}]
    machine = vm(nic("blue"))
    machine["spec"]["template"]["spec"]["networks"] = turned
    running = vmi(nic("blue"), rows=[HASHED])
    running["spec"]["networks"] = turned
    writes = sync(View(vm=machine, vmi=running), now=NOW).writes
    assert [(item.verb, item.kind) for item in writes] == [
        ("patch", "VirtualMachineInstance"),
        ("update", "VirtualMachine"),
    ]


def test_nothing_is_written_where_nothing_differs() -> None:
    assert sync(View(vm=vm(nic("blue")), vmi=vmi(nic("blue"), rows=[HASHED])), now=NOW).writes == ()


def test_an_absent_nic_without_a_row_is_dropped_and_the_patch_does_not_look_at_the_rows() -> None:
    """A NIC whose row another pass has just written stays in the guest then: nobody asks for its detachment."""
    template = vm(nic("blue"), nic("red", state="absent"))
    running = vmi(nic("blue"), nic("red"), rows=[HASHED])
    (patched,) = [item for item in sync(View(vm=template, vmi=running), now=NOW).writes if item.verb == "patch"]
    assert isinstance(patched.body, list)
    assert [(item["op"], item["path"]) for item in patched.body] == [
        ("test", "/spec/networks"),
        ("add", "/spec/networks"),
        ("test", "/spec/domain/devices/interfaces"),
        ("add", "/spec/domain/devices/interfaces"),
    ]
    assert [item["name"] for item in patched.body[-1]["value"]] == ["default", "blue"]
