"""The record of each NIC over time: what is kept, what is new, and what may not stay invisible."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from tests.build import (
    NOW,
    VM_UID,
    Json,
    Nic,
    absent,
    element,
    failed,
    kubevirt,
    later,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.plan.actions import PatchNetworksAnnotation
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vmi.plan_vmi import plan_vmi

HAS = pod(networks=[element("blue")], attached=["blue"])
PLUGGED = row("blue", "domain", "multus-status")


def _with_history(records: Sequence[Json], *nics: Nic, rows: Sequence[Json], launcher: Json) -> list[Json]:
    raw = vmi(primary(), *nics, rows=[primary_row(), *rows], operations=records)
    found: list[Json] = (
        status_of(plan_vmi(vmi_view(raw, launcher, report_pending_since=later(-9)), now=NOW)).get("interfaceOperations")
        or []
    )
    return found


def test_a_record_keeps_its_start_and_counts_from_its_last_move() -> None:
    old = operation("blue", since=later(-5))
    (record,) = _with_history([old], nic("blue"), rows=[], launcher=HAS)
    assert record["phase"] == "InPod"
    assert record["startTime"] == "2026-01-02T03:04:00.678000Z"
    assert record["lastTransitionTime"] == "2026-01-02T03:04:05.678000Z"


def test_an_unplug_is_a_new_record() -> None:
    old = operation("blue", phase="Ready", reason="Attached", since=later(-500))
    (record,) = _with_history([old], absent("blue"), rows=[PLUGGED], launcher=HAS)
    assert (record["operation"], record["startTime"]) == ("Unplug", "2026-01-02T03:04:05.678000Z")


def test_a_nic_that_came_another_way_keeps_its_path() -> None:
    old = operation("blue", path="Migration", phase="Pending", reason="BindingNeedsMigration")
    (record,) = _with_history([old], nic("blue", binding="sriov"), rows=[PLUGGED], launcher=HAS)
    assert (record["path"], record["phase"]) == ("Migration", "Ready")


def test_records_stand_in_the_order_of_the_spec() -> None:
    records = _with_history([], nic("red"), nic("blue"), nic("green"), rows=[], launcher=pod())
    assert [record["name"] for record in records] == ["red", "blue", "green"]


def test_a_record_of_a_nic_that_nobody_knows_goes() -> None:
    assert _with_history([operation("blue")], rows=[], launcher=pod()) == []


def test_a_nic_of_an_empty_name_does_not_make_writes_without_end() -> None:
    """Its record was not found again, so that each pass wrote a new one, with an event, at full speed."""
    raw = vmi(primary(), nic(""), rows=[primary_row()])
    first = plan_vmi(vmi_view(raw, pod()), now=NOW)
    raw["status"] |= status_of(first)
    second = plan_vmi(vmi_view(raw, pod()), now=later(1))
    assert second.actions == ()
    assert second.announcements == ()


def _template_asks_for_blue_to_go(*, pod_interface: str | None = None, **view: Any) -> tuple[str, str, str]:
    rows = [primary_row(), row("blue", "domain", "multus-status", pod_interface=pod_interface)]
    raw = vmi(primary(), nic("blue"), rows=rows, owner_uid=VM_UID)
    plan = plan_vmi(
        vmi_view(raw, HAS, vm=vm(primary(), absent("blue")), report_pending_since=later(-9), **view),
        now=NOW,
    )
    (record,) = status_of(plan)["interfaceOperations"]
    return record["operation"], record["phase"], record["reason"]


def test_an_unplug_that_does_not_reach_the_vmi_is_not_invisible() -> None:
    """With the gate off, or from a pod that counts its interfaces, the template's wish had no record at all."""
    off = _template_asks_for_blue_to_go(config=kubevirt("Other"))
    assert off == ("Unplug", "Blocked", Reason.FEATURE_GATE_DISABLED)
    counted = _template_asks_for_blue_to_go(pod_interface="net1")
    assert counted == ("Unplug", "Blocked", Reason.ORDINAL_INTERFACE_NAMES)
    refused = _template_asks_for_blue_to_go(refusal=Refusal(reason=Reason.HOTPLUG_ERROR, message="no"))
    assert refused == ("Unplug", "Failed", Reason.HOTPLUG_ERROR)


def test_the_primary_nic_cannot_be_unplugged_and_says_so() -> None:
    """KubeVirt's admission forbids it; without a webhook the wish would go through, or vanish without a word."""
    raw = vmi(primary(), rows=[primary_row()], owner_uid=VM_UID)
    view = vmi_view(raw, pod(), vm=vm(primary(state="absent")), report_pending_since=later(-9))
    (record,) = status_of(plan_vmi(view, now=NOW))["interfaceOperations"]
    assert (record["name"], record["phase"], record["reason"]) == ("default", "Blocked", Reason.UNPLUG_NEEDS_RESTART)


def test_a_nic_behind_one_that_fails_names_it() -> None:
    """The controller stops at the first that fails; the one behind it looked as if its own network were at fault."""
    raw = vmi(primary(), nic("red"), nic("blue"), rows=[primary_row()])
    view = vmi_view(raw, pod(networks=[element("red"), element("blue")]), report_pending_since=later(-9))
    red, blue = status_of(plan_vmi(view, now=NOW))["interfaceOperations"]
    assert "after NIC" not in red["message"]
    assert 'after NIC "red"' in blue["message"]


def test_a_lost_addition_does_not_hold_a_removal_for_ever() -> None:
    """red is in the guest and not in network-status (DNC#157): blue has waited for it long enough."""
    launcher = pod(networks=[element("red"), element("blue")], attached=["blue"])
    raw = vmi(
        primary(),
        nic("red"),
        absent("blue"),
        rows=[primary_row(), row("red", "domain"), row("blue", "multus-status")],
        operations=[operation("blue", type_="Unplug", phase="InPod", since=later(-11))],
    )
    plan = plan_vmi(vmi_view(raw, launcher), now=NOW)
    patched = [action.wanted for action in plan.actions if isinstance(action, PatchNetworksAnnotation)]
    assert len(patched) == 1
    assert "red" in patched[0]
    assert "blue" not in patched[0]


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "soon", "", None])
def test_a_start_time_that_somebody_wrote_is_no_trouble(start: str | None) -> None:
    record = operation("blue") | {"startTime": start}
    raw = vmi(primary(), nic("blue"), absent("red"), rows=[primary_row()], operations=[record])
    plan = plan_vmi(vmi_view(raw, pod(attached=["red"])), now=NOW)
    assert plan.actions


class Leaders:
    """Leaders of other clocks over one VMI with NIC `blue`, whose reports are all carried out."""

    def __init__(self, record: Json, *, rows: Sequence[Json] = (), heard_after: float | None = None) -> None:
        migratable = {"type": "LiveMigratable", "status": "True"}
        self.raw = vmi(
            primary(), nic("blue"), rows=[primary_row(), *rows], conditions=[migratable], operations=[record]
        )
        self.pod = HAS if rows else pod(networks=[element("blue")])
        self.heard_after = heard_after
        self.pending_since: dict[float, datetime | None] = {}

    def look(self, seconds: float, *, behind: float) -> Json:
        """What one of them writes at that moment."""
        now, heard = later(seconds - behind), self.heard_after
        view = vmi_view(
            self.raw,
            self.pod,
            controller=DynamicController(state=ControllerState.READY),
            failures=[failed("blue", at=later(heard - behind))] if heard is not None and heard <= seconds else [],
            spec_seen_at=later(-5 - behind),
            report_pending_since=self.pending_since.get(behind),
        )
        plan = plan_vmi(view, now=now)
        self.pending_since[behind] = (self.pending_since.get(behind) or now) if plan.withholds_report else None
        written = status_of(plan)
        self.raw["status"] |= written
        return written

    def migrates_at(self, *, behind: float) -> float:
        """When one of them, the first alone, has the VM migrated."""
        for tenths in range(1000):
            written = self.look(tenths / 10, behind=behind).get("interfaceOperations", [])
            if any(record["path"] == "Migration" for record in written):
                return tenths / 10
        return 100.0


def test_a_new_leader_whose_clock_is_a_minute_behind_gives_a_nic_its_time_and_not_a_minute_more() -> None:
    record = operation("blue", waitingSince=NOW, lastAttemptTime=NOW, observedGeneration=1)
    assert Leaders(record).migrates_at(behind=0) == 10.0
    assert 10.0 <= Leaders(record).migrates_at(behind=60) < 11.0


@pytest.mark.parametrize(("heard_after", "at_most"), [(0.0, 9.0), (0.2, 9.0), (1.0, 1.2)])
def test_a_failure_is_heard_by_a_leader_whose_clock_is_a_minute_behind(heard_after: float, at_most: float) -> None:
    """Before the attempt's time is written anew, nobody can tell to which attempt it is the answer: the next one is
    asked, and that decides."""
    record = operation("blue", attempts=2, waitingSince=later(-1), lastAttemptTime=NOW, observedGeneration=1)
    assert Leaders(record, heard_after=heard_after).migrates_at(behind=60) <= at_most


def test_leaders_a_minute_apart_do_not_rewrite_each_other_s_times() -> None:
    moments: dict[str, Any] = {"waitingSince": NOW, "lastAttemptTime": NOW, "observedGeneration": 1}
    leaders = Leaders(operation("blue", phase="Ready", reason="Attached", **moments), rows=[PLUGGED])
    writes = [leaders.look(float(seconds), behind=60 * (seconds % 2)) for seconds in range(1, 20)]
    assert sum("interfaceOperations" in written for written in writes) == 1
