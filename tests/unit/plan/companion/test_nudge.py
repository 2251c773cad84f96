"""When nicplug writes the networks annotation of a pod once more, where the admin allows it."""

import json
from datetime import datetime
from typing import Any

import pytest
from tests.build import (
    NOW,
    POD_UID,
    VM_UID,
    VMI_UID,
    Json,
    absent,
    companion_view,
    element,
    interface_report,
    later,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vmi,
)

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import PatchNetworksAnnotation, PatchStatus
from nicplug.plan.companion.nudge import MOST_NUDGES
from nicplug.plan.companion.plan_companion import CompanionDecision, decide_companion

READY = DynamicController(state=ControllerState.READY)
BLUE = nic("blue")


def decide(
    *,
    nudges: Json | None = None,
    asked: bool = True,
    attached: bool = False,
    controller: DynamicController = READY,
    now: datetime = NOW,
    **members: Any,
) -> CompanionDecision:
    """Of a VM that has waited for a NIC for an hour, in a pod that was asked for it."""
    elements = [element("blue")] if asked else []
    facts: Json = {
        "controller": controller,
        "nads": [nad("blue-net")],
        "spec_seen_at": later(-3600),
        "report": interface_report(
            vmUid=VM_UID,
            vmiUid=VMI_UID,
            interfaceOperations=[operation("blue", since=later(-3600))],
            nudges=nudges,
        ),
        "vm": vm(primary(), BLUE),
        "may_nudge": True,
        **members,
    }
    launcher = pod(networks=elements, attached=[element("blue")["interface"]] if attached else [])
    raw = vmi(primary(), BLUE, rows=[primary_row()], owner_uid=VM_UID)
    return decide_companion(companion_view(raw, launcher, **facts), now=now)


def nudged(found: CompanionDecision) -> list[PatchNetworksAnnotation]:
    """The nudges of a plan."""
    return [item for item in found.plan.actions if isinstance(item, PatchNetworksAnnotation)]


def test_a_nudge_changes_the_text_and_not_what_it_asks_for() -> None:
    (patch,) = nudged(found := decide())
    assert patch.wanted != patch.seen
    assert json.loads(patch.wanted) == json.loads(patch.seen or "")
    report = found.plan.actions[0]
    assert isinstance(report, PatchStatus), "counted before it is sent"
    assert thaw(report.wanted)["nudges"]["count"] == 1


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"may_nudge": False}, id="not allowed"),
        pytest.param({"attached": True}, id="the pod has it"),
        pytest.param({"asked": False}, id="virt-controller has not asked for it"),
        pytest.param({"controller": DynamicController(state=ControllerState.NOT_DEPLOYED)}, id="nobody to nudge"),
        pytest.param({"now": later(-3590)}, id="the controller is still trying"),
    ],
)
def test_nothing_is_nudged_in_vain(members: Json) -> None:
    assert nudged(decide(**members)) == []


@pytest.mark.parametrize(("count", "ago", "is_due"), [(1, 59, False), (1, 61, True), (3, 239, False), (3, 241, True)])
def test_each_nudge_waits_twice_as_long_as_the_one_before(count: int, ago: float, is_due: bool) -> None:
    found = decide(nudges={"count": count, "lastTime": later(-ago).strftime("%Y-%m-%dT%H:%M:%SZ"), "podUid": POD_UID})
    assert bool(nudged(found)) == is_due


def test_a_pod_is_nudged_a_bounded_number_of_times_and_the_next_pod_again() -> None:
    spent = {"count": MOST_NUDGES, "lastTime": later(-86400).strftime("%Y-%m-%dT%H:%M:%SZ"), "podUid": POD_UID}
    assert nudged(decide(nudges=spent)) == []
    assert len(nudged(decide(nudges={**spent, "podUid": "another"}))) == 1


@pytest.mark.parametrize("seconds", [-86400, 86400], ids=["long ago", "of tomorrow"])
def test_an_edited_count_allows_no_more_nudges(seconds: float) -> None:
    """Fewer than none would make the next waits shorter, without end."""
    forged = {"count": -1000, "lastTime": later(seconds).strftime("%Y-%m-%dT%H:%M:%SZ"), "podUid": POD_UID}
    found = decide(nudges=forged)
    (report, _) = found.plan.actions
    assert isinstance(report, PatchStatus)
    assert thaw(report.wanted)["nudges"]["count"] == 1


def test_nothing_is_nudged_before_the_report_counts_it() -> None:
    for report in (None, interface_report(), interface_report(vmUid=VM_UID, vmiUid="another")):
        assert nudged(decide(report=report)) == []


def decide_unplug(networks: str) -> CompanionDecision:
    """Of a VM that has waited for an hour for its pod to release a NIC; `networks` is the pod's annotation."""
    leaving = absent("blue")
    record = operation("blue", type_="Unplug", reason="WaitingForPodRelease", since=later(-3600))
    raw = vmi(primary(), leaving, rows=[primary_row(), row("blue", "multus-status")], owner_uid=VM_UID)
    return decide_companion(
        companion_view(
            raw,
            pod(networks=networks, attached=["blue"]),
            vm=vm(primary(), leaving),
            report=interface_report(vmUid=VM_UID, vmiUid=VMI_UID, interfaceOperations=[record]),
            controller=READY,
            nads=[nad("blue-net")],
            spec_seen_at=later(-3600),
            may_nudge=True,
        ),
        now=NOW,
    )


def test_an_empty_list_is_nudged_by_another_text() -> None:
    (patch,) = nudged(decide_unplug("[]"))
    assert patch.wanted != "[]"
    assert json.loads(patch.wanted) == []


@pytest.mark.parametrize("networks", ["blue-net, red-net", "[{", "{}", '"x"', ""])
def test_what_is_no_list_is_left_alone(networks: str) -> None:
    """Somebody has edited the annotation: the record says so."""
    found = decide_unplug(networks)
    assert nudged(found) == []
