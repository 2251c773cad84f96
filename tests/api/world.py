"""One fake cluster with operators on it; the test plays the user and the node by plain writes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from tests import manifests
from tests.api import objects
from tests.api.objects import NETWORK_STATUS, Json
from tests.api.operator_thread import OperatorThread, eventually
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Request
from tests.fakes.kubeconfig import kubeconfig

VM, VMI, POD = "virtualmachines", "virtualmachineinstances", "pods"
MIGRATION = "virtualmachineinstancemigrations"
DAEMON_SETS = "daemonsets"
NOW = "2026-01-01T00:00:00Z"
# What operators write besides their work.
_BESIDE = ("leases", "events", "kubevirts")


class World:
    """The cluster.

    Attributes:
        server: its API server.
        kubeconfig: how to reach it.
    """

    def __init__(self, server: FakeApiServer, directory: Path) -> None:
        self.server = server
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig(server.url)))
        self._operators: list[OperatorThread] = []

    # -- operators -----------------------------------------------------------------------------

    async def operator(self, *, until_works: bool = True, **options: Any) -> OperatorThread:
        """Start one more operator, and wait until it works."""
        operator = OperatorThread(kubeconfig=self.kubeconfig, **options)
        self._operators.append(operator)
        await asyncio.to_thread(operator.start)
        if until_works:
            await eventually(lambda: operator.works or operator.has_ended)
            assert operator.error is None, operator.error
        return operator

    def operators(self) -> list[OperatorThread]:
        """All that were started."""
        return list(self._operators)

    async def stop(self, operator: OperatorThread) -> None:
        """End one."""
        await asyncio.to_thread(operator.stop)

    async def close(self) -> None:
        """End all."""
        for operator in self._operators:
            await self.stop(operator)

    # -- the user ------------------------------------------------------------------------------

    def plug(self, plural: str, name: str, nic: str, attachment: str = "lan") -> Json:
        """Add a NIC to a VM or a VMI."""
        return self.server.modify(plural, name, lambda body: manifests.plug(nic, attachment=attachment)(body))

    def unplug(self, plural: str, name: str, nic: str) -> Json:
        """Set a NIC absent."""
        return self.server.modify(plural, name, lambda body: manifests.unplug(nic)(body))

    def set_gates(self, *gates: str) -> None:
        """Replace the feature gates of the KubeVirt CR."""

        def change(body: Json) -> None:
            body["spec"]["configuration"]["developerConfiguration"]["featureGates"] = list(gates)

        self.server.modify("kubevirts", "kubevirt", change, namespace="kubevirt")

    def set_hotplug(self, **block: Any) -> None:
        """Replace the policy in the KubeVirt CR."""

        def change(body: Json) -> None:
            body["spec"]["configuration"].setdefault("network", {})["hotplug"] = block

        self.server.modify("kubevirts", "kubevirt", change, namespace="kubevirt")

    def set_rollout(self, strategy: str) -> None:
        """Set `vmRolloutStrategy` in the KubeVirt CR."""

        def change(body: Json) -> None:
            body["spec"]["configuration"]["vmRolloutStrategy"] = strategy

        self.server.modify("kubevirts", "kubevirt", change, namespace="kubevirt")

    def set_limits(self, **limits: int) -> None:
        """Change the limits of migrations in the KubeVirt CR: `cluster`, `outbound` and `inbound`."""

        def change(body: Json) -> None:
            configuration = body["spec"]["configuration"]
            network = configuration.setdefault("network", {})
            blocks = {
                "cluster": ("parallelMigrationsPerCluster", configuration.setdefault("migrations", {})),
                "outbound": ("parallelOutboundMigrationsPerNode", configuration.setdefault("migrations", {})),
                "inbound": ("parallelInboundMigrationsPerNode", network.setdefault("hotplug", {})),
            }
            for name, value in limits.items():
                member, block = blocks[name]
                block[member] = value

        self.server.modify("kubevirts", "kubevirt", change, namespace="kubevirt")

    async def configured(self) -> None:
        """Wait until the operators go by the KubeVirt CR as it is now; watches of several kinds have no order."""
        body = self.server.get("kubevirts", "kubevirt", namespace="kubevirt")
        assert body is not None
        generation = body["metadata"]["generation"]
        await eventually(lambda: all(item.has_ended or item.generation == generation for item in self._operators))

    # -- the node ------------------------------------------------------------------------------

    def pod_of(self, name: str) -> Json:
        """The launcher pod of a VMI, found by its owner."""
        vmi = self.get(VMI, name)
        owned = [pod for pod in self.server.items(POD) if _owner(pod) == vmi["metadata"]["uid"]]
        assert len(owned) == 1, f"{len(owned)} pods of {name}"
        return owned[0]

    def has_pod(self, name: str) -> bool:
        """Whether there is one."""
        vmi = self.server.get(VMI, name)
        return vmi is not None and any(_owner(pod) == vmi["metadata"]["uid"] for pod in self.server.items(POD))

    def run_pod(self, name: str, *, node: str = "node01") -> None:
        """Scheduler, Multus and kubelet: on a node, attached, running."""
        pod = self.pod_of(name)
        pod_name = pod["metadata"]["name"]
        self.server.bind(pod_name, node=node)
        self.attach(name)
        self.server.modify(POD, pod_name, lambda body: body.update(status=_running_status()), status=True)

    def attach(self, name: str) -> None:
        """Multus: the network-status follows the networks annotation."""

        def change(body: Json) -> None:
            annotations = body["metadata"].setdefault("annotations", {})
            annotations[NETWORK_STATUS] = objects.network_status(objects.requested(body))

        self.server.modify(POD, self.pod_of(name)["metadata"]["name"], change)

    def run_guest(self, name: str) -> None:
        """virt-handler: the guest runs with every NIC that the pod has, and has let go of what is absent."""

        def change(body: Json) -> None:
            body["status"]["phase"] = "Running"
            present = {row["name"]: row for row in body["status"].get("interfaces", [])}
            rows = []
            for item in body["spec"]["domain"]["devices"]["interfaces"]:
                row = present.get(item["name"], {"name": item["name"]})
                if item["name"] == "main" or "multus-status" in row.get("infoSource", ""):
                    rows.append(_in_guest(row) if item.get("state") != "absent" else _out_of_guest(row))
            body["status"]["interfaces"] = rows

        self.server.modify(VMI, name, change, status=True)

    def release(self, name: str, nic: str) -> None:
        """virt-handler: the guest has let the NIC go."""

        def change(body: Json) -> None:
            for row in body["status"]["interfaces"]:
                if row["name"] == nic:
                    row |= _out_of_guest(row)

        self.server.modify(VMI, name, change, status=True)

    async def running(self, body: Json, *, node: str = "node01") -> str:
        """Create a VM or a VMI and bring its guest up, as any node side would; returns the name."""
        name: str = body["metadata"]["name"]
        self.server.create(VM if body["kind"] == "VirtualMachine" else VMI, body)
        await self.until(lambda: self.has_pod(name))
        self.run_pod(name, node=node)
        await self.until(lambda: self.phase(name) == "Scheduled")
        self.run_guest(name)
        await self.until(lambda: self.is_ready(name))
        if body["kind"] == "VirtualMachine":
            await self.until(lambda: self.get(VM, name).get("status", {}).get("printableStatus") == "Running")
            await self.until(lambda: self.condition(name, "InterfacesReady", plural=VM) == "True")
        return name

    async def plugged(self, plural: str, name: str, nic: str) -> None:
        """Plug a NIC and play the node until the guest has it."""
        self.plug(plural, name, nic)
        await self.until(lambda: manifests.pod_interface(nic) in objects.requested(self.pod_of(name)))
        self.attach(name)
        await self.until(lambda: self._guest_has(name, nic))
        await self.until(lambda: self.record(name, nic).get("phase") == "Ready")

    def _guest_has(self, name: str, nic: str) -> bool:
        """virt-handler plugs whenever it finds that the pod has the NIC: a leader that is behind may take that back."""
        if self.row(name, nic).get("infoSource") == "multus-status":
            self.run_guest(name)
        return "domain" in self.row(name, nic).get("infoSource", "")

    async def unplugged(self, plural: str, name: str, nic: str) -> None:
        """Unplug a NIC and play the node until nothing of it is left."""
        self.unplug(plural, name, nic)
        await self.until(lambda: self.record(name, nic).get("operation") == "Unplug")
        self.release(name, nic)
        await self.until(lambda: manifests.pod_interface(nic) not in objects.requested(self.pod_of(name)))
        self.attach(name)
        await self.until(lambda: self.row(name, nic).get("infoSource") is None)
        self.forget_row(name, nic)
        await self.until(lambda: nic not in self.nics(plural, name) + self.nics(VMI, name))
        await self.until(lambda: not self.record(name, nic))

    def forget_row(self, name: str, nic: str) -> None:
        """virt-handler: the row of a NIC that is neither in the guest nor in the pod goes."""

        def change(body: Json) -> None:
            rows = body["status"]["interfaces"]
            body["status"]["interfaces"] = [row for row in rows if row["name"] != nic]

        self.server.modify(VMI, name, change, status=True)

    def deploy_controller(self, *nodes: str) -> None:
        """The dynamic networks controller, ready on these nodes; before the operator starts, or it is found late."""
        self.server.serve(DAEMON_SETS)
        self.server.create(DAEMON_SETS, objects.controller_daemon_set(), namespace=objects.CONTROLLER_NAMESPACE)
        for node in nodes:
            self.run_controller(node)

    def run_controller(self, node: str) -> None:
        """One more pod of it, ready."""
        (daemon_set,) = self.server.items(DAEMON_SETS)
        body = objects.controller_pod(node, owner_uid=daemon_set["metadata"]["uid"])
        self.server.create(POD, body, namespace=objects.CONTROLLER_NAMESPACE)
        self.set_controller(node, ready=True)

    def set_controller(self, node: str, *, ready: bool) -> None:
        """The kubelet says so of the controller's pod."""

        def change(body: Json) -> None:
            row = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": NOW}
            body["status"] = {"phase": "Running", "conditions": [row]}

        name = objects.controller_pod_name(node)
        self.server.modify(POD, name, change, status=True, namespace=objects.CONTROLLER_NAMESPACE)

    # -- looking -------------------------------------------------------------------------------

    def get(self, plural: str, name: str) -> Json:
        """An object that must exist."""
        body = self.server.get(plural, name)
        assert body is not None, f"{plural} {name} does not exist"
        return body

    def phase(self, name: str) -> str:
        """Phase of a VMI."""
        return str(self.get(VMI, name).get("status", {}).get("phase", ""))

    def condition(self, name: str, type_: str, *, plural: str = VMI, member: str = "status") -> str:
        """A member of a condition; "" without the condition."""
        rows = self.get(plural, name).get("status", {}).get("conditions", [])
        return str(next((row.get(member, "") for row in rows if row["type"] == type_), ""))

    def is_ready(self, name: str) -> bool:
        """The VMI's NICs are ready."""
        return self.condition(name, "InterfacesReady") == "True"

    def record(self, name: str, nic: str) -> Json:
        """The record of a NIC; empty without one."""
        return _named(self.get(VMI, name).get("status", {}).get("interfaceOperations", []), nic)

    def row(self, name: str, nic: str) -> Json:
        """The row of `status.interfaces` of a NIC; empty without one."""
        return _named(self.get(VMI, name).get("status", {}).get("interfaces", []), nic)

    def lease_holder(self) -> str:
        """Identity of the leader; "" when the Lease is free."""
        lease = self.server.get("leases", "nicplug-operator", namespace="nicplug-system")
        return str(lease["spec"].get("holderIdentity") or "") if lease else ""

    def nics(self, plural: str, name: str) -> list[str]:
        """Names of the interfaces of a spec or a template."""
        body = self.get(plural, name)
        target = body["spec"]["template"]["spec"] if plural == VM else body["spec"]
        return [item["name"] for item in target["domain"]["devices"]["interfaces"]]

    async def until(self, condition: Callable[[], object], *, seconds: float = 30.0) -> None:
        """Wait for a state of the objects or the requests."""
        await self.server.until(condition, seconds=seconds)

    async def at_rest(self, *, seconds: float = 0.35) -> None:
        """Wait until nothing has been written for a moment: longer than reports are withheld."""
        loop = asyncio.get_running_loop()
        while True:
            count, began = len(self.work()), loop.time()
            await asyncio.sleep(seconds)
            # A machine that wakes us late has not let the operator work in time either.
            is_late = loop.time() - began > seconds * 1.2
            if len(self.work()) == count and not is_late:
                return

    async def quiet(self) -> None:
        """Wait for rest, and forget what was asked for until then."""
        await self.at_rest()
        self.server.clear_requests()

    def work(self) -> list[Request]:
        """Writes of the operators since the last `clear_requests`, without leases and events."""
        return [request for request in self.server.writes() if request.resource not in _BESIDE]

    def events(self) -> list[str]:
        """What all events say, with how often: two lists are equal when no event has come, and none was repeated."""
        return [
            f"{item['reason']} {(item.get('series') or {}).get('count', 1)} {item.get('note')}"
            for item in self.server.items("events")
        ]

    def written(self) -> list[str]:
        """The same, as lines such as `patch pods virt-launcher-a 200`."""
        return [describe(request) for request in self.work()]


def describe(request: Request) -> str:
    """Verb, resource, name and code; a dropped connection has code 0."""
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    name = request.name or (request.body or {}).get("metadata", {}).get("name", "")
    return f"{request.verb} {resource} {name} {request.code}"


def _named(rows: list[Json], name: str) -> Json:
    return next((row for row in rows if row.get("name") == name), {})


def _owner(pod: Json) -> str:
    return next((item["uid"] for item in pod["metadata"].get("ownerReferences", []) if item.get("controller")), "")


def _in_guest(row: Json) -> Json:
    return {**row, "infoSource": ", ".join(["domain", *_sources_but_domain(row)])}


def _out_of_guest(row: Json) -> Json:
    return {**row, "infoSource": ", ".join(_sources_but_domain(row))}


def _sources_but_domain(row: Json) -> list[str]:
    return [item for item in row.get("infoSource", "").split(", ") if item and item != "domain"]


def _running_status() -> Json:
    return {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": NOW}],
        "containerStatuses": [
            {"name": "compute", "ready": True, "state": {"running": {"startedAt": NOW}}, "image": "launcher"}
        ],
    }
