"""The policy for hot-plug on a real API server: what its schema refuses, who overrides whom, and what comes of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from click.testing import CliRunner
from tests.integration.conftest import Sandbox, SetPolicy
from tests.integration.user import POLICY, VM, Json, User
from tests.integration.waiting import until
from tests.manifests import plug, vm

from nicplug.cli.exits import Exit
from nicplug.cli.main import main

BLOCK = "spec.configuration.network.hotplug"

REFUSED = [
    pytest.param({"dynamicPath": "Sometimes"}, "dynamicPath", '"Auto", "Always", "Never"', id="dynamicPath"),
    pytest.param({"dynamicPath": None}, "", "", id="null is absent"),
    pytest.param({"dynamicTimeout": "10"}, "dynamicTimeout", "write a duration of 1s to 1h, such as 10s", id="no unit"),
    pytest.param({"dynamicTimeout": "0.5s"}, "dynamicTimeout", "write a duration of 1s to 1h", id="too short"),
    pytest.param({"dynamicTimeout": "61m"}, "dynamicTimeout", "write a duration of 1s to 1h", id="too long"),
    pytest.param({"dynamicTimeout": "9" * 15 + "h"}, "dynamicTimeout", "write a duration of 1s to 1h", id="no measure"),
    pytest.param({"dynamicTimeout": 10}, "dynamicTimeout", "string", id="a number"),
    pytest.param({"onFailure": "Retry"}, "onFailure", '"Migrate", "Hold", "Rollback"', id="onFailure"),
    pytest.param({"migration": "Always"}, "migration", '"Allowed", "Never"', id="migration"),
    pytest.param({"removalPolicy": "Implicit"}, "removalPolicy", '"Explicit", "Declarative"', id="removalPolicy"),
    pytest.param({"trustedNamespaces": ["Nets"]}, "trustedNamespaces", "should match", id="no namespace"),
    pytest.param({"trustedNamespaces": ["a", "a"]}, "trustedNamespaces", "Duplicate value", id="a namespace twice"),
    pytest.param({"trustedNamespaces": list("abc") * 11}, "trustedNamespaces", "at most 32 items", id="too many"),
    pytest.param({"trustedNamespaces": "nets"}, "trustedNamespaces", "array", id="no list of namespaces"),
    pytest.param({"trustedNamespaces": []}, "", "", id="no namespace is trusted"),
    pytest.param({"nadPolicy": "Same"}, "nadPolicy", '"Multus", "SameNamespace", "Any"', id="nadPolicy"),
    pytest.param({"nadPolicy": "Any"}, "", "", id="any network"),
    pytest.param({"sharedNamespaces": ["*"]}, "sharedNamespaces", "should match", id="no namespace to share"),
    pytest.param({"sharedNamespaces": ["a"] * 65}, "sharedNamespaces", "at most 64 items", id="too many shared"),
    pytest.param({"sharedNamespaces": []}, "", "", id="no namespace is shared"),
    pytest.param({"dynamicController": {"selector": {}}}, "dynamicController.selector.matchLabels", "", id="selector"),
    pytest.param({"dynamicController": "mine"}, "dynamicController", "object", id="no object"),
]


@pytest.fixture
def without_rights(sandbox: Sandbox) -> Iterator[None]:
    """An operator that must not read DaemonSets and nodes."""
    admin = sandbox.user("")
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/nicplug-operator"
    _, before = admin.request("GET", role)
    rules = [rule for rule in before["rules"] if not {"daemonsets", "nodes"} & set(rule["resources"])]
    assert len(rules) == len(before["rules"]) - 2
    sandbox.stop()
    _patch_rules(admin, role, rules)
    sandbox.start()
    yield
    _patch_rules(admin, role, before["rules"])
    sandbox.stop()
    sandbox.start()


def _patch_rules(admin: User, role: str, rules: list[Json]) -> None:
    code, answer = admin.request("PATCH", role, {"rules": rules}, content_type="application/merge-patch+json")
    assert code == 200, answer


def annotated(name: str, **annotations: str) -> Json:
    body = vm(name)
    body["metadata"]["annotations"] = {f"nicplug.io/{key.replace('_', '-')}": val for key, val in annotations.items()}
    return body


def problem(user: User) -> str:
    """What the condition says; "" without it."""
    return str(user.condition("a", "InvalidHotplugPolicy").get("message", ""))


def invalid_policy_events(user: User) -> list[str]:
    found = [item for item in user.items("events") if item["reason"] == "InvalidHotplugPolicy"]
    return [item["note"] for item in found]


@pytest.mark.parametrize(("block", "field", "remedy"), REFUSED)
def test_the_schema_refuses_with_the_field_and_the_remedy(
    sandbox: Sandbox, block: Json, field: str, remedy: str
) -> None:
    """Nothing is stored: the request is a dry run."""
    admin = sandbox.user("kubevirt")
    path = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt?dryRun=All"
    patch = {"spec": {"configuration": {"network": {"hotplug": block}}}}
    code, answer = admin.request("PATCH", path, patch, content_type="application/merge-patch+json")
    if not field:
        assert code == 200
        return
    assert code == 422
    assert f"{BLOCK}.{field}" in answer["message"]
    assert remedy in answer["message"]


def test_a_typo_in_a_field_s_name_is_refused_by_kubectl(sandbox: Sandbox) -> None:
    admin = sandbox.user("kubevirt")
    path = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt?dryRun=All&fieldValidation=Strict"
    patch = {"spec": {"configuration": {"network": {"hotplug": {"dynamicTimout": "20s"}}}}}
    code, answer = admin.request("PATCH", path, patch, content_type="application/merge-patch+json")
    assert code in (400, 422)
    assert f'unknown field "{BLOCK}.dynamicTimout"' in answer["message"]


@pytest.mark.usefixtures("unharmed")
def test_an_annotation_that_is_not_understood_is_a_condition_and_one_event(user: User) -> None:
    user.create(VM, annotated("a", on_failure="Retry"))
    user.until_running("a")
    said = f'annotation nicplug.io/on-failure of VirtualMachine {user.namespace}/a is "Retry", and has no effect'
    until(lambda: problem(user).startswith(said))
    assert problem(user).endswith("write Migrate, Hold or Rollback")
    until(lambda: invalid_policy_events(user))
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    assert len(invalid_policy_events(user)) == 1
    user.merge(VM, "a", {"metadata": {"annotations": {"nicplug.io/on-failure": "Hold"}}})
    until(lambda: not problem(user))


@pytest.mark.usefixtures("unharmed", "without_controllers")
def test_the_cluster_s_never_migrate_holds_for_every_vm_until_it_is_taken_back(
    user: User, set_policy: SetPolicy
) -> None:
    set_policy(migration="Never")
    user.create(VM, annotated("a", migration="Allowed"))
    user.until_running("a")
    until(lambda: "the cluster's is Never" in problem(user))
    user.change(VM, "a", plug("blue"))
    until(lambda: user.record("a", "blue").get("reason") == "MigrationForbidden")
    record = user.record("a", "blue")
    assert (record["phase"], record["path"]) == ("Blocked", "None")
    assert f"migration is Never ({BLOCK}.migration of KubeVirt CR kubevirt/kubevirt)" in record["message"]
    set_policy(migration="Allowed")
    user.until_ready("a", "blue")
    assert user.record("a", "blue")["path"] == "Migration"
    assert not problem(user)


@pytest.mark.usefixtures("unharmed")
def test_a_vm_overrides_the_path_that_the_cluster_sets(user: User, set_policy: SetPolicy) -> None:
    set_policy(dynamicPath="Never", migration="Never")
    user.create(VM, annotated("a", dynamic_path="Auto"))
    user.create(VM, vm("b"))
    for name in ("a", "b"):
        user.until_running(name)
        user.change(VM, name, plug("blue"))
    user.until_ready("a", "blue")
    assert user.record("a", "blue")["path"] == "Dynamic"
    until(lambda: user.record("b", "blue").get("reason") == "MigrationForbidden")
    assert f"dynamicPath is Never ({BLOCK}.dynamicPath of KubeVirt CR" in user.record("b", "blue")["message"]
    assert not user.annotation("b")
    set_policy()
    user.until_ready("b", "blue")


@pytest.mark.usefixtures("unharmed", "without_controllers")
def test_the_controller_is_what_the_policy_says_it_is(user: User, set_policy: SetPolicy) -> None:
    def named(**finder: Any) -> None:
        set_policy(dynamicController=finder, migration="Never")

    def told() -> str:
        return str(user.record("a", "blue").get("message", ""))

    named(selector={"matchLabels": {"app": "another"}})
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("blue"))
    until(lambda: told().startswith("no trusted namespace has a dynamic networks controller"))
    named(
        namespace="kube-system",
        image="k8snetworkplumbingwg/multus-dynamic",
        selector={"matchLabels": {"app": "dynamic-networks-controller"}},
    )
    until(lambda: "(DaemonSet kube-system/dynamic-networks-controller-ds) does not run on node" in told())
    named(name="another")
    until(lambda: told().startswith("no trusted namespace has a dynamic networks controller"))


@pytest.mark.usefixtures("without_controllers")
def test_what_must_not_be_read_is_said_and_the_deadline_decides(user: User, without_rights: None) -> None:
    """Nobody can tell the operator that there is no controller, nor which nodes there are."""
    user.create(VM, annotated("a", dynamic_timeout="3s"))
    user.until_running("a")
    user.change(VM, "a", plug("blue"))
    until(lambda: "whether it runs there is not known" in user.record("a", "blue").get("message", ""))
    assert user.record("a", "blue")["reason"] == "WaitingForPodInterface"
    until(lambda: user.record("a", "blue").get("path") == "Migration")
    record = user.record("a", "blue")
    assert record["reason"] == "DynamicTimeout"
    assert "the dynamic networks controller on node" in record["message"]
    assert ", if there is one, did not attach" in record["message"]
    user.until_ready("a", "blue")


OF_OBJECT = [
    pytest.param({"dynamicPath": "Sometimes"}, "dynamicPath", '"Auto", "Always", "Never"', id="dynamicPath"),
    pytest.param({"dynamicTimeout": "0.5s"}, "dynamicTimeout", "write a duration of 1s to 1h", id="too short"),
    pytest.param({"onFailure": "Retry"}, "onFailure", '"Migrate", "Hold", "Rollback"', id="onFailure"),
    pytest.param({"migration": "Always"}, "migration", '"Allowed", "Never"', id="migration"),
    pytest.param({"removalPolicy": "Implicit"}, "removalPolicy", '"Explicit", "Declarative"', id="removalPolicy"),
    pytest.param({"companion": {"nudge": "yes"}}, "companion.nudge", "boolean", id="no boolean"),
    pytest.param({}, "", "", id="empty"),
    pytest.param({"migration": "Never", "companion": {"nudge": True}}, "", "", id="good"),
]


def policy_object(name: str = "default", **spec: Any) -> Json:
    return {
        "apiVersion": "nicplug.io/v1alpha1",
        "kind": "HotplugPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.mark.parametrize(("spec", "field", "remedy"), OF_OBJECT)
def test_the_schema_of_the_policy_object_refuses_as_well(sandbox: Sandbox, spec: Json, field: str, remedy: str) -> None:
    admin = sandbox.user("")
    code, answer = admin.request("POST", f"{admin.path(POLICY)}?dryRun=All", policy_object(**spec))
    if not field:
        assert code == 201, answer
        return
    assert code == 422
    assert f"spec.{field}" in answer["message"]
    assert remedy in answer["message"]


def test_a_policy_object_of_another_name_is_refused_with_the_name_that_counts(sandbox: Sandbox) -> None:
    admin = sandbox.user("")
    code, answer = admin.request("POST", f"{admin.path(POLICY)}?dryRun=All", policy_object("mine"))
    assert code == 422
    assert 'only the HotplugPolicy named "default" has an effect' in answer["message"]


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    """A command silences the logs of its process, which here is that of the next test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def of_object(sandbox: Sandbox) -> Iterator[SetPolicy]:
    """Replace the HotplugPolicy; without fields, and at the end, it is deleted."""
    admin = sandbox.user("")

    def write(**spec: Any) -> None:
        if admin.get(POLICY, "default"):
            admin.delete(POLICY, "default")
        if spec:
            admin.create(POLICY, policy_object(**spec))

    yield write
    write()


@pytest.mark.usefixtures("unharmed", "without_controllers", "_logs_as_before")
def test_the_policy_object_wins_until_it_is_deleted(user: User, set_policy: SetPolicy, of_object: SetPolicy) -> None:
    set_policy(migration="Allowed")
    of_object(migration="Never")
    user.create(VM, annotated("a", migration="Allowed"))
    user.until_running("a")
    until(lambda: "the cluster's is Never (spec.migration of HotplugPolicy default)" in problem(user))
    user.change(VM, "a", plug("blue"))
    until(lambda: user.record("a", "blue").get("reason") == "MigrationForbidden")
    assert "migration is Never (spec.migration of HotplugPolicy default)" in user.record("a", "blue")["message"]
    planned = CliRunner().invoke(
        main, ["plan", f"--kubeconfig={user.kubeconfig}", "--namespace", user.namespace, "a", "-o", "json"]
    )
    assert planned.exit_code == Exit.NO, planned.output
    rows = {row["name"]: (row["value"], row["origin"]) for row in json.loads(planned.stdout)["policy"]}
    assert rows["migration"] == ("Never", "spec.migration of HotplugPolicy default")
    of_object()
    user.until_ready("a", "blue")
    assert user.record("a", "blue")["path"] == "Migration"


@pytest.mark.usefixtures("unharmed")
def test_the_status_of_the_kubevirt_object_shows_the_policy_in_effect(sandbox: Sandbox, of_object: SetPolicy) -> None:
    admin = sandbox.user("kubevirt")

    def shown() -> str:
        status = (admin.get("kubevirts", "kubevirt") or {}).get("status") or {}
        return str(status.get("hotplug", {}).get("policy", {}).get("dynamicTimeout"))

    of_object(dynamicTimeout="25s")
    until(lambda: shown() == "25s")
    of_object()
    until(lambda: shown() == "10s")
