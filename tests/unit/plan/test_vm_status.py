"""The status of a VM, as far as this version goes."""

from typing import Any

import pytest
from tests.build import CREATED, NOW, VM_UID, Json, later, vm, vm_view, vmi

from nicplug.plan.vm import own_vmi
from nicplug.plan.vm_status import plan_vm_status

PAUSED = {"type": "Paused", "status": "True"}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}


def _status(raw: Json, found: Json | None = None) -> Json:
    view = vm_view(raw, vmi=found)
    return plan_vm_status(view=view, vmi=own_vmi(view), failure=None, now=NOW)


def _own(**members: Any) -> Json:
    return vmi(owner_uid=VM_UID, **members)


@pytest.mark.parametrize(
    ("raw", "found", "wanted"),
    [
        (vm(deleting=True), _own(), "Terminating"),
        (vm(run_strategy="Halted"), None, "Stopped"),
        (vm(), None, "Starting"),
        (vm(status={"startFailure": {"consecutiveFailCount": 2}}), None, "CrashLoopBackOff"),
        (vm(), vmi(), "Starting"),
        (vm(run_strategy="Halted"), _own(), "Stopping"),
        (vm(), _own(deleting=True), "Stopping"),
        (vm(), _own(), "Running"),
        (vm(), _own(conditions=[PAUSED]), "Paused"),
        (vm(), _own(phase="Scheduling", conditions=[UNSCHEDULABLE]), "ErrorUnschedulable"),
        (vm(), _own(phase=""), "Starting"),
        (vm(), _own(phase="Pending"), "Starting"),
        (vm(), _own(phase="Scheduling"), "Starting"),
        (vm(), _own(phase="Scheduled"), "Starting"),
        (vm(), _own(phase="Failed"), "Stopped"),
        (vm(), _own(phase="Succeeded"), "Stopped"),
        (vm(), _own(phase="Unheard"), "Unknown"),
    ],
)
def test_printable_status(raw: Json, found: Json | None, wanted: str) -> None:
    assert _status(raw, found)["printableStatus"] == wanted


def test_created_and_ready() -> None:
    ready = {"type": "Ready", "status": "True"}
    assert (_status(vm())["created"], _status(vm())["ready"]) == (False, False)
    status = _status(vm(), _own(conditions=[ready]))
    assert (status["created"], status["ready"]) == (True, True)
    foreign = _status(vm(), vmi(conditions=[ready]))
    assert (foreign["created"], foreign["ready"]) == (False, False)


@pytest.mark.parametrize(
    ("annotation", "wanted"),
    [("7", 7), ("", None), ("x", None), ("-1", None), ("9" * 5000, None), ("\u0663", None)],
    ids=["a number", "none", "text", "negative", "very long", "other digits"],
)
def test_the_generation_it_was_started_from(annotation: str, wanted: int | None) -> None:
    found = _own(annotations={"kubevirt.io/vm-generation": annotation})
    assert _status(vm(), found).get("observedGeneration") == wanted


class TestConditions:
    def _rows(self, raw: Json, found: Json | None = None) -> dict[str, Json]:
        return {row["type"]: row for row in _status(raw, found)["conditions"]}

    def test_no_vmi(self) -> None:
        rows = self._rows(vm())
        assert (rows["Ready"]["status"], rows["Ready"]["reason"]) == ("False", "VMINotExists")

    def test_a_vmi_without_ready(self) -> None:
        assert self._rows(vm(), _own())["Ready"]["reason"] == "VMIConditionMissing"

    def test_the_conditions_of_the_vmi_are_mirrored(self) -> None:
        theirs = {"type": "InterfacesReady", "status": "True", "reason": "AllInterfacesReady", "observedGeneration": 3}
        row = self._rows(vm(), _own(conditions=[theirs]))["InterfacesReady"]
        assert row["status"] == "True"
        assert "observedGeneration" not in row, "that of a VMI means nothing on the VM"

    def test_what_the_vmi_no_longer_has_goes(self) -> None:
        assert self._rows(vm(status={"conditions": [PAUSED]}), _own()).keys() == {"Ready"}

    @pytest.mark.parametrize("needs_restart", [True, False])
    def test_a_restart_that_is_no_longer_needed(self, needs_restart: bool) -> None:
        before = {"type": "RestartRequired", "status": "True", "lastTransitionTime": CREATED, "message": "x"}
        view = vm_view(vm(status={"conditions": [before]}), vmi=_own())
        status = plan_vm_status(view=view, vmi=view.vmi, failure=None, needs_restart=needs_restart, now=NOW)
        assert (before in status["conditions"]) is needs_restart

    def test_a_failure_that_has_passed_goes(self) -> None:
        raw = vm(status={"conditions": [{"type": "Failure", "status": "True", "reason": "x"}]})
        assert "Failure" not in self._rows(raw)


def test_a_status_that_is_as_it_shall_be_is_left_alone() -> None:
    found = _own(conditions=[{"type": "Ready", "status": "True"}])
    status = _status(vm(), found)
    view = vm_view(vm(status=status), vmi=found)
    assert plan_vm_status(view=view, vmi=own_vmi(view), failure=None, now=later(60)) == status
