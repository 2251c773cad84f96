"""What processes that run for long do not import."""

import subprocess
import sys

import pytest

UNUSED = ("rich", "pykube", "kubernetes.client", "kubernetes.informer", "requests", "oauthlib")


@pytest.mark.parametrize("command", ["run", "api"])
def test_unused_libraries_are_left_out(command: str) -> None:
    """They are installed for the sandbox or come with the Kubernetes client, and others import what they find."""
    program = f"""
import sys
from click.testing import CliRunner
from nicplug.cli.main import main
CliRunner().invoke(main, ["{command}", "--kubeconfig", "/nowhere/kubeconfig", "--metrics-port", "0"])
assert {{"structlog", "kubernetes.aio.client"}} <= sys.modules.keys()
assert not (found := [name for name in {UNUSED} if sys.modules.get(name) is not None]), found
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
