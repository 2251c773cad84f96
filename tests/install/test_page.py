"""The commands of docs/install.md, as they stand there, on a fresh cluster."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.chart import ROOT
from tests.guide import Block, command_blocks
from tests.install.cluster import Cluster

from nicplug_sandbox.kubectl import executable

PAGE = ROOT / "docs" / "install.md"
# A section presumes what another one has done: by Helm, by kustomize, and where KubeVirt was.
STORY = (
    *("With Helm", "Upgrade and roll back", "Apply the manifests again", "Uninstall"),
    *("With kustomize", "From kustomize to Helm", "Uninstall"),
    *("Beside KubeVirt", "Uninstall"),
)
ATTEMPTS = 10


def sections() -> dict[str, str]:
    """The text of each section, by its title."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_command_of_the_page_is_in_the_story() -> None:
    assert {title for title, text in sections().items() if command_blocks(text)} == set(STORY)


@pytest.fixture(scope="module")
def programs(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with helm and kubectl."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "helm").symlink_to(cluster.helm)
    (folder / "kubectl").symlink_to(executable())
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The page has people write into it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name != "deploy":
            (folder / entry.name).symlink_to(entry)
    shutil.copytree(ROOT / "deploy", folder / "deploy", symlinks=True)
    return folder


def test_its_commands_do_what_the_page_says(cluster: Cluster, programs: Path, checkout: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.plane.kubeconfig),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    for title in STORY:
        if title == "Beside KubeVirt":
            leave_remains(cluster)
        for block in command_blocks(sections()[title]):
            for command in commands_of(block):
                where = f"{title}, line {block.line} of the section"
                run(command, folder=checkout, environment=environment, where=where)


def commands_of(block: Block) -> list[str]:
    """One by one; a block that writes a file is one command."""
    if "<<" in block.commands:
        return [f"set -e\n{block.commands}"]
    return block.commands.replace("\\\n", " ").splitlines()


def run(command: str, *, folder: Path, environment: dict[str, str], where: str) -> None:
    """One command of the page; a kind that is not served yet is the only reason to try it again."""
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode == 0:
            return
        if not re.search("no matches for kind|initializing|TooManyRequests|could not find", done.stderr):
            break
    pytest.fail(f"{where}: {command}\n{done.stdout}{done.stderr}")


def leave_remains(cluster: Cluster) -> None:
    """The CRDs, as if KubeVirt had installed them and gone."""
    labels = ("app.kubernetes.io/managed-by=virt-operator", "app.kubernetes.io/name-")
    done = cluster.kubectl.run("label", "--overwrite", "crd", "-l", "app.kubernetes.io/name=nicplug", *labels)
    assert done.returncode == 0, done.stderr
