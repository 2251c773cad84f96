"""The commands of a sandbox's `bin`."""

import os
import subprocess
from pathlib import Path

import pytest

from nicplug import __version__
from nicplug_sandbox.shims import write_shims


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "a sandbox"
    return write_shims(place, kubeconfig=place / "kubeconfig")


def run(command: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "HOME": str(command.parent), **variables}
    return subprocess.run([command, *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("name", ["virtctl", "nicplug", "kubectl-nic"])
def test_they_are_nicplug(folder: Path, name: str) -> None:
    assert run(folder / name, "--version").stdout == f"nicplug, version {__version__}\n"


def test_they_talk_to_the_sandbox(folder: Path) -> None:
    done = run(folder / "virtctl", "start", "vm")
    assert done.returncode == 5
    assert f"no kubeconfig at {folder.parent / 'kubeconfig'}" in done.stderr


def test_a_kubeconfig_of_the_user_wins(folder: Path, tmp_path: Path) -> None:
    done = run(folder / "virtctl", "start", "vm", KUBECONFIG=str(tmp_path / "mine"))
    assert f"no kubeconfig at {tmp_path / 'mine'}" in done.stderr


def test_kubectl_has_nicplug_as_a_plugin(folder: Path) -> None:
    done = run(folder / "kubectl", "nic", "--version", PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    assert done.stdout == f"nicplug, version {__version__}\n", done.stderr


def test_kubectl_completed_nothing_of_the_plugin(folder: Path) -> None:
    done = run(folder / "kubectl", "__complete", "nic", "mig", PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    assert done.stdout.splitlines()[:3] == ["migrate", "migrations", ":4"], done.stderr


def test_kubectl_is_there_for_the_guides_lines(folder: Path) -> None:
    assert "clientVersion" in run(folder / "kubectl", "version", "--client", "-o", "json").stdout


@pytest.mark.parametrize(("name", "program"), [("virtctl", "virtctl"), ("kubectl-nic", "kubectl nic")])
def test_help_and_errors_said_nicplug_to_who_typed_another_name(folder: Path, name: str, program: str) -> None:
    shown = run(folder / name, "addinterface", "--help").stdout
    assert f"Usage: {program} addinterface" in shown
    assert f"{program} addinterface <vmi-name>" in shown
    assert "Usage: nicplug" not in run(folder / name, "start").stderr
    assert f"Usage: {program} start" in run(folder / name, "start").stderr
