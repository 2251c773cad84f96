"""Which NICs a failed migration is blamed on, and by which change of them."""

import json
from typing import Any

import pytest
from tests.build import (
    CREATED,
    Json,
    a_migration,
    a_vmi,
    element,
    later,
    migration,
    migration_view,
    nad,
    nic,
    pod,
    primary,
    target_pod,
    vmi,
    waiting,
)
from tests.unit.plan.migration.outcome import status

from nicplug.model.attachments import AttachmentDefinition, parse_attachment_definition
from nicplug.model.operations import OperationType
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.nic.path.blame import change_fingerprint, changes_of, format_changes, is_same_change

BOTH = ["blue", "red"]


def at_fault(target: Json, *, made_for: list[str] | None = None, **view: Any) -> list[str] | None:
    """What its status says when its target pod, which was to bring two NICs, is given up; None for nothing."""
    changes = dict.fromkeys(BOTH if made_for is None else made_for, "1/a")
    annotations = {"kubevirt.io/workloadUpdateMigration": "", "nicplug.io/interfaces": json.dumps(changes)}
    of = vmi(primary(), nic("green"), nic("blue"), nic("red"))
    view = {"nads": [nad("blue-net", config='{"name": "br-blue"}'), nad("red-net"), nad("green-net")], **view}
    raw = migration("Scheduling", annotations=annotations)
    after = status(plan_migration(migration_view(raw, of, pod(), target, **view), now=later(10**4)))
    assert after["phase"] == "Failed"
    found: list[str] | None = after.get("interfacesAtFault")
    others = set(found or ()) - changes.keys()
    assert set(after.get("causesAtFault", {})) == others
    return found


def starting(**members: Any) -> Json:
    """A target pod that does not run."""
    networks = [element(name) for name in BOTH]
    return target_pod(
        phase="Pending", ready=False, creationTimestamp=CREATED, networks=networks, attached=[], **members
    )


def failing(network: str) -> str:
    return f"error adding container to network {network}: no such bridge"


@pytest.mark.parametrize(
    ("words", "view", "names"),
    [
        pytest.param(failing('"br-blue"'), {}, ["blue"], id="by the name in its configuration"),
        pytest.param(failing('"red-net"'), {}, ["red"], id="by its own, as its configuration has none"),
        pytest.param(
            failing('"blue-net"'), {}, None, id="a definition of that name whose networks are called otherwise"
        ),
        pytest.param(failing('"br-blue"'), {"nads": None}, None, id="definitions cannot be read"),
        pytest.param(failing("default/red-net"), {}, ["red"], id="with its namespace"),
        pytest.param(failing("other/red-net"), {}, None, id="a namesake in another namespace"),
        pytest.param(
            "cannot find a network-attachment-definition (red-net) in namespace (default): no",
            {"nads": None},
            ["red"],
            id="it was deleted meanwhile",
        ),
        pytest.param(failing('"red-net"'), {"made_for": ["blue"]}, ["red"], id="of a NIC that it was not for"),
        pytest.param(failing('"green-net"'), {}, ["green"], id="of a NIC that is in the guest"),
        pytest.param("i/o timeout", {}, None, id="nobody"),
    ],
)
def test_a_network_that_the_kubelet_names(words: str, view: dict[str, Any], names: list[str] | None) -> None:
    assert at_fault(starting(), cannot_start=words, **view) == names


def test_two_nics_on_one_network_are_both_named() -> None:
    same = [nad("blue-net", config='{"name": "br"}'), nad("red-net", config='{"name": "br"}')]
    assert at_fault(starting(), cannot_start=failing('"br"'), nads=same) == BOTH


def test_an_interface_that_multus_does_not_report() -> None:
    networks = [element(name) for name in BOTH]
    ready = target_pod(creationTimestamp=CREATED, networks=networks, attached=["blue"])
    assert at_fault(ready) == ["red"]


def test_of_two_nics_on_one_network_also_the_one_that_the_guest_has_is_named() -> None:
    same = [nad("green-net", config='{"name": "br"}'), nad("red-net", config='{"name": "br"}'), nad("blue-net")]
    assert at_fault(starting(), cannot_start=failing('"br"'), nads=same) == ["green", "red"]


@pytest.mark.parametrize(
    ("attached", "named"),
    [
        pytest.param(["blue", "red"], ["green"], id="of the guest's own"),
        pytest.param([], ["blue", "red"], id="all: nothing against what the guest has"),
    ],
)
def test_an_interface_of_the_guest_that_multus_does_not_report(attached: list[str], named: list[str]) -> None:
    networks = [element(name) for name in ("green", *BOTH)]
    assert at_fault(target_pod(creationTimestamp=CREATED, networks=networks, attached=attached)) == named


def test_a_pod_that_does_not_run_is_no_evidence_against_what_multus_has_still_to_report() -> None:
    assert at_fault(starting()) is None


def test_an_image_is_no_nics_fault() -> None:
    pulling = starting(status=waiting("ErrImagePull"))
    assert at_fault(pulling, cannot_start=failing('"red-net"')) is None


PLUG, UNPLUG = OperationType.PLUG, OperationType.UNPLUG


def parsed(config: str = "{}", uid: str = "n1", device: str = "") -> AttachmentDefinition:
    annotations = {"k8s.v1.cni.cncf.io/resourceName": device} if device else {}
    raw = {"metadata": {"name": "blue-net", "uid": uid, "annotations": annotations}, "spec": {"config": config}}
    return parse_attachment_definition(raw, changed_at=None)


def change(raw: Json, *, operation: OperationType = PLUG, definition: AttachmentDefinition | None = None) -> str:
    """Of NIC blue."""
    read = a_vmi(raw)
    return change_fingerprint(
        vmi=read,
        operation=operation,
        interface=next(item for item in read.interfaces if item.name == "blue"),
        network=next(item for item in read.networks if item.name == "blue"),
        definition=definition,
    )


BLUE = vmi(primary(), nic("blue"))
CHANGE = change(BLUE, definition=parsed())


def with_spec(**members: Any) -> Json:
    raw = vmi(primary(), nic("blue"))
    raw["spec"].update(members)
    return raw


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        pytest.param(change(BLUE, definition=parsed()), True, id="nothing"),
        pytest.param(change(vmi(primary(), nic("blue"), nic("red")), definition=parsed()), True, id="a NIC beside it"),
        pytest.param(change(vmi(primary(), nic("blue"), generation=9), definition=parsed()), True, id="the generation"),
        pytest.param(change(BLUE), True, id="the definition is not known now"),
        pytest.param(change(BLUE, definition=parsed('{"a": 1}')), False, id="the network's configuration"),
        pytest.param(change(BLUE, definition=parsed(uid="n2")), False, id="the network was made anew"),
        pytest.param(change(BLUE, definition=parsed(device="example.com/fast")), False, id="the network's device"),
        pytest.param(
            change(vmi(primary(), nic("blue", mac="02:00:00:00:00:01")), definition=parsed()),
            False,
            id="the NIC's entry",
        ),
        pytest.param(change(vmi(primary(), nic("blue", attachment="x")), definition=parsed()), False, id="the network"),
        pytest.param(change(with_spec(nodeSelector={"a": "b"}), definition=parsed()), False, id="where the VM may run"),
        pytest.param(change(BLUE, operation=UNPLUG, definition=parsed()), False, id="what is asked for"),
    ],
)
def test_what_makes_it_another_change(other: str, is_same: bool) -> None:
    assert is_same_change(CHANGE, other) is is_same
    assert is_same_change(other, CHANGE) is is_same


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"blue": 1}', "[" * 9999])
def test_an_annotation_that_somebody_edited_says_nothing(text: str) -> None:
    assert changes_of(a_migration(migration("Failed", annotations={"nicplug.io/interfaces": text}))) == {}


def test_the_annotation_is_the_same_whoever_writes_it() -> None:
    assert format_changes({"b": "2", "a": "1"}) == '{"a":"1","b":"2"}'
    assert json.loads(format_changes({"a": CHANGE})) == {"a": CHANGE}


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        pytest.param(BLUE, "ddf5a05804/", id="a small spec"),
        pytest.param(with_spec(nodeSelector={"a": "b"}, volumes=[{"name": "x"}]), "883bebe765/", id="one with volumes"),
        pytest.param(with_spec(note="x" * 60_000), "88bc5c733a/", id="one of 60 KB"),
    ],
)
def test_a_change_is_what_earlier_releases_have_written_into_records_and_migrations(raw: Json, written: str) -> None:
    """Else an upgrade would begin every change anew that was given up."""
    assert change(raw) == written


def test_of_a_huge_spec_only_a_digest_is_hashed_for_each_nic_and_it_tells_the_same() -> None:
    huge = with_spec(volumes=[{"name": "x" * 70_000}])
    beside = vmi(nic("red"), nic("blue"), nic("green"))
    beside["spec"]["volumes"] = huge["spec"]["volumes"]
    other = with_spec(volumes=[{"name": "x" * 69_999 + "y"}])
    assert change(beside) == change(huge)
    assert change(other) != change(huge)
    assert change(huge, operation=UNPLUG) != change(huge)
