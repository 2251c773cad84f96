"""virt-handler and virt-launcher: start the guest, follow its NICs, end it.

A VMI is this node's when its label `kubevirt.io/nodeName` says so. Scheduled becomes Running; from then on
the rows of `status.interfaces` follow the guest; a deleted VMI or an ended pod gives a final phase.
Finalizers are the operator's. Both write the status, so every write tests what it has read.

Migration belongs beside this role, not into it: a source and a target role of their own would listen to
the same mirrors, the target by label `kubevirt.io/migrationTargetNodeName`, and hand a `Domain` over.
"""

import asyncio
import logging
from datetime import UTC, datetime

from nicplug_sandbox.node.api import JSON_PATCH, VIRTUAL_MACHINE_INSTANCES, Api, ApiError, Json
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
from nicplug_sandbox.node.events import Event, EventPoster
from nicplug_sandbox.node.faults import Fault, RoleName, fault_of
from nicplug_sandbox.node.mirror import Key, Mirror, key_of
from nicplug_sandbox.node.networks import annotation
from nicplug_sandbox.node.pod_status import timestamp
from nicplug_sandbox.node.settings import PREFIX
from nicplug_sandbox.node.work import WorkQueue

log = logging.getLogger(__name__)

NODE_LABEL = "kubevirt.io/nodeName"
OWNER_LABEL = "kubevirt.io/created-by"
AGENT = PREFIX + "guest-agent"
"""On a VMI: `connected` puts a guest agent into the guest."""
GUEST_INTERFACES = PREFIX + "guest-interfaces"
"""On a VMI with a guest agent: names, with commas, of interfaces that the guest made itself."""
FINAL = ("Succeeded", "Failed")


def guest_agent(vmi: Json) -> GuestAgent:
    """The agent that the VMI's annotations ask for."""
    names = annotation(vmi, GUEST_INTERFACES).split(",")
    return GuestAgent(
        connected=annotation(vmi, AGENT) == "connected",
        interfaces=tuple(name.strip() for name in names if name.strip()),
    )


def launcher_pod(*, vmi: Json, pods: Mirror) -> Json | None:
    """The newest pod of the VMI on the node that runs it; a label alone makes no launcher (anybody can write it)."""
    node, uid = (vmi["metadata"].get("labels") or {}).get(NODE_LABEL), vmi["metadata"]["uid"]
    labelled = [pod for pod in pods.by_index("vmi", uid) if pod["spec"].get("nodeName") == node]
    candidates = [pod for pod in labelled if _is_owned_by(pod, uid)]
    return max(candidates, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)


def _is_owned_by(pod: Json, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or ())


def is_compute_running(pod: Json) -> bool:
    """Whether virt-launcher can start a guest in this pod."""
    if pod.get("status", {}).get("phase") != "Running" or "deletionTimestamp" in pod["metadata"]:
        return False
    statuses = pod["status"].get("containerStatuses") or ()
    return any(item["name"] == "compute" and "running" in item.get("state", {}) for item in statuses)


def merged_conditions(present: list[Json], wanted: list[Json], *, gone: tuple[str, ...], now: str) -> list[Json]:
    """KubeVirt's rule: an entry is replaced only when its status or reason differs."""
    result = [item for item in present if item["type"] not in gone]
    for item in wanted:
        index = next((i for i, old in enumerate(result) if old["type"] == item["type"]), None)
        fresh = {**item, "lastProbeTime": None, "lastTransitionTime": now}
        if index is None:
            result.append(fresh)
        elif any(result[index].get(key, "") != item.get(key, "") for key in ("status", "reason")):
            result[index] = fresh
    return result


def agent_conditions(vmi: Json, *, now: str) -> list[Json]:
    """The VMI's conditions with those that the node agent owns."""
    wanted = [live_migratable(vmi)]
    gone: tuple[str, ...] = ("AgentConnected",)
    if guest_agent(vmi).connected:
        wanted.append({"type": "AgentConnected", "status": "True"})
        gone = ()
    return merged_conditions(list(vmi["status"].get("conditions") or ()), wanted, gone=gone, now=now)


def guarded_patch(vmi: Json, changes: Json) -> list[Json]:
    """A JSON patch on the status: each changed field is tested to be what we read, null for missing."""
    status = vmi.get("status", {})
    patch: list[Json] = []
    for field, value in changes.items():
        if status.get(field) != value:
            path = f"/status/{field}"
            patch.append({"op": "test", "path": path, "value": status.get(field)})
            patch.append({"op": "add", "path": path, "value": value})
    if patch:
        patch.insert(0, {"op": "test", "path": "/metadata/uid", "value": vmi["metadata"]["uid"]})
    return patch


def phase_changes(vmi: Json, phase: str, *, now: str) -> Json:
    """The fields that a change of phase touches."""
    times = list(vmi["status"].get("phaseTransitionTimestamps") or ())
    return {
        "phase": phase,
        "phaseTransitionTimestamps": [*times, {"phase": phase, "phaseTransitionTimestamp": now}],
    }


class VirtHandler:
    """The node agents of all simulated nodes."""

    def __init__(
        self,
        *,
        api: Api,
        vmis: Mirror,
        pods: Mirror,
        nodes: Mirror,
        events: EventPoster,
        plug_seconds: float,
        concurrency: int,
        node_names: frozenset[str],
    ) -> None:
        self._api = api
        self._vmis = vmis
        self._pods = pods
        self._nodes = nodes
        self._events = events
        self._plug_seconds = plug_seconds
        self._names = node_names
        self._domains: dict[str, Domain] = {}
        self.queue = WorkQueue(name="virt-handler", work=self.reconcile, concurrency=concurrency)

    def start(self) -> None:
        """Begin to listen, and look at every VMI that is there already."""
        for vmi in self._vmis.all():
            self._enqueue(vmi)
        self._vmis.listen(self._on_vmi)
        self._pods.listen(self._on_pod)
        self._nodes.listen(self._on_node)

    def _on_vmi(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            self._enqueue(new)
        elif old is not None:
            self._domains.pop(old["metadata"]["uid"], None)

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        pod = new or old
        assert pod is not None
        uid = (pod["metadata"].get("labels") or {}).get(OWNER_LABEL)
        for vmi in self._vmis.by_index("uid", uid) if uid else ():
            self._enqueue(vmi)

    def _on_node(self, _old: Json | None, new: Json | None) -> None:
        if new is not None and new["metadata"]["name"] in self._names:
            for vmi in self._vmis.by_index("node", new["metadata"]["name"]):
                self._enqueue(vmi)

    def _fault(self, vmi: Json) -> Fault:
        node = (vmi["metadata"].get("labels") or {}).get(NODE_LABEL, "")
        return fault_of(self._nodes.get(Key("", node)), RoleName.VIRT_HANDLER)

    def _enqueue(self, vmi: Json) -> None:
        node = (vmi["metadata"].get("labels") or {}).get(NODE_LABEL, "")
        if node not in self._names or vmi.get("status", {}).get("phase") not in ("Scheduled", "Running"):
            return
        fault = self._fault(vmi)
        if not fault.absent:
            self.queue.add(key_of(vmi), after=fault.slow_seconds)

    async def reconcile(self, key: Key) -> None:
        """Bring one VMI of our nodes one step forward."""
        vmi = self._vmis.get(key)
        if vmi is None or (vmi["metadata"].get("labels") or {}).get(NODE_LABEL, "") not in self._names:
            return
        fault = self._fault(vmi)
        if fault.absent:
            return
        pod = launcher_pod(vmi=vmi, pods=self._pods)
        match vmi.get("status", {}).get("phase"):
            case "Scheduled" | "Running" if self._has_ended(vmi, pod):
                await self._end(vmi, pod)
            case "Scheduled" if pod is not None and is_compute_running(pod):
                await self._boot(vmi, pod)
            case "Running" if pod is not None:
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
        await self._write(vmi, changes)
        self._domains[vmi["metadata"]["uid"]] = domain

    async def _end(self, vmi: Json, pod: Json | None) -> None:
        crashed = pod is not None and pod.get("status", {}).get("phase") == "Failed"
        phase = "Failed" if crashed else "Succeeded"
        await self._write(vmi, phase_changes(vmi, phase, now=timestamp(datetime.now(UTC))))
        self._domains.pop(vmi["metadata"]["uid"], None)

    async def _follow(self, vmi: Json, pod: Json, fault: Fault) -> None:
        uid = vmi["metadata"]["uid"]
        domain = self._domains.get(uid) or recovered(vmi=vmi, pod=pod)
        hotplug = next_hotplug(vmi=vmi, pod=pod, domain=domain)
        domain = await self._change_guest(vmi, domain, hotplug, fault)
        self._domains[uid] = domain
        # The guest took its time: tell of it beside what the status says now.
        vmi = self._vmis.get(key_of(vmi)) or vmi
        if vmi["metadata"]["uid"] != uid or vmi["status"].get("phase") != "Running":
            return
        rows = rebuilt_rows(vmi=vmi, domain=domain, agent=guest_agent(vmi))
        changes: Json = {"conditions": agent_conditions(vmi, now=timestamp(datetime.now(UTC)))}
        if not is_same(rows_of(vmi), rows):
            changes["interfaces"] = rows
        await self._write(vmi, changes)

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

    async def _write(self, vmi: Json, changes: Json) -> None:
        patch = guarded_patch(vmi, changes)
        if not patch:
            return
        key = key_of(vmi)
        try:
            answer = await self._api.patch(
                VIRTUAL_MACHINE_INSTANCES, patch,
                name=key.name, namespace=key.namespace, subresource="status", content_type=JSON_PATCH,
            )  # fmt: skip
        except ApiError as error:
            if error.is_stale:
                # The controller was faster. Do not wait for the watch: read, and let the queue repeat.
                answer = await self._api.get(VIRTUAL_MACHINE_INSTANCES, name=key.name, namespace=key.namespace)
                self._vmis.apply_response(answer)
            raise
        self._vmis.apply_response(answer)

    def _post(self, vmi: Json, message: str) -> None:
        node = vmi["metadata"]["labels"][NODE_LABEL]
        self._events.post(
            Event(
                about=vmi, kind="VirtualMachineInstance", api_version="kubevirt.io/v1",
                component="virt-handler", host=node, type="Warning", reason="NicHotplug", message=message,
            )
        )  # fmt: skip
