"""What is taken out of large objects while they are text, and how it comes back."""

import json
import tracemalloc
from typing import Any

import pytest
from tests.build import Json, a_revision, a_vm, a_vmi, nad, nic, primary, revision, vm, vmi
from tests.large import SHAPES, text_of
from tests.unit.kube.elided import go, put

from nicplug.elided import ELIDED, ELIDED_ENTRIES, ELIDED_MEMBERS, STORED_BYTES, has_elided
from nicplug.kube import elision, places
from nicplug.kube.object_text import ObjectText, contents
from nicplug.model import hotplug_policy, names
from nicplug.model import pci as pci_topology
from nicplug.model import requests as state_change
from nicplug.model.attachments import AttachmentDefinition, parse_attachment_definition
from nicplug.model.revision import VmRevision
from nicplug.plan.vm.restart_required import fields_that_need_a_restart

VMS, REVISIONS = ObjectText("virtualmachines"), ObjectText("controllerrevisions")
VMIS = ObjectText("virtualmachineinstances")
TEMPLATE = ("spec", "template", "spec")
PLACES = {
    "unknown member of the template": (*TEMPLATE, "x"),
    "volumes": (*TEMPLATE, "volumes"),
    "unknown member of the domain": (*TEMPLATE, "domain", "x"),
    "the guest's memory": (*TEMPLATE, "domain", "memory"),
    "devices": (*TEMPLATE, "domain", "devices", "disks"),
    "interfaces": (*TEMPLATE, "domain", "devices", "interfaces"),
    "networks": (*TEMPLATE, "networks"),
    "affinity": (*TEMPLATE, "affinity"),
    "node selector": (*TEMPLATE, "nodeSelector"),
    "the template itself": TEMPLATE,
    "the spec itself": ("spec",),
    "labels": ("metadata", "labels"),
    "annotations of the template": ("spec", "template", "metadata", "annotations"),
    "annotation": ("metadata", "annotations", "a"),
    "status": ("status", "x"),
    "conditions": ("status", "conditions"),
    "managed fields": ("metadata", "managedFields"),
}
LARGEST_RECORD = 100_000
SIZE = 300_000


def large(place: tuple[str, ...], shape: str, *, size: int = SIZE) -> bytes:
    raw = put(vm(primary(), nic("blue"), run_strategy="Halted"), place, "LARGE")
    return go(raw).replace(b'"LARGE"', text_of(shape, size).encode())


def test_a_large_object_says_how_large_it_is_and_an_ordinary_one_nothing() -> None:
    """However much of it is elided: a write of it costs the API server in proportion to that."""
    raw = vmi(primary(), nic("blue"))
    assert a_vmi(VMIS.read(go(raw))).stored_bytes == 0
    raw["spec"]["x"] = "y" * 300_000
    text = go(raw)
    assert a_vmi(VMIS.read(text)).stored_bytes == len(text)
    line = b'{"type":"MODIFIED","object":%b}' % text
    assert a_vmi(VMIS.read_line(line)["object"]).stored_bytes == len(text)


@pytest.mark.parametrize("claimed", [1, -1, "1", None])
def test_nobody_else_says_how_large_a_large_object_is(claimed: Any) -> None:
    raw = vmi(primary()) | {STORED_BYTES: claimed}
    raw["spec"]["x"] = "y" * 300_000
    text = go(raw)
    assert a_vmi(VMIS.read(text)).stored_bytes == len(text)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_whatever_a_tenant_writes_a_record_stays_small_and_nothing_is_lost(place: tuple[str, ...], shape: str) -> None:
    text = large(place, shape)
    read = VMS.read(text)
    record = a_vm(read)
    assert len(record.template) + len(record.rest_of_spec) + len(record.status_text) < LARGEST_RECORD
    slimmed, found = contents(text, resource="virtualmachines")
    assert read.pop(STORED_BYTES) == len(text)
    assert slimmed == read
    whole = json.loads(text)
    whole["metadata"].pop("managedFields", None)
    assert json.loads(elision.fill(read, found)) == whole


def test_as_many_nics_as_there_can_be_each_with_much_to_say_make_a_small_record_with_every_reference() -> None:
    raw = vm(*(nic(f"nic{number}") for number in range(256)), run_strategy="Halted")
    template = raw["spec"]["template"]["spec"]
    for entry in (*template["domain"]["devices"]["interfaces"], *template["networks"]):
        entry["x"] = "y" * 2_500
    record = a_vm(VMS.read(go(raw)))
    texts = [*(item.raw for item in record.interfaces), *(item.raw for item in record.networks)]
    assert sum(map(len, texts)) < LARGEST_RECORD * 2
    assert [item.name for item in record.interfaces] == [f"nic{number}" for number in range(256)]
    assert [item.attachment for item in record.networks] == [f"nic{number}-net" for number in range(256)]


def test_objects_as_users_have_them_are_read_as_they_are() -> None:
    raw = vmi(primary(), *(nic(f"nic{number}") for number in range(30)))
    raw["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 8_000}
    raw["spec"]["volumes"] = [{"name": "c", "cloudInitNoCloud": {"userData": "y" * 8_000}}]
    assert ObjectText("virtualmachineinstances").read(go(raw)) == raw


def test_managed_fields_are_not_parsed() -> None:
    raw = put(vm(nic("blue")), ("metadata", "managedFields"), [{"manager": "kubectl", "fieldsV1": {"f:x": {}}}] * 100)
    assert "managedFields" not in VMS.read(go(raw))["metadata"]


def test_the_large_object_of_an_admin_is_read_as_a_whole() -> None:
    raw = {"metadata": {"name": "kubevirt"}, "spec": {"configuration": {"a": "x" * 50_000}}}
    assert ObjectText("kubevirts").read(go(raw)) == raw
    assert has_elided(VMS.read(go(raw)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_of_large_objects_is_never_a_page_of_python_objects(shape: str) -> None:
    """A page of 13 VMs of 1.2 MB took 400 MB, and both replicas ended."""
    text = large((*TEMPLATE, "x"), shape, size=400_000)
    page = b'{"items":[' + b",".join([text] * 8) + b'],"metadata":{"continue":"t"}}'

    def step() -> list[Json]:
        reading = VMS.read_list(page)
        try:
            while True:
                reading.send(None)
        except StopIteration as end:
            items: list[Json] = end.value["items"]
            return items

    tracemalloc.start()
    try:
        items = step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(items) == 8
    assert peak < 2_000_000 + 4 * len(text)


CHANGES: dict[str, tuple[Json, Json, str]] = {
    "a text": (
        {"volumes": [{"name": "c", "cloudInitNoCloud": {"userData": "<&>\u2028" * 10_000}}]},
        {"volumes": [{"name": "c", "cloudInitNoCloud": {"userData": "<&>\u2028" * 9_999 + "<&>"}}]},
        "volumes",
    ),
    "a member": (
        {"x": {"b": [1, 2.5], "a": "y" * 40_000}},
        {"x": {"b": [1, 2.25], "a": "y" * 40_000}},
        "x",
    ),
    "one of many members": (
        {f"unknown-{number:05d}": {"b": 1, "a": 2} for number in range(5_000)},
        {f"unknown-{number:05d}": {"b": 1, "a": 2 if number else 3} for number in range(5_000)},
        "",
    ),
}


@pytest.mark.parametrize(("before", "after", "field"), CHANGES.values(), ids=list(CHANGES))
def test_a_large_template_needs_a_restart_only_once_it_has_changed(before: Json, after: Json, field: str) -> None:
    def fields(members: Json) -> tuple[str, ...]:
        raw = vm(primary(), nic("blue"))
        raw["spec"]["template"]["spec"] |= members
        found = fields_that_need_a_restart(
            vm=a_vm(VMS.read(_as_go(json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=False)))),
            vmi=a_vmi(vmi(primary(), nic("blue"))),
            revision=kept,
            config=None,
        )
        return tuple(map(str, found))

    started = vm(primary(), nic("blue"))
    started["spec"]["template"]["spec"] |= before
    # Not sorted: what KubeVirt has written has the order of its structs.
    text = json.dumps(revision(started), separators=(",", ":"), ensure_ascii=False)
    kept: VmRevision = a_revision(REVISIONS.read(_as_go(text)))
    assert fields(before) == ()
    assert fields(after) == (field,)


def _as_go(text: str) -> bytes:
    return (
        text.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .encode()
    )


def test_what_looks_like_a_mark_is_elided_itself() -> None:
    """Else a VM could ask for the contents of something else, or keep itself from being started."""
    raw = vm(primary())
    raw["spec"]["template"]["spec"] |= {
        "x": {ELIDED: "0" * 64 + "/7"},
        ELIDED_MEMBERS: "0" * 64 + "/7",
        "tolerations": [{ELIDED_ENTRIES: "1"}],
    }
    raw["metadata"]["annotations"] = {"a": f"is about {ELIDED}"}
    text = go(raw)
    read, found = contents(text, resource="virtualmachines")
    marks = read["spec"]["template"]["spec"]
    assert marks["x"][ELIDED] in found
    assert marks[ELIDED_MEMBERS] in found
    assert read["metadata"]["annotations"] == raw["metadata"]["annotations"]
    assert json.loads(elision.fill(read, found)) == raw


def test_what_nicplug_reads_stays_visible_among_any_number_of_others() -> None:
    raw = vm(primary(), nic("blue"))
    template = raw["spec"]["template"]
    template["spec"]["domain"]["memory"] = {"guest": "1Gi"} | {f"x{number}": 1 for number in range(20_000)}
    template["metadata"]["annotations"] = {f"kubevirt.io/a{number}": "" for number in range(20_000)} | {
        names.DEFAULT_NETWORK_ANNOTATION: "red/lan"
    }
    read = VMS.read(go(raw))["spec"]["template"]
    assert read["spec"]["domain"]["memory"]["guest"] == "1Gi"
    assert read["metadata"]["annotations"][names.DEFAULT_NETWORK_ANNOTATION] == "red/lan"
    assert a_vm(VMS.read(go(raw))).networks == a_vm(raw).networks


def test_every_name_that_nicplug_knows_stays_visible() -> None:
    spelled = {value for value in vars(names).values() if isinstance(value, str) and ".io" in value}
    spelled |= {*names.ISTIO_INTERFACE_ANNOTATIONS, state_change._MADE_BY}
    spelled |= {pci_topology.ON_ROOT_COMPLEX_ANNOTATION, pci_topology.SLOT_COUNT_ANNOTATION}
    spelled |= {member.annotation for member in hotplug_policy.POLICY_FIELDS}
    others = {
        names.LAUNCHER_SELECTOR, names.UNPAUSED_CONDITION, names.KUBEVIRT_API_VERSION,
        names.VM_FINALIZER, names.VMI_FINALIZER, names.MIGRATION_FINALIZER,
        names.INSTALLED_LABEL, names.INSTALLED_SELECTOR, names.COMPONENT_LABEL,
    }  # fmt: skip
    of_nodes = {name for name in spelled if name.endswith("/")}
    assert spelled - others - of_nodes <= places.LABELS | places.ANNOTATIONS


def test_a_mark_that_stands_for_nothing_is_not_sent() -> None:
    with pytest.raises(elision.Lost):
        elision.fill({"x": {ELIDED: "0/0"}}, {})


def test_a_network_whose_configuration_is_too_large_attaches_nothing_and_its_changes_show() -> None:
    def read(filling: str) -> AttachmentDefinition:
        raw = nad("lan", config=json.dumps({"type": "bridge", "x": filling * 50_000}))
        return parse_attachment_definition(ObjectText("network-attachment-definitions").read(go(raw)), changed_at=None)

    assert read("y").problem == "too large"
    assert read("y").digest != read("z").digest
