"""Every block of commands of docs/user-guide.md, in its order, in a sandbox as the guide says to start one."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guide import Block, End, command_blocks
from tests.integration.user import MIGRATION, VM, VMI, Json, User
from tests.integration.waiting import until

from nicplug_sandbox import controlplane, lifecycle
from nicplug_sandbox.operator_process import ROOT
from nicplug_sandbox.shims import BIN

GUIDE = ROOT / "docs" / "user-guide.md"
BLOCK_SECONDS = 90
INTERRUPTED_AFTER_SECONDS = 5
ENDED = ("Succeeded", "Failed")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator["Reader"]:
    """Somebody who has typed `sandbox up --operator` and the lines that it printed."""
    directory = tmp_path / "sandbox"
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        status = lifecycle.up(directory=directory, nodes=None, existing=None, progress=print, with_operator=True)
        assert status.kubeconfig is not None
        yield Reader(kubeconfig=status.kubeconfig, commands=directory / BIN)


class Reader:
    """Types what stands in the guide."""

    def __init__(self, *, kubeconfig: Path, commands: Path) -> None:
        self.user = User(kubeconfig=kubeconfig, namespace="default")
        path = f"{commands}{os.pathsep}{os.environ['PATH']}"
        self._variables = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path, "NO_COLOR": "1"}

    def type(self, block: Block) -> str:
        """Run a block to its first failure; what is not as the guide has it, "" when all is."""
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block.commands],
            cwd=ROOT,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            seconds = INTERRUPTED_AFTER_SECONDS if block.end is End.INTERRUPTED else BLOCK_SECONDS
            printed, _ = shell.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGINT if block.end is End.INTERRUPTED else signal.SIGKILL)
            printed, _ = shell.communicate(timeout=BLOCK_SECONDS)
            return "" if block.end is End.INTERRUPTED else f"it did not end: {printed!r}"
        is_well = shell.returncode == 0 and block.end is End.WELL
        is_refused = shell.returncode != 0 and block.end is End.REFUSED and _shape(block.output) == _shape(printed)
        return "" if is_well or is_refused else f"exit code {shell.returncode}: {printed}"

    def is_settled(self) -> bool:
        """VMs are as they shall be, and nothing is under way: a person reads the text between two blocks meanwhile."""
        return (
            all((item.get("status") or {}).get("phase") in ENDED for item in self.user.items(MIGRATION))
            and all(_runs(item) for item in self.user.items(VMI))
            and all(self._is_served(item) for item in self.user.items(VM))
        )

    def _is_served(self, vm: Json) -> bool:
        status = vm.get("status") or {}
        if status.get("stateChangeRequests") or status.get("interfaceRequests"):
            return False
        return vm["spec"]["runStrategy"] == "Halted" or self.user.get(VMI, vm["metadata"]["name"]) is not None


def _shape(output: str) -> list[str]:
    """Its words, without the part of a pod's name that nobody chooses."""
    return re.sub(r"(virt-launcher-[a-z-]+)-[0-9a-f]{5}", r"\1", output).split()


def _runs(vmi: Json) -> bool:
    return "deletionTimestamp" not in vmi["metadata"] and (vmi.get("status") or {}).get("phase") == "Running"


@pytest.mark.timeout(600)
def test_every_block_of_commands_runs(reader: Reader) -> None:
    failed = []
    for block in command_blocks(GUIDE.read_text()):
        if problem := reader.type(block):
            failed.append(f"line {block.line}: {problem}\n{block.commands}")
        until(reader.is_settled, seconds=60)
    assert not failed, "\n\n".join(failed)
