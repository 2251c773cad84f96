"""virt-handler and virt-launcher: start the guest, follow its NICs, end it.

A VMI is this node's when its label `kubevirt.io/nodeName` says so. Scheduled becomes Running; from then on
the rows of `status.interfaces` follow the guest; a deleted VMI or an ended pod gives a final phase.
Finalizers are the operator's.

While a VMI migrates, this role only notices its end: guest and rows are those of the source and target roles.
"""

import asyncio
import logging
from datetime import UTC, datetime

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.domain import (
    Domain,
    GuestAgent,
    Hotplug,
    boot,
    is_same,
    live_migratable,
    next_hotplug,
    rebuilt_rows,
    recovered,
    rows_of,
)
from nicplug_sandbox.node.events import VIRT_HANDLER, Event, EventPoster
from nicplug_sandbox.node.faults import Fault, RoleName, fault_for
from nicplug_sandbox.node.guests import Guests
from nicplug_sandbox.node.migration import (
    FINAL,
    NODE_LABEL,
    is_compute_running,
    is_migrating,
    label_of,
    pod_of_guest,
    pods_of,
)
from nicplug_sandbox.node.mirror import Key, Mirror, key_of
from nicplug_sandbox.node.networks import annotation
from nicplug_sandbox.node.pod_status import timestamp
from nicplug_sandbox.node.settings import PREFIX
from nicplug_sandbox.node.vmi_watch import watch_vmis
from nicplug_sandbox.node.vmi_writes import VmiWriter, merged_conditions, phase_changes
from nicplug_sandbox.node.work import WorkQueue

log = logging.getLogger(__name__)

AGENT = PREFIX + "guest-agent"
"""On a VMI: `connected` puts a guest agent into the guest."""
GUEST_INTERFACES = PREFIX + "guest-interfaces"
"""On a VMI with a guest agent: names, with commas, of interfaces that the guest made itself."""


def guest_agent(vmi: Json) -> GuestAgent:
    """The agent that the VMI's annotations ask for."""
    names = annotation(vmi, GUEST_INTERFACES).split(",")
    return GuestAgent(
        connected=annotation(vmi, AGENT) == "connected",
        interfaces=tuple(name.strip() for name in names if name.strip()),
    )


def launcher_pod(*, vmi: Json, pods: Mirror, guests: Guests) -> Json | None:
    """The pod that the guest runs in, or is to start in.

    There may be others of the VMI on the node: targets of migrations that have failed.
    """
    candidates = pods_of(vmi=vmi, pods=pods, node=guests.node_of(vmi))
    if name := guests.pod_of(vmi):
        return next((pod for pod in candidates if pod["metadata"]["name"] == name), None)
    told = pod_of_guest(vmi)

    def rank(pod: Json) -> tuple[bool, bool, str]:
        metadata = pod["metadata"]
        return metadata["name"] == told, pod.get("status", {}).get("phase") not in FINAL, metadata["creationTimestamp"]

    return max(candidates, key=rank, default=None)


def agent_conditions(vmi: Json, *, now: str) -> list[Json]:
    """The VMI's conditions with those that the node agent owns."""
    wanted = [live_migratable(vmi)]
    gone: tuple[str, ...] = ("AgentConnected",)
    if vmi["spec"].get("startStrategy") == "Paused":  # nobody resumes a guest here
        wanted.append(
            {"type": "Paused", "status": "True", "reason": "PausedByUser", "message": "VMI was paused by user"}
        )
    if guest_agent(vmi).connected:
        wanted.append({"type": "AgentConnected", "status": "True"})
        gone = ()
    return merged_conditions(list(vmi["status"].get("conditions") or ()), wanted, gone=gone, now=now)


class VirtHandler:
    """The node agents of all simulated nodes."""

    def __init__(
        self,
        *,
        vmis: Mirror,
        pods: Mirror,
        nodes: Mirror,
        guests: Guests,
        writer: VmiWriter,
        events: EventPoster,
        plug_seconds: float,
        concurrency: int,
        node_names: frozenset[str],
    ) -> None:
        self._vmis = vmis
        self._pods = pods
        self._nodes = nodes
        self._events = events
        self._plug_seconds = plug_seconds
        self._names = node_names
        self._guests = guests
        self._writer = writer
        self.queue = WorkQueue(name="virt-handler", work=self.reconcile, concurrency=concurrency)

    def start(self) -> None:
        """Begin to listen, and look at every VMI that is there already."""
        watch_vmis(vmis=self._vmis, pods=self._pods, nodes=self._nodes, enqueue=self._enqueue)
        self._vmis.listen(self._on_vmi)

    def _on_vmi(self, old: Json | None, new: Json | None) -> None:
        if new is None and old is not None:
            self._guests.forget(old)

    def _fault(self, vmi: Json) -> Fault:
        node = self._nodes.get(Key("", self._guests.node_of(vmi)))
        return fault_for(vmi, node=node, role=RoleName.VIRT_HANDLER)

    def _enqueue(self, vmi: Json) -> None:
        phase = vmi.get("status", {}).get("phase")
        if label_of(vmi, NODE_LABEL) not in self._names or phase not in ("Scheduled", "Running"):
            return
        fault = self._fault(vmi)
        if not fault.absent:
            self.queue.add(key_of(vmi), after=fault.slow_seconds)

    async def reconcile(self, key: Key) -> None:
        """Bring one VMI of our nodes one step forward."""
        vmi = self._vmis.get(key)
        if vmi is None or label_of(vmi, NODE_LABEL) not in self._names:
            return
        fault = self._fault(vmi)
        if fault.absent:
            return
        pod = launcher_pod(vmi=vmi, pods=self._pods, guests=self._guests)
        match vmi.get("status", {}).get("phase"):
            case "Scheduled" | "Running" if self._has_ended(vmi, pod):
                await self._end(vmi, pod)
            case "Scheduled" if pod is not None and is_compute_running(pod):
                await self._boot(vmi, pod)
            case "Running" if pod is not None and not is_migrating(vmi):
                await self._follow(vmi, pod, fault)

    def _has_ended(self, vmi: Json, pod: Json | None) -> bool:
        if "deletionTimestamp" in vmi["metadata"]:
            return True
        if pod is None:
            # Before the guest ran, a missing pod is the operator's to judge.
            return bool(vmi["status"]["phase"] == "Running")
        return "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") in FINAL

    async def _boot(self, vmi: Json, pod: Json) -> None:
        domain = boot(vmi=vmi, pod=pod)
        now = timestamp(datetime.now(UTC))
        changes = {
            **phase_changes(vmi, "Running", now=now),
            "conditions": agent_conditions(vmi, now=now),
            "interfaces": rebuilt_rows(vmi=vmi, domain=domain, agent=guest_agent(vmi)),
            "migrationMethod": "LiveMigration",
        }
        await self._writer.write_status(vmi, changes)
        self._guests.put(vmi, domain, pod=pod)

    async def _end(self, vmi: Json, pod: Json | None) -> None:
        crashed = pod is not None and pod.get("status", {}).get("phase") == "Failed"
        phase = "Failed" if crashed else "Succeeded"
        await self._writer.write_status(vmi, phase_changes(vmi, phase, now=timestamp(datetime.now(UTC))))
        self._guests.forget(vmi)

    async def _follow(self, vmi: Json, pod: Json, fault: Fault) -> None:
        uid = vmi["metadata"]["uid"]
        domain = self._guests.get(vmi) or recovered(vmi=vmi, pod=pod)
        hotplug = next_hotplug(vmi=vmi, pod=pod, domain=domain)
        domain = await self._change_guest(vmi, domain, hotplug, fault)
        # The guest took its time: tell of it beside what the status says now.
        vmi = self._vmis.get(key_of(vmi)) or vmi
        if vmi["metadata"]["uid"] != uid or vmi["status"].get("phase") != "Running" or is_migrating(vmi):
            # A guest that is being copied takes no device: the change is made after the migration.
            return
        self._guests.put(vmi, domain, pod=pod)
        rows = rebuilt_rows(vmi=vmi, domain=domain, agent=guest_agent(vmi))
        changes: Json = {"conditions": agent_conditions(vmi, now=timestamp(datetime.now(UTC)))}
        if not is_same(rows_of(vmi), rows):
            changes["interfaces"] = rows
        await self._writer.write_status(vmi, changes)

    async def _change_guest(self, vmi: Json, domain: Domain, hotplug: Hotplug, fault: Fault) -> Domain:
        for failure in hotplug.failures:
            self._post(vmi, failure)
        unplug = () if fault.broken == "unplug" else hotplug.unplug
        plug = hotplug.plug
        if fault.broken == "plug" and plug:
            plug = ()
            for nic in hotplug.plug:
                self._post(vmi, f'failed to plug network "{nic.name}": attach refused (sandbox fault)')
        if (plug or unplug) and self._plug_seconds:
            await asyncio.sleep(self._plug_seconds)
        for name in unplug:
            domain = domain.without(name)
        for nic in plug:
            domain = domain.with_nic(nic)
        return domain

    def _post(self, vmi: Json, message: str) -> None:
        node = vmi["metadata"]["labels"][NODE_LABEL]
        self._events.post(
            Event(
                about=vmi, kind="VirtualMachineInstance", api_version="kubevirt.io/v1",
                component=VIRT_HANDLER, host=node, type="Warning", reason="NicHotplug", message=message,
            )
        )  # fmt: skip
