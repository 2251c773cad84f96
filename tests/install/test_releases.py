"""What an admin does with releases of the chart: install, upgrade, roll back, remove; and what the chart refuses.

Each test begins with whatever the one before has left, in the order of the file.
"""

import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart import BASE, ROOT
from tests.install.cluster import NAMESPACE, RELEASE, Cluster
from tests.integration.waiting import until

VM = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {"runStrategy": "Halted", "template": {"spec": {"domain": {"devices": {}}}}},
}
# What the API server registers for every group of CRDs.
OF_ANY_KIND = {"APIService <none> v1.kubevirt.io", "APIService <none> v1alpha1.nicplug.io"}
DEFINITIONS = [yaml.safe_load(path.read_text())["metadata"]["name"] for path in (ROOT / "crds").glob("*.yaml")]
# A Secret holds a MiB.
LARGEST_RELEASE = 2**19


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> set[str]:
    """What a cluster has without nicplug."""
    return cluster.objects()


@pytest.fixture(scope="module")
def uid(cluster: Cluster, before: set[str]) -> str:
    """Of a VirtualMachine that must outlive everything; made when nicplug has been installed for the first time."""
    until(lambda: cluster.kubectl.run("create", "-f", "-", stdin=VM).returncode == 0)
    return uid_of_vm(cluster)


def uid_of_vm(cluster: Cluster) -> str:
    return str(cluster.get("virtualmachine", "kept", "--namespace=default")["metadata"]["uid"])


def another_version(cluster: Cluster, folder: Path) -> Path:
    """The chart of a later release, which has one more field in a CRD."""
    with tarfile.open(cluster.chart) as archive:
        archive.extractall(folder, filter="data")
    chart = folder / "nicplug"
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**described, "version": "0.2.0", "appVersion": "0.2.0"}))
    path = chart / "files" / "crds" / "virtualmachines.yaml"
    definition = yaml.safe_load(path.read_text())
    status(definition)["addedByTheNextRelease"] = {"type": "string"}
    path.write_text(yaml.safe_dump(definition))
    return chart


def settled(is_so: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for the garbage collector; what is not so then is for the test to say."""
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.5)


def status(definition: Any) -> Any:
    (version,) = definition["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]


def added_field(cluster: Cluster) -> bool:
    return "addedByTheNextRelease" in status(cluster.get("customresourcedefinition", "virtualmachines.kubevirt.io"))


def replicas(cluster: Cluster) -> int:
    return int(cluster.get("deployment", "nicplug-operator", f"--namespace={NAMESPACE}")["spec"]["replicas"])


def gates(cluster: Cluster) -> list[str]:
    found = cluster.get("kubevirt", "kubevirt", "--namespace=kubevirt")
    return list(found["spec"]["configuration"]["developerConfiguration"]["featureGates"])


def test_one_command_installs_all_of_it_on_a_fresh_cluster(cluster: Cluster, before: set[str]) -> None:
    notes = cluster.install("--set=kubevirt.create=true")
    assert "KubeVirt object kubevirt/kubevirt has been created, with the feature gates HotplugNICs" in notes
    assert gates(cluster) == ["HotplugNICs"]
    manifest = cluster.succeed("get", "manifest", RELEASE)
    wanted = [item for item in yaml.safe_load_all(manifest) if item]
    found = cluster.kubectl.run(
        "get", "-f", "-", "-o", "name", stdin={"kind": "List", "apiVersion": "v1", "items": wanted}
    )
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.split()) == len(wanted) > 40


def test_a_release_fits_into_its_secret(cluster: Cluster, uid: str) -> None:
    secret = cluster.get("secret", f"sh.helm.release.v1.{RELEASE}.v1", f"--namespace={NAMESPACE}")
    assert len(secret["data"]["release"]) < LARGEST_RELEASE


def test_an_upgrade_upgrades_the_crds_and_a_rollback_takes_them_back(
    cluster: Cluster, uid: str, tmp_path: Path
) -> None:
    chart = another_version(cluster, tmp_path)
    assert not added_field(cluster)
    cluster.upgrade("--reset-then-reuse-values", "--set=operator.replicas=3", chart=chart)
    assert (added_field(cluster), replicas(cluster), uid_of_vm(cluster)) == (True, 3, uid)
    cluster.succeed("rollback", RELEASE)
    assert (added_field(cluster), replicas(cluster), uid_of_vm(cluster)) == (False, 2, uid)


def test_the_kubevirt_object_is_the_admins(cluster: Cluster, uid: str) -> None:
    """A gate that was added by hand went with the next upgrade."""
    patch = '{"spec":{"configuration":{"developerConfiguration":{"featureGates":["HotplugNICs","Mine"]}}}}'
    cluster.kubectl.run("patch", "kubevirt", "kubevirt", "--namespace=kubevirt", "--type=merge", "-p", patch)
    notes = cluster.upgrade("--set=kubevirt.create=true", "--set=kubevirt.featureGates={Other}")
    assert "KubeVirt object kubevirt/kubevirt was there already and is left as it is. Hot-plug is on." in notes
    assert gates(cluster) == ["HotplugNICs", "Mine"]


def test_a_second_installation_is_refused(cluster: Cluster, uid: str) -> None:
    error = cluster.refuse("install", "second", cluster.chart, "--create-namespace", namespace="elsewhere")
    assert f"nicplug is installed in namespace {NAMESPACE} already; a cluster has one" in error
    for options in ((), ("--take-ownership",)):  # with which both releases had the same objects
        error = cluster.refuse("install", "second", cluster.chart, *options)
        assert f"nicplug is installed in namespace {NAMESPACE} already, as Helm release {RELEASE}; a cluster" in error


def test_uninstalling_leaves_virtual_machines_and_no_orphan(cluster: Cluster, before: set[str], uid: str) -> None:
    told = cluster.uninstall()
    assert "[CustomResourceDefinition] virtualmachines.kubevirt.io" in told
    kept = {
        f"Namespace <none> {NAMESPACE}",
        "Namespace <none> kubevirt",
        "KubeVirt kubevirt kubevirt",
        "VirtualMachine default kept",
        *(f"CustomResourceDefinition <none> {name}" for name in DEFINITIONS),
    }
    wanted = before | kept | OF_ANY_KIND
    settled(lambda: cluster.objects() == wanted)
    assert cluster.objects() == wanted
    assert uid_of_vm(cluster) == uid


def test_the_next_release_takes_everything_over(cluster: Cluster, uid: str, tmp_path: Path) -> None:
    """And is a later one."""
    notes = cluster.install("--set=kubevirt.create=true", chart=another_version(cluster, tmp_path))
    assert "was there already" in notes
    assert (added_field(cluster), uid_of_vm(cluster)) == (True, uid)
    cluster.uninstall()


def test_helm_takes_over_from_kustomize(cluster: Cluster, uid: str) -> None:
    until(lambda: cluster.kubectl.run("apply", "--server-side", "--force-conflicts", "-k", BASE).returncode == 0)
    deployment = ("deployment", "nicplug-operator", f"--namespace={NAMESPACE}")
    made = cluster.get(*deployment)["metadata"]["uid"]
    assert "exists and cannot be imported" in cluster.refuse("install", RELEASE, cluster.chart)
    cluster.install("--take-ownership")
    found = cluster.get(*deployment)
    assert (found["metadata"]["uid"], uid_of_vm(cluster)) == (made, uid)
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nicplug:0.1.0"
    cluster.uninstall()


class TestBesideKubevirt:
    """Its remains and itself, by what virt-operator writes on them."""

    @pytest.fixture(autouse=True)
    def theirs(self, cluster: Cluster, uid: str) -> None:
        """The CRDs, as if KubeVirt had installed them."""
        labels = ("app.kubernetes.io/managed-by=virt-operator", "kubevirt.io=", "app.kubernetes.io/name-")
        command = ("label", "--overwrite", "crd", "-l", "app.kubernetes.io/name=nicplug", *labels)
        until(lambda: cluster.kubectl.run(*command).returncode == 0)

    def test_it_does_not_install_over_its_crds(self, cluster: Cluster) -> None:
        error = cluster.refuse("install", RELEASE, cluster.chart)
        assert "CRD kubevirts.kubevirt.io is KubeVirt's own" in error
        assert "--set crds.replaceKubevirt=true --take-ownership" in error

    def test_nor_beside_its_controller_whatever_one_says(self, cluster: Cluster) -> None:
        image = "--image=none"
        cluster.kubectl.run("create", "deployment", "virt-controller", "--namespace=kubevirt", image)
        options = ("--set=crds.replaceKubevirt=true", "--take-ownership")
        error = cluster.refuse("install", RELEASE, cluster.chart, *options)
        assert "KubeVirt runs in this cluster: Deployment kubevirt/virt-controller" in error
        cluster.kubectl.run("delete", "deployment", "virt-controller", "--namespace=kubevirt")

    def test_its_remains_are_replaced_on_purpose(self, cluster: Cluster, uid: str) -> None:
        cluster.install("--set=crds.replaceKubevirt=true", "--take-ownership")
        labels = cluster.get("customresourcedefinition", "virtualmachines.kubevirt.io")["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "nicplug"
        assert uid_of_vm(cluster) == uid
        # The next upgrade needs no switch.
        cluster.upgrade()
        cluster.uninstall()


def test_a_purge_after_the_release_leaves_only_the_namespaces(cluster: Cluster, before: set[str], uid: str) -> None:
    refused = nicplug_uninstall(cluster, "--purge", "--yes")
    assert (refused.returncode, "1 objects of virtual machines are left" in refused.stderr) == (7, True)
    assert uid_of_vm(cluster) == uid
    done = nicplug_uninstall(cluster, "--purge", "--delete-vms", "--yes", "--timeout=20")
    assert done.returncode == 0, done.stderr
    wanted = before | {f"Namespace <none> {NAMESPACE}", "Namespace <none> kubevirt"}
    settled(lambda: cluster.objects() == wanted)
    assert cluster.objects() == wanted


def nicplug_uninstall(cluster: Cluster, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nicplug", "uninstall", "--kubeconfig", str(cluster.plane.kubeconfig), *options]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
