"""Section 3.5: the ControllerRevision that a VM is started from, and which generation its guest counts as of."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import NOW, REVISION_PREFIX, revision, uid, vm, vmi

from nicplug_sandbox.kubevirt.revisions import started_from
from nicplug_sandbox.kubevirt.run_strategy import View
from nicplug_sandbox.kubevirt.vm import first_writes, sync


def test_a_start_records_the_spec_and_names_it_in_the_vmi() -> None:
    made, guest = sync(View(vm=vm()), now=NOW).writes
    assert isinstance(made.body, dict)
    assert isinstance(guest.body, dict)
    assert (made.kind, made.body["apiVersion"]) == ("ControllerRevision", "apps/v1")
    assert made.name == guest.body["status"]["virtualMachineRevisionName"] == f"{REVISION_PREFIX}-2"
    assert (made.body["revision"], made.body["data"]) == (2, {"spec": vm()["spec"]})
    (owner,) = made.body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("VirtualMachine", uid("vm"), True)


@pytest.mark.parametrize(
    ("known", "writes"),
    [
        ([1], ["delete ControllerRevision", "create ControllerRevision", "create VirtualMachineInstance"]),
        ([2], ["create VirtualMachineInstance"]),
        ([1, 2], ["delete ControllerRevision", "create VirtualMachineInstance"]),
    ],
)
def test_one_revision_is_kept(known: list[int], writes: list[str]) -> None:
    foreign = revision(9, name="revision-start-vm-of-another-9")
    view = View(vm=vm(), revisions=[*map(revision, known), foreign])
    assert [f"{item.verb} {item.kind}" for item in sync(view, now=NOW).writes] == writes


def test_the_newest_revision_counts() -> None:
    old, new = vm(runStrategy="Manual"), vm(runStrategy="Once")
    assert started_from(vm(), [revision(10, new), revision(9, old)]) == new["spec"]
    assert started_from(vm(), []) is None


@pytest.mark.parametrize(
    ("started", "generation", "raised"),
    [
        (vm(runStrategy="Halted"), "1", True),
        (vm(template={"spec": {"domain": {}}}), "1", False),
        (vm(), "2", False),
        (None, "1", False),
    ],
)
def test_the_generation_follows_as_long_as_the_template_is_that_of_the_start(
    started: Any, generation: str, raised: bool
) -> None:
    guest = vmi(status={"virtualMachineRevisionName": f"{REVISION_PREFIX}-1"})
    guest["metadata"]["annotations"] = {"kubevirt.io/vm-generation": generation, "other": "1"}
    revisions = [revision(1, started)] if started else []
    found = first_writes(View(vm=vm(), vmi=guest, revisions=revisions)).writes
    told = [item.body[-1]["value"] for item in found if isinstance(item.body, list)]
    assert told == ([{"kubevirt.io/vm-generation": "2", "other": "1"}] if raised else [])
