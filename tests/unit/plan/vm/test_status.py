"""The status of a VM: conditions, generations, what it remembers of starts. `printableStatus` has a file of its own."""

from datetime import datetime
from typing import Any

import pytest
from tests.build import CREATED, NOW, VM_UID, Json, Nic, absent, kubevirt, later, nic, primary, vm, vm_view, vmi

from nicplug.model.frozen_json import thaw
from nicplug.model.vmi import own_vmi
from nicplug.plan.actions import PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vm.run_strategy import decide, run_state_of
from nicplug.plan.vm.vm_status import plan_vm_status

PAUSED = {"type": "Paused", "status": "True"}
RESTART = {"type": "RestartRequired", "status": "True", "message": "x"}


def _status(
    raw: Json,
    found: Json | None = None,
    *,
    failure: Refusal | None = None,
    needs_restart: bool = False,
    now: datetime = NOW,
) -> Json:
    view = vm_view(raw, vmi=found)
    run_state = run_state_of(view.vm, own_vmi(view.vmi, vm_uid=view.vm.uid), now=now)
    decision = decide(run_state, now=now)
    return plan_vm_status(
        view=view,
        run_state=run_state,
        decision=decision,
        failure=failure,
        needs_restart=needs_restart,
        now=now,
    )


def _own(**members: Any) -> Json:
    return vmi(owner_uid=VM_UID, **members)


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

    @pytest.mark.parametrize(
        ("type_", "wanted"), [("InterfacesReady", "new"), ("InvalidHotplugPolicy", "new"), ("Paused", "old")]
    )
    def test_a_new_message_is_mirrored_where_people_read_it(self, type_: str, wanted: str) -> None:
        def row(message: str) -> Json:
            return {"type": type_, "status": "False", "reason": "InvalidName", "message": message}

        rows = self._rows(vm(status={"conditions": [row("old")]}), _own(conditions=[row("new")]))
        assert rows[type_]["message"] == wanted

    def test_what_the_vmi_no_longer_has_goes(self) -> None:
        assert self._rows(vm(status={"conditions": [PAUSED]}), _own()).keys() == {"Ready"}

    @pytest.mark.parametrize("needs_restart", [True, False])
    def test_a_restart_that_is_no_longer_needed(self, needs_restart: bool) -> None:
        before = {"type": "RestartRequired", "status": "True", "lastTransitionTime": CREATED, "message": "x"}
        status = _status(vm(status={"conditions": [before]}), _own(), needs_restart=needs_restart)
        assert (before in status["conditions"]) is needs_restart

    def test_one_of_the_vmi_by_a_name_of_ours_is_not_mirrored(self) -> None:
        theirs = [{"type": "Failure", "status": "True"}, RESTART]
        assert self._rows(vm(), _own(conditions=theirs)).keys() == {"Ready"}

    def test_a_mirrored_one_has_the_time_of_the_original(self) -> None:
        theirs = {**PAUSED, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        assert self._rows(vm(), _own(conditions=[theirs]))["Paused"]["lastTransitionTime"] == "2026-01-01T00:00:00Z"

    def test_a_new_message_alone_changes_nothing(self) -> None:
        raw = vm(status={"conditions": [{**PAUSED, "message": "old"}]})
        assert self._rows(raw, _own(conditions=[{**PAUSED, "message": "new"}]))["Paused"]["message"] == "old"

    def test_what_is_no_condition_is_passed_over(self) -> None:
        raw = vm(status={"conditions": [None, "x", {"type": None}, {"status": "True"}]})
        assert self._rows(raw, _own(conditions=[None, 7, PAUSED])).keys() == {"Ready", "Paused"}

    def test_a_failure(self) -> None:
        row = next(
            row
            for row in _status(vm(), failure=Refusal(reason="FailedCreate", message="quota"))["conditions"]
            if row["type"] == "Failure"
        )
        assert (row["status"], row["reason"], row["message"]) == ("True", "FailedCreate", "quota")

    def test_a_failure_that_has_passed_goes(self) -> None:
        raw = vm(status={"conditions": [{"type": "Failure", "status": "True", "reason": "x"}]})
        assert "Failure" not in self._rows(raw)


def test_a_status_that_is_as_it_shall_be_is_left_alone() -> None:
    found = _own(conditions=[{"type": "Ready", "status": "True"}])
    status = _status(vm(), found)
    assert _status(vm(status=status), found, now=later(60)) == status


class TestAGuestThatIsUp:
    """`Running` and, a moment later, `Ready` made two writes of each start."""

    def reported(self, *, since: float, ready: str) -> Plan:
        running = _own(conditions=[{"type": "Ready", "status": ready}])
        raw = vm(status={"created": True, "printableStatus": "Starting"})
        return plan_vm(vm_view(raw, vmi=running, report_pending_since=later(-since)), now=NOW)

    def test_waits_a_moment_to_be_ready(self) -> None:
        plan = self.reported(since=0.5, ready="False")
        assert (plan.actions, plan.again_at, plan.withholds_report) == ((), later(0.1), True)

    @pytest.mark.parametrize(("since", "ready"), [(0, "True"), (0.6, "False")], ids=["ready", "not ready in time"])
    def test_is_reported(self, since: float, ready: str) -> None:
        (patch,) = self.reported(since=since, ready=ready).actions
        assert isinstance(patch, PatchStatus)
        wanted = thaw(patch.wanted)
        assert (wanted["printableStatus"], wanted.get("ready", False)) == ("Running", ready == "True")


class TestGenerationOfInterfacesReady:
    """`kubectl wait` on a VM compares it, and must not take an older truth for the answer to a change."""

    BLUE = (primary(), nic("blue"))

    @staticmethod
    def ready(status: str = "True", *, generation: int = 1) -> Json:
        return {"type": "InterfacesReady", "status": status, "reason": "x", "observedGeneration": generation}

    def row(self, raw: Json, running: Json, **members: Any) -> Json:
        """What is written of the condition; a report that the VM needs anyway: it was not said to be created."""
        plan = plan_vm(vm_view(raw, vmi=running, report_pending_since=later(-9), **members), now=NOW)
        (patch,) = [item for item in plan.actions if isinstance(item, PatchStatus)]
        wanted = thaw(patch.wanted)
        rows = wanted.get("conditions") or raw["status"]["conditions"]
        found: list[Json] = [row for row in rows if row["type"] == "InterfacesReady"]
        assert len(found) == 1
        return found[0]

    @pytest.mark.parametrize("status", ["True", "False"])
    def test_it_is_the_generation_of_the_vm(self, status: str) -> None:
        raw = vm(*self.BLUE, generation=7, status={"printableStatus": "Running"})
        running = vmi(*self.BLUE, owner_uid=VM_UID, conditions=[self.ready(status, generation=3)], generation=3)
        assert (self.row(raw, running)["status"], self.row(raw, running)["observedGeneration"]) == (status, 7)

    @pytest.mark.parametrize(
        ("title", "template", "present", "seen"),
        [
            ("the VMI has changed since it was looked at", BLUE, BLUE, 2),
            ("a NIC is in the template alone", (*BLUE, nic("red", binding="masquerade")), BLUE, 3),
            ("a NIC is to go in the template alone", (primary(), absent("blue")), BLUE, 3),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_true_of_an_earlier_look_stays_of_an_earlier_generation(
        self, title: str, template: tuple[Nic, ...], present: tuple[Nic, ...], seen: int
    ) -> None:
        """It was True, without a generation, while a NIC in the template had not been looked at."""
        reported = {**self.ready(generation=6), "lastTransitionTime": CREATED}
        raw = vm(*template, generation=7, status={"conditions": [reported]})
        running = vmi(*present, owner_uid=VM_UID, conditions=[self.ready(generation=seen)], generation=3)
        config = kubevirt("")  # the gate is off: nothing flows to the VMI before the report
        assert self.row(raw, running, config=config)["observedGeneration"] == 6, title

    def test_another_status_of_an_earlier_look_stays_of_an_earlier_generation(self) -> None:
        raw = vm(*self.BLUE, generation=7, status={"conditions": [self.ready(generation=6)]})
        running = vmi(*self.BLUE, owner_uid=VM_UID, conditions=[self.ready("False", generation=2)], generation=3)
        found = self.row(raw, running)
        assert (found["status"], found["observedGeneration"]) == ("False", 6)

    def reported(self, seen: int | None, *, since: float | None, started: int = 7, **members: Any) -> Plan:
        """Nothing but the generation is new: 8, of a VM whose guest runs with all that its template asks for."""
        raw = vm(*self.BLUE, generation=7)
        running = vmi(*self.BLUE, owner_uid=VM_UID, conditions=[self.ready(generation=3)], generation=3)
        first = plan_vm(vm_view(raw, vmi=running, report_pending_since=later(-9)), now=NOW)
        (patch,) = [item for item in first.actions if isinstance(item, PatchStatus)]
        status = {**thaw(patch.wanted), "observedGeneration": started}
        (row,) = [row for row in status["conditions"] if row["type"] == "InterfacesReady"]
        row.pop("observedGeneration")
        row |= {"observedGeneration": seen} if seen is not None else {}
        changed = {**raw, "metadata": {**raw["metadata"], "generation": 8}, "status": status}
        pending = later(-since) if since is not None else None
        return plan_vm(vm_view(changed, vmi=running, report_pending_since=pending, **members), now=NOW)

    def test_kubectl_wait_on_a_vm_waited_in_vain_after_a_nic_that_was_plugged_within_a_moment(self) -> None:
        """It is the only thing to report, and not worth a write before others had time to take it along."""
        first = self.reported(7, since=None)
        assert (first.actions, first.again_at, first.withholds_report) == ((), later(5), True)
        assert self.reported(7, since=4.9).actions == ()
        (patch,) = self.reported(7, since=5).actions
        assert isinstance(patch, PatchStatus)
        wanted = thaw(patch.wanted)
        assert wanted.keys() == {"conditions", "desiredGeneration"}
        assert [row["observedGeneration"] for row in wanted["conditions"] if row["type"] == "InterfacesReady"] == [8]

    @pytest.mark.parametrize(("seen", "started"), [(8, 7), (None, 8)], ids=["told", "told as kubectl reads it"])
    def test_what_was_reported_of_this_generation_is_not_reported_again(self, seen: int | None, started: int) -> None:
        """An upgrade would write to every VM."""
        plan = self.reported(seen, since=9, started=started)
        assert (plan.actions, plan.again_at) == ((), None)

    def test_a_vm_of_an_earlier_version_is_reported_when_it_has_changed(self) -> None:
        assert len(self.reported(None, since=9, started=7).actions) == 1
