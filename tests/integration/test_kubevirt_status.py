"""The KubeVirt CR's status on a real API server: what `kubectl wait` and `kubectl get` show of it."""

from collections.abc import Iterator

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.kubectl import Kubectl
from tests.integration.user import Json, User
from tests.integration.waiting import until

KV = "kubevirts"


@pytest.fixture
def kubectl(sandbox: Sandbox) -> Kubectl:
    return Kubectl(kubeconfig=sandbox.admin, namespace="kubevirt")


@pytest.fixture
def admin(sandbox: Sandbox) -> User:
    return sandbox.user("kubevirt")


@pytest.fixture
def second(admin: User) -> Iterator[str]:
    """A younger KubeVirt CR beside the one that counts."""
    admin.create(KV, {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": {"name": "second"}, "spec": {}})
    yield "second"
    admin.delete(KV, "second")


def status(admin: User, name: str = "kubevirt") -> Json:
    return dict((admin.get(KV, name) or {}).get("status") or {})


def condition(admin: User, type_: str, name: str = "kubevirt") -> Json:
    rows = status(admin, name).get("conditions") or []
    return next((row for row in rows if row["type"] == type_), {})


def test_kubectl_wait_ends(kubectl: Kubectl, admin: User, unharmed: None) -> None:
    """`kubectl wait kv/kubevirt --for=condition=Available` never ended: there was no status."""
    told = kubectl("wait", "kv/kubevirt", "--for=condition=Available", "--timeout=30s")
    assert told == "kubevirt.kubevirt.io/kubevirt condition met\n"
    header, row = kubectl("get", "kv", "kubevirt").splitlines()
    assert (header.split(), row.split()[2]) == (["NAME", "AGE", "PHASE"], "Deployed")
    found = admin.get(KV, "kubevirt")
    assert found is not None
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert {row["type"]: row["status"] for row in found["status"]["conditions"]} == {
        "Created": "True",
        "Available": "True",
        "Progressing": "False",
        "Degraded": "False",
    }


def test_the_policy_and_the_nodes_are_said_at_a_glance(kubectl: Kubectl, admin: User, unharmed: None) -> None:
    # Written every ten seconds at most: nodes of other tests may still be counted.
    counts = ("nodes", "nodesWithController")
    until(lambda: [(status(admin).get("hotplug") or {}).get(name) for name in counts] == [2, 2])
    hotplug = status(admin)["hotplug"]
    assert hotplug["enabled"] is True
    assert hotplug["policy"]["dynamicPath"] == "Auto"
    header, row = kubectl("get", "kv", "kubevirt", "-o", "wide").splitlines()
    assert header.split()[3:] == ["NODES", "WITH-CONTROLLER", "HOTPLUG"]
    assert row.split()[3:5] == ["2", "2"]
    assert row.endswith("A dynamic networks controller is ready on 2 of 2 nodes.")


def test_a_change_of_the_policy_is_observed(sandbox: Sandbox, admin: User, unharmed: None) -> None:
    network = {"network": {"hotplug": {"dynamicPath": "Never"}}}
    admin.merge(KV, "kubevirt", {"spec": {"configuration": network}})
    try:
        until(lambda: status(admin)["hotplug"]["policy"]["dynamicPath"] == "Never")
        found = admin.get(KV, "kubevirt")
        assert found is not None
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    finally:
        admin.merge(KV, "kubevirt", {"spec": {"configuration": {"network": None}}})
    until(lambda: status(admin)["hotplug"]["policy"]["dynamicPath"] == "Auto")


def test_a_kubevirt_cr_without_effect_says_so(kubectl: Kubectl, admin: User, second: str, unharmed: None) -> None:
    row = until(lambda: condition(admin, "Synchronized", second))
    assert (row["status"], row["reason"]) == ("False", "ExistingDeployment")
    assert row["message"] == (
        "There is an active KubeVirt deployment. This KubeVirt CR has no effect: kubevirt in the same namespace is "
        "older and counts. To resolve this, delete one of the two."
    )
    assert condition(admin, "Available", second) == {}
    kubectl("wait", "kv/kubevirt", "--for=condition=Available", "--timeout=5s")


def test_the_status_of_kubevirts_own_cr_is_left_alone(sandbox: Sandbox, admin: User, unharmed: None) -> None:
    """virt-operator marks the CR before it reports: from then on the status is its own."""
    until(lambda: status(admin).get("phase") == "Deployed")
    mark = "kubevirt.io/latest-observed-api-version"
    admin.merge(KV, "kubevirt", {"metadata": {"annotations": {mark: "v1"}}})
    try:
        admin.merge(KV, "kubevirt", {"status": {"phase": "Deploying"}}, status=True)
        admin.merge(KV, "kubevirt", {"spec": {"imageTag": "v1.9.0"}})
        assert sandbox.operator is not None
        log = sandbox.operator.log
        until(lambda: "status of the KubeVirt CR is KubeVirt's" in log.read_text())
        assert status(admin)["phase"] == "Deploying"
    finally:
        admin.merge(KV, "kubevirt", {"metadata": {"annotations": {mark: None}}})
        admin.merge(KV, "kubevirt", {"spec": {"imageTag": None}})
    until(lambda: status(admin)["phase"] == "Deployed")


def test_the_operator_may_write_the_status_and_nothing_else_of_it(sandbox: Sandbox) -> None:
    kubectl = Kubectl(kubeconfig=sandbox.admin, namespace="kubevirt")
    account = ("--as", "system:serviceaccount:nicplug-system:nicplug-operator")
    status_too = "--subresource=status"
    assert kubectl.run("auth", "can-i", "patch", KV, status_too, *account).stdout == "yes\n"
    assert kubectl.run("auth", "can-i", "update", KV, status_too, *account).stdout == "no\n"
    for verb in ("patch", "update", "create", "delete"):
        assert kubectl.run("auth", "can-i", verb, KV, *account).stdout == "no\n", verb
    # Everybody may get it where the role kubevirt.io:default is installed: the operator's own role does not.
    rules = kubectl.get("clusterrole", "nicplug-operator")["rules"]
    assert [rule["verbs"] for rule in rules if "kubevirts" in rule["resources"]] == [["list", "watch"]]
