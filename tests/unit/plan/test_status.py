"""When a status is written: go-aheads and endings at once, reports about what is in flight after a moment."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.build import (
    NOW,
    VM_UID,
    Json,
    a_vmi,
    absent,
    element,
    later,
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

from nicplug.model.frozen_json import NULL, freeze, thaw
from nicplug.plan.actions import PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.status_patches import StatusDecision, changed_members, decide_status, patience
from nicplug.plan.views import PlanSettings, Refusal
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi

DELAY = timedelta(milliseconds=300)


def _decide(changes: Json, *, seen: Any = NULL, urgent: bool = False, since: Any = None) -> StatusDecision:
    return decide_status(
        replace(a_vmi(vmi()), status_text=seen),
        changes=changes,
        urgent=urgent,
        pending_since=since,
        delay=DELAY,
        now=NOW,
    )


def test_nothing_to_say() -> None:
    assert _decide({}, urgent=True) == StatusDecision()


def test_a_report_waits_for_company() -> None:
    assert _decide({"a": 1}) == StatusDecision(due=NOW + DELAY)
    assert _decide({"a": 1}, since=later(-0.2)) == StatusDecision(due=later(-0.2) + DELAY)


def _row(**members: str) -> Json:
    return {"type": "InterfacesReady", "status": "False", "reason": "NoDynamicController", **members}


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"conditions": [_row(message="5th in the queue")]}, 1.0),
        ({"conditions": [_row(message="6th in the queue", remedy="wait")]}, 1.0),
        ({"conditions": [_row(message="5th in the queue", reason="Migrating")]}, 0.3),
        ({"conditions": [_row(message="6th in the queue"), _row(type="Ready")]}, 0.3),
        ({"conditions": None}, 0.3),
        ({"conditions": [_row(message="5th in the queue")], "activePods": {"uid": "node01"}}, 0.3),
    ],
    ids=["other words", "another remedy", "another reason", "one more condition", "none left", "and a pod"],
)
def test_other_words_for_the_same_wait_longer(changes: Json, seconds: float) -> None:
    """Of 40 VMs that waited in a queue every one wrote each place that it had, on its VMI and on itself."""
    seen = freeze({"conditions": [_row(message="6th in the queue")]})
    assert patience(seen=seen, changes=changes, delay=DELAY) == timedelta(seconds=seconds)
    assert patience(seen=seen, changes=changes, delay=timedelta(seconds=6)) == timedelta(seconds=6)


def test_it_does_not_wait_for_ever() -> None:
    assert _decide({"a": 1}, since=later(-0.3)).patch is not None


def test_what_is_urgent_does_not_wait() -> None:
    assert _decide({"a": 1}, urgent=True).patch is not None


@pytest.mark.parametrize(
    ("old", "wanted", "changes"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": 1}, {"a": 1}),
        (None, {"a": 1}, {"a": 1}),
        ({}, {"a": None}, {}),
        ({}, {"a": []}, {}),
        ({"a": []}, {}, {}),
        ({"a": False}, {}, {}),
        ({"a": True}, {"a": False}, {"a": False}),
    ],
)
def test_changed_members(old: Any, wanted: Json, changes: Json) -> None:
    assert changed_members(seen=freeze(old), wanted=wanted) == changes


def test_only_what_changes_is_guarded() -> None:
    """Another member that the node agent writes must not fail the patch."""
    patch = _decide({"a": 2, "b": None}, seen=freeze({"a": 1, "b": 3, "c": 4}), urgent=True).patch
    assert patch is not None
    assert [dict(operation) for operation in patch.json_patch()] == [
        {"op": "test", "path": "/metadata/uid", "value": patch.uid},
        {"op": "test", "path": "/status/a", "value": 1},
        {"op": "add", "path": "/status/a", "value": 2},
        {"op": "test", "path": "/status/b", "value": 3},
        {"op": "remove", "path": "/status/b"},
    ]


def test_the_first_status_is_guarded_by_its_absence() -> None:
    patch = _decide({"a": 1, "b": None}, urgent=True).patch
    assert patch is not None
    assert [dict(operation) for operation in patch.json_patch()][1:] == [
        {"op": "test", "path": "/status", "value": None},
        {"op": "add", "path": "/status", "value": {"a": 1}},
    ]


def _settled(*nics: Any, launcher: Json, rows: list[Json], **members: Any) -> Json:
    """A VMI whose status is as it shall be."""
    raw = vmi(*nics, rows=rows, **members)
    for action in plan_vmi(vmi_view(raw, launcher, report_pending_since=later(-9)), now=NOW).actions:
        if isinstance(action, PatchStatus):
            raw["status"] |= {k: v for k, v in thaw(action.wanted).items() if v is not None}
    return raw


ASKED, HAS = pod(networks=[element("blue")]), pod(networks=[element("blue")], attached=["blue"])


def _is_written(plan: Plan) -> bool:
    written = any(isinstance(action, PatchStatus) for action in plan.actions)
    assert plan.withholds_report is not written, "what is not written is withheld, with a moment"
    return written


class TestOfAVmi:
    def _plan(self, raw: Json, *pods: Json, **view: Any) -> Plan:
        return plan_vmi(vmi_view(raw, *pods, **view), now=later(1))

    def _idle(self) -> Json:
        return _settled(primary(), launcher=pod(), rows=[primary_row()])

    def _with_blue(self, raw: Json) -> Json:
        interface, network = nic("blue")
        raw["spec"]["domain"]["devices"]["interfaces"].append(interface)
        raw["spec"]["networks"].append(network)
        return raw

    def test_a_new_nic_in_flight_waits(self) -> None:
        assert not _is_written(self._plan(self._with_blue(self._idle()), ASKED))

    @pytest.mark.parametrize("before", ["", "Plug"])
    def test_the_first_word_about_an_operation_is_never_late(self, before: str) -> None:
        """However long reports wait in a burst: a record of an earlier plug tells nothing of the unplug."""
        rows = [primary_row(), row("blue", "domain", "multus-status")]
        known = [operation("blue", type_=before, phase="Ready", reason="Attached")] if before else []
        view = vmi_view(vmi(primary(), absent("blue"), rows=rows, operations=known), HAS)
        burst = PlanSettings(report_delay=timedelta(seconds=3), first_report_delay=timedelta(seconds=0.8))
        assert plan_vmi(replace(view, settings=burst), now=NOW).again_at == later(0.8)

    def test_the_go_ahead_does_not(self) -> None:
        assert _is_written(self._plan(self._with_blue(self._idle()), HAS))

    def test_a_blocked_nic_does_not(self) -> None:
        assert _is_written(self._plan(self._with_blue(self._idle()), pod(), config=None))

    def test_a_nic_that_is_ready_does_not(self) -> None:
        raw = _settled(
            primary(),
            nic("blue"),
            launcher=HAS,
            rows=[primary_row(), row("blue", "multus-status")],
            operations=[operation("blue")],
        )
        raw["status"]["interfaces"] = [primary_row(), row("blue", "domain", "multus-status")]
        assert _is_written(self._plan(raw, HAS))

    def test_a_new_phase_that_the_node_agent_waits_for_does_not(self) -> None:
        assert _is_written(self._plan(vmi(phase="Scheduling"), pod()))

    def test_an_early_phase_waits(self) -> None:
        assert not _is_written(self._plan(vmi(phase="Pending"), pod(phase="Pending", ready=False)))

    def test_a_refusal_does_not(self) -> None:
        refusal = Refusal(reason=Reason.FAILED_CREATE, message="no")
        assert _is_written(self._plan(vmi(phase="Pending"), refusal=refusal))

    def test_other_pods_that_come_and_go_wait(self) -> None:
        raw = self._idle()
        assert not _is_written(self._plan(raw, pod(), pod(name="b", uid="b", node="other")))


class TestOfAVm:
    def test_a_guest_that_came_up_is_reported_at_once(self) -> None:
        running = vmi(owner_uid=VM_UID, conditions=[{"type": "Ready", "status": "True"}])
        assert _is_written(plan_vm(vm_view(vm(), vmi=running), now=NOW))

    def test_one_that_starts_waits(self) -> None:
        assert not _is_written(plan_vm(vm_view(vm(), vmi=vmi(phase="Scheduling", owner_uid=VM_UID)), now=NOW))
