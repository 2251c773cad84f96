"""The image, built here with buildah, and a sandbox in which operator and API run from it."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.image.pod import pod_spec, restrictions, variables
from tests.integration.user import User
from tests.integration.waiting import until
from tests.manifests import nad
from tools.image import engines
from tools.image.command import run
from tools.image.commit import this_commit
from tools.image.engines import Storage

from nicplug_sandbox import controlplane, lifecycle
from nicplug_sandbox.api_process import SERVICE_ACCOUNT as API_ACCOUNT
from nicplug_sandbox.api_process import ApiProcess, install_api, start_api, stop_api
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.nicplug_process import ROOT
from nicplug_sandbox.operator_process import (
    NAMESPACE,
    OperatorProcess,
    install_operator,
    service_account_kubeconfig,
    start_operator,
    stop_operator,
    wait_until_leading,
)

TAG = "nicplug:image-test"
NEEDED = (*engines.PACKAGES, "podman", "runc")
USER = 65532
# Without a system that delegates cgroups, and without CAP_SYS_RESOURCE: podman's own limits would be refused.
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The built image, and podman to run it.

    Attributes:
        files: a folder whose files containers are given at the same path, readable for their user.
    """

    storage: Storage
    files: Path
    podman: list[str] = field(default_factory=list)

    def command(self, *, folder: str = "operator", name: str, options: tuple[str, ...] = ()) -> list[str]:
        """How to start a container of a Deployment, up to nicplug's own arguments.

        Args:
            folder: of the Deployment, as `pod_spec` has it.
            name: of the container.
            options: more of `podman run`.
        """
        spec = pod_spec(folder)
        settings = [f"--env={key}={value}" for key, value in variables(spec, namespace=NAMESPACE).items()]
        mount = f"--volume={self.files}:{self.files}:ro"
        given = ["--env=NICPLUG_*", *settings, mount, *restrictions(spec), *options]
        # Pods have a network of their own; this one shares the machine's, to reach its API server.
        return [*self.podman, "run", "--rm", f"--name={name}", "--network=host", *given, f"localhost/{TAG}"]

    def run(self, *arguments: str, options: tuple[str, ...] = ()) -> str:
        """What a container with the operator's restrictions writes to stdout."""
        return run([*self.command(name=f"once-{os.getpid()}", options=options), *arguments], seconds=60)

    def kubeconfig(self, *, admin: Path, account: str) -> Path:
        """One that acts as a ServiceAccount and that the container's user may read."""
        path = service_account_kubeconfig(admin=admin, path=self.files / f"{account}.kubeconfig", name=account)
        os.chown(path, USER, USER)
        return path


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """Built by `make image-test`: some minutes the first time, so `make test` goes without."""
    if not os.environ.get("NICPLUG_TEST_IMAGE"):
        pytest.skip("the image is built for `make image-test` alone")
    if lack := engines.buildah_missing(packages=NEEDED):
        pytest.skip(f"IMAGE TEST NOT RUN: {lack}. See docs/releasing.md.")
    storage = Storage(root=engines.cache() / "storage")
    engines.with_buildah(tag=TAG, commit=this_commit(), storage=storage)
    # Not below /tmp: pods have one of their own.
    files = Path(tempfile.mkdtemp(prefix="nicplug-image-", dir="/var/tmp"))
    files.chmod(0o755)
    settings = files / "containers.conf"
    settings.write_text(_CONTAINERS_CONF)
    options = ["--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=none"]
    made = Image(
        storage=storage,
        files=files,
        podman=["env", f"CONTAINERS_CONF={settings}", "podman", *storage.options, *options],
    )
    yield made
    shutil.rmtree(files, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A sandbox whose operator and API run from the image."""

    admin: Path
    directory: Path
    operator: OperatorProcess
    api: ApiProcess

    def user(self, namespace: str) -> User:
        """Somebody who may do everything, in a namespace with a network `lan`."""
        somebody = User(kubeconfig=self.admin, namespace=namespace)
        somebody.create("namespaces", {"metadata": {"name": namespace}})
        until(lambda: somebody.get("serviceaccounts", "default"))
        somebody.create("network-attachment-definitions", nad())
        return somebody


@pytest.fixture(scope="session")
def world(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything ended afterwards."""
    directory = tmp_path_factory.mktemp("sandbox")
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        admin = lifecycle.up(directory=directory, nodes=2, existing=None, progress=print).kubeconfig
        assert admin is not None
        install_operator(kubeconfig=admin)
        apply_manifests(kubeconfig=admin, paths=[ROOT / "examples" / "kubevirt.yaml"])
        # A container outlives a podman that is killed.
        stack.callback(run, [*image.podman, "rm", "--force", "--time=0", "--ignore", "operator", "api"])
        operator = start_operator(
            directory=directory,
            kubeconfig=image.kubeconfig(admin=admin, account="nicplug-operator"),
            command=image.command(name="operator"),
        )
        stack.callback(stop_operator, operator)
        wait_until_leading(operator)
        install_api(kubeconfig=admin)
        api = start_api(
            directory=directory,
            kubeconfig=image.kubeconfig(admin=admin, account=API_ACCOUNT),
            admin=admin,
            command=image.command(folder="api", name="api"),
        )
        stack.callback(stop_api, api)
        yield World(admin=admin, directory=directory, operator=operator, api=api)
