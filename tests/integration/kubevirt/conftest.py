"""A cluster run by the stand-in of KubeVirt: real kube-apiserver, simulated nodes, and nothing of nicplug."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.node_process import simulator
from tests.integration.user import Json, User
from tests.integration.waiting import until
from tests.manifests import nad

from nicplug_sandbox import controlplane, kubevirt, lifecycle

KUBEVIRT = Path(kubevirt.__file__).parent / "manifests"


@contextlib.contextmanager
def part(kubeconfig: Path, name: str) -> Iterator["subprocess.Popen[str]"]:
    """virt-controller (`controller`) or virt-api (`api`) as a process."""
    command = [sys.executable, "-m", "nicplug_sandbox.kubevirt", name, "--kubeconfig", str(kubeconfig)]
    with (kubeconfig.parent / f"kubevirt-{name}.log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ})
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["ready"]
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster.

    Attributes:
        admin: kubeconfig of an admin.
    """

    admin: Path

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
        stack.enter_context(part(plane.kubeconfig, "api"))
        stack.enter_context(part(plane.kubeconfig, "controller"))
        yield Cluster(admin=plane.kubeconfig)


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
