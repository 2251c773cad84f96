"""A spec is read once, not at every change of a status: and anew whenever it may be another one."""

from typing import Any

import pytest
from tests.build import Json, nic, primary, vm, vmi

from nicplug.elided import ELIDED, STORED_BYTES
from nicplug.model.vm import parse_vm
from nicplug.model.vmi import parse_vmi

# Another spec under the same generation: nothing but a record that was taken over can hide it.
OTHER = (primary(), nic("blue"))


def test_the_spec_of_the_record_is_taken_over_with_a_new_status() -> None:
    known = parse_vmi(vmi(version=10, phase="Scheduled"))
    found = parse_vmi(vmi(*OTHER, version=11), known=known)
    assert (found.spec, found.interfaces, found.networks) == (known.spec, known.interfaces, known.networks)
    assert (found.phase, found.resource_version) == ("Running", 11)


def test_the_template_of_the_record_is_taken_over_with_a_new_status() -> None:
    known = parse_vm(vm(version=10))
    found = parse_vm(vm(*OTHER, version=11, status={"ready": True}), known=known)
    assert (found.template, found.interfaces, found.networks) == (known.template, known.interfaces, known.networks)
    assert found.status.members == {"ready": True}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"generation": 2}, id="a spec that has changed"),
        pytest.param({"generation": None}, id="an API that does not count"),
        pytest.param({"uid": "another"}, id="another object of that name"),
    ],
)
def test_it_is_read_again(members: dict[str, Any]) -> None:
    known = parse_vmi(vmi(version=10, generation=members.get("generation", 1) and 1))
    assert len(parse_vmi(vmi(*OTHER, version=11, **members), known=known).interfaces) == 2
    known_vm = parse_vm(vm(version=10))
    assert len(parse_vm(vm(*OTHER, version=11, **members), known=known_vm).interfaces) == 2


@pytest.mark.parametrize("which", ["the record", "the object"])
def test_a_large_object_is_read_again(which: str) -> None:
    """Which of its parts have marks in their place may change with its status."""
    large: Json = {STORED_BYTES: 100_000}
    known = parse_vmi(vmi(version=10) | (large if which == "the record" else {}))
    found = parse_vmi(vmi(*OTHER, version=11) | (large if which == "the object" else {}), known=known)
    assert len(found.interfaces) == 2


def test_a_spec_with_marks_is_read_again() -> None:
    raw = vmi(version=10)
    raw["spec"]["x"] = {ELIDED: "digest"}
    assert len(parse_vmi(vmi(*OTHER, version=11), known=parse_vmi(raw)).interfaces) == 2


@pytest.mark.parametrize("place", ["template", "beside it"])
def test_a_vm_with_marks_is_read_again(place: str) -> None:
    raw = vm(version=10)
    (raw["spec"]["template"] if place == "template" else raw["spec"])["x"] = {ELIDED: "digest"}
    assert len(parse_vm(vm(*OTHER, version=11), known=parse_vm(raw)).interfaces) == 2
