"""The sandbox as users have it: control plane, simulated nodes, and the operator with its ServiceAccount's rights."""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests import early_end
from tests.early_end import Wants
from tests.integration.rules import lifted
from tests.integration.user import Json, User
from tests.integration.waiting import until
from tests.manifests import nad

from nicplug_sandbox import controlplane, lifecycle, processes
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.guests import read_guests
from nicplug_sandbox.operator_process import (
    FENCES,
    ROOT,
    OperatorProcess,
    install_operator,
    service_account_kubeconfig,
    start_operator,
    stop_operator,
    wait_until_leading,
)
from nicplug_sandbox.policies import wait_for_policies

# Annotation on a Node that switches off this role of its node side.
CONTROLLER = "sandbox.nicplug.io/dynamic-networks-controller"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
KUBEVIRT = ROOT / "examples" / "kubevirt.yaml"
SetPolicy = Callable[..., None]
Lift = Callable[[], AbstractContextManager[None]]


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """A running sandbox.

    Attributes:
        admin: kubeconfig of the cluster admin.
        account: kubeconfig of the operator's ServiceAccount.
        operator: the running operator; None between a crash and the next start.
    """

    directory: Path
    admin: Path
    account: Path
    operator: OperatorProcess | None = None
    _starts: int = 0

    def start(self) -> OperatorProcess:
        """Start the operator and wait until it works."""
        self._starts += 1
        self.operator = start_operator(
            directory=self.directory, kubeconfig=self.account, name=f"operator-{self._starts}"
        )
        wait_until_leading(self.operator)
        return self.operator

    def stop(self, *, grace_seconds: float = 8.0) -> None:
        """End it; at once and without a word with a grace of 0."""
        if self.operator is not None:
            stop_operator(self.operator, grace_seconds=grace_seconds)
            self.operator = None

    def operator_requests(self) -> list[Json]:
        """Its requests for resources with its own token, from the audit log; not what a test asked in its name."""
        lines = (self.directory / "audit.log").read_text().splitlines()
        entries = (json.loads(line) for line in lines if ":nicplug-operator" in line)
        return [
            entry
            for entry in entries
            if entry["stage"] == "ResponseComplete"
            and entry["user"]["username"].endswith(":nicplug-operator")
            and "objectRef" in entry
        ]

    def guests(self) -> dict[str, Json]:
        """What each guest really has, by `namespace/name` of its VMI."""
        return read_guests(self.directory)

    def user(self, namespace: str) -> User:
        """Somebody who may do everything."""
        return User(kubeconfig=self.admin, namespace=namespace)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One per pytest worker, apart from the `control_plane` that other tests put objects of their own into."""
    directory = tmp_path_factory.mktemp("sandbox")
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        status = lifecycle.up(directory=directory, nodes=2, existing=None, progress=print)
        assert status.kubeconfig is not None
        install_operator(kubeconfig=status.kubeconfig)
        apply_manifests(kubeconfig=status.kubeconfig, paths=[KUBEVIRT])
        account = service_account_kubeconfig(admin=status.kubeconfig, path=directory / "operator.kubeconfig")
        made = Sandbox(directory=directory, admin=status.kubeconfig, account=account)
        stack.callback(made.stop)
        made.start()
        early_end.note(stack, last=Wants.SANDBOX)
        yield made


def a_user(sandbox: Sandbox) -> User:
    """Somebody with a namespace of his own, in which pods are admitted and a network `lan` exists."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    somebody = sandbox.user(namespace)
    somebody.create("namespaces", {"metadata": {"name": namespace}})
    until(lambda: somebody.get("serviceaccounts", "default"))
    somebody.create("network-attachment-definitions", nad())
    return somebody


@pytest.fixture
def user(sandbox: Sandbox) -> User:
    """Somebody with a namespace of his own."""
    return a_user(sandbox)


@pytest.fixture
def unharmed(sandbox: Sandbox) -> Iterator[None]:
    """The operator goes through the test as one process, and meets no bug."""
    operator = sandbox.operator or sandbox.start()
    yield
    assert processes.is_alive(operator.process)
    assert operator.metric("nicplug_bugs_total") == 0
    assert "Traceback" not in operator.log.read_text()


@pytest.fixture
def without_fences(sandbox: Sandbox) -> Iterator[None]:
    """The fence against tenants left out, for what nicplug itself must withstand; put back at the end."""
    admin = sandbox.user("default")
    metadata = {"name": "probe", "labels": {"kubevirt.io": "virt-launcher"}}
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "none", "image": "none"}]}}
    assert admin.request("DELETE", f"{BINDINGS}/nicplug-launcher-pods")[0] == 200
    until(lambda: admin.request("POST", f"{admin.path('pods')}?dryRun=All", pod)[0] == 201)
    yield
    apply_manifests(kubeconfig=sandbox.admin, paths=[FENCES])
    wait_for_policies(kubeconfig=sandbox.admin)


@pytest.fixture(scope="session")
def before_rules(sandbox: Sandbox) -> Lift:
    """Objects that are written meanwhile are stored as before the CRDs had rules; afterwards the rules are back."""
    return partial(lifted, sandbox.admin)


@pytest.fixture
def set_gates(sandbox: Sandbox) -> Iterator[Callable[..., None]]:
    """Replace the feature gates of the KubeVirt CR; put right at the end."""
    admin = sandbox.user("kubevirt")

    def write(*gates: str) -> None:
        configuration = {"developerConfiguration": {"featureGates": list(gates)}}
        admin.merge("kubevirts", "kubevirt", {"spec": {"configuration": configuration}})

    yield write
    apply_manifests(kubeconfig=sandbox.admin, paths=[KUBEVIRT])


@pytest.fixture
def set_policy(sandbox: Sandbox) -> Iterator[SetPolicy]:
    """Replace the policy in the KubeVirt CR; put right at the end."""
    admin = sandbox.user("kubevirt")

    def write(**block: Any) -> None:
        admin.change("kubevirts", "kubevirt", lambda body: _configuration(body).update(network={"hotplug": block}))

    yield write
    admin.change("kubevirts", "kubevirt", lambda body: _configuration(body).pop("network", None))
    apply_manifests(kubeconfig=sandbox.admin, paths=[KUBEVIRT])


def _configuration(body: Json) -> Json:
    configuration: Json = body["spec"]["configuration"]
    return configuration


@pytest.fixture
def without_controller(sandbox: Sandbox) -> Iterator[None]:
    """No dynamic networks controller on node02."""
    with no_controller_on(sandbox, "node02"):
        yield


@pytest.fixture
def without_controllers(sandbox: Sandbox) -> Iterator[None]:
    """No dynamic networks controller anywhere."""
    with no_controller_on(sandbox, "node01", "node02"):
        yield


@contextlib.contextmanager
def no_controller_on(sandbox: Sandbox, *nodes: str) -> Iterator[None]:
    """Waits, both ways, for the DaemonSet, which follows the annotation of a node after a moment."""
    admin = sandbox.user("")
    for node in nodes:
        admin.merge("nodes", node, {"metadata": {"annotations": {CONTROLLER: "absent"}}})
    until(lambda: nodes_with_controller(sandbox).isdisjoint(nodes))
    yield
    for node in nodes:
        admin.merge("nodes", node, {"metadata": {"annotations": {CONTROLLER: None}}})
    until(lambda: nodes_with_controller(sandbox).issuperset(nodes))


def nodes_with_controller(sandbox: Sandbox) -> set[str]:
    """Where a pod of the dynamic networks controller is."""
    pods = sandbox.user("kube-system").items("pods", selector="app=dynamic-networks-controller")
    return {pod["spec"].get("nodeName", "") for pod in pods}
