"""What a VM says to start, stop and restart: code, text and writes by run strategy and phase (KubeVirt 1.0)."""

import copy
import json
from dataclasses import dataclass
from typing import Any

import pytest
from tests.build import NAME, VM_UID, VMI_UID, Json, a_vm, a_vmi, vm, vmi
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.plan.subresources.answers import Answer, in_order
from nicplug.plan.subresources.options import UnreadableBody
from nicplug.plan.subresources.power import ask_restart, ask_start, ask_stop

CONFLICT = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{NAME}": '
UNREADABLE = "Can not unmarshal Request body to struct, error: "
START, STOP = {"action": "Start"}, {"action": "Stop", "uid": VMI_UID}
PAUSED = {"action": "Start", "data": {"paused": "true"}}
NONE, RUNNING = None, "Running"
ASK = {"start": ask_start, "stop": ask_stop, "restart": ask_restart}


def machine(strategy: str | None, *, running: bool | None = None, **status: Any) -> Json:
    return vm(run_strategy=strategy, running=running, status=status or {"created": False})


def instance(phase: str, *, owner: str = VM_UID, grace: int | None = None) -> Json:
    found = vmi(phase=phase, owner_uid=owner)
    if grace is not None:
        found["spec"]["terminationGracePeriodSeconds"] = grace
    return found


def ask(verb: str, raw: Json | None, found: Json | None, body: Any = None) -> Answer:
    return ASK[verb](
        {} if body is None else body,
        name=NAME,
        vm=a_vm(raw) if raw is not None else None,
        vmi=a_vmi(found) if found is not None else None,
    )


def applied(raw: Json, write: Any) -> Json:
    content = json.dumps([dict(item) for item in in_order(write)]).encode()
    return patched(copy.deepcopy(raw), content_type=JSON_PATCH, content=content)


def outcome(verb: str, raw: Json, found: Json | None, body: Any = None) -> Any:
    """What the VM says; of a success what has changed in the VM."""
    answer = ask(verb, raw, found, body)
    if answer.code != 202:
        assert (answer.write, answer.first) == (None, None)
        return answer.code, answer.message.removeprefix(CONFLICT)
    after = applied(raw, answer.write) if answer.write is not None else raw
    if after["spec"] != raw["spec"]:
        return {key: after["spec"][key] for key in ("runStrategy", "running") if key in after["spec"]}
    return after["status"].get("stateChangeRequests", "nothing")


@dataclass(frozen=True)
class Case:
    verb: str
    strategy: str
    phase: str | None
    wanted: Any
    body: Any = None

    def __str__(self) -> str:
        return f"{self.verb} {self.strategy} {self.phase} {self.body or ''}"


NOT_RUNNING, ALREADY = (409, "VM is not running"), (409, "VM is already running")
ALWAYS_NO_START = (409, "Always does not support manual start requests")
FAILED_NO_START = (409, "RerunOnFailure does not support starting VM from failed state")
SHORTER = (409, "Halted only supports manual stop requests with a shorter graceperiod")
ZERO, PAUSE = {"gracePeriod": 0}, {"paused": True}


@pytest.mark.parametrize(
    "case",
    [
        Case("start", "Halted", NONE, {"runStrategy": "Always"}),
        Case("start", "Halted", "Succeeded", {"runStrategy": "Always"}),
        Case("start", "Halted", NONE, [PAUSED], PAUSE),
        Case("start", "Halted", RUNNING, ALREADY),
        Case("start", "Always", NONE, ALWAYS_NO_START),
        Case("start", "Always", RUNNING, ALREADY),
        Case("start", "Once", NONE, (409, "Once does not support manual start requests")),
        Case("start", "Manual", NONE, [START]),
        Case("start", "Manual", NONE, [PAUSED], PAUSE),
        Case("start", "Manual", NONE, [PAUSED], {"PAUSED": True}),
        Case("start", "Manual", "", [START]),
        Case("start", "Manual", "Unknown", [START]),
        Case("start", "Manual", "Scheduling", ALREADY),
        Case("start", "Manual", RUNNING, ALREADY),
        Case("start", "Manual", "Succeeded", [STOP, START]),
        Case("start", "Manual", "Failed", [STOP, PAUSED], PAUSE),
        Case("start", "RerunOnFailure", NONE, [START]),
        Case("start", "RerunOnFailure", "Succeeded", [STOP, START]),
        Case("start", "RerunOnFailure", "Failed", FAILED_NO_START),
        Case("start", "WaitAsReceiver", NONE, (409, "WaitAsReceiver does not support manual start requests")),
        Case("stop", "Always", RUNNING, {"runStrategy": "Halted"}),
        Case("stop", "Always", NONE, {"runStrategy": "Halted"}),
        Case("stop", "Once", RUNNING, {"runStrategy": "Halted"}),
        Case("stop", "Manual", RUNNING, [STOP]),
        Case("stop", "Manual", "Scheduling", [STOP]),
        Case("stop", "Manual", NONE, NOT_RUNNING),
        Case("stop", "Manual", "Failed", NOT_RUNNING),
        Case("stop", "RerunOnFailure", RUNNING, [STOP], ZERO),
        Case("stop", "RerunOnFailure", NONE, NOT_RUNNING),
        Case("stop", "Halted", NONE, NOT_RUNNING),
        Case("stop", "Halted", RUNNING, SHORTER),
        Case("stop", "Halted", RUNNING, [STOP], ZERO),
        Case("stop", "Halted", RUNNING, [STOP], {"graceperiod": 0}),
        Case("stop", "WaitAsReceiver", RUNNING, (409, "WaitAsReceiver does not support manual stop requests")),
        Case("restart", "Always", RUNNING, [STOP, START]),
        Case("restart", "Always", NONE, (409, "VM is not running: Halted")),
        Case("restart", "Manual", RUNNING, [STOP, START]),
        Case("restart", "RerunOnFailure", "Failed", [STOP, START]),
        Case("restart", "Halted", RUNNING, (409, "RunStategy Halted does not support manual restart requests")),
        Case("restart", "Once", RUNNING, (409, "RunStategy Once does not support manual restart requests")),
    ],
    ids=str,
)
def test_answer(case: Case) -> None:
    found = instance(case.phase, grace=30) if case.phase is not None else None
    assert outcome(case.verb, machine(case.strategy), found, case.body) == case.wanted


@pytest.mark.parametrize("verb", ASK)
class TestAnyVerb:
    def test_no_such_vm(self, verb: str) -> None:
        answer = ask(verb, None, instance(RUNNING))
        assert (answer.code, answer.message) == (404, f'virtualmachine.kubevirt.io "{NAME}" not found')

    def test_two_strategies(self, verb: str) -> None:
        found = instance(RUNNING) if verb != "start" else None
        text = "running and runstrategy are mutually exclusive"
        assert outcome(verb, machine("Always", running=True), found) == (409, text)

    @pytest.mark.parametrize("body", [UnreadableBody("unexpected EOF")], ids=str)
    def test_a_body_that_cannot_be_read(self, verb: str, body: Any) -> None:
        raw, found = machine("Manual"), instance(RUNNING) if verb != "start" else None
        assert outcome(verb, raw, found, body) == (400, f"{UNREADABLE}unexpected EOF")

    def test_a_dry_run_writes_nothing(self, verb: str) -> None:
        answer = ask(
            verb,
            machine("Manual"),
            instance(RUNNING, grace=30) if verb != "start" else None,
            {"dryRun": ["All"], "gracePeriod": 0, "gracePeriodSeconds": 0},
        )
        assert (answer.code, answer.write, answer.first) == (202, None, None)

    def test_the_vmi_of_somebody_else_is_left_alone(self, verb: str) -> None:
        """It has the name of the VM, which is all that they have in common."""
        answer = ask(
            verb, machine("Manual"), instance("Failed", owner="another", grace=30), {"gracePeriodSeconds": 0, **ZERO}
        )
        assert answer.first is None
        if verb == "start":
            assert applied(machine("Manual"), answer.write)["status"]["stateChangeRequests"] == [START]
        else:
            assert (answer.code, answer.write) == (409, None)


@pytest.mark.parametrize(
    ("verb", "body", "problem"),
    [
        (
            "start",
            {"paused": "yes"},
            "json: cannot unmarshal string into Go struct field StartOptions.paused of type bool",
        ),
        ("start", [], "json: cannot unmarshal array into Go value of type v1.StartOptions"),
        (
            "start",
            {"dryRun": "All"},
            "json: cannot unmarshal string into Go struct field StartOptions.dryRun of type []string",
        ),
        (
            "start",
            {"dryRun": [7]},
            "json: cannot unmarshal number into Go struct field StartOptions.dryRun of type string",
        ),
        (
            "stop",
            {"gracePeriod": 1.5},
            "json: cannot unmarshal number 1.5 into Go struct field StopOptions.gracePeriod of type int64",
        ),
        (
            "stop",
            {"gracePeriod": True},
            "json: cannot unmarshal bool into Go struct field StopOptions.gracePeriod of type int64",
        ),
        (
            "stop",
            {"gracePeriod": 2**63},
            f"json: cannot unmarshal number {2**63} into Go struct field StopOptions.gracePeriod of type int64",
        ),
        (
            "restart",
            {"gracePeriodSeconds": "0"},
            "json: cannot unmarshal string into Go struct field RestartOptions.gracePeriodSeconds of type int64",
        ),
    ],
)
def test_options_of_another_type(verb: str, body: Any, problem: str) -> None:
    found = instance(RUNNING) if verb != "start" else None
    assert outcome(verb, machine("Manual"), found, body) == (400, UNREADABLE + problem)


@pytest.mark.parametrize(
    ("verb", "body", "message"),
    [
        ("stop", {"gracePeriod": -1}, "gracePeriod has to be greater or equal to 0"),
        ("restart", {"gracePeriodSeconds": -1}, "gracePeriod has to be greater or equal to 0"),
        ("restart", {"gracePeriodSeconds": 1}, "For force restart, only gracePeriod=0 is supported for now"),
    ],
)
def test_a_grace_period_that_cannot_be(verb: str, body: Any, message: str) -> None:
    assert outcome(verb, machine("Manual"), instance(RUNNING), body) == (400, message)


def test_a_vm_that_runs_is_refused_before_its_body_is_looked_at() -> None:
    assert outcome("start", machine("Manual"), instance(RUNNING), []) == ALREADY


@pytest.mark.parametrize(("running", "verb"), [(False, "start"), (True, "stop"), (None, "start")])
def test_a_vm_keeps_the_field_that_its_owner_uses(running: bool | None, verb: str) -> None:
    raw, found = machine(None, running=running), instance(RUNNING) if verb == "stop" else None
    assert outcome(verb, raw, found) == {"running": verb == "start"}


class TestPending:
    """Something has been asked for and is not done yet."""

    @pytest.mark.parametrize("pending", [[START], [STOP], [STOP, START]], ids=str)
    def test_a_stop_takes_its_place(self, pending: list[Json]) -> None:
        assert outcome("stop", machine("Manual", stateChangeRequests=pending), instance(RUNNING)) == [STOP]

    def test_the_same_stop_again_writes_nothing(self) -> None:
        answer = ask("stop", machine("Manual", stateChangeRequests=[STOP]), instance(RUNNING))
        assert (answer.code, answer.write) == (202, None)

    @pytest.mark.parametrize(("verb", "phase"), [("start", None), ("start", "Succeeded"), ("restart", RUNNING)])
    def test_anything_else_is_refused(self, verb: str, phase: str | None) -> None:
        raw, found = machine("Manual", stateChangeRequests=[START]), instance(phase) if phase else None
        text = "unable to complete request: stop/start already underway"
        assert outcome(verb, raw, found) == (409, text)

    def test_a_person_who_asks_does_not_wait_for_a_back_off(self) -> None:
        raw = machine("Manual", startFailure={"consecutiveFailCount": 3})
        answer = ask("start", raw, None)
        assert applied(raw, answer.write)["status"] == {"stateChangeRequests": [START]}

    def test_a_vm_without_a_status(self) -> None:
        raw = vm(run_strategy="Manual")
        assert applied(raw, ask("start", raw, None).write)["status"] == {"stateChangeRequests": [START]}


class TestGracePeriod:
    """The VMI is given less time first."""

    @pytest.mark.parametrize(("verb", "body"), [("stop", ZERO), ("restart", {"gracePeriodSeconds": 0})])
    def test_it_is_written_into_the_vmi(self, verb: str, body: Json) -> None:
        found = instance(RUNNING, grace=30)
        answer = ask(verb, machine("Manual"), found, body)
        assert answer.first is not None
        assert applied(found, answer.first)["spec"]["terminationGracePeriodSeconds"] == 0

    def test_a_vmi_that_has_none_gets_one(self) -> None:
        found = instance(RUNNING)
        answer = ask("stop", machine("Always"), found, {"gracePeriod": 5})
        assert applied(found, answer.first)["spec"]["terminationGracePeriodSeconds"] == 5

    def test_the_same_one_is_not_written(self) -> None:
        assert ask("stop", machine("Always"), instance(RUNNING, grace=5), {"gracePeriod": 5}).first is None

    def test_one_that_is_refused_changes_nothing(self) -> None:
        answer = ask("stop", machine("Halted"), instance(RUNNING, grace=5), {"gracePeriod": 5})
        assert (answer.code, answer.first) == (409, None)
