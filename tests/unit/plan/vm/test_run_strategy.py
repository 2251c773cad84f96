"""Every run strategy, whatever has become of the VMI and whatever was asked for (reference 3.5)."""

from typing import Any

import pytest
from tests.build import NOW, VM_UID, VMI_UID, Json, a_vm, a_vmi, later, vm, vmi

from nicplug.plan.vm.run_strategy import (
    Decision,
    RunAction,
    RunState,
    Start,
    Wait,
    decide,
    is_recorded,
    run_state_of,
    strategy_to_record,
)

START: Json = {"action": "Start"}
STOP: Json = {"action": "Stop", "uid": VMI_UID}
STOP_OF_ANOTHER: Json = {"action": "Stop", "uid": "a former VMI"}
RERUN: Json = {"action": "Start", "data": {"nicplug.io/made-by": "RerunOnFailure"}}

REQUESTS: dict[str, list[Json]] = {
    "no request": [],
    "start": [START],
    "stop": [STOP],
    "stop of another uid": [STOP_OF_ANOTHER],
    "restart": [STOP, START],
}
INSTANCES: dict[str, Json | None] = {
    "no VMI": None,
    "running": vmi(owner_uid=VM_UID),
    "succeeded": vmi(owner_uid=VM_UID, phase="Succeeded"),
    "failed": vmi(owner_uid=VM_UID, phase="Failed"),
    "being deleted": vmi(owner_uid=VM_UID, deleting=True),
}

start, stop, nothing, remember, turn_on = (
    Start(),
    RunAction.STOP,
    RunAction.NOTHING,
    RunAction.REMEMBER_START,
    RunAction.TURN_ON,
)
# A column per entry of REQUESTS, a row per one of INSTANCES; the VM has run under this strategy before.
TABLE: dict[str, dict[str, tuple[Decision, ...]]] = {
    "Always": {
        "no VMI": (start, start, start, start, start),
        "running": (nothing, nothing, stop, nothing, stop),
        "succeeded": (stop, stop, stop, stop, stop),
        "failed": (stop, stop, stop, stop, stop),
        "being deleted": (nothing, nothing, nothing, nothing, nothing),
    },
    "RerunOnFailure": {
        "no VMI": (nothing, start, nothing, nothing, start),
        "running": (nothing, nothing, stop, nothing, stop),
        "succeeded": (stop, stop, stop, stop, stop),
        "failed": (remember, stop, remember, remember, stop),
        "being deleted": (nothing, nothing, nothing, nothing, nothing),
    },
    "Manual": {
        "no VMI": (nothing, start, nothing, nothing, start),
        "running": (nothing, nothing, stop, nothing, stop),
        "succeeded": (nothing, nothing, stop, nothing, stop),
        "failed": (nothing, nothing, stop, nothing, stop),
        "being deleted": (nothing, nothing, nothing, nothing, nothing),
    },
    "Halted": {
        "no VMI": (nothing, turn_on, nothing, nothing, turn_on),
        "running": (stop, stop, stop, stop, stop),
        "succeeded": (stop, stop, stop, stop, stop),
        "failed": (stop, stop, stop, stop, stop),
        "being deleted": (nothing, nothing, nothing, nothing, nothing),
    },
    "Once": dict.fromkeys(INSTANCES, (nothing, nothing, nothing, nothing, nothing)),
    "WaitAsReceiver": dict.fromkeys(INSTANCES, (nothing, nothing, nothing, nothing, nothing)),
    "Sometimes": dict.fromkeys(INSTANCES, (nothing, nothing, nothing, nothing, nothing)),
}
CELLS = [
    pytest.param(strategy, instance, request, wanted, id=f"{strategy}, {instance}, {request}")
    for strategy, rows in TABLE.items()
    for instance, row in rows.items()
    for request, wanted in zip(REQUESTS, row, strict=True)
]


def _situation(
    strategy: str, found: Json | None, requests: Any = (), *, recorded: str | None = None, **status: Any
) -> RunState:
    reported = {"runStrategy": strategy if recorded is None else recorded, "stateChangeRequests": requests, **status}
    own = a_vmi(found) if found is not None else None
    return run_state_of(a_vm(vm(run_strategy=strategy, status=reported)), own, now=NOW)


@pytest.mark.parametrize(("strategy", "instance", "request_", "wanted"), CELLS)
def test_run_strategy(strategy: str, instance: str, request_: str, wanted: Decision) -> None:
    run_state = _situation(strategy, INSTANCES[instance], REQUESTS[request_])
    assert decide(run_state, now=NOW) == wanted


@pytest.mark.parametrize("strategy", ["RerunOnFailure", "Once"])
@pytest.mark.parametrize("recorded", ["", "Always", "Halted"])
def test_a_vm_that_comes_from_another_strategy_is_started(strategy: str, recorded: str) -> None:
    run_state = _situation(strategy, None, recorded=recorded)
    assert decide(run_state, now=NOW) == Start()
    assert strategy_to_record(run_state, Start()) == recorded, "recorded before the start, it would never come"


def test_once_never_starts_twice() -> None:
    """Not even when its VMI is deleted: KubeVirt's does."""
    running = _situation("Once", INSTANCES["running"], recorded="")
    recorded = strategy_to_record(running, decide(running, now=NOW))
    assert recorded == "Once"
    assert decide(_situation("Once", None, recorded=recorded), now=NOW) == RunAction.NOTHING


def test_a_vm_that_never_ran_has_no_strategy_recorded() -> None:
    run_state = _situation("Halted", None, recorded="")
    assert strategy_to_record(run_state, decide(run_state, now=NOW)) == ""


def test_a_vm_that_has_run_records_the_strategy_of_now() -> None:
    run_state = _situation("Halted", None, recorded="Always")
    assert strategy_to_record(run_state, decide(run_state, now=NOW)) == "Halted"


@pytest.mark.parametrize("strategy", ["Sometimes", "WaitAsReceiver"])
def test_a_strategy_that_is_not_carried_out_is_not_recorded(strategy: str) -> None:
    run_state = _situation(strategy, INSTANCES["running"], recorded="Always")
    assert strategy_to_record(run_state, RunAction.NOTHING) == "Always"


@pytest.mark.parametrize(
    ("strategy", "recorded", "deleting", "wanted"),
    [
        ("Once", "", False, False),
        ("Once", "Halted", False, False),
        ("Once", "Once", False, True),
        ("RerunOnFailure", "Always", False, False),
        ("RerunOnFailure", "RerunOnFailure", False, True),
        ("Always", "", False, True),
        ("Once", "", True, True),
    ],
)
def test_a_vmi_stays_until_its_start_is_recorded(strategy: str, recorded: str, deleting: bool, wanted: bool) -> None:
    raw = vm(run_strategy=strategy, deleting=deleting, status={"runStrategy": recorded})
    assert is_recorded(a_vm(raw)) is wanted


@pytest.mark.parametrize(
    ("strategy", "waits"),
    [("Always", True), ("RerunOnFailure", True), ("Manual", False), ("Once", False)],
)
def test_the_back_off_is_for_starts_that_nobody_asked_for(strategy: str, waits: bool) -> None:
    failure = {"consecutiveFailCount": 2, "retryAfterTimestamp": later(30).isoformat()}
    recorded = "" if strategy == "Once" else None
    run_state = _situation(strategy, None, [START], recorded=recorded, startFailure=failure)
    assert decide(run_state, now=NOW) == (Wait(later(30)) if waits else Start())
    assert decide(run_state, now=later(30)) == Start()


@pytest.mark.parametrize(("data", "paused"), [({"paused": "true"}, True), ({"paused": "yes"}, False), (None, False)])
@pytest.mark.parametrize("strategy", ["Always", "Manual", "RerunOnFailure"])
def test_a_start_may_be_paused(strategy: str, data: Any, paused: bool) -> None:
    run_state = _situation(strategy, None, [{"action": "Start", "data": data}])
    assert decide(run_state, now=NOW) == Start(paused=paused)


class TestRequests:
    """One is considered at a time; the done ones go as they do in KubeVirt, the malformed ones always."""

    def _left(self, requests: Any, *, instance: str = "running", strategy: str = "Manual") -> list[Json]:
        return [item.to_row() for item in _situation(strategy, INSTANCES[instance], requests).requests]

    @pytest.mark.parametrize(
        ("requests", "instance", "left"),
        [
            ([STOP], "running", [STOP]),
            ([STOP], "being deleted", [STOP]),
            ([STOP], "no VMI", []),
            ([STOP_OF_ANOTHER], "running", []),
            ([START], "no VMI", [START]),
            ([START], "running", []),
            ([START], "being deleted", [START]),
            ([START], "failed", [START]),
            ([STOP, START], "running", [STOP, START]),
            ([STOP, START], "no VMI", [START]),
            ([START, STOP], "running", [STOP]),
            ([START, STOP, START], "no VMI", [START, STOP, START]),
        ],
        ids=str,
    )
    def test_done(self, requests: list[Json], instance: str, left: list[Json]) -> None:
        assert self._left(requests, instance=instance) == left

    def test_unknown_fields_are_kept(self) -> None:
        request = {**STOP, "data": {"gracePeriod": "5"}, "later": [1]}
        assert self._left([request]) == [request]

    @pytest.mark.parametrize(
        "malformed",
        [
            {"action": "Stop"},
            {"action": "Stop", "uid": None},
            {"action": "Stop", "uid": 7},
            {"action": "Reboot", "uid": VMI_UID},
            {"action": None},
            {"action": ["Stop"]},
            {},
            None,
            "Stop",
            7,
            [],
        ],
        ids=str,
    )
    def test_malformed(self, malformed: Any) -> None:
        assert self._left([malformed, STOP]) == [STOP]

    @pytest.mark.parametrize("value", [None, "Start", 7, {"action": "Start"}, True], ids=str)
    def test_no_list_at_all(self, value: Any) -> None:
        assert self._left(value, instance="no VMI") == []

    def test_a_huge_list(self) -> None:
        assert self._left([START] * 50_000) == []

    @pytest.mark.parametrize("strategy", ["Always", "Manual", "Halted", "Once"])
    def test_the_note_to_rerun_goes_with_its_strategy(self, strategy: str) -> None:
        """KubeVirt turns a VM on again that was halted while its failed VMI went."""
        assert self._left([RERUN], instance="no VMI", strategy="RerunOnFailure") == [RERUN]
        assert self._left([RERUN], instance="no VMI", strategy=strategy) == []


class TestRerun:
    """From the failure to the next guest; a crash between any two steps loses nothing."""

    def test_step_by_step(self) -> None:
        failed = _situation("RerunOnFailure", INSTANCES["failed"])
        assert decide(failed, now=NOW) == RunAction.REMEMBER_START
        remembered = _situation("RerunOnFailure", INSTANCES["failed"], [RERUN])
        assert decide(remembered, now=NOW) == RunAction.STOP
        gone = _situation("RerunOnFailure", None, [RERUN])
        assert decide(gone, now=NOW) == Start()
        again = _situation("RerunOnFailure", INSTANCES["running"], [RERUN])
        assert (decide(again, now=NOW), again.requests) == (RunAction.NOTHING, ())
