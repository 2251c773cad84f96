"""nicplug beside KubeVirt, installed and uninstalled by the commands of docs/beside-kubevirt.md.

KubeVirt is its CRDs, a Deployment and objects here: nothing runs. Each test begins with what the one before has left.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart import ROOT
from tests.guide import command_blocks
from tests.install.cluster import NAMESPACE, RELEASE, Cluster
from tests.integration.waiting import until

from nicplug_sandbox.kubectl import executable

PAGE = ROOT / "docs" / "beside-kubevirt.md"
BESIDE = "--set=mode=companion"
LABELS = {"app.kubernetes.io/managed-by": "virt-operator", "kubevirt.io": ""}
# What KubeVirt or its users have created, and what nicplug has; the last one moves a guest.
THEIRS = ("by-hand", "kubevirt-workload-update-a")
OURS = ("nicplug-0000000001", "nicplug-0000000002")
UNDER_WAY = "nicplug-0000000003"
PHASES = {OURS[0]: "Scheduling", OURS[1]: "Failed", UNDER_WAY: "Running"}

Object = dict[str, Any]


def kubevirts_definitions() -> Iterator[Object]:
    """The CRDs as virt-operator writes them: with its labels, and no status subresource of an instance."""
    for path in (ROOT / "crds").glob("*.yaml"):
        body = yaml.safe_load(path.read_text())
        if body["spec"]["group"] == "kubevirt.io":
            body["metadata"]["labels"] = LABELS
            if path.stem == "virtualmachineinstances":
                body["spec"]["versions"][0].pop("subresources")
            yield body


def migration(name: str) -> Object:
    annotations = {"nicplug.io/interfaces": "{}"} if name.startswith("nicplug-") else {}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"vmiName": "a"},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Runs the commands of the page, in a checkout."""

    cluster: Cluster
    folder: Path
    environment: dict[str, str]

    def run(self, command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def type(self, start: str) -> str:
        """Run the block of the page that begins so; what it prints."""
        (block,) = [block for block in command_blocks(PAGE.read_text()) if block.commands.startswith(start)]
        done = self.run(block.commands)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def terminal(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    programs, folder = tmp_path_factory.mktemp("bin"), tmp_path_factory.mktemp("checkout")
    (programs / "helm").symlink_to(cluster.helm)
    (programs / "kubectl").symlink_to(executable())
    paths = os.pathsep.join(str(ROOT / name) for name in ("operator", "sandbox"))
    (programs / "nicplug").write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {sys.executable} -m nicplug "$@"\n')
    (programs / "nicplug").chmod(0o755)
    (folder / "crds").symlink_to(ROOT / "crds")
    # The page has people write into it.
    shutil.copytree(ROOT / "deploy", folder / "deploy", symlinks=True)
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.plane.kubeconfig),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(programs),
    }
    return Terminal(cluster=cluster, folder=folder, environment=environment)


def test_it_is_refused_where_kubevirt_is_not(cluster: Cluster) -> None:
    error = cluster.refuse("install", RELEASE, cluster.chart, "--create-namespace", BESIDE)
    assert "mode companion needs KubeVirt, and CRD virtualmachineinstances.kubevirt.io is not installed" in error


@pytest.fixture(scope="module")
def kubevirt(cluster: Cluster) -> set[str]:
    """KubeVirt, a VM, and migrations; what the cluster has with them."""
    for body in kubevirts_definitions():
        cluster.kubectl.create(body)
    until(lambda: cluster.kubectl.run("get", "vm,vmi,vmim,kv").returncode == 0, seconds=60)
    cluster.kubectl.run("create", "namespace", "kubevirt")
    cluster.kubectl.run("create", "deployment", "virt-controller", "--namespace=kubevirt", "--image=none")
    head = {"apiVersion": "kubevirt.io/v1", "metadata": {"name": "kubevirt", "namespace": "kubevirt"}}
    until(
        lambda: cluster.kubectl.run("create", "-f", "-", stdin={**head, "kind": "KubeVirt", "spec": {}}).returncode == 0
    )
    spec = {"runStrategy": "Halted", "template": {"spec": {"domain": {"devices": {}}}}}
    metadata = {"name": "kept", "namespace": "default"}
    cluster.kubectl.create({**head, "kind": "VirtualMachine", "metadata": metadata, "spec": spec})
    migrate(cluster)
    return cluster.objects()


def migrate(cluster: Cluster) -> None:
    for name in (*THEIRS, *OURS, UNDER_WAY):
        if cluster.kubectl.run("get", "vmim", name, "--namespace=default").returncode:
            body = cluster.kubectl.create(migration(name))
            cluster.kubectl.write_status({**body, "status": {"phase": PHASES.get(name, "Pending")}})


def versions(cluster: Cluster) -> dict[str, str]:
    """resourceVersions of everything that is KubeVirt's; a CRD's status is written by the API server."""
    names = "virtualmachine/kept,kubevirt/kubevirt,deployment/virt-controller"
    found = {}
    for name in names.split(","):
        namespace = "default" if name.endswith("kept") else "kubevirt"
        body = cluster.get(name, f"--namespace={namespace}")
        found[name] = f"{body['metadata']['uid']} {body['metadata']['generation']}"
    for body in cluster.get("customresourcedefinitions")["items"]:
        if body["spec"]["group"] == "kubevirt.io":
            labels = json.dumps(body["metadata"]["labels"], sort_keys=True)
            found[body["metadata"]["name"]] = f"{body['metadata']['uid']} {body['metadata']['generation']} {labels}"
    return found


def settled(cluster: Cluster, wanted: set[str]) -> set[str]:
    """What the cluster has, once the garbage collector has come, or not."""
    with contextlib.suppress(AssertionError):
        until(lambda: cluster.objects() == wanted, seconds=60)
    return cluster.objects()


def without(objects: set[str], *names: str) -> set[str]:
    return {item for item in objects if item.rpartition(" ")[2] not in names}


def test_the_other_mode_is_refused_and_names_this_one(cluster: Cluster, kubevirt: set[str]) -> None:
    error = cluster.refuse("install", RELEASE, cluster.chart, "--create-namespace")
    assert "KubeVirt runs in this cluster: Deployment kubevirt/virt-controller" in error
    assert "set mode to companion" in error


def test_helm_installs_it_and_changes_nothing_of_kubevirts(
    cluster: Cluster, kubevirt: set[str], terminal: Terminal
) -> None:
    before = versions(cluster)
    notes = terminal.type("helm install")
    assert "It works beside KubeVirt" in notes
    cluster.upgrade("--reset-then-reuse-values")
    added = cluster.objects() - kubevirt
    # What Kubernetes derives from it, replicas and endpoints, is named after it as well.
    assert [item for item in added if "nicplug" not in item] == []
    assert kubevirt - cluster.objects() == set()
    assert versions(cluster) == before
    terminal.type("kubectl get interfacereports")


def test_uninstalling_a_release_leaves_what_nicplug_uninstall_deletes(
    cluster: Cluster, kubevirt: set[str], terminal: Terminal
) -> None:
    before = versions(cluster)
    told = terminal.type("helm uninstall")
    assert "[CustomResourceDefinition] interfacereports.nicplug.io" in told
    assert "1 migrations of nicplug's are moving guests; KubeVirt finishes them." in told
    # Created by Helm, so the admin's.
    wanted = without(kubevirt, *OURS) | {f"Namespace <none> {NAMESPACE}"}
    assert settled(cluster, wanted) == wanted
    assert versions(cluster) == before


def test_what_kustomize_installs_is_uninstalled_without_a_trace(
    cluster: Cluster, kubevirt: set[str], terminal: Terminal
) -> None:
    migrate(cluster)
    before = versions(cluster)
    terminal.type("mkdir")
    until(lambda: cluster.kubectl.run("get", "nicr", "--all-namespaces").returncode == 0)
    report = {"apiVersion": "nicplug.io/v1alpha1", "kind": "InterfaceReport", "metadata": {"name": "kept"}}
    until(lambda: cluster.kubectl.run("create", "--namespace=default", "-f", "-", stdin=report).returncode == 0)
    told = terminal.type("nicplug uninstall  ")
    assert "Nothing has been changed" in told
    wanted = without(kubevirt, *OURS)
    assert settled(cluster, wanted) == wanted
    assert versions(cluster) == before
    assert re.search(r"^deleted CustomResourceDefinition interfacereports\.nicplug\.io$", told, re.MULTILINE)
