"""A cluster of KubeVirt's with one VM, which the stand-in of virt-controller runs, and what its user does.

No operator of nicplug's is in it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from tests.build import kubevirt, nic, primary
from tests.build import vm as a_vm
from tests.sim.cluster import KUBEVIRTS, MIGRATIONS, VMIS, VMS, Cluster, Json
from tests.sim.dynamic_controller import deploy_controllers
from tests.sim.node_side import ROLES
from tests.sim.operators import Faults
from tests.sim.users import NAMES, make_networks, make_nodes
from tests.sim.virt_controller import VirtController

VM = "vm-a"
DEPLOYED = {"phase": "Deployed", "observedDeploymentID": "1", "targetDeploymentID": "1"}
_STEPS = 20000


@dataclass(slots=True)
class World:
    """A cluster of KubeVirt's with one VM on three nodes.

    Attributes:
        has_controllers: the dynamic networks controller runs on every node, else on none.
    """

    seed: int = 1
    has_controllers: bool = True
    methods: tuple[str, ...] = ("LiveMigrate",)
    version: str = "v1.9.0"
    configuration: Json = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    cluster: Cluster = field(init=False)
    controller: VirtController = field(init=False)
    randomness: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.randomness = random.Random(self.seed)
        self.cluster = Cluster(("node01", "node02", "node03"))
        self.cluster.is_kubevirts = True
        make_nodes(self.cluster)
        deploy_controllers(self.cluster)
        make_networks(self.cluster)
        for machine in self.cluster.machines.values():
            machine.has_controller = self.has_controllers
        spec = {"configuration": self.configuration, "workloadUpdateStrategy": {"workloadUpdateMethods": self.methods}}
        status = {**DEPLOYED, "observedKubeVirtVersion": self.version}
        self.cluster.create(KUBEVIRTS, {**kubevirt(), "spec": spec, "status": status}, by="admin")
        body = {"metadata": {"name": VM}, "spec": a_vm(primary())["spec"]}
        self.cluster.create(VMS, body, by="user")
        self.controller = VirtController(self.cluster, self.faults, self.randomness)

    def step(self) -> bool:
        """One thing happens; False when nobody has anything to do now."""
        moves: list[Callable[[], bool]] = [self.controller.hear, self.controller.work]
        moves += [lambda role=role: role(self.cluster) for role in ROLES]  # type: ignore[misc]
        self.randomness.shuffle(moves)
        return any(move() for move in moves)

    def settle(self, *, seconds: float) -> None:
        """Let everybody act, for so long or until nobody waits for anything any more."""
        horizon = self.cluster.now + timedelta(seconds=seconds)
        for _ in range(_STEPS):
            if self.step():
                continue
            due = self.controller.next_due()
            if due is None or due > horizon:
                self.cluster.now = max(self.cluster.now, horizon)
                return
            self.cluster.pass_time(max(0.001, (due - self.cluster.now).total_seconds()))
        raise AssertionError("does not come to rest")

    def started(self) -> "World":
        """The same, once the guest runs and can be migrated."""
        self.settle(seconds=1)
        assert self.vmi["status"]["phase"] == "Running"
        return self

    @property
    def vmi(self) -> Json:
        """The VM's VMI."""
        found = self.cluster.get(VMIS, VM)
        assert found is not None
        return found

    @property
    def migrations(self) -> list[Json]:
        """All migrations."""
        return self.cluster.all(MIGRATIONS)

    def change(self, edit: Callable[[Json], object]) -> None:
        """The user edits the spec of the VM's template."""
        body = self.cluster.get(VMS, VM)
        assert body is not None
        edit(body["spec"]["template"]["spec"])
        self.cluster.replace(VMS, VM, body, by="user")

    def plug(self, name: str) -> None:
        """The user adds a NIC, or takes back that it shall go."""
        interface, network = nic(name)

        def add(spec: Json) -> None:
            interfaces = spec["domain"]["devices"]["interfaces"]
            present = next((item for item in interfaces if item["name"] == name), None)
            if present is not None:
                present.pop("state", None)
                return
            interfaces.append(interface)
            spec["networks"].append(network)

        self.change(add)

    def unplug(self, name: str) -> None:
        """The user wants a NIC to go."""

        def mark(spec: Json) -> None:
            for item in spec["domain"]["devices"]["interfaces"]:
                if item["name"] == name:
                    item["state"] = "absent"

        self.change(mark)

    def nics(self) -> set[str]:
        """The secondary NICs in the guest."""
        return {name for name in self.cluster.guests.get(self.vmi["metadata"]["uid"], ()) if name in NAMES}

    def wanted(self) -> set[str]:
        """The secondary NICs that the template asks for."""
        body = self.cluster.get(VMS, VM)
        assert body is not None
        interfaces = body["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]
        return {item["name"] for item in interfaces if item["name"] in NAMES and item.get("state") != "absent"}

    def migrate(self, name: str) -> None:
        """Somebody asks for a migration."""
        self.cluster.create(MIGRATIONS, {"metadata": {"name": name}, "spec": {"vmiName": VM}}, by="user")

    def reasons(self) -> list[str]:
        """What virt-controller has said."""
        return [event.reason for event in self.controller.said]


def condition(body: Json, kind: str) -> str | None:
    """The status of a condition, None without it."""
    rows = (body.get("status") or {}).get("conditions") or ()
    return next((row["status"] for row in rows if row["type"] == kind), None)
