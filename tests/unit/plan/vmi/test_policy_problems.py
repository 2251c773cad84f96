"""What a VM's owner wrote about hot-plug and has no effect is said once, where it is looked for."""

from dataclasses import replace

from tests.build import NOW, Json, later, pod, row, vmi, vmi_view

from nicplug.model.conditions import find_condition
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.plan.actions import PatchStatus
from nicplug.plan.outcome import Plan, Severity
from nicplug.plan.vmi.plan_vmi import plan_vmi

BAD = HotplugPolicy(problems=('annotation a is "x", and has no effect: write y',))
WORSE = HotplugPolicy(problems=(*BAD.problems, "another one"))


def plan(policy: HotplugPolicy, conditions: list[Json]) -> tuple[Plan, list[Json]]:
    """The plan, and the conditions after it."""
    raw = vmi(rows=[row("default", "domain", pod_interface="eth0")], conditions=conditions)
    view = replace(vmi_view(raw, pod()), policy=policy, report_pending_since=later(-5))
    found = plan_vmi(view, now=NOW)
    return found, _written(found, conditions)


def _written(found: Plan, conditions: list[Json]) -> list[Json]:
    for action in found.actions:
        if isinstance(action, PatchStatus):
            rows: list[Json] = thaw(action.wanted).get("conditions", conditions)
            return rows
    return conditions


def test_a_problem_is_a_condition_and_one_event() -> None:
    _, before = plan(HotplugPolicy(), [])
    found, after = plan(BAD, before)
    condition = find_condition(after, "InvalidHotplugPolicy")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "InvalidHotplugPolicy")
    assert condition["message"] == BAD.problems[0]
    (event,) = found.announcements
    assert (event.severity, event.reason, event.message) == (Severity.WARNING, "InvalidHotplugPolicy", BAD.problems[0])


def test_while_it_lasts_nothing_more_is_written_or_said() -> None:
    _, after = plan(BAD, plan(HotplugPolicy(), [])[1])
    found, again = plan(BAD, after)
    assert again == after
    assert found.announcements == ()


def test_another_problem_is_said_again() -> None:
    _, before = plan(BAD, plan(HotplugPolicy(), [])[1])
    found, after = plan(WORSE, before)
    assert (find_condition(after, "InvalidHotplugPolicy") or {})["message"].endswith("write y. another one")
    assert [event.reason for event in found.announcements] == ["InvalidHotplugPolicy"]


def test_once_it_is_mended_nothing_is_left() -> None:
    _, before = plan(BAD, plan(HotplugPolicy(), [])[1])
    found, after = plan(HotplugPolicy(), before)
    assert find_condition(after, "InvalidHotplugPolicy") is None
    assert found.announcements == ()
