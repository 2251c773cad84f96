"""What both ends of a live migration tell: members of `status.migrationState`, and the event at the end."""

import asyncio
import logging
from datetime import UTC, datetime

import aiohttp

from nicplug_sandbox.node.api import ApiError, Json
from nicplug_sandbox.node.events import VIRT_HANDLER, Event, EventPoster
from nicplug_sandbox.node.faults import Fault, RoleName, fault_for
from nicplug_sandbox.node.migration import failure, migration_uid, state_of
from nicplug_sandbox.node.mirror import Key, Mirror
from nicplug_sandbox.node.pod_status import timestamp
from nicplug_sandbox.node.vmi_writes import VmiWriter

log = logging.getLogger(__name__)


def moment() -> str:
    """Now, as it is written into objects."""
    return timestamp(datetime.now(UTC))


def repeated_patch(vmi: Json, members: Json, *, now: str) -> list[Json]:
    """The same report, late: to the same migration, whatever has become of it, with the time of then."""
    tests = [
        {"op": "test", "path": "/metadata/uid", "value": vmi["metadata"]["uid"]},
        {"op": "test", "path": "/status/migrationState/migrationUid", "value": migration_uid(vmi)},
    ]
    values = {name: now if name.endswith("Timestamp") else value for name, value in members.items()}
    changes = [
        {"op": "add", "path": f"/status/migrationState/{name}", "value": value} for name, value in values.items()
    ]
    return [*tests, *changes]


class MigrationReports:
    """Writes the reports of both roles."""

    def __init__(self, *, writer: VmiWriter, nodes: Mirror, events: EventPoster) -> None:
        self._writer = writer
        self._nodes = nodes
        self._events = events
        self._again: set[asyncio.Task[None]] = set()

    def fault(self, vmi: Json, node: str, role: RoleName) -> Fault:
        """What is wrong with a role of virt-handler on a node, for a VMI; without virt-handler it has none."""
        found = self._nodes.get(Key("", node))
        if fault_for(vmi, node=found, role=RoleName.VIRT_HANDLER).absent:
            return Fault(absent=True)
        return fault_for(vmi, node=found, role=role)

    async def report(self, vmi: Json, members: Json, *, fault: Fault, **others: object) -> None:
        """Write members of migrationState, and other fields of the status with them.

        Raises:
            ApiError: also when somebody else was faster.
        """
        await self._writer.write_status(vmi, {"migrationState": {**state_of(vmi), **members}, **others})
        if fault.again_seconds is not None:
            task = asyncio.create_task(self._repeat(vmi, members, after=fault.again_seconds))
            self._again.add(task)
            task.add_done_callback(self._again.discard)

    async def fail(self, vmi: Json, reason: str, *, node: str, fault: Fault, **members: object) -> None:
        """Tell that the migration has failed.

        Raises:
            ApiError: as above.
        """
        await self.report(vmi, {**failure(reason, now=moment()), **members}, fault=fault)
        self.tell(
            vmi, f"VirtualMachineInstance migration uid {migration_uid(vmi)} failed. reason:{reason}",
            node=node, kind="Warning",
        )  # fmt: skip

    def tell(self, vmi: Json, message: str, *, node: str, kind: str = "Normal") -> None:
        """Post the event of the end."""
        self._events.post(
            Event(
                about=vmi, kind="VirtualMachineInstance", api_version="kubevirt.io/v1",
                component=VIRT_HANDLER, host=node, type=kind, reason="Migrated", message=message,
            )
        )  # fmt: skip

    async def close(self) -> None:
        """Drop the reports that were to come again."""
        tasks = list(self._again)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(self, vmi: Json, members: Json, *, after: float) -> None:
        await asyncio.sleep(after)
        try:
            await self._writer.send_status(vmi, repeated_patch(vmi, members, now=moment()))
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            log.info("report not repeated: %s", error)
