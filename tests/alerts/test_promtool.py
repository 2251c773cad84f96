"""The alerts as Prometheus itself reads and fires them: `make alerts-test`, which builds promtool first."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from nicplug.obs.metrics import ApiMetrics, Metrics, OperatorMetrics
from nicplug.plan.outcome import Completion, MigrationEnded, PathTaken, PhaseLeft
from nicplug_sandbox import build
from nicplug_sandbox.go_programs import PROMTOOL

HERE = Path(__file__).parent
RULES = HERE.parents[1] / "deploy" / "monitoring" / "rules.yaml"
CASES = sorted(HERE.glob("*.yaml"))


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Built by `make alerts-test`: some minutes the first time, so `make test` goes without."""
    if not os.environ.get("NICPLUG_TEST_PROMTOOL"):
        pytest.skip("promtool is compiled for `make alerts-test` alone")
    return build.binary(PROMTOOL, progress=print)


# A case plays hours of samples: minutes on a busy machine.
SECONDS = 500
pytestmark = pytest.mark.timeout(600)


def run(promtool: Path, *arguments: str | Path, text: str = "") -> str:
    """What it prints; fails with that when it ends with an error."""
    command = [str(promtool), *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_rules_are_valid(promtool: Path) -> None:
    found = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES)
    count = sum(len(group["rules"]) for group in yaml.safe_load(RULES.read_text())["groups"])
    assert f"{count} rules found" in found


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(promtool: Path, cases: Path) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", cases)


def test_a_case_that_expects_something_else_fails(promtool: Path, tmp_path: Path) -> None:
    """The test of the test above: one that nothing can fail proves nothing."""
    document = yaml.safe_load(CASES[0].read_text())
    document["rule_files"] = [str(RULES)]
    case = next(item for test in document["tests"] for item in test["alert_rule_test"] if item["exp_alerts"])
    case["exp_alerts"][0]["exp_labels"]["severity"] = "none"
    spoiled = tmp_path / "spoiled.yaml"
    spoiled.write_text(yaml.safe_dump(document))
    with pytest.raises(AssertionError, match="FAILED"):
        run(promtool, "test", "rules", spoiled)


def test_the_queries_of_the_dashboard_are_valid(promtool: Path, tmp_path: Path) -> None:
    panels = json.loads(RULES.with_name("dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [
        {"record": f"panel:{index}", "expr": query.replace("$__rate_interval", "5m")}
        for index, query in enumerate(queries)
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(queries)} rules found" in run(promtool, "check", "rules", path)


def counted() -> list[Metrics]:
    """Both processes, with something in every family that they count."""
    operator, api = OperatorMetrics(), ApiMetrics()
    for metrics in (operator, api):
        metrics.requested(verb="get", resource="pods", code=200, seconds=0.1)
        metrics.lagged(0.001)
        metrics.export_ready(str)
    operator.reconciled(kind="vm", outcome="ok", seconds=0.1)
    for measure in (
        Completion(operation="Plug", path="Dynamic", seconds=1),
        PhaseLeft(path="Dynamic", phase="InPod", seconds=1),
        PathTaken(path="Dynamic", reason="WaitingForPodInterface"),
        MigrationEnded(phase="Succeeded", reason="MigrationSucceeded"),
    ):
        operator.measured(measure)
    operator.instruments.samples("nicplug_nics", lambda: [(("Ready", "Attached"), 1.0)])
    api.answered(subresource="virtualmachines/start", code=202, seconds=0.1)
    return [operator, api]


@pytest.mark.parametrize("metrics", counted(), ids=lambda item: type(item).__name__)
def test_prometheus_reads_the_metrics_and_finds_their_names_in_order(promtool: Path, metrics: Metrics) -> None:
    run(promtool, "check", "metrics", text=metrics.render().decode())
