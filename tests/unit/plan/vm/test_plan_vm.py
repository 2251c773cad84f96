"""Starting, stopping and deleting: what a VM does with its VMI."""

import copy
from typing import Any

import pytest
from tests.build import (
    CREATED,
    HOTPLUG_ON,
    NOW,
    VM_UID,
    VMI_UID,
    Json,
    absent,
    kubevirt,
    later,
    nic,
    owner,
    primary,
    primary_row,
    vm,
    vm_view,
    vmi,
)

from nicplug.elided import STORED_BYTES
from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import (
    Create,
    Delete,
    Kind,
    PatchFinalizers,
    PatchInterfaces,
    PatchSpec,
    PatchStatus,
)
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vm.plan_vm import plan_vm


def _kinds(plan: Plan) -> list[str]:
    return [type(action).__name__ for action in plan.actions]


def _created(plan: Plan) -> Json:
    (_, action) = plan.actions
    assert isinstance(action, Create)
    assert action.kind is Kind.VMI
    body: Json = thaw(action.body)
    return body


OWN: dict[str, Any] = {"owner_uid": VM_UID}
FOREIGN = vmi(ownerReferences=[owner("VirtualMachinePool", "a", "pool")])
START: Json = {"action": "Start"}
STOP: Json = {"action": "Stop", "uid": VMI_UID}
ORPHAN = ["orphan", "kubevirt.io/virtualMachineControllerFinalize"]


def _asks(*requests: Json) -> Json:
    return {"stateChangeRequests": list(requests)}


HALTED_ASKED = vm(run_strategy="Halted", status=_asks(START))
RERUN = vm(run_strategy="RerunOnFailure", status={"runStrategy": "RerunOnFailure"})


@pytest.mark.parametrize(
    ("title", "raw", "found", "wanted"),
    [
        ("Always, nothing there: start", vm(), None, ["Create", "Create"]),
        ("running: true is Always", vm(run_strategy=None, running=True), None, ["Create", "Create"]),
        ("Always, running: only the status", vm(), vmi(**OWN), ["PatchStatus"]),
        ("Always, the VMI has ended: make room", vm(), vmi(phase="Succeeded", **OWN), ["Delete"]),
        ("Always, the VMI is on its way out: wait", vm(), vmi(deleting=True, **OWN), ["PatchStatus"]),
        ("Always, somebody else's VMI has the name", vm(), FOREIGN, ["PatchStatus"]),
        ("Always, a VMI of a former VM of that name", vm(), vmi(owner_uid="before"), ["PatchStatus"]),
        ("Halted, running: stop", vm(run_strategy="Halted"), vmi(**OWN), ["Delete"]),
        ("Halted, stopping: wait", vm(run_strategy="Halted"), vmi(deleting=True, **OWN), ["PatchStatus"]),
        ("Halted, nothing there", vm(run_strategy="Halted"), None, ["PatchStatus"]),
        ("Halted, somebody else's VMI is not ours to stop", vm(run_strategy="Halted"), FOREIGN, ["PatchStatus"]),
        ("Halted, nor is a former VM's", vm(run_strategy="Halted"), vmi(owner_uid="before"), ["PatchStatus"]),
        ("running: false is Halted", vm(run_strategy=None, running=False), vmi(**OWN), ["Delete"]),
        ("neither is Halted", vm(run_strategy=None), vmi(**OWN), ["Delete"]),
        ("both: neither started nor stopped", vm(running=True), None, ["PatchStatus"]),
        ("both, running: left alone", vm(running=True), vmi(**OWN), ["PatchStatus"]),
        ("Manual: on request only", vm(run_strategy="Manual"), None, ["PatchStatus"]),
        ("Manual, asked to start", vm(run_strategy="Manual", status=_asks(START)), None, ["Create", "Create"]),
        ("Manual, asked to stop", vm(run_strategy="Manual", status=_asks(STOP)), vmi(**OWN), ["Delete"]),
        ("Always, asked to restart", vm(status=_asks(STOP, START)), vmi(**OWN), ["Delete"]),
        ("Halted, asked to start: the strategy first", HALTED_ASKED, None, ["PatchSpec"]),
        ("RerunOnFailure, failed: written down first", RERUN, vmi(phase="Failed", **OWN), ["PatchStatus"]),
        ("Once, nothing there: start", vm(run_strategy="Once"), None, ["Create", "Create"]),
        ("WaitAsReceiver is not carried out", vm(run_strategy="WaitAsReceiver"), None, ["PatchStatus"]),
        ("an unknown strategy", vm(run_strategy="Sometimes"), None, ["PatchStatus"]),
        ("no finalizer yet: first", vm(finalizers=[]), None, ["PatchFinalizers"]),
        (
            "no finalizer, nothing to start: none needed",
            vm(run_strategy="Halted", finalizers=[]),
            None,
            ["PatchStatus"],
        ),
        ("deleted, running: the VMI first", vm(deleting=True), vmi(**OWN), ["Delete"]),
        ("deleted, the VMI is going: say so", vm(deleting=True), vmi(deleting=True, **OWN), ["PatchStatus"]),
        ("deleted, its dependents stay", vm(deleting=True, finalizers=ORPHAN), vmi(**OWN), ["PatchFinalizers"]),
        ("deleted, nothing runs: let go", vm(deleting=True), None, ["PatchFinalizers"]),
        ("deleted, nobody's VMI stays", vm(deleting=True), vmi(), ["PatchFinalizers"]),
        ("deleted, let go by us: others' finalizers", vm(deleting=True, finalizers=["other/one"]), None, []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_run_strategy(title: str, raw: Json, found: Json | None, wanted: list[str]) -> None:
    plan = plan_vm(vm_view(raw, vmi=found, report_pending_since=later(-9)), now=NOW)
    if wanted == ["Delete"] and found is not None and found["status"]["phase"] == "Succeeded":
        # It never came up, so its failure is written down before the witness goes.
        assert _kinds(plan) == ["PatchStatus"], title
        return
    assert _kinds(plan) == wanted, title


def _with_nics(*, status: str, stored_bytes: int) -> tuple[Json, Json]:
    """A VM that has written down why NIC blue waits, and its VMI, which now gives another reason."""
    reported = {"type": "InterfacesReady", "status": "False", "reason": "Pending", "message": "NIC blue waits"}
    raw = vm(primary(), nic("blue")) | {STORED_BYTES: stored_bytes}
    raw["status"] = {
        "created": True, "ready": False, "printableStatus": "Starting", "runStrategy": "Always",
        "conditions": [reported],
    }  # fmt: skip
    now = {**reported, "status": status, "reason": "Failed"}
    return raw, vmi(primary(), nic("blue"), phase="Scheduling", conditions=[now], **OWN)


@pytest.mark.parametrize(("stored_bytes", "is_written"), [(0, True), (1_300_000, False)])
def test_a_report_on_a_large_vm_waits_longer(stored_bytes: int, is_written: bool) -> None:
    """It repeats what its VMI says, in a megabyte."""
    raw, found = _with_nics(status="False", stored_bytes=stored_bytes)
    raw["status"] = plan_status_of(raw, found)
    found["status"]["conditions"][0]["reason"] = "MigrationFailed"
    plan = plan_vm(vm_view(raw, vmi=found, report_pending_since=later(-1)), now=NOW)
    assert (_kinds(plan) == ["PatchStatus"]) is is_written
    assert plan.withholds_report is not is_written


def plan_status_of(raw: Json, found: Json) -> Json:
    """The status that the VM has when all has been reported."""
    (patch,) = plan_vm(vm_view(raw, vmi=found, report_pending_since=later(-99)), now=NOW).actions
    assert isinstance(patch, PatchStatus)
    return {**raw["status"], **thaw(patch.wanted)}


@pytest.mark.parametrize("ends", ["the guest", "a condition"])
def test_what_people_wait_for_is_reported_of_a_large_vm_as_soon_as_of_any(ends: str) -> None:
    """A stop was told 40 s late, and a start was lost, as the status had not said Halted in between."""
    raw, found = _with_nics(status="False" if ends == "the guest" else "True", stored_bytes=1_300_000)
    view = vm_view(raw, vmi=None if ends == "the guest" else found, report_pending_since=later(-1))
    if ends == "the guest":
        view = vm_view({**raw, "spec": {**raw["spec"], "runStrategy": "Halted"}}, report_pending_since=later(-1))
    assert _kinds(plan_vm(view, now=NOW)) == ["PatchStatus"]


def test_a_vmi_that_had_come_up_makes_room_at_once() -> None:
    ended = vmi(phase="Succeeded", **OWN)
    ended["status"]["phaseTransitionTimestamps"] = [{"phase": "Running", "phaseTransitionTimestamp": CREATED}]
    plan = plan_vm(vm_view(vm(), vmi=ended), now=NOW)
    assert plan.actions == (Delete(kind=Kind.VMI, key=plan.actions[0].key, uid=VMI_UID),)


def test_the_announcements_are_kubevirts() -> None:
    (started,) = plan_vm(vm_view(vm()), now=NOW).announcements
    assert (started.severity, started.reason) == ("Normal", "SuccessfulCreate")
    assert started.message == "Started the virtual machine by creating the new virtual machine instance vmi-fedora"
    (stopped,) = plan_vm(vm_view(vm(run_strategy="Halted"), vmi=vmi(**OWN)), now=NOW).announcements
    assert (stopped.severity, stopped.reason) == ("Normal", "SuccessfulDelete")
    assert stopped.message == "Stopped the virtual machine by deleting the virtual machine instance vmi-fedora"


def test_only_its_own_finalizer_is_taken_away() -> None:
    raw = vm(deleting=True, finalizers=["a/b", "kubevirt.io/virtualMachineControllerFinalize", "c/d"])
    (action,) = plan_vm(vm_view(raw), now=NOW).actions
    assert isinstance(action, PatchFinalizers)
    assert thaw(action.wanted) == {"finalizers": ["a/b", "c/d"]}


def test_what_was_refused_is_not_tried_again_but_reported() -> None:
    refusal = Refusal(reason=Reason.FAILED_CREATE, message="quota")
    plan = plan_vm(vm_view(vm(), refusal=refusal, report_pending_since=later(-9)), now=NOW)
    (action,) = plan.actions
    assert isinstance(action, PatchStatus)
    failure = next(row for row in thaw(action.wanted)["conditions"] if row["type"] == "Failure")
    assert (failure["status"], failure["reason"], failure["message"]) == ("True", "FailedCreate", "quota")


def _failure_of(raw: Json, found: Json | None = None) -> Json | None:
    (action,) = plan_vm(vm_view(raw, vmi=found, report_pending_since=later(-9)), now=NOW).actions
    assert isinstance(action, PatchStatus)
    return next((row for row in thaw(action.wanted)["conditions"] if row["type"] == "Failure"), None)


@pytest.mark.parametrize(
    ("raw", "reason", "words"),
    [
        (vm(running=True), "FailedCreate", "running and runstrategy are mutually exclusive: remove spec.running"),
        (vm(run_strategy="Sometimes"), "FailedCreate", "unknown runstrategy: Sometimes. Use Always"),
        (vm(run_strategy="WaitAsReceiver"), "RunStrategyNotSupported", "Use Always"),
    ],
    ids=["both", "unknown", "a receiver"],
)
def test_a_run_strategy_that_says_nothing_is_reported_with_the_remedy(raw: Json, reason: str, words: str) -> None:
    failure = _failure_of(raw)
    assert failure is not None
    assert failure["reason"] == reason
    assert words in failure["message"]


def _reported(raw: Json, found: Json | None = None, **members: Any) -> list[tuple[str, str]]:
    plan = plan_vm(vm_view(raw, vmi=found, report_pending_since=later(-9), **members), now=NOW)
    return [(str(event.reason), event.message) for event in plan.announcements]


@pytest.mark.parametrize(
    ("raw", "found", "reason"),
    [
        (vm(run_strategy="Sometimes"), None, "FailedCreate"),
        (vm(run_strategy="WaitAsReceiver"), None, "RunStrategyNotSupported"),
        (vm(), vmi(owner_uid="another"), "NameTaken"),
    ],
    ids=["unknown", "a receiver", "the name is taken"],
)
def test_what_is_wrong_with_a_vm_is_announced_once(raw: Json, found: Json | None, reason: str) -> None:
    failure = _failure_of(raw, found)
    assert failure is not None
    assert _reported(raw, found) == [(reason, failure["message"])]
    assert _reported({**raw, "status": {"conditions": [failure]}}, found) == []


def test_another_flaw_of_the_run_strategy_is_reported_again() -> None:
    failure = _failure_of(vm(run_strategy="Sometimes"))
    raw = vm(run_strategy="Never", status={"conditions": [failure]})
    assert "unknown runstrategy: Never" in (_failure_of(raw) or {})["message"]
    assert [reason for reason, _ in _reported(raw)] == ["FailedCreate"]


def test_what_the_api_server_refused_is_announced_when_it_refuses_it() -> None:
    assert _reported(vm(), refusal=Refusal(reason=Reason.FAILED_CREATE, message="quota")) == []


def test_requests_that_nobody_can_read_are_announced_and_dropped() -> None:
    bad = [{"action": "Pause"}, {"action": "Stop"}, "restart"]
    raw = vm(run_strategy="Manual", status={"stateChangeRequests": bad})
    ((reason, message),) = _reported(raw)
    assert reason == "InvalidStateChangeRequest"
    assert message.startswith("3 requests of status.stateChangeRequests cannot be read and will not be carried out")
    assert '{"action":"Pause"}' in message
    (action,) = plan_vm(vm_view(raw), now=NOW).actions
    assert isinstance(action, PatchStatus)
    assert not thaw(action.wanted)["stateChangeRequests"]
    assert _reported(vm(run_strategy="Manual")) == []


@pytest.mark.parametrize("strategy", ["Manual", "Halted"])
def test_a_name_that_is_taken_matters_only_to_a_vm_that_wants_it(strategy: str) -> None:
    assert _failure_of(vm(run_strategy=strategy), FOREIGN) is None


class TestRefusals:
    """What the API server has refused is not sent again, and does not keep the rest from being done."""

    def _kinds(self, reason: Reason, raw: Json, found: Json | None = None) -> list[str]:
        refusal = Refusal(reason=reason, message="no")
        return _kinds(plan_vm(vm_view(raw, vmi=found, refusal=refusal, report_pending_since=later(-9)), now=NOW))

    def test_a_refused_deletion(self) -> None:
        assert self._kinds(Reason.FAILED_DELETE, vm(run_strategy="Halted"), vmi(**OWN)) == ["PatchStatus"]
        assert self._kinds(Reason.FAILED_DELETE, vm()) == ["Create", "Create"]

    def test_a_refused_creation(self) -> None:
        assert self._kinds(Reason.FAILED_CREATE, vm()) == ["PatchStatus"]
        assert self._kinds(Reason.FAILED_CREATE, vm(run_strategy="Halted"), vmi(**OWN)) == ["Delete"]

    def test_a_refused_change_of_the_strategy(self) -> None:
        assert self._kinds(Reason.FAILED_UPDATE, HALTED_ASKED) == ["PatchStatus"]


def test_a_halted_vm_is_turned_on_in_the_field_that_it_uses() -> None:
    for members, path, value in (
        ({"run_strategy": "Halted"}, "/spec/runStrategy", "Always"),
        ({"run_strategy": None, "running": False}, "/spec/running", True),
        ({"run_strategy": None}, "/spec/running", True),
    ):
        raw = vm(status=_asks(START), **members)
        (action,) = plan_vm(vm_view(raw), now=NOW).actions
        assert isinstance(action, PatchSpec)
        assert [item for item in action.json_patch() if item["op"] != "test"] == [
            {"op": "add", "path": path, "value": value}
        ]
        assert {item["path"]: item["value"] for item in action.json_patch() if item["op"] == "test"} == {
            "/metadata/uid": VM_UID,
            "/spec/runStrategy": raw["spec"].get("runStrategy"),
            "/spec/running": raw["spec"].get("running"),
        }


def test_a_start_request_may_start_the_guest_paused() -> None:
    raw = vm(run_strategy="Manual", status=_asks({"action": "Start", "data": {"paused": "true"}}))
    assert _created(plan_vm(vm_view(raw), now=NOW))["spec"]["startStrategy"] == "Paused"
    assert "startStrategy" not in _created(plan_vm(vm_view(vm()), now=NOW))["spec"]


def test_done_requests_go_at_once() -> None:
    """People can make no second one before the first is gone, so this does not wait for company."""
    raw = vm(run_strategy="Manual", status=_asks(START))
    (action,) = plan_vm(vm_view(raw, vmi=vmi(**OWN)), now=NOW).actions
    assert isinstance(action, PatchStatus)
    assert thaw(action.wanted)["stateChangeRequests"] == []


def test_the_end_of_a_failed_vmi_and_its_sequel_are_written_down_together() -> None:
    (action,) = plan_vm(vm_view(RERUN, vmi=vmi(phase="Failed", **OWN)), now=NOW).actions
    assert isinstance(action, PatchStatus)
    wanted = thaw(action.wanted)
    assert wanted["startFailure"]["lastFailedVMIUID"] == VMI_UID
    (request,) = wanted["stateChangeRequests"]
    assert request["action"] == "Start"


def test_a_strategy_that_a_vmi_on_its_way_out_waits_for_is_written_at_once() -> None:
    raw = vm(run_strategy="Once")
    (action,) = plan_vm(vm_view(raw, vmi=vmi(deleting=True, **OWN)), now=NOW).actions
    assert isinstance(action, PatchStatus)
    assert thaw(action.wanted)["runStrategy"] == "Once"


class TestNics:
    """NIC changes flow from the template while the gate is on."""

    def _view(self, *, config: Json | None = HOTPLUG_ON, **vmi_members: Any) -> list[str]:
        raw = vm(primary(), nic("blue"))
        running = vmi(primary(), rows=[primary_row()], owner_uid=VM_UID, **vmi_members)
        view = vm_view(raw, vmi=running, config=config)
        return _kinds(plan_vm(view, now=NOW))

    def test_gate_on(self) -> None:
        assert self._view() == ["PatchInterfaces"]

    def test_gate_off(self) -> None:
        assert "PatchInterfaces" not in self._view(config=kubevirt("x"))

    def test_no_kubevirt_cr(self) -> None:
        assert "PatchInterfaces" not in self._view(config=None)

    def test_while_the_vmi_is_deleted(self) -> None:
        assert "PatchInterfaces" not in self._view(deleting=True)

    def test_before_the_guest_runs(self) -> None:
        assert self._view(phase="Scheduling") == ["PatchInterfaces"]

    def test_spec_and_template_in_one_pass(self) -> None:
        """Two writes, one pass: the template forgets what the VMI never had, the VMI gets what is new."""
        raw = vm(primary(), nic("blue"), absent("red"))
        view = vm_view(raw, vmi=vmi(primary(), rows=[primary_row()], owner_uid=VM_UID))
        actions = plan_vm(view, now=NOW).actions
        assert [action.kind for action in actions if isinstance(action, PatchInterfaces)] == [Kind.VMI, Kind.VM]

    def test_a_stopped_vm_forgets_absent_nics_whatever_the_gate(self) -> None:
        view = vm_view(vm(primary(), absent("red"), run_strategy="Halted"), config=kubevirt("x"))
        (action,) = plan_vm(view, now=NOW).actions
        assert isinstance(action, PatchInterfaces)
        assert action.kind is Kind.VM

    def test_a_namesake_vmi_is_not_touched(self) -> None:
        view = vm_view(
            vm(primary(), nic("blue")), vmi=vmi(primary(), owner_uid="another"), report_pending_since=later(-9)
        )
        assert _kinds(plan_vm(view, now=NOW)) == ["PatchStatus"]


def test_equal_views_give_equal_plans() -> None:
    raw = vm(primary(), nic("blue"))
    assert plan_vm(vm_view(raw), now=NOW) == plan_vm(vm_view(copy.deepcopy(raw)), now=NOW)
