"""What processes that run for long do not import."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["run", "api"])
def test_rich_is_left_out(command: str) -> None:
    """It is installed for the sandbox, and structlog imports it when it finds it."""
    program = f"""
import sys
from click.testing import CliRunner
from nicplug.cli.main import main
CliRunner().invoke(main, ["{command}", "--kubeconfig", "/nowhere/kubeconfig", "--metrics-port", "0"])
assert "structlog" in sys.modules
assert sys.modules.get("rich") is None, "rich has been imported"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
