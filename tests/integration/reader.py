"""Somebody who types the commands of a document, in a sandbox as the user guide says to start one."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.guide import Block, End
from tests.integration.user import MIGRATION, VM, VMI, Json, User
from tests.integration.waiting import until

from nicplug_sandbox import controlplane, lifecycle
from nicplug_sandbox.operator_process import ROOT
from nicplug_sandbox.shims import BIN

BLOCK_SECONDS = 90
INTERRUPTED_AFTER_SECONDS = 5
SETTLED_SECONDS = 60
ENDED = ("Succeeded", "Failed")


@contextlib.contextmanager
def reading(directory: Path) -> Iterator["Reader"]:
    """They have typed `sandbox up --operator` and the lines that it printed."""
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        status = lifecycle.up(directory=directory, nodes=None, existing=None, progress=print, with_operator=True)
        assert status.kubeconfig is not None
        folder = directory / "checkout"
        folder.mkdir()
        for entry in ROOT.iterdir():
            (folder / entry.name).symlink_to(entry)
        yield Reader(kubeconfig=status.kubeconfig, commands=directory / BIN, folder=folder)


class Reader:
    """Types what stands on a page.

    Attributes:
        user: to look at what came of it.
        folder: where they type: what is in a checkout, and what they have put there themselves.
    """

    def __init__(self, *, kubeconfig: Path, commands: Path, folder: Path) -> None:
        self.folder = folder
        self.user = User(kubeconfig=kubeconfig, namespace="default")
        path = f"{commands}{os.pathsep}{os.environ['PATH']}"
        self._variables = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path, "NO_COLOR": "1"}

    def read(self, blocks: Sequence[Block]) -> None:
        """Type one block after the other; between two, read until all of it has come about.

        Raises:
            AssertionError: with everything that is not as the page has it.
        """
        failed = []
        for block in blocks:
            if problem := self._type(block):
                failed.append(f"line {block.line}: {problem}\n{block.commands}")
            until(self.is_settled, seconds=SETTLED_SECONDS)
        assert not failed, "\n\n".join(failed)

    def _type(self, block: Block) -> str:
        """Run a block to its first failure; what is not as the page has it, "" when all is."""
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block.commands],
            cwd=self.folder,
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
