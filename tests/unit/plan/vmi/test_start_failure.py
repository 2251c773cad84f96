"""A first launcher pod whose sandbox cannot be made: told on the VMI, once, until the pod comes up."""

from dataclasses import replace
from typing import Any

import pytest
from tests.build import NOW, POD_NAME, POD_UID, Json, later, pod, start_failure, vmi, vmi_view
from tests.unit.plan.outcome import status_of

from nicplug.model.pod_failures import PodFailure
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.plan_vmi import plan_vmi

WORDS = 'error adding container to network "lan": bridge br1 not found'
TOLD = f"pod {POD_NAME} cannot start on node01: {WORDS}"


FAILURE = start_failure(f"Failed to create pod sandbox: plugin type multus failed (add): {WORDS}")


def _waiting(**members: Any) -> Json:
    """A pod in ContainerCreating: without network-status."""
    return pod(**{"phase": "Pending", "ready": False, "annotations": {}, **members})


def _plan(raw: Json, launcher: Json, *failures: PodFailure) -> Plan:
    return plan_vmi(vmi_view(raw, launcher, start_failures=failures, report_pending_since=later(-9)), now=NOW)


def _synchronized(plan: Plan) -> Json | None:
    rows = {item["type"]: item for item in status_of(plan)["conditions"]}
    return rows.get("Synchronized")


def _reported_before() -> Json:
    raw = vmi(phase="Scheduling")
    raw["status"] |= status_of(_plan(raw, _waiting(), FAILURE))
    return raw


def test_the_kubelet_is_quoted_and_one_event_says_it() -> None:
    """The VM said Starting, `Guest VM is not reported as running`, and nothing else."""
    plan = _plan(vmi(phase="Scheduling"), _waiting(), FAILURE)
    row = _synchronized(plan)
    assert row is not None
    assert (row["status"], row["reason"], row["message"]) == ("False", "FailedCreatePodSandBox", TOLD)
    assert [(item.reason, item.severity, item.message) for item in plan.announcements] == [
        ("FailedCreatePodSandBox", "Warning", TOLD)
    ]


def test_what_is_tried_again_and_again_is_reported_once() -> None:
    assert _plan(_reported_before(), _waiting(), FAILURE).is_empty


def test_a_new_leader_that_has_not_heard_of_it_takes_nothing_back() -> None:
    assert _plan(_reported_before(), _waiting()).is_empty


COMES_UP = {
    "its networks are there": (_waiting(), True),
    "it runs": (_waiting(phase="Running"), False),
    "it is ready": (pod(), False),
}


@pytest.mark.parametrize("title", COMES_UP)
def test_it_goes_when_the_pod_comes_up(title: str) -> None:
    launcher, has_networks = COMES_UP[title]
    if has_networks:
        launcher["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] = "[]"
    plan = _plan(_reported_before(), launcher, FAILURE)
    assert _synchronized(plan) is None
    assert "FailedCreatePodSandBox" not in [item.reason for item in plan.announcements]


NOT_OF_THIS_START = {
    "of another pod": (vmi(phase="Scheduling"), _waiting(), replace(FAILURE, pod_uid="other")),
    "a guest runs": (vmi(), pod(), FAILURE),
    "no node has taken it": (vmi(phase="Scheduling"), _waiting(node=""), FAILURE),
}


@pytest.mark.parametrize("title", NOT_OF_THIS_START)
def test_not_reported(title: str) -> None:
    raw, launcher, failure = NOT_OF_THIS_START[title]
    plan = _plan(raw, launcher, failure)
    assert "FailedCreatePodSandBox" not in str(plan)


def test_what_was_reported_of_another_pod_is_not_kept() -> None:
    raw = _reported_before()
    (row,) = [item for item in raw["status"]["conditions"] if item["type"] == "Synchronized"]
    row["pod"] = "another"
    assert _synchronized(_plan(raw, _waiting())) is None


def test_the_pod_that_it_was_reported_for_is_not_read_from_the_message() -> None:
    raw = _reported_before()
    (row,) = [item for item in raw["status"]["conditions"] if item["type"] == "Synchronized"]
    row["message"] = "x"
    assert _plan(raw, _waiting()).is_empty


def test_what_an_earlier_version_reported_is_dropped_until_the_kubelet_tries_again() -> None:
    raw = _reported_before()
    (row,) = [item for item in raw["status"]["conditions"] if item["type"] == "Synchronized"]
    del row["pod"]
    assert _synchronized(_plan(raw, _waiting())) is None
    reported = _synchronized(_plan(raw, _waiting(), FAILURE))
    assert reported is not None
    assert (reported["message"], reported["pod"]) == (TOLD, POD_UID)


def test_an_image_that_cannot_be_pulled_is_reported_instead() -> None:
    status = {"containerStatuses": [{"name": "compute", "state": {"waiting": {"reason": "ErrImagePull"}}}]}
    row = _synchronized(_plan(vmi(phase="Scheduling"), _waiting(status={"phase": "Pending", **status}), FAILURE))
    assert row is not None
    assert row["reason"] == "ErrImagePull"
