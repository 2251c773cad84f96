"""A cluster run by the stand-in of KubeVirt: real kube-apiserver, simulated nodes, and nothing of nicplug."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.integration.kubevirt.own_writes import foreign_writes
from tests.integration.node_process import simulator
from tests.integration.user import POD, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad

from nicplug_sandbox import audit, controlplane, kubevirt, lifecycle

KUBEVIRT = Path(kubevirt.__file__).parent / "manifests"


@dataclass(slots=True, kw_only=True)
class Cluster:
    """The cluster, whose parts of KubeVirt can be ended and started.

    Attributes:
        admin: kubeconfig of an admin.
    """

    admin: Path
    _parts: dict[str, "subprocess.Popen[str]"] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start virt-controller (`controller`) or virt-api (`api`); returns when it serves."""
        command = [sys.executable, "-m", "nicplug_sandbox.kubevirt", name, "--kubeconfig", str(self.admin)]
        with (self.admin.parent / f"kubevirt-{name}.log").open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ})
        assert process.stdout is not None
        self._parts[name] = process
        assert json.loads(process.stdout.readline())["ready"]

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a part, by default as a rolling update does."""
        process = self._parts.pop(name)
        process.send_signal(number)
        assert process.wait(timeout=10) == (0 if number == signal.SIGTERM else -number)

    def end_all(self) -> None:
        """End what runs."""
        for name in list(self._parts):
            self.end(name)

    def log(self, name: str) -> str:
        """What a part of the stand-in has logged."""
        return (self.admin.parent / f"kubevirt-{name}.log").read_text()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One per worker; no dynamic networks controller on node02 and node03."""
    directory = tmp_path_factory.mktemp("kubevirt")
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        plane = controlplane.start(
            directory=directory, progress=print, manifests=[lifecycle.MANIFESTS / NADS, KUBEVIRT]
        )
        options = ["--nodes", "3", "--no-vmi-status-subresource", "--dynamic-controller-nodes", "node01"]
        stack.enter_context(simulator(plane.kubeconfig, *options))
        running = Cluster(admin=plane.kubeconfig)
        stack.callback(running.end_all)
        running.start("api")
        running.start("controller")
        yield running


@pytest.fixture(scope="module", autouse=True)
def only_own_writes(cluster: Cluster) -> Iterator[None]:
    """nicplug, where a module runs it, has written to its own objects alone; looked at when it has ended."""
    log = cluster.admin.parent / "audit.log"
    since = log.stat().st_size
    yield
    assert foreign_writes(audit.entries(log, offset=since)) == []


NADS = "network-attachment-definition.yaml"


@pytest.fixture
def user(cluster: Cluster) -> User:
    """Somebody with a namespace of his own and a network `lan`."""
    namespace = f"kv-{os.urandom(4).hex()}"
    somebody = User(kubeconfig=cluster.admin, namespace=namespace)
    somebody.create("namespaces", {"metadata": {"name": namespace}})
    until(lambda: somebody.get("serviceaccounts", "default"))
    somebody.create("network-attachment-definitions", nad())
    return somebody


def status_of(obj: Json | None) -> Json:
    """The status; empty without an object, or before a controller has written the first."""
    found: Json = (obj or {}).get("status") or {}
    return found


def conditions(obj: Json) -> dict[str, str]:
    """Status by type."""
    return {item["type"]: item["status"] for item in status_of(obj).get("conditions") or ()}


@pytest.fixture(autouse=True)
def unharmed(cluster: Cluster, user: User) -> Iterator[None]:
    """The stand-in meets no bug; what a test has made does not disturb the next."""
    before = {process: len(cluster.log(process)) for process in ("controller", "api")}
    yield
    for machine in user.items(VM):
        # One that a test has deleted may end in between.
        user.request("DELETE", user.path(VM, machine["metadata"]["name"]))
    until(lambda: not user.items(VMI) and not user.items(POD))
    log = "".join(cluster.log(process)[length:] for process, length in before.items())
    assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:3000]


@pytest.fixture
def kubevirt_cr(cluster: Cluster) -> Iterator[User]:
    """The admin of the KubeVirt CR, which is as before at the end."""
    admin = User(kubeconfig=cluster.admin, namespace="kubevirt")
    before = admin.get("kubevirts", "kubevirt")
    assert before is not None
    yield admin
    admin.change("kubevirts", "kubevirt", lambda body: body.update(spec=before["spec"]))
    version = {"observedKubeVirtVersion": before["status"]["observedKubeVirtVersion"]}
    admin.merge("kubevirts", "kubevirt", {"status": version}, status=True)
