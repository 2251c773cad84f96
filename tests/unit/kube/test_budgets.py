"""Places have bounds, and what holds many of them has a budget: nobody can fill all places at once."""

import json
import sys
from typing import Any

import pytest
from tests.build import Json, a_config, a_revision, a_vm, a_vmi, kubevirt, nic, primary, revision, vm, vmi
from tests.large import SHAPES, text_of

from nicplug.elided import ELIDED, has_elided
from nicplug.kube import elision
from nicplug.kube.object_text import ObjectText, contents
from nicplug.model.frozen_json import read
from nicplug.model.networks import parse_interfaces, parse_networks
from nicplug.model.vm import VirtualMachine
from nicplug.plan.nic.spec_checks import refuse
from nicplug.plan.reasons import Reason
from nicplug.plan.vm.restart_required import RestartField, fields_that_need_a_restart

VMS, REVISIONS = ObjectText("virtualmachines"), ObjectText("controllerrevisions")
LARGEST_RECORD = 700_000
MOST_NICS = 256
EMOJI = "\U0001f600"


def go(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def text(size: int, *, start: str = "") -> str:
    return start + "x" * (size - len(start.encode()))


def crowd(start: str, *, size: int = 31_000, each: int = 3_900) -> Json:
    return {f"m{number}": text(each, start=start) for number in range(size // (each + 10))}


def full(start: str, *, member: int) -> Json:
    """A VM that has as much as it may have at each place, by the bounds of each place."""
    members = {name: text(member, start=start) for name in ("state", "macAddress", "model", "pciAddress")}
    interfaces = [
        {"name": f"n{number}", "bridge": {}, "binding": {"name": text(member)}} | members for number in range(MOST_NICS)
    ]
    networks = [
        {"name": f"n{number}", "multus": {"networkName": text(340)}, "resourceClaim": {"a": text(member, start=start)}}
        for number in range(MOST_NICS)
    ]
    raw = vm(run_strategy="Halted")
    raw["spec"]["template"]["spec"] = {
        "domain": {
            "cpu": crowd(start),
            "memory": crowd(start),
            "resources": crowd(start),
            "firmware": crowd(start),
            "devices": {**crowd(start), "interfaces": interfaces},
            **crowd(start),
        },
        "networks": networks,
        "affinity": {"nodeAffinity": crowd(start), "podAffinity": crowd(start), **crowd(start)},
        "nodeSelector": crowd(start),
        "volumes": [text(3_900, start=start)],
        "tolerations": [text(3_900, start=start)],
    }
    return raw


def size_of(record: VirtualMachine) -> int:
    """Bytes in memory."""
    texts = [record.template, record.rest_of_spec, record.status, record.placement]
    texts += [item.raw for item in record.interfaces]
    texts += [item.raw for item in record.networks]
    return sum(sys.getsizeof(item) for item in texts)


@pytest.mark.parametrize("start", ["", EMOJI], ids=["ASCII", "with an emoji"])
@pytest.mark.parametrize("member", [10, 28, 90, 375])
def test_a_vm_that_fills_every_place_to_its_bound_makes_a_small_record(start: str, member: int) -> None:
    """One of 1.2 MB was kept whole, and with one emoji in four times its size: 200 of them took 970 MiB."""
    raw = full(start, member=member)
    read, found = contents(go(raw), resource="virtualmachines")
    assert size_of(a_vm(VMS.read(go(raw)))) < LARGEST_RECORD
    assert json.loads(elision.fill(read, found)) == raw


def test_an_emoji_in_a_template_above_its_budget_leaves_each_part_in_its_place() -> None:
    raw = full(EMOJI, member=375)
    raw["spec"]["template"]["x"] = text(30_000, start=EMOJI)
    raw["spec"] |= {"domain": {name: crowd("") for name in ("cpu", "memory", "firmware")}, "nodeSelector": crowd("")}
    raw["spec"] |= {"affinity": {name: crowd("") for name in ("nodeAffinity", "podAffinity")}}
    read, found = contents(go(raw), resource="virtualmachines")
    assert json.loads(elision.fill(read, found)) == raw
    assert len(a_vm(read).interfaces) == MOST_NICS
    assert len(a_vm(read).rest_of_spec) < 64 * 1024


def test_one_emoji_in_a_large_vm_does_not_widen_its_whole_record() -> None:
    raw = vm(*(nic(f"n{number}") for number in range(MOST_NICS)), run_strategy="Halted")
    raw["spec"]["template"]["spec"] |= {"hostname": EMOJI, "volumes": [text(4_000)] * 7}
    for item in raw["spec"]["template"]["spec"]["networks"]:
        item["x"] = text(100)
    record = a_vm(VMS.read(go(raw)))
    assert record.template.isascii()
    assert [item.attachment for item in record.networks] == [f"n{number}-net" for number in range(MOST_NICS)]


@pytest.mark.parametrize("start", ["", EMOJI], ids=["ASCII", "with an emoji"])
def test_nics_with_the_longest_names_stay_readable_in_a_vm_that_is_full_otherwise(start: str) -> None:
    names = [f"{number:063}" for number in range(MOST_NICS)]
    full_names = ["a" * 63 + "/" + "b" * 253 for _ in names]
    nics = [nic(name, mac="02:00:00:00:00:01", attachment=full) for name, full in zip(names, full_names, strict=True)]
    raw = full(start, member=375)
    spec = raw["spec"]["template"]["spec"]
    spec["domain"]["devices"]["interfaces"] = [{**item, "x": text(2_000, start=start)} for item, _ in nics]
    spec["networks"] = [item for _, item in nics]
    record = a_vm(VMS.read(go(raw)))
    assert [item.name for item in record.interfaces] == names
    assert {item.mac_address for item in record.interfaces} == {"02:00:00:00:00:01"}
    assert {item.binding for item in record.interfaces} == {"bridge"}
    assert [item.attachment for item in record.networks] == full_names
    assert not any(item.is_unread for item in record.interfaces)


@pytest.mark.parametrize("member", ["state", "macAddress", "model", "pciAddress", "acpiIndex", "bootOrder"])
@pytest.mark.parametrize("size", [40, 375, 40_000])
def test_a_value_of_a_nic_that_is_too_long_is_refused_and_not_taken_for_missing(member: str, size: int) -> None:
    raw = vm(*(nic(f"n{number}") for number in range(MOST_NICS)))
    interfaces = raw["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]
    interfaces[7] |= {"x": text(70_000)} | {member: text(size)}
    record = a_vm(VMS.read(go(raw)))
    assert [item.name for item in record.interfaces] == [f"n{number}" for number in range(MOST_NICS)]
    refusal = refuse(record.interfaces[7], record.networks[7])
    assert refusal is not None
    assert refusal.reason is Reason.INVALID_INTERFACE
    assert refuse(record.interfaces[8], record.networks[8]) is None


def test_a_value_that_is_elided_alone_is_refused_and_not_taken_for_missing() -> None:
    spec = {
        "domain": {"devices": {"interfaces": [{"name": "a", "bridge": {}, "macAddress": {ELIDED: "0/0"}}]}},
        "networks": [{"name": "a", "multus": {ELIDED: "0/0"}}],
    }
    (interface,), (network,) = parse_interfaces(spec), parse_networks(spec)
    assert network.is_secondary
    refusals = (refuse(interface, network), refuse(interface, parse_networks({"networks": [nic("a")[1]]})[0]))
    assert [refusal.reason for refusal in refusals if refusal] == [
        Reason.INVALID_ATTACHMENT_REFERENCE,
        Reason.INVALID_MAC_ADDRESS,
    ]


@pytest.mark.parametrize("start", ["", EMOJI], ids=["ASCII", "with an emoji"])
def test_a_vm_above_every_budget_needs_a_restart_only_once_it_has_changed(start: str) -> None:
    raw = full(start, member=20)
    kept = a_revision(REVISIONS.read(json.dumps(revision(raw), separators=(",", ":"), ensure_ascii=False).encode()))
    running = vmi()
    running["spec"] = raw["spec"]["template"]["spec"]
    a_running = a_vmi(ObjectText("virtualmachineinstances").read(go(running)))

    def fields() -> tuple[RestartField, ...]:
        return fields_that_need_a_restart(
            vm=a_vm(VMS.read(go(raw))), vmi=a_running, revision=kept, config=a_config(kubevirt())
        )

    assert fields() == ()
    raw["spec"]["template"]["spec"]["domain"]["firmware"]["m3"] += "y"
    assert fields() != ()


class Counted:
    """How many bytes became Python objects."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        parse = elision._any

        def any_(value: bytes) -> Any:
            self.count += value.count(b",") + value.count(b"{") + value.count(b"[")
            return parse(value)

        monkeypatch.setattr(elision, "_any", any_)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", ["x", "interfaces"])
def test_a_revision_of_a_large_template_is_never_made_python_objects_of(
    shape: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To put its members in order: 650 ms and 42 MB for one of 1.4 MB."""
    raw = revision(vm(primary(), nic("blue")))
    devices = raw["data"]["spec"]["template"]["spec"]["domain"]["devices"]
    devices[place] = "LARGE"
    line = go(raw).replace(b'"LARGE"', text_of(shape, 1_400_000).encode())
    counted = Counted(monkeypatch)
    assert has_elided(REVISIONS.read(line))
    assert counted.count <= elision._MOST_TOKENS


@pytest.mark.parametrize("spelling", ["nicplug.io\\u002felided", "\\u006eicplug.io/elided", "nicplug.io\\/elided"])
@pytest.mark.parametrize("filling", [0, 50_000])
def test_a_mark_that_is_spelled_with_escapes_in_a_revision_is_elided_itself(spelling: str, filling: int) -> None:
    """The data of a ControllerRevision is kept as it was sent, with its escapes."""
    raw = revision(vm(primary()))
    raw["data"]["spec"]["template"]["spec"] |= {"x": {"FORGED": "0/0"}, "y": text(filling)}
    read_back = REVISIONS.read(go(raw).replace(b"FORGED", spelling.encode()))
    spec = read_back["data"]["spec"]["template"]["spec"]
    assert spec["x"][ELIDED] != "0/0"


def test_small_objects_are_read_as_they_are_whatever_their_letters() -> None:
    raw = vmi(primary(), nic("blue"))
    raw["spec"]["volumes"] = [{"name": "c", "cloudInitNoCloud": {"userData": "é" * 4_000 + EMOJI}}]
    assert ObjectText("virtualmachineinstances").read(go(raw)) == raw
    assert not has_elided(read(a_vmi(raw).spec))


@pytest.mark.parametrize("name", ["k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"])
def test_as_long_an_annotation_as_kubernetes_takes_does_not_count_as_missing(name: str) -> None:
    """Else a patch would `test` for a missing one without end."""
    raw = {"metadata": {"name": "p", "annotations": {name: text(200_000)}, "labels": {"a": "b"}}}
    assert ObjectText("pods").read(go(raw)) == raw
