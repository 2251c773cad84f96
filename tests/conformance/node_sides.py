"""The node sides that tests play, and the sandbox's simulator, behind one face.

The operator's part is played here by plain writes. Each node side is given the time to do what it has to: `until`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.api.journey import Journey
from tests.api.world import MIGRATION, POD, VMI, World
from tests.build.objects import POD_INTERFACES, Json, nic, owner, primary, vmi_spec
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.kubeconfig import write_kubeconfig
from tests.integration import by_hand
from tests.integration.by_hand import Hand
from tests.integration.user import User
from tests.sim.cluster import NADS, PODS, VMIS, Cluster
from tests.sim.node_side import ROLES
from tests.sim.users import make_nodes
from tests.unit.node import world as simulator

from nicplug_sandbox.node.api import Resource

NAME, SOURCE, TARGET, NETWORK = "vm", "launcher", "target", "lan"
JOB = "44444444-dddd-4000-8000-000000000004"
NETWORKS, STATUS = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"
INTERFACES = {"main": "eth0", **{name: POD_INTERFACES[name] for name in ("blue", "red")}}
Change = Callable[[Json], object]


def row(name: str, *sources: str) -> Json:
    """A row of `status.interfaces`, as the operator writes it."""
    told = {"infoSource": ", ".join(sources)} if sources else {}
    return {"name": name, "podInterfaceName": INTERFACES[name], **told}


def annotation(*nics: str) -> str:
    """What asks for these NICs."""
    return json.dumps([{"name": NETWORK, "namespace": "default", "interface": INTERFACES[name]} for name in nics])


class NodeSide(ABC):
    """One VMI on node01, and whoever plays its node."""

    job = JOB

    # -- what a node side has to provide -------------------------------------------------------

    @abstractmethod
    def vmi(self) -> Json:
        """The VMI as the API server has it."""

    @abstractmethod
    def pod(self, name: str = SOURCE) -> Json:
        """A pod as the API server has it."""

    @abstractmethod
    def create(self, vmi: Json) -> Json:
        """POST the VMI; with its uid."""

    @abstractmethod
    def create_pod(self, pod: Json, *, node: str) -> Json:
        """POST a pod that nicplug makes, and bind it to the node; with its uid."""

    @abstractmethod
    def change_vmi(self, change: Change, *, status: bool = False) -> None:
        """The operator, or a user, edits the VMI."""

    @abstractmethod
    def change_pod(self, change: Change) -> None:
        """The operator edits the pod."""

    @abstractmethod
    async def until(self, condition: Callable[[], object]) -> None:
        """Let the node side work until something holds, and fail when it does not come."""

    async def rest(self) -> None:
        """Let the node side do all that it has to."""
        await self.until(lambda: True)

    # -- the operator's part -------------------------------------------------------------------

    async def launch(self, *nics: str, gated: bool = False) -> None:
        """A VMI with these NICs, and its pod once that runs."""
        metadata = {"name": NAME, "namespace": "default", "labels": {}, "annotations": {}}
        nics_of_spec = [primary("main"), *(nic(name, attachment=NETWORK) for name in nics)]
        head = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance"}
        status = {"phase": "Scheduling", "interfaces": [], "conditions": []}
        made = self.create({**head, "metadata": metadata, "spec": vmi_spec(nics_of_spec), "status": status})
        pod = self.create_pod(self._pod(made, SOURCE, *nics, gated=gated), node="node01")
        self.change_vmi(lambda body: _add_active(body, pod, node="node01"), status=True)
        await self.until(lambda: self.pod()["status"].get("phase") == "Running")

    def hand_over(self, *nics: str) -> None:
        """The VMI is the node's: label first, then phase and rows."""
        self.change_vmi(lambda body: body["metadata"]["labels"].update({"kubevirt.io/nodeName": "node01"}))
        rows = [row("main"), *(row(name, "multus-status") for name in nics)]
        scheduled = {"phase": "Scheduled", "nodeName": "node01", "interfaces": rows}
        self.change_vmi(lambda body: body["status"].update(scheduled), status=True)

    async def run(self, *nics: str) -> None:
        """A guest with these NICs."""
        await self.launch(*nics)
        self.hand_over(*nics)
        await self.until(lambda: self.vmi()["status"]["phase"] == "Running")

    def annotate(self, *nics: str) -> None:
        """Ask the pod for these NICs and no other."""
        self.change_pod(lambda body: body["metadata"]["annotations"].update({NETWORKS: annotation(*nics)}))

    def add(self, name: str) -> None:
        """A NIC in the spec."""
        interface, network = nic(name, attachment=NETWORK)

        def change(body: Json) -> None:
            body["spec"]["domain"]["devices"]["interfaces"].append(interface)
            body["spec"]["networks"].append(network)

        self.change_vmi(change)

    def set_absent(self, name: str) -> None:
        """The NIC is to go."""

        def change(body: Json) -> None:
            interfaces = body["spec"]["domain"]["devices"]["interfaces"]
            next(item for item in interfaces if item["name"] == name)["state"] = "absent"

        self.change_vmi(change)

    def write_row(self, name: str, *sources: str) -> None:
        """The operator's word on one NIC."""

        def change(body: Json) -> None:
            others = [item for item in body["status"]["interfaces"] if item["name"] != name]
            body["status"]["interfaces"] = [*others, row(name, *sources)]

        self.change_vmi(change, status=True)

    def hand_off(self, *nics: str) -> None:
        """A target pod with these NICs, and a migration state that names it."""
        pod = self.create_pod(self._pod(self.vmi(), TARGET, *nics, gated=False), node="node02")
        self.change_vmi(lambda body: _add_active(body, pod, node="node02"), status=True)
        label = {"kubevirt.io/migrationTargetNodeName": "node02"}
        self.change_vmi(lambda body: body["metadata"]["labels"].update(label))
        ends = {"sourceNode": "node01", "sourcePod": SOURCE, "targetNode": "node02", "targetPod": TARGET}
        self.report(migrationUid=self.job, **ends)

    def report(self, **members: Any) -> None:
        """Members of the migration's state."""

        def change(body: Json) -> None:
            body["status"]["migrationState"] = {**(body["status"].get("migrationState") or {}), **members}

        self.change_vmi(change, status=True)

    def _pod(self, vmi: Json, name: str, *nics: str, gated: bool) -> Json:
        uid = vmi["metadata"]["uid"]
        labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid}
        labels |= {"kubevirt.io/migrationJobUID": self.job} if name == TARGET else {}
        gates = {"readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]} if gated else {}
        return {
            "metadata": {
                "name": name,
                "namespace": "default",
                "labels": labels,
                "annotations": {NETWORKS: annotation(*nics)},
                "ownerReferences": [owner("VirtualMachineInstance", NAME, uid)],
            },
            "spec": {"containers": [{"name": "compute", "image": "launcher:1"}], "restartPolicy": "Never", **gates},
        }

    # -- looking -------------------------------------------------------------------------------

    def attached(self, pod: str = SOURCE) -> list[str]:
        """The interfaces that the pod has, as Multus tells."""
        text = self.pod(pod)["metadata"].get("annotations", {}).get(STATUS) or "[]"
        return sorted(item["interface"] for item in json.loads(text))

    def source_of(self, name: str) -> str | None:
        """`infoSource` of a NIC; None without a row, "" for one that says nothing."""
        found = [item for item in self.vmi()["status"].get("interfaces") or [] if item.get("name") == name]
        return str(found[0].get("infoSource", "")) if found else None

    @property
    def state(self) -> Json:
        """The migration's state."""
        found: Json = self.vmi()["status"].get("migrationState") or {}
        return found


def _add_active(body: Json, pod: Json, *, node: str) -> None:
    body["status"].setdefault("activePods", {})[pod["metadata"]["uid"]] = node


class Simulation(NodeSide):
    """`tests/sim`."""

    def __init__(self) -> None:
        self._cluster = Cluster(("node01", "node02"))
        make_nodes(self._cluster)
        self._cluster.create(NADS, {"metadata": {"name": NETWORK}, "spec": {"config": "{}"}}, by="admin")

    def vmi(self) -> Json:
        return self._get(VMIS, NAME)

    def pod(self, name: str = SOURCE) -> Json:
        return self._get(PODS, name)

    def create(self, vmi: Json) -> Json:
        self._cluster.create(VMIS, vmi, by="user")
        self.change_vmi(lambda body: body.update(status=vmi["status"]), status=True)
        return self.vmi()

    def create_pod(self, pod: Json, *, node: str) -> Json:
        bound = {**pod, "spec": {**pod["spec"], "nodeName": node}}
        return self._cluster.create(PODS, bound, by="operator")

    def change_vmi(self, change: Change, *, status: bool = False) -> None:
        body = self.vmi()
        change(body)
        self._cluster.replace(VMIS, NAME, body, by="operator", subresource="status" if status else None)

    def change_pod(self, change: Change) -> None:
        body = self.pod()
        change(body)
        self._cluster.replace(PODS, SOURCE, body, by="operator")

    async def until(self, condition: Callable[[], object]) -> None:
        while any(role(self._cluster) for role in ROLES):
            pass
        assert condition()

    def _get(self, plural: str, name: str) -> Json:
        found = self._cluster.get(plural, name)
        assert found is not None
        return found


class Api(NodeSide):
    """`tests/api`."""

    def __init__(self, server: FakeApiServer, directory: Path) -> None:
        self._world = World(server, directory)
        self._journey: Journey | None = None

    def vmi(self) -> Json:
        return self._world.get(VMI, NAME)

    def pod(self, name: str = SOURCE) -> Json:
        return self._world.get(POD, name)

    def create(self, vmi: Json) -> Json:
        return self._world.server.create(VMI, vmi)

    def create_pod(self, pod: Json, *, node: str) -> Json:
        return self._world.server.create(POD, pod)

    def change_vmi(self, change: Change, *, status: bool = False) -> None:
        self._world.server.modify(VMI, NAME, change, status=status)

    def change_pod(self, change: Change) -> None:
        self._world.server.modify(POD, SOURCE, change)

    async def until(self, condition: Callable[[], object]) -> None:
        self._play()
        assert condition()

    def hand_off(self, *nics: str) -> None:
        self._journey = Journey(self._world, NAME).ask()
        self.job = self._journey.uid
        super().hand_off(*nics)

    def _play(self) -> None:
        if self._journey is not None:
            self._migrate(self._journey)
        elif self.pod().get("status", {}).get("phase") != "Running":
            self._world.run_pod(NAME)
        else:
            self._world.attach(NAME)
            if self.vmi()["status"]["phase"] in ("Scheduled", "Running"):
                self._world.run_guest(NAME)

    def _migrate(self, journey: Journey) -> None:
        """The cut-over comes once the operator has seen the copy begin."""
        journey.play()
        if self.state.get("startTimestamp"):
            self._world.server.modify(MIGRATION, journey.name, _set_running, status=True)
            journey.play()


def _set_running(body: Json) -> None:
    body["status"] = {"phase": "Running"}


class ByHand(NodeSide):
    """`tests/integration`, where no simulator plays."""

    def __init__(self, server: FakeApiServer, directory: Path) -> None:
        path = write_kubeconfig(directory / "config", server=server.url)
        self._server, self._user = server, User(kubeconfig=path, namespace="default")
        self._hand = Hand(self._user, NAME)

    def vmi(self) -> Json:
        return self._get(VMI, NAME)

    def pod(self, name: str = SOURCE) -> Json:
        return self._get(POD, name)

    def create(self, vmi: Json) -> Json:
        return self._server.create(VMI, vmi)

    def create_pod(self, pod: Json, *, node: str) -> Json:
        made = self._server.create(POD, pod)
        self._server.bind(made["metadata"]["name"], node=by_hand.NODE)
        return made

    def change_vmi(self, change: Change, *, status: bool = False) -> None:
        self._server.modify(VMI, NAME, change, status=status)

    def change_pod(self, change: Change) -> None:
        self._server.modify(POD, SOURCE, change)

    async def until(self, condition: Callable[[], object]) -> None:
        if self.pod().get("status", {}).get("phase") != "Running":
            self._hand.run_pod()
        self._hand.attach()
        if self.vmi()["status"]["phase"] in ("Scheduled", "Running"):
            self._hand.guest(*self._wanted())
            for name in INTERFACES:
                if self.source_of(name) == "":
                    self._hand.forget(name)
        assert condition()

    def _wanted(self) -> Iterator[str]:
        """What the test that plays it would name."""
        for item in self.vmi()["spec"]["domain"]["devices"]["interfaces"]:
            has_go_ahead = "bridge" not in item or "multus-status" in (self.source_of(item["name"]) or "")
            if has_go_ahead and item.get("state") != "absent":
                yield item["name"]

    def _get(self, plural: str, name: str) -> Json:
        found = self._server.get(plural, name)
        assert found is not None
        return found


class Sandbox(NodeSide):
    """The simulator of the sandbox."""

    def __init__(self, world: simulator.World) -> None:
        self._world = world

    def vmi(self) -> Json:
        return self._read(simulator.VMI, NAME)

    def pod(self, name: str = SOURCE) -> Json:
        return self._read(simulator.POD, name)

    def create(self, vmi: Json) -> Json:
        return self._world.api.put(simulator.VMI, _born(vmi))

    def create_pod(self, pod: Json, *, node: str) -> Json:
        spec = {**pod["spec"], "nodeName": node}
        return self._world.api.put(simulator.POD, _born({**pod, "spec": spec, "status": {"phase": "Pending"}}))

    def change_vmi(self, change: Change, *, status: bool = False) -> None:
        body = self.vmi()
        change(body)
        self._world.put(simulator.VMI, body)

    def change_pod(self, change: Change) -> None:
        body = self.pod()
        change(body)
        self._world.put(simulator.POD, body)

    async def until(self, condition: Callable[[], object]) -> None:
        await self._world.until(condition, seconds=10)

    async def rest(self) -> None:
        await self._world.settle()

    def _read(self, resource: Resource, name: str) -> Json:
        found: Json = json.loads(json.dumps(self._world.api.read(resource, name)))
        return found


def _born(body: Json) -> Json:
    metadata = {"uid": f"{body['metadata']['name']}-uid", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**body, "metadata": {**body["metadata"], **metadata}}
