"""The demonstration's scenario on a cluster that is not ours: kind, where Docker runs.

API server, scheduler and controllers are kind's; the nodes that run virtual machines are simulated, since
kind has neither Multus nor a guest. So this proves the operator, its CRDs and its rights on a stock cluster.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nicplug_sandbox import demo, kubectl
from nicplug_sandbox.screen import screen

CLUSTER = f"nicplug-e2e-{os.getpid()}"
DOCKER_SECONDS = 20
# What pytest-kind downloads where there is no kind on the PATH; its own default is years old.
KIND_VERSION = "v0.33.0"


def missing() -> str:
    """What this machine lacks for kind, "" for nothing."""
    docker = shutil.which("docker")
    if docker is None:
        return "there is no docker command"
    try:
        asked = subprocess.run([docker, "info"], capture_output=True, text=True, timeout=DOCKER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"`docker info` did not answer within {DOCKER_SECONDS} s"
    lines = (asked.stderr.strip() or asked.stdout.strip()).splitlines()
    return "" if asked.returncode == 0 else f"`docker info` failed: {lines[-1] if lines else asked.returncode}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of a fresh kind cluster, deleted afterwards."""
    if lack := missing():
        pytest.skip(f"END-TO-END TEST NOT RUN: {lack}. It needs Docker; see docs/development.md.")
    folder = tmp_path_factory.mktemp("kind")
    found = shutil.which("kind")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        if "KIND_VERSION" not in os.environ:
            patch.setenv("KIND_VERSION", KIND_VERSION)
        # Here, not above: the module imports an HTTP client, and reads the variable at its import.
        from pytest_kind import KindCluster

        kind = KindCluster(
            CLUSTER,
            kubeconfig=folder / "kubeconfig",
            image=os.environ.get("NICPLUG_KIND_IMAGE"),
            kind_path=Path(found) if found else None,
            kubectl_path=kubectl.executable(),
        )
        try:
            kind.create()
            yield folder / "kubeconfig"
        finally:
            kind.delete()


@pytest.mark.timeout(900)
def test_running_vms_get_nics_on_kind(cluster: Path) -> None:
    shown = screen()
    with demo.set_up(screen=shown, existing=cluster) as stage:
        figures = stage.play(shown)
    plugged = "domain, multus-status"
    assert figures.sources("vmi-fedora") == {"defaultnetwork": "domain", "dyniface1": plugged}
    assert figures.sources("vm-fedora") == {"defaultnetwork": "domain", "dyniface2": plugged}
