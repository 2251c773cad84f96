"""The two sides of the comparison of rules differ in the rules alone, and neither touches the cluster's own kinds."""

import json

from tests.perf.rules import PLURALS, in_group, policies_in_group
from tests.perf.schema_variants import without_rules

from nicplug_sandbox.operator_process import ADMISSION, ROOT
from nicplug_sandbox.yaml_documents import read_documents

GROUP = "ruled.rules.test"
CRDS = [item for plural in PLURALS for item in read_documents((ROOT / "crds" / f"{plural}.yaml").read_text())]
POLICIES = [item for path in sorted(ADMISSION.glob("*.yaml")) for item in read_documents(path.read_text())]


def test_a_side_without_rules_has_the_same_schema_otherwise() -> None:
    for crd in CRDS:
        assert "x-kubernetes-validations" in json.dumps(crd)
        bare = without_rules(crd)
        assert "x-kubernetes-validations" not in json.dumps(bare)
        assert bare == without_rules(bare)
        assert bare["spec"]["names"] == crd["spec"]["names"]


def test_a_crd_of_another_group_keeps_all_else() -> None:
    for crd in CRDS:
        found = in_group(crd, GROUP)
        assert found["metadata"]["name"] == f"{crd['spec']['names']['plural']}.{GROUP}"
        found["metadata"], found["spec"]["group"] = crd["metadata"], crd["spec"]["group"]
        assert found == crd


def test_the_policies_of_both_kinds_are_measured_and_ask_nobody_else() -> None:
    found = policies_in_group(POLICIES, GROUP)
    policies = {item["metadata"]["name"]: item for item in found if item["kind"] == "ValidatingAdmissionPolicy"}
    assert policies.keys() == {
        f"nicplug-{name}.{GROUP}" for name in ("instance-labels", "instances", "interfaces", "kubevirt-configuration")
    }
    for policy in policies.values():
        assert [rule["apiGroups"] for rule in policy["spec"]["matchConstraints"]["resourceRules"]] == [[GROUP]]
    bound = {item["spec"]["policyName"] for item in found if item["kind"] == "ValidatingAdmissionPolicyBinding"}
    assert policies.keys() <= bound
