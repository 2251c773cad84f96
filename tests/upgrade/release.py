"""An earlier nicplug beside this one: its manifests, and its operator as a process."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from nicplug_sandbox.operator_process import ROOT

# Stands for the last release while there is no tag.
FIRST = "2bd1ec2"
VARIABLE = "NICPLUG_TEST_UPGRADE_FROM"
_RIGHTS = ("namespace", "serviceaccount", "clusterrole", "clusterrolebinding", "role", "rolebinding")
_ENVIRONMENT_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A checkout of one version.

    Attributes:
        name: as Git knows it.
        root: of its files.
        python: an interpreter with what it requires.
    """

    name: str
    root: Path
    python: Path

    @property
    def crds(self) -> Path:
        """The folder of its CRDs."""
        return self.root / "crds"

    @property
    def rights(self) -> list[Path]:
        """Namespace, account and roles of its operator."""
        base = self.root / "deploy" / "kustomize" / "base"
        # The first versions have all of them in one folder.
        folders = [folder for folder in (base / "operator", base) if folder.is_dir()]
        found = [[folder / f"{name}.yaml" for folder in folders] for name in _RIGHTS]
        return [next(path for path in paths if path.is_file()) for paths in found]

    @property
    def policies(self) -> list[Path]:
        """Its admission policies; the first versions have none."""
        base = self.root / "deploy" / "kustomize" / "base"
        return [folder for folder in (base / "fences", base / "admission") if folder.is_dir()]

    @property
    def command(self) -> Sequence[str]:
        """How it is started; `env` hands over to Python, so the process is nicplug's own."""
        path = os.pathsep.join(str(self.root / folder) for folder in ("operator", "sandbox"))
        return ("env", f"PYTHONPATH={path}", str(self.python), "-m", "nicplug")


def this() -> Release:
    """The version of this checkout."""
    return Release(name="this version", root=ROOT, python=Path(sys.executable))


def previous_name() -> str:
    """What is upgraded from: the variable's value, else the last tag before this commit, else the first version."""
    if chosen := os.environ.get(VARIABLE):
        return chosen
    found = _git("describe", "--tags", "--abbrev=0", "HEAD^")
    return found.stdout.strip() if found.returncode == 0 else FIRST


def has(name: str) -> bool:
    """Whether this clone has the commit; a shallow one may not."""
    return _git("cat-file", "-e", f"{name}^{{commit}}").returncode == 0


def unpack(name: str, *, folder: Path) -> Release:
    """Write the files of a version into the folder, and find a Python environment for it."""
    archive = folder / "source.tar"
    done = _git("archive", "--output", str(archive), name)
    assert done.returncode == 0, done.stderr
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return Release(name=name, root=folder, python=_python(folder))


def _python(root: Path) -> Path:
    """This environment where it has the pinned versions, else one of the version's own, made by its own tool."""
    if _pins(root / "requirements" / "operator.txt") <= _installed():
        return Path(sys.executable)
    tool = [sys.executable, str(root / "tools" / "environment.py")]
    done = subprocess.run(tool, capture_output=True, text=True, timeout=_ENVIRONMENT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1])


def _pins(requirements: Path) -> set[tuple[str, str]]:
    lines = (line.split(";")[0].strip(" \\") for line in requirements.read_text().splitlines() if "==" in line)
    pins = (line.partition("==") for line in lines if not line.startswith((" ", "#", "-")))
    return {(_plain(name), version) for name, _, version in pins}


def _installed() -> set[tuple[str, str]]:
    return {(_plain(found.name), found.version) for found in metadata.distributions()}


def _plain(name: str) -> str:
    return name.split("[")[0].lower().replace("_", "-").replace(".", "-")


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
