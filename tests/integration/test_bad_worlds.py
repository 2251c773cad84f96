"""The cluster around the operator breaks: one process goes on, says what is wrong, and serves again without help."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.integration.conftest import KUBEVIRT, Sandbox
from tests.integration.kubectl import Kubectl
from tests.integration.user import VM, User
from tests.integration.waiting import until
from tests.manifests import plug, vm

from nicplug_sandbox import controlplane, processes
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.operator_process import BASE, ROOT, OperatorProcess

ROLE = BASE / "clusterrole.yaml"
# Deeper than Python's parser can go, and accepted by kube-apiserver, which stops at 10,000.
DEPTH = 3_000


@pytest.fixture
def operator(sandbox: Sandbox) -> Iterator[OperatorProcess]:
    """The running operator; it must outlive the test."""
    running = sandbox.operator or sandbox.start()
    yield running
    apply_manifests(kubeconfig=sandbox.admin, paths=[ROLE, ROOT / "crds", KUBEVIRT])
    assert processes.is_alive(running.process)
    assert "Traceback" not in running.log.read_text()


@pytest.fixture
def kubectl(sandbox: Sandbox) -> Kubectl:
    """As cluster admin."""
    return Kubectl(kubeconfig=sandbox.admin)


def said(operator: OperatorProcess, event: str, **fields: str) -> list[dict[str, Any]]:
    """Its log lines with that message and these fields."""
    lines = (json.loads(line) for line in operator.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event and fields.items() <= line.items()]


def set_verbs(kubectl: Kubectl, *verbs: str) -> None:
    """What the operator may do with pods."""
    role = json.loads(kubectl("get", "clusterrole", "nicplug-operator", "--output=json"))
    for rule in role["rules"]:
        if rule["resources"] == ["pods"]:
            rule["verbs"] = list(verbs)
    kubectl("replace", "--filename=-", stdin=role)


def test_an_object_too_deep_for_python_stops_nobody_and_no_restart(
    user: User, sandbox: Sandbox, kubectl: Kubectl
) -> None:
    """It ended the watch, the process, and every process that came after it: one tenant stopped all others."""
    user.create(VM, vm("a"))
    user.until_running("a")
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", **vm("deep")}
    body["metadata"]["namespace"] = user.namespace
    body["spec"]["template"]["spec"]["domain"]["firmware"] = "DEEP"
    deep = json.dumps(body).replace('"DEEP"', '{"a":' * DEPTH + "1" + "}" * DEPTH)
    path = sandbox.directory / "deep.json"
    path.write_text(deep)
    kubectl("create", "--filename", path)
    name = f"{user.namespace}/deep"
    status = ("--namespace", user.namespace, "--output=jsonpath={.status.printableStatus}")
    # Not by `user`, who reads it with Python.
    until(lambda: kubectl("get", "vm", "deep", *status) == "Running")
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    sandbox.stop()
    operator = sandbox.start()
    assert said(operator, "object nested too deep; read without its depths", object=name)
    user.change(VM, "a", plug("green"))
    user.until_ready("a", "green")
    kubectl("delete", "vm", "deep", "--namespace", user.namespace)
    assert processes.is_alive(operator.process)
    assert "Traceback" not in operator.log.read_text()


def test_a_missing_permission_is_named_in_log_and_condition_and_used_soon_after_it_is_given(
    user: User, kubectl: Kubectl, operator: OperatorProcess
) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    set_verbs(kubectl, "get", "list", "watch", "create", "delete")
    user.change(VM, "a", plug("blue"))
    until(lambda: user.record("a", "blue").get("phase") == "Failed")
    assert 'cannot patch resource "pods"' in user.record("a", "blue")["message"]
    assert user.condition("a", "Synchronized")["status"] == "False"
    assert user.condition("a", "InterfacesReady")["status"] == "False"
    key = f"{user.namespace}/a"
    assert "manifests" in said(operator, "request refused", key=key)[0]["remedy"]
    apply_manifests(kubeconfig=kubectl.kubeconfig, paths=[ROLE])
    until(lambda: user.record("a", "blue").get("phase") == "Ready", seconds=35)
    assert len(said(operator, "request refused", key=key)) == 1


def test_a_crd_that_is_deleted_for_a_moment_is_watched_again(
    user: User, sandbox: Sandbox, kubectl: Kubectl, operator: OperatorProcess
) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    kubectl("annotate", "crd", "kubevirts.kubevirt.io", "nicplug.io/allow-deletion=true")
    kubectl("delete", "crd", "kubevirts.kubevirt.io")
    # An open watch outlives its CRD for minutes, and hears of the next one too; a new one meets 404.
    controlplane.restart(directory=sandbox.directory)
    until(lambda: said(operator, "watch interrupted", resource="kubevirts"))
    user.change(VM, "a", plug("blue"))
    until(lambda: user.record("a", "blue").get("reason") == "KubevirtCRMissing")
    apply_manifests(kubeconfig=kubectl.kubeconfig, paths=[ROOT / "crds", KUBEVIRT])
    user.until_ready("a", "blue")
    assert "kubectl apply -f crds/" in said(operator, "watch interrupted", resource="kubevirts")[-1]["remedy"]


def test_a_kubevirt_cr_in_a_tenant_s_namespace_changes_nothing_and_is_told_why(
    user: User, kubectl: Kubectl, operator: OperatorProcess
) -> None:
    """The oldest of the cluster counted, wherever it lay: the first to make one decided for everybody."""
    user.create(VM, vm("a"))
    user.until_running("a")
    second = {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": {"name": "second"}, "spec": {}}
    kubectl("create", "--namespace", user.namespace, "--filename=-", stdin=second)
    kubectl("delete", "--namespace=kubevirt", "kubevirt", "kubevirt")
    apply_manifests(kubeconfig=kubectl.kubeconfig, paths=[KUBEVIRT])
    until(lambda: said(operator, "KubeVirt CR has no effect"))
    line = said(operator, "KubeVirt CR has no effect")[-1]
    assert line["kubevirt"] == f"{user.namespace}/second"
    assert line["remedy"].startswith("delete it if a tenant made it")
    until(lambda: [item for item in user.items("events") if item["reason"] == "KubeVirtIgnored"])
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    kubectl("delete", "--namespace", user.namespace, "kubevirt", "second")


def test_an_outage_is_a_handful_of_lines_and_everything_waiting_is_served_after_it(
    user: User, sandbox: Sandbox, operator: OperatorProcess
) -> None:
    names = [f"a{index}" for index in range(5)]
    for name in names:
        user.create(VM, vm(name))
    for name in names:
        user.until_running(name)
    before = len(operator.log.read_text().splitlines())
    controlplane.restart(directory=sandbox.directory, down_seconds=6)
    during = operator.log.read_text().splitlines()[before:]
    for name in names:
        until(partial(user.get, VM, name))
        user.change(VM, name, plug("blue"))
    for name in names:
        user.until_ready(name, "blue")
    # Each watch was tried every second or two by itself, in 30 KiB of lines.
    assert len([line for line in during if '"warning"' in line or '"error"' in line]) <= 12, during
