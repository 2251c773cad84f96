"""virt-handler where a guest runs that is to leave: copies it, hands it over, or keeps it."""

import asyncio
from datetime import UTC, datetime

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.domain import recovered
from nicplug_sandbox.node.faults import Fault, RoleName
from nicplug_sandbox.node.guests import Guests
from nicplug_sandbox.node.kubelet import Kubelet
from nicplug_sandbox.node.migration import (
    BROKEN_PIPE,
    CANCELED,
    COPY,
    SourceStep,
    copy_seconds_left,
    migration_uid,
    source_pod,
    source_step,
    state_of,
    step_seconds,
    target_pod,
)
from nicplug_sandbox.node.migration_reports import MigrationReports, moment
from nicplug_sandbox.node.migration_target import MigrationTarget
from nicplug_sandbox.node.mirror import Key, Mirror, key_of
from nicplug_sandbox.node.vmi_watch import watch_vmis
from nicplug_sandbox.node.work import WorkQueue

CRASHED = 139
"""Exit code of a virt-launcher that died of SIGSEGV."""


class MigrationSource:
    """The source role on all simulated nodes."""

    def __init__(
        self,
        *,
        vmis: Mirror,
        pods: Mirror,
        nodes: Mirror,
        guests: Guests,
        reports: MigrationReports,
        target: MigrationTarget,
        kubelet: Kubelet,
        copy_seconds: float,
        concurrency: int,
        node_names: frozenset[str],
    ) -> None:
        """`target`: where the copied guest goes, whatever node that is."""
        self._vmis = vmis
        self._pods = pods
        self._nodes = nodes
        self._guests = guests
        self._reports = reports
        self._target = target
        self._kubelet = kubelet
        self._copy_seconds = copy_seconds
        self._names = node_names
        self._due: dict[Key, tuple[str, float]] = {}
        self.queue = WorkQueue(name="migration-source", work=self.reconcile, concurrency=concurrency)

    def start(self) -> None:
        """Begin to listen, and look at every VMI that is there already."""
        watch_vmis(vmis=self._vmis, pods=self._pods, nodes=self._nodes, enqueue=self._enqueue)

    def _fault(self, vmi: Json) -> Fault:
        return self._reports.fault(vmi, state_of(vmi).get("sourceNode") or "", RoleName.MIGRATION_SOURCE)

    def _is_ours(self, vmi: Json) -> bool:
        return state_of(vmi).get("sourceNode") in self._names and bool(migration_uid(vmi))

    def _enqueue(self, vmi: Json) -> None:
        if self._is_ours(vmi) and not (fault := self._fault(vmi)).absent:
            self.queue.add(key_of(vmi), after=fault.slow_seconds)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one migration from our nodes one step forward; returns when to look again."""
        vmi = self._vmis.get(key)
        if vmi is None or not self._is_ours(vmi) or (fault := self._fault(vmi)).absent:
            self._due.pop(key, None)
            return None
        pod, target = source_pod(vmi=vmi, pods=self._pods), target_pod(vmi=vmi, pods=self._pods)
        step = source_step(vmi=vmi, pod=pod, target=target, arrived=self._guests.has_arrived(vmi))
        if step is SourceStep.COPY and pod is not None:
            return await self._copy(vmi, pod, fault)
        if step is SourceStep.START:
            return await self._start(vmi, fault)
        if step is SourceStep.ABORT:
            return await self._abort(vmi, fault)
        self._due.pop(key, None)
        if step is SourceStep.BREAK:
            await self._fail(vmi, BROKEN_PIPE, fault)
        if step is SourceStep.LEAVE and pod is not None:
            self._kubelet.on_exit(pod, exit_code=0)
        return None

    async def _start(self, vmi: Json, fault: Fault) -> float:
        seconds = step_seconds(vmi, COPY, default=self._copy_seconds)
        await self._reports.report(vmi, {"startTimestamp": moment(), "mode": "PreCopy"}, fault=fault)
        self._due[key_of(vmi)] = migration_uid(vmi), asyncio.get_running_loop().time() + seconds
        return seconds

    async def _copy(self, vmi: Json, pod: Json, fault: Fault) -> float | None:
        if (left := self._seconds_left(vmi)) > 0:
            return left
        if fault.broken == "crash":
            self._kubelet.on_exit(pod, exit_code=CRASHED)
            return None
        reason = BROKEN_PIPE
        if fault.broken != "copy":
            domain = self._guests.get(vmi) or recovered(vmi=vmi, pod=pod)
            reason = self._target.receive(vmi, domain)
        if reason:
            await self._fail(vmi, reason, fault)
        return None

    def _seconds_left(self, vmi: Json) -> float:
        """A copy that this process began ends to the millisecond, one from before a restart by its timestamp."""
        uid, due = self._due.get(key_of(vmi), ("", 0.0))
        if uid == migration_uid(vmi):
            return due - asyncio.get_running_loop().time()
        seconds = step_seconds(vmi, COPY, default=self._copy_seconds)
        return copy_seconds_left(vmi, seconds=seconds, now=datetime.now(UTC))

    async def _abort(self, vmi: Json, fault: Fault) -> float | None:
        if fault.broken == "abort" and state_of(vmi).get("startTimestamp"):
            await self._reports.report(vmi, {"abortStatus": "Failed"}, fault=fault)
            return max(self._seconds_left(vmi), 0.001)
        await self._fail(vmi, CANCELED, fault, abortStatus="Succeeded")
        return None

    async def _fail(self, vmi: Json, reason: str, fault: Fault, **members: object) -> None:
        node = state_of(vmi)["sourceNode"]
        if not state_of(vmi).get("startTimestamp"):
            members["startTimestamp"] = moment()
        await self._reports.fail(vmi, reason, node=node, fault=fault, **members)
