"""A launcher pod that no node has taken, after the spec that it was made from has been corrected."""

import copy
import json
from typing import Any

import pytest
from tests.build import NOW, Json, a_config, a_vmi, kubevirt, later, pod, vmi, vmi_view

from nicplug.kube.object_text import ObjectText
from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Delete, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.views import PlanSettings
from nicplug.plan.vmi.launcher_pod import create_launcher_pod
from nicplug.plan.vmi.plan_vmi import plan_vmi

UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
MADE_WITH = "nicplug.io/pod-spec"


def _vmi(selector: Json | None = None, *, phase: str = "Scheduling", **spec: Any) -> Json:
    raw = vmi(phase=phase, conditions=[UNSCHEDULABLE])
    raw["spec"] |= {"nodeSelector": selector, **spec}
    return raw


def _made_from(raw: Json, *, node: str = "", **members: Any) -> Json:
    """The pod that was made from that spec, and waits for a node."""
    config = a_config(kubevirt())
    made = thaw(create_launcher_pod(vmi=a_vmi(raw), settings=PlanSettings(), config=config).body)
    name, annotations = made["metadata"]["name"], made["metadata"]["annotations"]
    body = pod(name=name, phase="Pending", ready=False, node=node, conditions=[UNSCHEDULABLE], **members)
    body["metadata"]["annotations"] = annotations
    return body


def _plan(raw: Json, *pods: Json) -> Plan:
    return plan_vmi(vmi_view(raw, *pods, report_pending_since=later(-9)), now=NOW)


def _phase(plan: Plan) -> str | None:
    patches = [thaw(action.wanted) for action in plan.actions if isinstance(action, PatchStatus)]
    return next((str(wanted["phase"]) for wanted in patches if "phase" in wanted), None)


def _deletions(plan: Plan) -> list[Delete]:
    return [action for action in plan.actions if isinstance(action, Delete)]


WRONG, RIGHT = _vmi({"disk": "sdd"}), _vmi({"disk": "ssd"})


def test_the_vmi_goes_back_to_pending_before_its_pod_goes() -> None:
    """With no pod in phase Scheduling it would have failed."""
    plan = _plan(RIGHT, _made_from(WRONG))
    assert (_phase(plan), _deletions(plan)) == ("Pending", [])
    assert plan.again_at is None, "it is not withheld"
    assert "Failed" not in str(plan)


def test_a_pod_that_no_node_has_taken_goes_if_it_is_as_it_was_seen() -> None:
    waiting = _made_from(WRONG)
    plan = _plan({**RIGHT, "status": {**RIGHT["status"], "phase": "Pending"}}, waiting)
    (deletion,) = _deletions(plan)
    assert (deletion.uid, deletion.version) == (
        waiting["metadata"]["uid"],
        int(waiting["metadata"]["resourceVersion"]),
    )
    (event,) = plan.announcements
    assert (event.reason, "the spec that it was made from has changed" in event.message) == ("SuccessfulDelete", True)


def test_while_it_goes_the_vmi_waits() -> None:
    plan = _plan({**RIGHT, "status": {**RIGHT["status"], "phase": "Pending"}}, _made_from(WRONG, deleting=True))
    assert (_phase(plan), _deletions(plan)) == (None, [])


def _without_digest() -> Json:
    body = copy.deepcopy(_made_from(WRONG))
    body["metadata"]["annotations"].pop(MADE_WITH)
    return body


def _changed_by_admission() -> Json:
    body = _made_from(RIGHT)
    body["spec"]["nodeSelector"] = {"disk": "ssd", "team": "red"}
    return body


LEFT_ALONE = {
    "made from the present spec": (RIGHT, _made_from(RIGHT)),
    "a node has taken it": (RIGHT, _made_from(WRONG, node="node01")),
    "it does not tell what it was made with": (RIGHT, _without_digest()),
    "admission has added to it": (RIGHT, _changed_by_admission()),
    "the guest runs": (_vmi({"disk": "ssd"}, phase="Running"), _made_from(WRONG, node="node01")),
}


@pytest.mark.parametrize("title", LEFT_ALONE)
def test_it_is_left_alone(title: str) -> None:
    raw, found = LEFT_ALONE[title]
    plan = _plan(raw, found)
    assert not _deletions(plan)
    assert _phase(plan) != "Pending"


def test_a_nic_is_no_reason() -> None:
    """It reaches the pod when it runs; a pod that is made anew loses its place with the scheduler."""
    plugged = copy.deepcopy(RIGHT)
    plugged["spec"]["networks"].append({"name": "blue", "multus": {"networkName": "lan"}})
    plugged["spec"]["domain"]["devices"]["interfaces"].append({"name": "blue", "bridge": {}})
    assert _phase(_plan(plugged, _made_from(RIGHT))) is None


@pytest.mark.parametrize(
    "spec",
    [{"tolerations": [{"key": "gpu", "operator": "Exists"}]}, {"priorityClassName": "high"}],
    ids=["tolerations", "priority"],
)
def test_whatever_else_it_was_made_from(spec: Json) -> None:
    assert _phase(_plan(_vmi(**spec), _made_from(_vmi()))) == "Pending"


@pytest.mark.parametrize("elided_at", ["creation", "comparison"])
@pytest.mark.parametrize(
    "spec",
    [{"tolerations": [{"key": "x" * 40_000}]}, {"affinity": {"podAffinity": {"x": "y" * 40_000}}}],
    ids=["as a whole", "in part"],
)
def test_a_pod_whose_spec_is_elided_on_one_side_only_is_left_alone(elided_at: str, spec: Json) -> None:
    """It was deleted and made once more, though nobody had changed anything."""
    whole = _vmi(**spec)
    elided = ObjectText("virtualmachineinstances").read(json.dumps(whole).encode())
    then, now = (elided, whole) if elided_at == "creation" else (whole, elided)
    plan = _plan(now, _made_from(then))
    assert not _deletions(plan)
    assert _phase(plan) != "Pending"
