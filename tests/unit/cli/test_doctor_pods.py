"""`nicplug doctor` of pods that do not become ready: what it quotes, and what it advises."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.build import NOW
from tests.unit.cli.played import CommandLine, PlayedServer, Recorded, collection

from nicplug.cli.doctor.pods import trouble_of
from nicplug.model.times import format_time
from nicplug.model.versions import OLDEST_KUBERNETES, is_too_old

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "nicplug"
PODS = "GET /api/v1/namespaces/nicplug-system/pods"
SCHEDULED = {"type": "PodScheduled", "status": "True"}


def pod(name: str = "a", *, component: str = "operator", **status: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "nicplug", "app.kubernetes.io/component": component}
    return {"metadata": {"name": name, "namespace": "nicplug-system", "labels": labels}, "status": status}


def container(state: dict[str, Any], **last: Any) -> list[dict[str, Any]]:
    return [{"name": "operator", "image": "nicplug:0.1.0", "state": state, "lastState": last}]


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(message: str, *, code: int = 2) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "message": message}}


BAD_SETTING = """\
Error: bad settings: NICPLUG_WORKERS: Input should be a valid integer
  Correct the variable, or the option of the same name: nicplug run --help
"""
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}
LOGS = "kubectl -n nicplug-system logs a"


@pytest.mark.parametrize(
    ("status", "message", "remedy"),
    [
        pytest.param(
            {"containerStatuses": container(waiting("ImagePullBackOff", "Back-off pulling image"))},
            'image "nicplug:0.1.0" cannot be pulled: ImagePullBackOff, Back-off pulling image',
            "Correct image.repository, image.tag",
            id="image",
        ),
        pytest.param(
            {"containerStatuses": container(waiting("CrashLoopBackOff"), **ended(BAD_SETTING))},
            "it ended with exit code 2: bad settings: NICPLUG_WORKERS: Input should be a valid integer",
            f"{LOGS} --previous",
            id="setting",
        ),
        pytest.param(
            {"containerStatuses": container(ended("one\nlast words\n\n", code=1))},
            "it ended with exit code 1: last words",
            f"{LOGS} --previous",
            id="crash",
        ),
        pytest.param(
            {"containerStatuses": container(ended("", code=137))}, "it ended with exit code 137", LOGS, id="killed"
        ),
        pytest.param(
            {"containerStatuses": container(waiting("CreateContainerConfigError", 'secret "x" not found'))},
            'CreateContainerConfigError: secret "x" not found',
            LOGS,
            id="configuration",
        ),
        pytest.param(
            {"conditions": [UNSCHEDULABLE]},
            "no node takes it: 0/3 nodes fit",
            "kubectl -n nicplug-system describe pod a",
            id="no node",
        ),
        pytest.param(
            {
                "conditions": [SCHEDULED],
                "containerStatuses": container(waiting("ContainerCreating")),
                "startTime": format_time(NOW - timedelta(minutes=7)),
            },
            "its containers have been starting for 7 minutes: a Secret to mount is missing, or a network",
            "kubectl -n nicplug-system describe pod a names it.",
            id="a Secret that is missing",
        ),
    ],
)
def test_a_pod_that_does_not_become_ready(status: dict[str, Any], message: str, remedy: str) -> None:
    found = trouble_of(pod(**status), at=NOW)
    assert found is not None
    assert found.message == message
    assert found.remedy.startswith(remedy)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"conditions": [SCHEDULED], "startTime": format_time(NOW)},
        {"conditions": [SCHEDULED], "containerStatuses": container({"running": {}})},
        {"containerStatuses": "nonsense", "conditions": 7},
    ],
    ids=["just made", "starts", "runs", "nonsense"],
)
def test_a_pod_that_may_still_be_starting(status: dict[str, Any]) -> None:
    assert trouble_of(pod(**status), at=NOW) is None


READY = [{"type": "Ready", "status": "True"}]


def findings(nicplug: CommandLine) -> list[tuple[str, str]]:
    told = json.loads(nicplug("doctor", "-o", "json").stdout)["findings"]
    return [(item["severity"], item["message"]) for item in told if item["check"] == "pods"]


def test_each_deployment_is_judged_by_itself(nicplug: CommandLine, server: PlayedServer) -> None:
    broken: dict[str, Any] = {"containerStatuses": container(waiting("ErrImagePull"))}
    leaving = pod("e", **broken)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    asked: list[str] = []

    def answer(request: Recorded) -> tuple[int, dict[str, Any] | None]:
        asked.append(request.path)
        pods = [pod("a", conditions=READY), pod("b", **broken), pod("c", component="api", **broken)]
        return collection(*pods, pod("d", component="api", **broken), leaving)

    server.answers[PODS] = answer
    problem = 'image "nicplug:0.1.0" cannot be pulled: ErrImagePull'
    assert findings(nicplug) == [("warning", f"pod b: {problem}"), ("problem", f"pod c (1 more): {problem}")]
    assert [path for path in asked if "labelSelector=" in path and "nicplug" in path]


def test_of_pods_that_are_ready_there_is_nothing_to_say(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[PODS] = collection(pod("a", conditions=READY), pod("b", component="test", phase="Failed"))
    assert findings(nicplug) == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.30.9", True),
        ("v1.30.2-eks-1234", True),
        ("v1.31.0", False),
        ("v1.31.0-rc.1+k3s1", False),
        ("v2.0.0", False),
        ("", False),
        ("main", False),
    ],
)
def test_a_kubernetes_is_too_old(version: str, expected: bool) -> None:
    assert is_too_old(version) is expected


def test_the_oldest_kubernetes_is_the_chart_s() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["kubeVersion"] == f">={OLDEST_KUBERNETES}.0-0"


def test_a_cluster_that_is_too_old_is_a_problem(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers["GET /version"] = (200, {"gitVersion": "v1.30.9"})
    told = json.loads(nicplug("doctor", "-o", "json").stdout)["findings"]
    (found,) = [item for item in told if item["check"] == "versions" and item["severity"] == "problem"]
    assert found["message"] == f"Kubernetes v1.30.9 is older than {OLDEST_KUBERNETES}, the oldest that nicplug supports"
    assert "docs/support.md" in found["remedy"]
