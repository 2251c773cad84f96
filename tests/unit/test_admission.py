"""The rules of admission, checked without a cluster: each has a row with examples, and the page lists them all."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from tests.admission.bounds import KUBEVIRTS, OURS, RUN_STRATEGY
from tests.admission.machines import CONFIGURATION
from tests.admission.row import BOTH, Json, Kind, Row
from tests.admission.rules import ROWS
from tests.admission.texts import EXCEPTIONS, TEXTS, says
from tools.admission_page import Rule, enforced_by, policy_rules, schema, schema_rules, walk

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "deploy" / "kustomize" / "base" / "admission" / "interfaces.yaml"
# What each rule of a CRD costs at every write of a status, too: a place in the schema, and the members of the largest
# object whose fields its rules read. Each read costs the API server a copy of the schemas of all members.
FIELDS_READ = {"spec": 7}


def test_names_of_examples_are_unique() -> None:
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_example_of_no_rule(row: Row) -> None:
    assert enforced_by(row)


@pytest.mark.parametrize("kind", Kind)
def test_a_rule_of_a_schema_without_examples(kind: Kind) -> None:
    rows = [row for row in ROWS if kind in row.kinds and not row.policy]
    rules = schema_rules(kind)
    assert rules
    assert [rule for rule in rules if not _has_example(rule, rows, kind)] == []


def test_a_rule_of_a_policy_without_examples() -> None:
    rules = policy_rules()
    # Of disks alone, which nicplug does not act on: the same rule as for interfaces.
    assert [
        rule
        for rule in rules
        if not any(rule.place == row.policy and rule.decides(row, kind) for row in ROWS for kind in row.kinds)
    ] == []


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_of_kubevirt_without_a_rule_or_a_reason(text: str) -> None:
    examples = [row for row in ROWS if says(row, text)]
    assert bool(examples) is not bool(EXCEPTIONS.get(text))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_rule_that_kubevirt_does_not_have(row: Row) -> None:
    assert [text for text in TEXTS if says(row, text)] != []
    assert bool(row.instead) is bool(row.because)


def _has_example(rule: Rule, rows: list[Row], kind: Kind) -> bool:
    return any(rule.decides(row, kind) for row in rows)


def _bounds(spec: Json) -> dict[str, int]:
    return {
        path: node.get("maxItems") or node["maxLength"]
        for path, node in walk(spec)
        if {"maxItems", "maxLength"} & node.keys()
    }


def test_a_bound_that_nobody_lists() -> None:
    """Those that are not KubeVirt's own are all that refuses more than KubeVirt's admission."""
    assert _bounds(schema(Kind.VMI)["properties"]["spec"]) == KUBEVIRTS | OURS
    of_vm = _bounds(schema(Kind.VM)["properties"]["spec"])
    root = "template.spec."
    of_template = {path.removeprefix(root): most for path, most in of_vm.items() if path.startswith(root)}
    assert of_template == KUBEVIRTS | OURS
    assert {path: most for path, most in of_vm.items() if not path.startswith(root)} == {"runStrategy": RUN_STRATEGY}


def test_a_bound_of_our_own_is_not_told_of_as_a_difference() -> None:
    page = (ROOT / "docs" / "differences.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| bounds in the spec |")]
    short = {path.removeprefix("domain.devices."): most for path, most in OURS.items()} | {"runStrategy": RUN_STRATEGY}
    assert dict(re.findall(r"`([^`]+)` (\d+)", row)) == {path: str(most) for path, most in short.items()}


@pytest.mark.parametrize("kind", BOTH)
def test_a_rule_that_a_status_patch_pays_for_reads_a_large_object(kind: Kind) -> None:
    """Rules of scalars read no field. Those of port ranges and DHCP options are evaluated where there are some."""
    rare = (".portRanges", ".dhcpOptions")
    found = {
        path: len(node.get("properties") or node.get("items", {}).get("properties") or ())
        for path, node in walk(schema(kind))
        if "x-kubernetes-validations" in node
        if node["type"] in ("object", "array") and not any(part in path for part in rare)
    }
    assert found == (FIELDS_READ if kind is Kind.VM else {})


def test_a_stored_violation_is_looked_for_as_a_new_one() -> None:
    """The expressions about the old object are those about the new one, of the old variables."""
    policy = next(yaml.safe_load_all(POLICY.read_text()))
    variables = {item["name"]: item["expression"] for item in policy["spec"]["variables"]}
    pairs = [name for name in variables if "old" + name[0].upper() + name[1:] in variables and name != "spec"]
    assert len(pairs) == 18
    for name in pairs:
        old = re.sub(r"variables\.(?!root\b)(\w)", lambda match: f"variables.old{match[1].upper()}", variables[name])
        assert variables["old" + name[0].upper() + name[1:]] == old


def _specs(kind: str) -> dict[str, Json]:
    documents = [item for path in sorted(POLICY.parent.glob("*.yaml")) for item in yaml.safe_load_all(path.read_text())]
    return {item["metadata"]["name"]: item["spec"] for item in documents if item["kind"] == kind}


def test_a_policy_was_asked_several_conditions_at_each_write() -> None:
    """The API server evaluates each of several, also after one that is false."""
    policies = _specs("ValidatingAdmissionPolicy")
    assert {name: len(spec["matchConditions"]) for name, spec in policies.items()} == dict.fromkeys(policies, 1)


def test_a_policy_is_enforced_also_when_it_cannot_be_evaluated() -> None:
    """But the one about the KubeVirt object: where that kind is not served for a moment, it must block nobody."""
    policies, bindings = _specs("ValidatingAdmissionPolicy"), _specs("ValidatingAdmissionPolicyBinding")
    assert [name for name, spec in policies.items() if spec["failurePolicy"] != "Fail"] == [CONFIGURATION]
    enforced = {name: (spec["policyName"], spec["validationActions"]) for name, spec in bindings.items()}
    assert enforced == {name: (name, ["Deny"]) for name in policies}


def test_rules_of_networks_are_those_of_both_kinds() -> None:
    assert [row for row in ROWS if row.kinds != BOTH and Kind.VM in row.kinds and row.path.startswith("{F}")] == []


def test_the_page_is_as_schemas_policies_and_examples_have_it() -> None:
    command = [sys.executable, "-m", "tools.admission_page", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
