"""The image and the chart on kind, with the real Multus and dynamic networks controller: a NIC reaches a running pod.

kubelet, CNI and both controllers are real. Only virt-handler is missing, which the test plays: it says that the guest
runs, and later that it has the NIC.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chart import CHART, NAMESPACE, helm
from tests.e2e.conftest import Kind
from tests.e2e.node_networks import DYNAMIC_NETWORKS_CONTROLLER, MULTUS
from tests.integration.by_hand import Hand
from tests.integration.user import NAD, VMI, User
from tests.integration.waiting import until
from tests.manifests import nad, plug, unplug, vmi
from tools.image.commit import this_commit
from tools.image.engines import with_docker

from nicplug_sandbox.kubectl import Kubectl

pytestmark = pytest.mark.timeout(1200)

REPOSITORY, TAG = "docker.io/library/nicplug", "e2e"
# Runs as long as its pod does, and has nothing in it.
LAUNCHER = "registry.k8s.io/pause:3.10@sha256:ee6521f290b2168b6e0935a181d4cff9be1ac3f505666ef0e3c98fae8199917a"
# Of the plugins that kind's nodes have, the one that needs nothing of the node.
NETWORK = {
    "cniVersion": "0.3.1",
    "name": "lan",
    "type": "ptp",
    "ipam": {"type": "host-local", "subnet": "10.99.0.0/24"},
}
# Images are pulled meanwhile.
ROLLOUT_SECONDS = 300


@pytest.fixture(scope="module")
def admin(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """The cluster with everything installed as docs/install.md says; on a failure its state is in the report."""
    kubectl = Kubectl(kubeconfig=kind.kubeconfig, cache=tmp_path_factory.mktemp("kubectl"))
    for pinned in (MULTUS, DYNAMIC_NETWORKS_CONTROLLER):
        run(kubectl, "apply", "-f", "-", stdin=pinned.download())
        # The second one mounts the socket of the first.
        rollout(kubectl, f"daemonset/{pinned.daemon_set}", namespace="kube-system")
    with_docker(tag=f"nicplug:{TAG}", commit=this_commit())
    kind.handle.load_docker_image(f"nicplug:{TAG}")
    install(kind.kubeconfig)
    for name in ("nicplug-operator", "nicplug-api"):
        rollout(kubectl, f"deployment/{name}", namespace=NAMESPACE)
    yield kubectl
    print(run(kubectl, "get", "pods", "--all-namespaces", "-o", "wide"))
    print(run(kubectl, "logs", f"--namespace={NAMESPACE}", "deployment/nicplug-operator", "--tail=200"))


def install(kubeconfig: Path) -> None:
    """The chart with the image that was loaded."""
    settings = (
        f"image.repository={REPOSITORY}", f"image.tag={TAG}", "image.pullPolicy=Never", "kubevirt.create=true",
        f"operator.settings.launcherImage={LAUNCHER}",
    )  # fmt: skip
    given = [argument for setting in settings for argument in ("--set", setting)]
    where = (f"--namespace={NAMESPACE}", "--create-namespace", f"--kubeconfig={kubeconfig}")
    helm("install", "nicplug", CHART, *where, *given, "--wait", "--timeout=5m", seconds=360)


def run(kubectl: Kubectl, *arguments: str, stdin: str | None = None) -> str:
    """What kubectl prints; fails with what it says."""
    done = kubectl.run(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def rollout(kubectl: Kubectl, name: str, *, namespace: str) -> None:
    """Wait until its pods are ready."""
    question = ("rollout", "status", name, f"--namespace={namespace}", f"--timeout={ROLLOUT_SECONDS}s")
    done = kubectl.run(*question, seconds=ROLLOUT_SECONDS + 10)
    assert done.returncode == 0, done.stderr


def links(kind: Kind) -> str:
    """The network interfaces of every pod, as the kernel of the node has them."""
    script = 'for netns in /var/run/netns/*; do nsenter --net="$netns" ip -o link; done'
    command = ["docker", "exec", kind.node, "sh", "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def user(admin: Kubectl, kind: Kind) -> User:
    """Somebody with a namespace and a network of their own."""
    somebody = User(kubeconfig=kind.kubeconfig, namespace="e2e")
    somebody.create("namespaces", {"metadata": {"name": "e2e"}})
    until(lambda: somebody.get("serviceaccounts", "default"))
    somebody.create(NAD, nad() | {"spec": {"config": json.dumps(NETWORK)}})
    return somebody


def test_a_nic_is_plugged_into_a_running_launcher_pod_and_out_again(user: User, kind: Kind, admin: Kubectl) -> None:
    user.create(VMI, vmi("a"))
    until(lambda: user.phase("a") == "Scheduled", seconds=ROLLOUT_SECONDS)
    hand = Hand(user, "a")
    hand.guest("main")
    user.until_running("a")
    pod = user.pod_of("a")["metadata"]["name"]

    user.change(VMI, "a", plug("blue"))
    until(lambda: user.row("a", "blue").get("infoSource") == "multus-status", seconds=60)
    record = user.record("a", "blue")
    assert (record["operation"], record["path"]) == ("Plug", "Dynamic")
    link = user.row("a", "blue")["podInterfaceName"]
    assert f" {link}@" in links(kind)
    hand.guest("main", "blue")
    user.until_ready("a", "blue")
    assert user.pod_of("a")["metadata"]["name"] == pod

    user.change(VMI, "a", unplug("blue"))
    until(lambda: user.record("a", "blue").get("reason") == "WaitingForGuestRelease")
    hand.guest("main")
    until(lambda: f" {link}@" not in links(kind), seconds=60)


def test_doctor_finds_nothing_missing(admin: Kubectl, kind: Kind) -> None:
    """`helm test`: nicplug doctor in a pod of the image."""
    where = (f"--namespace={NAMESPACE}", f"--kubeconfig={kind.kubeconfig}")
    done = helm("test", "nicplug", *where, "--logs", "--timeout=3m", check=False, seconds=240)
    assert done.returncode == 0, done.stdout + done.stderr
