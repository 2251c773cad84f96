"""A fresh kind cluster for each file of tests, where Docker runs; elsewhere every test skips and says why."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tools.image.engines import docker_missing

from nicplug_sandbox import kubectl

# What pytest-kind downloads where there is no kind on the PATH; its own default is years old.
KIND_VERSION = "v0.33.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A running kind cluster.

    Attributes:
        name: of the cluster; its only node is the Docker container `NAME-control-plane`.
        kubeconfig: of its admin.
        handle: pytest-kind's own object.
    """

    name: str
    kubeconfig: Path
    handle: Any

    @property
    def node(self) -> str:
        """Name of its node, which is that of a Docker container."""
        return f"{self.name}-control-plane"


@pytest.fixture(scope="module")
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    """One that is deleted afterwards."""
    if lack := docker_missing():
        pytest.skip(f"END-TO-END TEST NOT RUN: {lack}. It needs Docker; see docs/development.md.")
    folder = tmp_path_factory.mktemp("kind")
    found = shutil.which("kind")
    name = f"nicplug-{request.path.stem.removeprefix('test_').replace('_', '-')}-{os.getpid()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        if "KIND_VERSION" not in os.environ:
            patch.setenv("KIND_VERSION", KIND_VERSION)
        # Here, not above: the module imports an HTTP client, and reads the variable at its import.
        from pytest_kind import KindCluster

        cluster = KindCluster(
            name,
            kubeconfig=folder / "kubeconfig",
            image=os.environ.get("NICPLUG_KIND_IMAGE"),
            kind_path=Path(found) if found else None,
            kubectl_path=kubectl.executable(),
        )
        try:
            cluster.create()
            yield Kind(name=name, kubeconfig=folder / "kubeconfig", handle=cluster)
        finally:
            cluster.delete()
