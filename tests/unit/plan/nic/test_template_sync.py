"""From the VM template to the VMI spec and back (KubeVirt 1.9's rules; docs/differences.md)."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from tests.build import Json, Nic, a_vm, a_vmi, absent, nic, primary, primary_row, row, vm, vmi
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.plan.actions import PatchInterfaces
from nicplug.plan.nic.template_sync import drop_detached, patch_devices, wanted_template_devices, wanted_vmi_devices

POLICY = HotplugPolicy()


def _states(items: Sequence[Nic]) -> list[tuple[str, str]]:
    return [(interface["name"], interface.get("state", "")) for interface, _ in items]


@dataclass(frozen=True, kw_only=True)
class Case:
    """`wanted`: names and states of the VMI's interfaces afterwards; None for no patch."""

    title: str
    template: Sequence[Nic]
    running: Sequence[Nic]
    rows: Sequence[Json] = ()
    wanted: Sequence[tuple[str, str]] | None = None

    def __str__(self) -> str:
        return self.title


PLAIN, ABSENT, UP, DOWN = "", "absent", "up", "down"
BOTH = (("default", PLAIN), ("blue", PLAIN))
BLUE_ROW = (primary_row(), row("blue", "domain", "multus-status"))

FORWARD = (
    Case(title="a bridge NIC is plugged", template=[primary(), nic("blue")], running=[primary()], wanted=BOTH),
    Case(
        title="an SR-IOV NIC reaches the spec; the pod gets it when it moves",
        template=[primary(), nic("blue", binding="sriov")],
        running=[primary()],
        wanted=BOTH,
    ),
    Case(
        title="several NICs go in the order of the template",
        template=[nic("red"), primary(), nic("blue")],
        running=[primary()],
        wanted=[("default", PLAIN), ("red", PLAIN), ("blue", PLAIN)],
    ),
    Case(
        title="masquerade waits for a restart",
        template=[primary(), nic("blue", binding="masquerade")],
        running=[primary()],
    ),
    Case(
        title="passt waits for a restart",
        template=[primary(), nic("blue", binding="passtBinding")],
        running=[primary()],
    ),
    Case(
        title="a plugin waits for a restart", template=[primary(), nic("blue", binding="binding")], running=[primary()]
    ),
    Case(title="no binding at all waits", template=[primary(), nic("blue", binding="")], running=[primary()]),
    Case(title="a primary NIC is not plugged", template=[primary(binding="bridge")], running=[nic("blue")]),
    Case(title="an absent NIC is not plugged", template=[primary(), absent("blue")], running=[primary()]),
    Case(
        title="an absent NIC that the guest still has though its entries were deleted is asked to go",
        template=[primary(), absent("blue")],
        running=[primary()],
        rows=BLUE_ROW,
        wanted=[("default", PLAIN), ("blue", ABSENT)],
    ),
    Case(
        title="an absent SR-IOV NIC that the guest still has cannot go",
        template=[primary(), absent("blue", binding="sriov")],
        running=[primary()],
        rows=BLUE_ROW,
    ),
    Case(
        title="unplug is carried over",
        template=[primary(), absent("blue")],
        running=[primary(), nic("blue")],
        rows=BLUE_ROW,
        wanted=[("default", PLAIN), ("blue", ABSENT)],
    ),
    Case(
        title="unplug before the first row",
        template=[primary(), absent("blue")],
        running=[primary(), nic("blue")],
        wanted=[("default", PLAIN), ("blue", ABSENT)],
    ),
    Case(
        title="the primary NIC cannot be unplugged",
        template=[primary(binding="bridge", state=ABSENT)],
        running=[primary(binding="bridge")],
    ),
    Case(
        title="an SR-IOV NIC cannot be unplugged",
        template=[primary(), absent("blue", binding="sriov")],
        running=[primary(), nic("blue", binding="sriov")],
        rows=BLUE_ROW,
    ),
    Case(
        title="unplug from a pod that counts its interfaces is not carried over",
        template=[primary(), absent("blue")],
        running=[primary(), nic("blue")],
        rows=[primary_row(), row("blue", "domain", "multus-status", pod_interface="net1")],
    ),
    Case(
        title="link down is carried over",
        template=[primary(), nic("blue", state=DOWN)],
        running=[primary(), nic("blue")],
        wanted=[("default", PLAIN), ("blue", DOWN)],
    ),
    Case(
        title="link up again removes nothing but the state",
        template=[primary(), nic("blue")],
        running=[primary(), nic("blue", state=DOWN)],
        wanted=[("default", PLAIN), ("blue", PLAIN)],
    ),
    Case(
        title="link of the primary",
        template=[primary(state=DOWN)],
        running=[primary()],
        wanted=[("default", DOWN)],
    ),
    Case(title="absent is never revived", template=[primary(), nic("blue")], running=[primary(), absent("blue")]),
    Case(
        title="no other field is copied",
        template=[primary(), nic("blue", mac="02:00:00:00:00:01")],
        running=[primary(), nic("blue")],
        rows=BLUE_ROW,
    ),
    Case(title="another order is not a change", template=[nic("blue"), primary()], running=[primary(), nic("blue")]),
    Case(title="a NIC removed from the template stays", template=[primary()], running=[primary(), nic("blue")]),
    Case(title="nothing to do", template=[primary(), nic("blue")], running=[primary(), nic("blue")]),
)


@pytest.mark.parametrize("case", FORWARD, ids=str)
def test_from_template_to_vmi(case: Case) -> None:
    raw = vmi(*case.running, rows=case.rows)
    patch = patch_devices(a_vmi(raw), wanted_vmi_devices(vm=a_vm(vm(*case.template)), vmi=a_vmi(raw), policy=POLICY))
    if case.wanted is None:
        assert patch is None
        return
    assert patch is not None
    after = _apply(raw, patch)
    assert _interfaces(after["spec"]) == list(case.wanted)
    assert {item["name"] for item in after["spec"]["networks"]} == {name for name, _ in case.wanted}
    wanted = wanted_vmi_devices(vm=a_vm(vm(*case.template)), vmi=a_vmi(after), policy=POLICY)
    again = patch_devices(a_vmi(after), wanted)
    assert again is None, "a second look must find nothing to do"


BACKWARD = (
    Case(
        title="gone from spec and status",
        template=[primary(), absent("blue")],
        running=[primary()],
        wanted=[("default", "")],
    ),
    Case(title="still in the spec", template=[primary(), absent("blue")], running=[primary(), absent("blue")]),
    Case(title="still in the status", template=[primary(), absent("blue")], running=[primary()], rows=BLUE_ROW),
    Case(title="not absent", template=[primary(), nic("blue")], running=[primary()]),
)


@pytest.mark.parametrize("case", BACKWARD, ids=str)
def test_the_template_forgets_what_is_gone(case: Case) -> None:
    raw = vm(*case.template)
    instance = a_vmi(vmi(*case.running, rows=case.rows))
    patch = patch_devices(a_vm(raw), wanted_template_devices(vm=a_vm(raw), vmi=instance))
    if case.wanted is None:
        assert patch is None
        return
    assert patch is not None
    after = _apply(raw, patch)
    assert _interfaces(after["spec"]["template"]["spec"]) == list(case.wanted)


def test_a_stopped_vm_forgets_every_absent_nic() -> None:
    record = a_vm(vm(primary(), absent("blue"), absent("red")))
    assert [item.name for item in wanted_template_devices(vm=record, vmi=None).interfaces] == ["default"]


def test_a_vmi_drops_an_absent_nic_that_no_row_shows() -> None:
    raw = vmi(primary(), absent("blue"), absent("red"), rows=[primary_row(), row("red", "multus-status")])
    patch = drop_detached(a_vmi(raw))
    assert patch is not None
    assert _interfaces(_apply(raw, patch)["spec"]) == [("default", ""), ("red", "absent")]


def test_a_vmi_with_nothing_to_drop_is_left_alone() -> None:
    assert drop_detached(a_vmi(vmi(primary(), nic("blue")))) is None


def test_a_network_without_an_interface_stays() -> None:
    """Admission forbids it in KubeVirt; what is not ours to judge is not ours to delete."""
    raw = vmi(primary(), absent("blue"))
    raw["spec"]["networks"].append({"name": "spare", "multus": {"networkName": "spare-net"}})
    patch = drop_detached(a_vmi(raw))
    assert patch is not None
    assert [item["name"] for item in _apply(raw, patch)["spec"]["networks"]] == ["default", "spare"]


@pytest.mark.parametrize("empty", [[], None], ids=["an empty list", "null"])
def test_a_vmi_whose_lists_are_written_out_empty_can_be_patched(empty: list[Json] | None) -> None:
    """The API server keeps `interfaces: []`, and a `test` for null does not pass on it: the NIC never came."""
    raw = vmi()
    raw["spec"]["domain"]["devices"] = {"autoattachPodInterface": False, "interfaces": empty}
    raw["spec"]["networks"] = empty
    record = a_vmi(raw)
    patch = patch_devices(record, wanted_vmi_devices(vm=a_vm(vm(nic("blue"))), vmi=record, policy=POLICY))
    assert patch is not None
    assert _interfaces(_apply(raw, patch)["spec"]) == [("blue", "")]


def test_the_last_nic_of_a_template_can_go() -> None:
    raw = vm(absent("blue"))
    record = a_vm(raw)
    patch = patch_devices(record, wanted_template_devices(vm=record, vmi=None))
    assert patch is not None
    after = _apply(raw, patch)["spec"]["template"]["spec"]
    assert not after["networks"]
    assert not after["domain"]["devices"]["interfaces"]


def test_a_changed_list_fails_the_guard() -> None:
    raw = vmi(primary())
    record = a_vmi(raw)
    patch = patch_devices(record, wanted_vmi_devices(vm=a_vm(vm(nic("blue"))), vmi=record, policy=POLICY))
    assert patch is not None
    raw["spec"]["networks"].append({"name": "other", "multus": {"networkName": "other-net"}})
    with pytest.raises(Exception, match="rejected"):
        _apply(raw, patch)


def _apply(raw: Json, patch: PatchInterfaces) -> Json:

    content = json.dumps([dict(operation) for operation in patch.json_patch()]).encode()
    return patched(copy.deepcopy(raw), content_type=JSON_PATCH, content=content)


def _interfaces(spec: Json) -> list[tuple[str, str]]:
    return [(item["name"], item.get("state", "")) for item in spec["domain"]["devices"]["interfaces"]]
