"""The fences, checked without a cluster: they reach pods and nothing else, and know who is who."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.build import a_vmi, vmi

from nicplug.model.frozen_json import thaw
from nicplug.model.names import MIGRATION_TARGET_READY_ANNOTATION, POD_SPEC_ANNOTATION
from nicplug.plan.views import PlanSettings
from nicplug.plan.vmi.launcher_pod import _COPIED_SPEC_MEMBERS, create_launcher_pod
from nicplug_sandbox.node import accounts
from nicplug_sandbox.node.api import Json

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy" / "kustomize" / "base"
PODS, BINDINGS = ["pods", "pods/status"], ["pods/binding", "bindings"]
POLICIES = {
    "nicplug-launcher-pods": (PODS, ["CREATE", "UPDATE"]),
    "nicplug-operator-pods": (PODS, ["CREATE", "UPDATE", "DELETE"]),
    "nicplug-bindings": (BINDINGS, ["CREATE"]),
}
MESSAGE_LIMIT = 1024
MOST = {
    "labels": 1000, "annotations": 1000, "volumes": 100, "sources": 100, "volumeMounts": 100, "containers": 20,
    "ports": 100, "envFrom": 100, "env": 300,
}  # fmt: skip
LOOPS = {
    "nicplug-launcher-pods": {"labels"},
    "nicplug-operator-pods": {*MOST},
    "nicplug-bindings": {"labels", "annotations"},
}


def fences(kind: str) -> dict[str, Any]:
    """The documents of one kind, by name."""
    files = (BASE / "fences").glob("*.yaml")
    found = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    return {document["metadata"]["name"]: document for document in found if document["kind"] == kind}


def policy(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = fences("ValidatingAdmissionPolicy")[name]["spec"]
    return spec


def account() -> str:
    """The operator's, as the API server calls it."""
    metadata = yaml.safe_load((BASE / "operator" / "serviceaccount.yaml").read_text())["metadata"]
    return f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}"


def test_every_policy_is_enforced() -> None:
    assert fences("ValidatingAdmissionPolicy").keys() == POLICIES.keys()
    bindings = fences("ValidatingAdmissionPolicyBinding")
    assert {name: binding["spec"] for name, binding in bindings.items()} == {
        name: {"policyName": name, "validationActions": ["Deny"]} for name in POLICIES
    }


@pytest.mark.parametrize("name", POLICIES)
def test_a_fence_touched_other_people_s_objects(name: str) -> None:
    """Whatever is wrong with a policy that fails closed is refused: so it may match nothing but pods and Bindings."""
    spec, (resources, operations) = policy(name), POLICIES[name]
    assert spec["matchConstraints"] == {
        "resourceRules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": resources,
                "operations": operations,
                "scope": "Namespaced",
            }
        ]
    }
    assert spec["failurePolicy"] == "Fail"
    assert "paramKind" not in spec, "an object that is missing would refuse every pod"
    names = [condition["name"] for condition in spec["matchConditions"]]
    if name == "nicplug-bindings":
        assert names == ["carries-labels-or-annotations"]
        return
    sign = "==" if name == "nicplug-operator-pods" else "!="
    # The API server evaluates each of several conditions, also after one that is false.
    assert names == (["touches-a-launcher-pod"] if sign == "!=" else ["is-nicplug"])
    expression = spec["matchConditions"][0]["expression"]
    assert expression.split(" && ")[0] == f"request.userInfo.username {sign} '{account()}'"


@pytest.mark.parametrize("name", POLICIES)
def test_a_refusal_says_why(name: str) -> None:
    for validation in policy(name)["validations"]:
        assert validation["reason"] == "Forbidden"
        assert validation["messageExpression"].startswith("variables.pod + ")
        assert len(validation["messageExpression"]) < MESSAGE_LIMIT


@pytest.mark.parametrize("name", POLICIES)
def test_a_loop_over_what_others_make_long_has_no_bound(name: str) -> None:
    """It costs the square of its length, and no answer shows that: what is longer is refused by another check."""
    spec = policy(name)
    items = [*spec["matchConditions"], *spec["variables"], *spec["validations"]]
    expressions = ["".join(item["expression"].split()) for item in items]
    (too_large,) = [item["expression"] for item in spec["variables"] if item["name"] == "isTooLarge"] or [""]
    found = set()
    for expression in expressions:
        bounds = expression.replace("variables.isTooLarge", "".join(too_large.split()))
        for what in re.findall(r"(\w+)(?:[.]orValue\(\[\]\))?\)?[.](?:all|exists)\(", expression):
            if what in MOST:
                bound = rf"\b{what}[.](?:orValue\(\[\]\)[.])?size\(\)(?:<=|>){MOST[what]}\b"
                assert re.search(bound, bounds), expression
                found.add(what)
    assert found == LOOPS[name]


def test_what_was_a_launcher_pod_is_judged_as_what_is_one() -> None:
    """CEL has no functions of one's own: the definition stands there twice."""
    spec = policy("nicplug-launcher-pods")
    (condition,) = (item["expression"] for item in spec["matchConditions"])
    is_one = condition[condition.index("[object, oldObject]") :]
    (was_one,) = (item["expression"] for item in spec["variables"] if item["name"] == "wasLauncher")
    definition = is_one.removeprefix("[object, oldObject].exists(pod, pod != null && (").removesuffix("))")
    again = f"oldObject != null && ({definition.replace('pod.metadata', 'oldObject.metadata')})"
    assert "".join(was_one.split()) == "".join(again.split())


def test_a_binding_is_fenced_as_the_pod_is() -> None:
    """The same labels, and every annotation that the fence around pods compares."""
    ours, pods = ({item["name"]: item["expression"] for item in policy(name)["variables"]} for name in (
        "nicplug-bindings", "nicplug-launcher-pods",
    ))  # fmt: skip
    assert ours["fencedLabels"] == pods["fencedLabels"]
    pattern = re.compile("".join(re.findall("'([^']*)'", ours["fencedAnnotations"])))
    checks = "".join(item["expression"] for item in policy("nicplug-launcher-pods")["validations"])
    compared = re.findall(r"variables[.]annotations\[[?]'([^']+)'", checks)
    assert len(compared) == len({*compared}) == 5
    assert all(map(pattern.search, [*compared, POD_SPEC_ANNOTATION, MIGRATION_TARGET_READY_ANNOTATION]))


def test_a_virtual_machine_asked_for_what_the_fence_refuses() -> None:
    """All that nicplug takes from a VMI into the spec of its pod, the fence around nicplug lets through."""
    raw = vmi()
    raw["spec"].update({member: {"x": "y"} for member in _COPIED_SPEC_MEMBERS})
    raw["spec"]["serviceAccountName"] = "ledger"
    spec = thaw(create_launcher_pod(vmi=a_vmi(raw), settings=PlanSettings()).body)["spec"]
    assert spec.keys() >= {*_COPIED_SPEC_MEMBERS, "serviceAccountName"}
    variables = {item["name"]: item["expression"] for item in policy("nicplug-operator-pods")["variables"]}
    assert spec.keys() <= {*re.findall(r"'(\w+)'", variables["foreignMembers"])}
    (compute,) = spec["containers"]
    (check,) = (
        item["expression"]
        for item in policy("nicplug-operator-pods")["validations"]
        if "variables.compute.all" in item["expression"]
    )
    assert compute.keys() <= {*re.findall(r"'(\w+)'", check)}


def test_the_mark_of_the_node_side_is_no_right() -> None:
    """It grants nothing on any object, and no role that people have has it."""
    role = fences("ClusterRole")["nicplug-node-side"]
    assert role["rules"] == [{"apiGroups": ["nicplug.io"], "resources": ["launcherpods"], "verbs": ["report"]}]
    assert "labels" not in role["metadata"], "no aggregation into admin, edit or view"


def test_the_right_to_use_accounts_is_given_by_whoever_owns_the_namespace() -> None:
    """nicplug does not have it, or the fence would let it run pods as any account of any namespace."""
    rule = {"apiGroups": ["nicplug.io"], "resources": ["launcheraccounts"], "verbs": ["use"]}
    assert fences("ClusterRole")["nicplug-launcher-accounts"]["rules"] == [rule]
    holders = [
        document["metadata"]["name"]
        for file in BASE.rglob("*.yaml")
        for document in yaml.safe_load_all(file.read_text())
        if document["kind"] in ("ClusterRole", "Role") and "launcheraccounts" in str(document.get("rules"))
    ]
    assert sorted(holders) == ["kubevirt.io:admin", "nicplug-launcher-accounts"]
    bindings = [file for file in BASE.rglob("*.yaml") if "name: nicplug-launcher-accounts" in file.read_text()]
    assert [file.name for file in bindings] == ["launcher-accounts.yaml"], "no binding comes with the installation"


def rules_of(binding: Json) -> list[Json]:
    """What a binding of the simulator's rights grants."""
    roles = {body["metadata"]["name"]: body for body in accounts.rights() if body["kind"] == "ClusterRole"}
    roles["nicplug-node-side"] = fences("ClusterRole")["nicplug-node-side"]
    rules: list[Json] = roles[binding["roleRef"]["name"]]["rules"]
    return rules


def test_the_simulated_node_side_has_the_rights_of_its_counterparts_only() -> None:
    granted: dict[str, set[str]] = {}
    for binding in accounts.rights():
        if binding["kind"] != "ClusterRoleBinding":
            continue
        for subject in binding["subjects"]:
            space = f"system:serviceaccount:{subject['namespace']}:" if "namespace" in subject else ""
            for rule in rules_of(binding):
                names = {f"{verb} {resource}" for verb in rule["verbs"] for resource in rule["resources"]}
                granted.setdefault(space + subject["name"], set()).update(names)
    nads = "network-attachment-definitions"
    assert granted == {
        accounts.MULTUS.user: {f"get {nads}", "patch pods/status", "report launcherpods"},
        accounts.DYNAMIC_NETWORKS.user: {"patch pods/status", "create events", "patch events", "report launcherpods"},
        accounts.VIRT_HANDLER.user: {
            "get virtualmachineinstances", "patch virtualmachineinstances", "patch virtualmachineinstances/status",
            "create events", "patch events",
        },
        accounts.OBSERVER.user: {
            "get events", "list nodes", "watch nodes", "list pods", "watch pods", f"list {nads}", f"watch {nads}",
            "list virtualmachineinstances", "watch virtualmachineinstances", "list configmaps", "watch configmaps",
        },
    }  # fmt: skip
