"""Kubeconfigs: written for the sandbox's users, read when a cluster is given."""

import stat
from pathlib import Path

import pytest
import yaml

from nicplug.cli.connection import SANDBOX_CONTEXT
from nicplug_sandbox import kubeconfig
from nicplug_sandbox.certificates import ClientCertificate
from nicplug_sandbox.errors import SandboxError

CLIENT = ClientCertificate(user="admin", certificate=b"certificate", key=b"key")


def test_written_for_its_owner_only_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("of an older sandbox, readable by all")
    path.chmod(0o644)
    kubeconfig.write(path, server="https://127.0.0.1:6443", authority=b"ca", client=CLIENT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kubeconfig.server_of(path) == "https://127.0.0.1:6443"


def test_commands_know_a_sandbox_by_its_context(tmp_path: Path) -> None:
    path = kubeconfig.write(tmp_path / "kubeconfig", server="https://s", authority=b"ca", client=CLIENT)
    assert yaml.safe_load(path.read_text())["current-context"] == SANDBOX_CONTEXT


@pytest.mark.parametrize("content", ["", "just text", "clusters: []\ncurrent-context: a\ncontexts: []", "{:"])
def test_unusable_file_is_explained(tmp_path: Path, content: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(SandboxError, match="no usable current context") as caught:
        kubeconfig.server_of(path)
    assert "use-context" in caught.value.remedy


def test_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="No such file"):
        kubeconfig.server_of(tmp_path / "kubeconfig")
