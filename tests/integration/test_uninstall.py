"""An installation that goes takes no guest along, and a purge leaves nothing; on a control plane of its own.

A minute or two, so only `make uninstall-test` runs it.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.integration.conftest import KUBEVIRT, Sandbox
from tests.integration.kubectl import ROOT, Kubectl
from tests.integration.read_only import ACCOUNT, reading_only
from tests.integration.user import POD, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad, vm

from nicplug_sandbox import controlplane, lifecycle, processes
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.operator_process import install_operator, service_account_kubeconfig

pytestmark = pytest.mark.skipif(
    not os.environ.get("NICPLUG_TEST_UNINSTALL"), reason="takes two minutes: make uninstall-test"
)
BASE = ROOT / "deploy" / "kustomize" / "base"
CRD = "customresourcedefinitions"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox in which the base is installed as users do it, with the operator as a process beside it."""
    directory = tmp_path_factory.mktemp("uninstalled")
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        status = lifecycle.up(directory=directory, nodes=2, existing=None, progress=print)
        assert status.kubeconfig is not None
        made = Sandbox(directory=directory, admin=status.kubeconfig, account=directory / "operator.kubeconfig")
        stack.callback(made.stop)
        install(made)
        yield made


def install(sandbox: Sandbox) -> None:
    """`kubectl apply -k`, and the operator by a fresh token of its account."""
    kubectl = Kubectl(kubeconfig=sandbox.admin)
    until(lambda: kubectl.run("apply", "-k", BASE).returncode == 0, seconds=60)
    # Nobody serves the API here: kubectl would complain, and no namespace could be deleted.
    kubectl.run("delete", "--ignore-not-found", "-f", BASE / "api" / "apiservices.yaml")
    install_operator(kubeconfig=sandbox.admin)
    apply_manifests(kubeconfig=sandbox.admin, paths=[KUBEVIRT])
    service_account_kubeconfig(admin=sandbox.admin, path=sandbox.account)
    sandbox.start()


@pytest.fixture(scope="module")
def user(sandbox: Sandbox) -> User:
    """The owner of a VM that shall outlive the installation."""
    somebody = sandbox.user("owner")
    somebody.create("namespaces", {"metadata": {"name": "owner"}})
    until(lambda: somebody.get("serviceaccounts", "default"))
    somebody.create("network-attachment-definitions", nad())
    body = vm("a")
    body["spec"]["template"]["spec"]["evictionStrategy"] = "LiveMigrate"
    somebody.create(VM, body)
    somebody.until_running("a")
    until(lambda: somebody.items("poddisruptionbudgets"))
    return somebody


def guest(user: User) -> tuple[str, str, str]:
    """uids of instance and pod, and the phase: what must not change."""
    return (user.get(VMI, "a") or {})["metadata"]["uid"], user.pod_of("a")["metadata"]["uid"], user.phase("a")


def nicplug(sandbox: Sandbox, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nicplug", "uninstall", "--kubeconfig", str(sandbox.admin), *arguments]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'sandbox'}"}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=environment)


def left(sandbox: Sandbox, *kinds: str) -> list[str]:
    """What nicplug's label still finds."""
    done = Kubectl(kubeconfig=sandbox.admin).run(
        "get", ",".join(kinds), "-A", "-l", "app.kubernetes.io/name=nicplug", "-o", "name"
    )
    return done.stdout.split()


INSTALLED = (
    *("deployments", "clusterroles", "clusterrolebindings", "validatingadmissionpolicies", "apiservices"),
    *("validatingadmissionpolicybindings", "validatingwebhookconfigurations", "namespaces"),
)


def test_kubectl_delete_stops_no_guest(sandbox: Sandbox, user: User) -> None:
    """The operator goes on for a while: a pod ends later than its ServiceAccount and its namespace."""
    before = guest(user)
    operator = sandbox.operator
    assert operator is not None
    error = Kubectl(kubeconfig=sandbox.admin).refused("delete", "-k", BASE, "--wait=false")
    assert error.count("nicplug uninstall --purge") == 4, error
    admin = sandbox.user("")
    until(lambda: admin.request("GET", "/api/v1/namespaces/nicplug-system")[0] == 404, seconds=60)
    until(lambda: operator.metric("nicplug_leader") == 0)
    assert '"event": "lease not written"' in operator.log.read_text()
    assert processes.is_alive(operator.process)
    assert operator.metric("nicplug_bugs_total") == 0
    assert "Traceback" not in operator.log.read_text()
    sandbox.stop()
    assert guest(user) == before
    install(sandbox)
    # What comes next takes the guest over.
    user.change(VM, "a", _plug)
    user.until_ready("a", "blue")
    assert guest(user) == before


def _plug(body: Json) -> None:
    spec = body["spec"]["template"]["spec"]
    spec["domain"]["devices"].setdefault("interfaces", []).append({"name": "blue", "bridge": {}})
    spec.setdefault("networks", []).append({"name": "blue", "multus": {"networkName": "lan"}})


def test_who_may_only_read_is_refused_by_the_missing_right(sandbox: Sandbox, user: User) -> None:
    before = left(sandbox, *INSTALLED)
    with reading_only(sandbox) as kubeconfig:
        done = nicplug(sandbox, "--yes", "--kubeconfig", str(kubeconfig))
    assert done.returncode == 4, done.stderr
    assert f'User "system:serviceaccount:{ACCOUNT}" cannot delete resource' in done.stderr
    assert left(sandbox, *INSTALLED) == before != []


def test_uninstall_keeps_guests_crds_and_their_guard(sandbox: Sandbox, user: User) -> None:
    before = guest(user)
    planned = json.loads(nicplug(sandbox, "-o", "json").stdout)
    assert (planned["done"], planned["virtualMachineObjectsKept"]) == (False, 2)
    assert left(sandbox, "deployments") != []
    sandbox.stop()
    done = nicplug(sandbox, "--yes")
    assert done.returncode == 0, done.stderr
    assert "deleted Deployment nicplug-operator -n nicplug-system" in done.stderr
    until(lambda: [name for name in left(sandbox, *INSTALLED) if "nicplug-crds" not in name] == [], seconds=60)
    assert [name.rpartition("/")[2] for name in left(sandbox, "validatingadmissionpolicies")] == ["nicplug-crds"]
    assert guest(user) == before
    error = Kubectl(kubeconfig=sandbox.admin).refused("delete", "crd", "virtualmachines.kubevirt.io", "--wait=false")
    assert "nicplug uninstall --purge" in error
    assert user.items("poddisruptionbudgets") != []
    install(sandbox)
    until(lambda: user.condition("a", "Ready").get("status") == "True")
    assert guest(user) == before


def test_purge_refuses_while_there_are_vms_and_leaves_nothing_when_told_to(sandbox: Sandbox, user: User) -> None:
    refused = nicplug(sandbox, "--purge", "--yes")
    assert refused.returncode == 7
    assert "2 objects of virtual machines are left" in refused.stderr
    assert user.phase("a") == "Running"
    done = nicplug(sandbox, "--purge", "--delete-vms", "--yes", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    until(lambda: left(sandbox, *INSTALLED, CRD) == [], seconds=60)
    assert user.items(POD) == []
    assert user.items("poddisruptionbudgets") == []
    assert nicplug(sandbox, "--purge").returncode == 0
    again = json.loads(nicplug(sandbox, "--purge", "--yes", "-o", "json").stdout)
    assert (again["done"], again["removed"]) == (True, [])
    sandbox.stop()


def test_purge_hangs_on_nothing_when_no_operator_is_there_to_end_guests(sandbox: Sandbox, user: User) -> None:
    install(sandbox)
    user.create(VM, vm("b"))
    user.until_running("b")
    sandbox.stop(grace_seconds=0)
    done = nicplug(sandbox, "--purge", "--delete-vms", "--yes", "--timeout", "5")
    assert done.returncode == 0, done.stderr
    assert "removing their finalizers" in done.stderr
    until(lambda: left(sandbox, *INSTALLED, CRD) == [], seconds=60)
    until(lambda: user.items(POD) == [], seconds=60)
