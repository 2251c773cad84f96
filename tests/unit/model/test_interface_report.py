"""What a companion reads from a report, and what identifies the NICs of a VMI."""

import pytest
from tests.build import NAME, NAMESPACE, VM_UID, VMI_UID, Json, interface_report, nic, primary, vmi_spec

from nicplug.model.interface_report import interfaces_hash, parse_report
from nicplug.model.keys import ReportKey

HASH = interfaces_hash(vmi_spec([primary(), nic("blue")]))


def test_what_is_read() -> None:
    raw = interface_report(vmiUid=VMI_UID, interfacesHash=HASH, interfacesGeneration=3, ready="1/2")
    found = parse_report(raw)
    assert found.key == ReportKey(NAMESPACE, NAME)
    assert (found.owner is not None and found.owner.uid) == VM_UID
    assert (found.is_labelled, found.deleting) == (True, False)
    assert (found.vmi_uid, found.interfaces_hash, found.interfaces_generation) == (VMI_UID, HASH, 3)
    assert found.status.members["ready"] == "1/2"


def test_a_report_without_a_status() -> None:
    raw = interface_report()
    raw.pop("status", None)
    found = parse_report(raw)
    assert (found.vmi_uid, found.interfaces_hash, found.interfaces_generation) == ("", "", 0)
    assert found.status.members == {}


@pytest.mark.parametrize(
    "damage",
    [
        {"status": []},
        {"status": {"interfacesGeneration": "3", "vmiUid": 7, "interfacesHash": []}},
        {"status": {"interfacesGeneration": True}},
        {"metadata": {"namespace": NAMESPACE, "name": NAME, "ownerReferences": "vm", "labels": []}},
        {"metadata": None},
    ],
    ids=str,
)
def test_whatever_somebody_writes_is_read(damage: Json) -> None:
    found = parse_report({**interface_report(), **damage})
    assert (found.vmi_uid, found.interfaces_hash, found.interfaces_generation) == ("", "", 0)


def test_a_report_without_label_or_owner_says_so() -> None:
    found = parse_report(interface_report(labels=None, ownerReferences=None))
    assert (found.is_labelled, found.owner) == (False, None)
    assert not parse_report(interface_report(labels={"app.kubernetes.io/managed-by": "helm"})).is_labelled


def test_a_write_of_the_report_alone_makes_no_other_report() -> None:
    assert parse_report(interface_report(version=10)) == parse_report(interface_report(version=11))
    assert parse_report(interface_report(ready="1/2")) != parse_report(interface_report(ready="2/2"))


@pytest.mark.parametrize(
    ("vmi_uid", "digest", "generation"),
    [(VMI_UID, HASH, 3), (VMI_UID, "0123456789ab", 4), ("another", HASH, 1), ("another", "0123456789ab", 1)],
)
def test_the_generation_rises_with_each_change_of_the_nics(vmi_uid: str, digest: str, generation: int) -> None:
    found = parse_report(interface_report(vmiUid=VMI_UID, interfacesHash=HASH, interfacesGeneration=3))
    assert found.generation_of(vmi_uid=vmi_uid, digest=digest) == generation


def test_the_hash_is_12_hex_digits() -> None:
    assert len(HASH) == 12
    assert int(HASH, 16) >= 0
    assert interfaces_hash(vmi_spec([nic("blue"), primary()])) != HASH, "their order counts"


def test_the_hash_depends_on_the_nics_alone() -> None:
    spec = vmi_spec([primary(), nic("blue")])
    assert interfaces_hash({**spec, "terminationGracePeriodSeconds": 3}) == HASH
    assert interfaces_hash({"networks": spec["networks"], "domain": {"devices": spec["domain"]["devices"]}}) == HASH
    reordered = [{key: item[key] for key in reversed(item)} for item in spec["domain"]["devices"]["interfaces"]]
    assert interfaces_hash({**spec, "domain": {"devices": {"interfaces": reordered}}}) == HASH


@pytest.mark.parametrize(
    "other",
    [
        vmi_spec([primary()]),
        vmi_spec([primary(), nic("blue", state="absent")]),
        vmi_spec([primary(), nic("blue", attachment="other")]),
        vmi_spec([primary(), nic("blue", mac="02:00:00:00:00:01")]),
        vmi_spec([primary(), nic("blue", binding="sriov")]),
    ],
    ids=["gone", "absent", "another network", "another MAC address", "another binding"],
)
def test_each_change_of_a_nic_changes_the_hash(other: Json) -> None:
    assert interfaces_hash(other) != HASH


@pytest.mark.parametrize("spec", [{}, {"networks": None, "domain": []}, {"networks": {"a": 1}}], ids=str)
def test_a_spec_without_nics_has_a_hash_as_well(spec: Json) -> None:
    assert interfaces_hash(spec) == interfaces_hash({})
