"""A command that follows a VMI, while the cluster changes."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar, Self

from click.testing import Result
from tests.build import operation, row
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.kubeconfig import write_kubeconfig
from tests.unit.cli.played import CommandLine

VMIS, VMS = "virtualmachineinstances", "virtualmachines"
NAME = "vmi-fedora"
READY = operation("blue", phase="Ready", reason="Attached")
BLOCKED = operation("blue", phase="Blocked", path="None", reason="FeatureGateDisabled", message="off")


def born(body: dict[str, Any]) -> dict[str, Any]:
    """As a user creates it."""
    return {**body, "metadata": {"name": NAME, "namespace": "default"}}


class Following:
    """One of them, in a thread of its own."""

    command: ClassVar[str]

    def __init__(self, server: FakeApiServer, path: Path, *arguments: str) -> None:
        command = CommandLine(write_kubeconfig(path / "config", server=server.url))
        self._server = server
        self._task = asyncio.create_task(asyncio.to_thread(command, self.command, *arguments))

    async def until_watching(self) -> Self:
        """It follows VM and VMI."""
        while sorted(self._server.open_watches) != [VMIS, VMS]:
            assert not self._task.done(), self._task.result().output
            await asyncio.sleep(0.01)
        return self

    async def end(self) -> Result:
        """What has come of it."""
        return await self._task


def record(server: FakeApiServer, *records: dict[str, Any], rows: tuple[str, ...] = ("default",)) -> None:
    """What the operator and the node write of the NICs."""

    def change(body: dict[str, Any]) -> None:
        body["status"]["interfaceOperations"] = list(records)
        body["status"]["interfaces"] = [row(name, "domain") for name in rows]

    server.modify(VMIS, NAME, change, status=True)
