"""`status.interfaceSummary`: the NICs at a glance, written with what is written anyway."""

from dataclasses import replace
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    NOW,
    VM_UID,
    Json,
    a_vmi,
    absent,
    element,
    later,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vm_view,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.plan.nic.transitions import mirror_summary
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi

PLUGGED = row("blue", "domain", "multus-status")
READY = operation("blue", phase="Ready", reason="Attached")
LATE: dict[str, Any] = {"report_pending_since": later(-60), "controller": CONTROLLER}


def _written(raw: Json, launcher: Json, **view: Any) -> Json:
    """The status after the pass that writes it."""
    return {**raw["status"], **status_of(plan_vmi(vmi_view(raw, launcher, **LATE, **view), now=NOW))}


@pytest.mark.parametrize(
    ("nics", "rows", "records", "view", "summary"),
    [
        pytest.param((), (), (), {}, {"ready": "1/1"}, id="born with all it has"),
        pytest.param((nic("blue"),), (PLUGGED,), (READY,), {}, {"ready": "2/2"}, id="one was plugged"),
        pytest.param(
            (nic("blue"),), (), (), {}, {"ready": "1/2", "reason": "WaitingForPodInterface"}, id="one is on its way"
        ),
        pytest.param(
            (nic("blue"), nic("red")),
            (),
            (),
            {"nads": [nad("blue-net")]},
            {"ready": "1/3", "reason": "NetworkAttachmentDefinitionMissing"},
            id="who needs a person comes before who waits",
        ),
        pytest.param(
            (nic("red"), nic("blue", mac="x")),
            (),
            (),
            {"nads": [nad("blue-net")]},
            {"ready": "1/3", "reason": "NetworkAttachmentDefinitionMissing"},
            id="of two who need a person the first",
        ),
        pytest.param(
            (absent("blue"),),
            (PLUGGED,),
            (),
            {},
            {"ready": "1/2", "reason": "WaitingForGuestRelease"},
            id="one on its way out",
        ),
        pytest.param((absent("blue"),), (), (), {}, {"ready": "1/1"}, id="one that is gone, with its entry"),
    ],
)
def test_how_many_are_ready_and_the_first_reason(
    nics: tuple[Any, ...], rows: tuple[Json, ...], records: tuple[Json, ...], view: dict[str, Any], summary: Json
) -> None:
    has = ["blue"] if rows else []
    raw = vmi(primary(), *nics, rows=[primary_row(), *rows], operations=records)
    assert _written(raw, pod(networks=[element(name) for name in has], attached=has), **view)["interfaceSummary"] == (
        summary
    )


def test_the_condition_names_first_who_needs_a_person() -> None:
    """Three NICs are named in its message: a fourth that was blocked was not."""
    names = ("a", "b", "c")
    raw = vmi(primary(), *(nic(name) for name in names), nic("red"), rows=[primary_row()])
    status = _written(raw, pod(), nads=[nad(f"{name}-net") for name in names])
    (ready,) = [item for item in status["conditions"] if item["type"] == "InterfacesReady"]
    assert ready["reason"] == status["interfaceSummary"]["reason"] == "NetworkAttachmentDefinitionMissing"
    assert ready["message"].startswith('NIC "red": ')
    assert "Create it; the NIC is then plugged automatically" in ready["message"]


def test_a_summary_alone_is_not_written() -> None:
    """After an upgrade no VMI and no VM is written for it, and none again and again by whose CRD it is dropped."""
    raw = vmi(primary(), rows=[primary_row()], owner_uid=VM_UID)
    raw["status"] = _written(raw, pod())
    assert raw["status"].pop("interfaceSummary") == {"ready": "1/1"}
    assert plan_vmi(vmi_view(raw, pod(), **LATE), now=NOW).is_empty
    owner = vm(primary())
    with_summary = {**raw, "status": {**raw["status"], "interfaceSummary": {"ready": "1/1"}}}
    reported = status_of(plan_vm(replace(vm_view(owner, vmi=raw), report_pending_since=later(-60)), now=NOW))
    owner["status"] = reported
    view = replace(vm_view(owner, vmi=with_summary), report_pending_since=later(-60))
    assert plan_vm(view, now=NOW).is_empty


def test_a_guest_that_has_ended_has_none() -> None:
    raw = vmi(primary(), rows=[primary_row()], phase="Failed")
    raw["status"]["interfaceSummary"] = {"ready": "1/1"}
    assert _written(raw, pod())["interfaceSummary"] is None


def test_the_vm_counts_only_what_is_missing() -> None:
    """A NIC that is plugged within a moment costs the VM no write, so it has no number that would be wrong then."""
    raw = vmi()
    assert mirror_summary(a_vmi(raw)) is None
    raw["status"]["interfaceSummary"] = {"ready": "2/2"}
    assert mirror_summary(a_vmi(raw)) == {"ready": "all"}
    raw["status"]["interfaceSummary"] = {"ready": "2/3", "reason": "NoPciSlot"}
    assert mirror_summary(a_vmi(raw)) == {"ready": "2/3", "reason": "NoPciSlot"}


def test_another_number_on_the_vm_is_written_and_goes_with_its_vmi() -> None:
    raw = vmi(owner_uid=VM_UID)
    raw["status"]["interfaceSummary"] = {"ready": "2/4", "reason": "NoPciSlot"}
    owner = vm(status={"interfaceSummary": {"ready": "2/3", "reason": "NoPciSlot"}})
    view = replace(vm_view(owner, vmi=raw), report_pending_since=later(-60))
    assert status_of(plan_vm(view, now=NOW))["interfaceSummary"] == {"ready": "2/4", "reason": "NoPciSlot"}
    owner = vm(run_strategy="Halted", status=owner["status"])
    stopped = replace(vm_view(owner), report_pending_since=later(-60))
    assert status_of(plan_vm(stopped, now=NOW))["interfaceSummary"] is None
