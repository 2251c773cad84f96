"""Every block of commands of docs/user-guide.md, in its order, in a sandbox as the guide says to start one."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guide import Block, command_blocks
from tests.integration.user import MIGRATION, VM, VMI, Json, User
from tests.integration.waiting import until

from nicplug_sandbox import controlplane, lifecycle
from nicplug_sandbox.operator_process import ROOT
from nicplug_sandbox.shims import BIN

GUIDE = ROOT / "docs" / "user-guide.md"
BLOCK_SECONDS = 90
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
        """Run a block to its first failure; what it said then, "" when all went well."""
        try:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.commands],
                cwd=ROOT,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=BLOCK_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return f"it did not end: {error.output!r}"
        return f"exit code {done.returncode}: {done.stdout}" if done.returncode else ""

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


def _runs(vmi: Json) -> bool:
    return "deletionTimestamp" not in vmi["metadata"] and (vmi.get("status") or {}).get("phase") == "Running"


@pytest.mark.timeout(600)
def test_every_block_of_commands_runs(reader: Reader) -> None:
    failed = []
    for block in command_blocks(GUIDE.read_text()):
        if block.why_not:
            continue
        if problem := reader.type(block):
            failed.append(f"line {block.line}: {problem}\n{block.commands}")
        until(reader.is_settled, seconds=60)
    assert not failed, "\n\n".join(failed)
