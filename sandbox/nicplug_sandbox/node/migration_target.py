"""virt-handler where a guest is to come: prepares the target pod, and takes the guest over.

The guest that comes is exactly the source's. NICs that the target pod has beyond that are the ordinary
role's to plug, once the migration is over.
"""

import asyncio
from dataclasses import dataclass

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.domain import Domain, is_same, load_failure, moved, rebuilt_rows, recovered, rows_of
from nicplug_sandbox.node.faults import Fault, RoleName
from nicplug_sandbox.node.guests import Guests
from nicplug_sandbox.node.kubelet import Kubelet
from nicplug_sandbox.node.migration import (
    CUT_OVER,
    NODE_LABEL,
    PREPARE,
    TARGET_NODE_LABEL,
    TargetStep,
    is_compute_running,
    is_copying,
    label_of,
    migration_uid,
    state_of,
    step_seconds,
    target_pod,
    target_step,
)
from nicplug_sandbox.node.migration_reports import MigrationReports, moment
from nicplug_sandbox.node.mirror import Key, Mirror, key_of
from nicplug_sandbox.node.virt_handler import guest_agent
from nicplug_sandbox.node.vmi_watch import watch_vmis
from nicplug_sandbox.node.vmi_writes import VmiWriter
from nicplug_sandbox.node.work import WorkQueue

PORTS = {"41000": 0, "41001": 49152, "41002": 49153}
"""Ports of the node, and the port of virt-launcher behind each; 0 is libvirt's socket."""
NOT_PREPARED = "failed to prepare the target pod (sandbox fault)"
NOT_LOADED = "operation failed: job 'migration out' failed: load of migration failed (sandbox fault)"


CRASHED = 139
"""Exit code of a virt-launcher that died of SIGSEGV."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPace:
    """How long the target's steps take, in seconds, where a VMI does not say otherwise."""

    prepare: float = 0.0
    cut_over: float = 0.0


class MigrationTarget:
    """The target role on all simulated nodes."""

    def __init__(
        self,
        *,
        vmis: Mirror,
        pods: Mirror,
        nodes: Mirror,
        guests: Guests,
        writer: VmiWriter,
        reports: MigrationReports,
        kubelet: Kubelet,
        pace: TargetPace,
        concurrency: int,
        addresses: dict[str, str],
    ) -> None:
        """`addresses`: each simulated node's own IP."""
        self._vmis = vmis
        self._pods = pods
        self._nodes = nodes
        self._guests = guests
        self._writer = writer
        self._reports = reports
        self._kubelet = kubelet
        self._pace = pace
        self._addresses = addresses
        self._due: dict[Key, tuple[str, float]] = {}
        self.queue = WorkQueue(name="migration-target", work=self.reconcile, concurrency=concurrency)

    def start(self) -> None:
        """Begin to listen, and look at every VMI that is there already."""
        watch_vmis(vmis=self._vmis, pods=self._pods, nodes=self._nodes, enqueue=self._enqueue)

    def receive(self, vmi: Json, domain: Domain) -> str:
        """The source sends the guest; why it cannot be loaded, or empty: then it runs here."""
        pod = target_pod(vmi=vmi, pods=self._pods)
        assert pod is not None
        if self._fault(vmi).broken == "load":
            return NOT_LOADED
        if reason := load_failure(vmi=vmi, pod=pod, domain=domain):
            return reason
        still = step_seconds(vmi, CUT_OVER, default=self._pace.cut_over)
        self._guests.arrive(vmi, moved(vmi=vmi, pod=pod, domain=domain), pod=pod, after=still)
        self._enqueue(vmi)
        return ""

    def _is_ours(self, vmi: Json) -> bool:
        node = label_of(vmi, TARGET_NODE_LABEL)
        return node in self._addresses and node == state_of(vmi).get("targetNode") and bool(migration_uid(vmi))

    def _fault(self, vmi: Json) -> Fault:
        return self._reports.fault(vmi, label_of(vmi, TARGET_NODE_LABEL), RoleName.MIGRATION_TARGET)

    def _enqueue(self, vmi: Json) -> None:
        if self._is_ours(vmi) and not (fault := self._fault(vmi)).absent:
            self.queue.add(key_of(vmi), after=fault.slow_seconds)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one migration to our nodes one step forward; returns when to look again."""
        vmi = self._vmis.get(key)
        if vmi is None or not self._is_ours(vmi) or (fault := self._fault(vmi)).absent:
            self._due.pop(key, None)
            return None
        pod = target_pod(vmi=vmi, pods=self._pods)
        step = target_step(vmi=vmi, pod=pod, arrived=self._guests.has_arrived(vmi))
        if pod is None or step is TargetStep.NOTHING:
            self._crash_in_time(vmi, pod, fault)
            return None
        if step is TargetStep.PREPARE:
            return await self._prepare(vmi, fault)
        self._due.pop(key, None)
        if step is TargetStep.REPORT:
            return await self._report(vmi, fault)
        await self._settle(vmi, pod, step, fault)
        return None

    async def _settle(self, vmi: Json, pod: Json, step: TargetStep, fault: Fault) -> None:
        """The steps after the guest's arrival is told, or when no guest will come."""
        node = pod["spec"]["nodeName"]
        match step:
            case TargetStep.MOVE:
                self._guests.settle(vmi)
                await self._writer.write_label(vmi, NODE_LABEL, node)
            case TargetStep.FINISH:
                await self._finish(vmi, pod, fault)
            case TargetStep.COMPLETE:
                self._guests.settle(vmi)
                await self._reports.report(vmi, {"completed": True}, fault=fault)
                self._reports.tell(vmi, f"The VirtualMachineInstance migrated to node {node}.", node=node)
            case TargetStep.LEAVE:
                self._kubelet.on_exit(pod, exit_code=0)

    def _crash_in_time(self, vmi: Json, pod: Json | None, fault: Fault) -> None:
        """virt-launcher dies while the guest is being copied to it."""
        if fault.broken == "crash" and pod is not None and is_copying(vmi) and is_compute_running(pod):
            self._kubelet.on_exit(pod, exit_code=CRASHED)

    async def _prepare(self, vmi: Json, fault: Fault) -> float | None:
        key, now = key_of(vmi), asyncio.get_running_loop().time()
        uid, due = self._due.get(key, ("", 0.0))
        if uid != migration_uid(vmi):
            due = now + step_seconds(vmi, PREPARE, default=self._pace.prepare)
            self._due[key] = migration_uid(vmi), due
        if due > now:
            return due - now
        node = label_of(vmi, TARGET_NODE_LABEL)
        if fault.broken == "prepare":
            await self._reports.fail(vmi, NOT_PREPARED, node=node, fault=fault)
            return None
        members = {"targetNodeAddress": self._addresses[node], "targetDirectMigrationNodePorts": PORTS}
        await self._reports.report(vmi, members, fault=fault)
        return None

    async def _report(self, vmi: Json, fault: Fault) -> float | None:
        if fault.broken == "silent":
            return None
        if (left := self._guests.seconds_to_cut_over(vmi)) > 0:
            return left
        present = vmi["status"].get("conditions") or []
        conditions = [item for item in present if item["type"] != "MigrationRequired"]
        others = {"conditions": conditions} if conditions != present else {}
        members = {"targetNodeDomainDetected": True, "targetNodeDomainReadyTimestamp": moment()}
        await self._reports.report(vmi, members, fault=fault, **others)
        return None

    async def _finish(self, vmi: Json, pod: Json, fault: Fault) -> None:
        """Node and rows change together: until then the rows are the source's, which a restart relies on."""
        self._guests.settle(vmi)
        domain = self._guests.get(vmi)
        if domain is None:
            domain = moved(vmi=vmi, pod=pod, domain=recovered(vmi=vmi, pod=pod))
            self._guests.put(vmi, domain, pod=pod)
        rows = rebuilt_rows(vmi=vmi, domain=domain, agent=guest_agent(vmi))
        others: Json = {} if is_same(rows_of(vmi), rows) else {"interfaces": rows}
        cleared = {"evacuationNodeName": None, "launcherContainerImageVersion": None}
        await self._reports.report(
            vmi, {"endTimestamp": moment()}, fault=fault, nodeName=state_of(vmi)["targetNode"], **cleared, **others
        )
