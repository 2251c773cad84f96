"""The rules of admission, checked without a cluster: each has a row with examples, and the page lists them all."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.admission.row import BOTH, Kind, Row
from tests.admission.rules import ROWS
from tools.admission_page import Rule, enforced_by, policy_rules, schema, schema_rules, walk

ROOT = Path(__file__).resolve().parents[2]
# The spec of an instance alone: nobody else's strings are looked at by a rule. docs/differences.md lists them, too.
BOUNDS = {
    "networks": 256,
    "networks[].name": 253,
    "volumes": 256,
    "accessCredentials": 256,
    "utilityVolumes": 256,
    "domain.devices.interfaces": 256,
    "domain.devices.interfaces[].name": 253,
    "domain.devices.interfaces[].model": 128,
    "domain.devices.interfaces[].state": 128,
    "domain.devices.interfaces[].macAddress": 128,
    "domain.devices.interfaces[].pciAddress": 128,
    "domain.devices.interfaces[].ports": 100,
    "domain.devices.interfaces[].ports[].name": 32,
    "domain.devices.interfaces[].ports[].protocol": 16,
    "domain.devices.interfaces[].portRanges": 32,
    "domain.devices.interfaces[].portRanges[].protocol": 16,
    "domain.devices.interfaces[].dhcpOptions.ntpServers": 64,
    "domain.devices.interfaces[].dhcpOptions.ntpServers[]": 64,
    "domain.devices.interfaces[].dhcpOptions.privateOptions": 64,
}


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


def _has_example(rule: Rule, rows: list[Row], kind: Kind) -> bool:
    return any(rule.decides(row, kind) for row in rows)


def test_a_bound_that_nobody_lists() -> None:
    """Only these refuse more than KubeVirt's admission."""
    spec = schema(Kind.VMI)["properties"]["spec"]
    found = {
        path: node.get("maxItems") or node["maxLength"]
        for path, node in walk(spec)
        if {"maxItems", "maxLength"} & node.keys()
    }
    assert found == BOUNDS


def test_rules_of_networks_are_those_of_both_kinds() -> None:
    assert [row for row in ROWS if row.kinds != BOTH and Kind.VM in row.kinds and row.path.startswith("{F}")] == []


def test_the_page_is_as_schemas_policies_and_examples_have_it() -> None:
    command = [sys.executable, "-m", "tools.admission_page", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
