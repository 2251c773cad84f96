"""The stand-in of KubeVirt's virt-controller in the simulation: NICs by both paths, and whatever happens in between.

By itself, without an operator of nicplug's: what these tests say holds for KubeVirt as the reference describes it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.build import kubevirt, nic, primary
from tests.build import vm as a_vm
from tests.sim.cluster import KUBEVIRTS, MIGRATIONS, NADS, NAMESPACE, PODS, REVISIONS, VMIS, VMS, Cluster, Json
from tests.sim.dynamic_controller import deploy_controllers
from tests.sim.node_side import ROLES
from tests.sim.operators import Faults
from tests.sim.users import NAMES, make_networks, make_nodes
from tests.sim.virt_controller import VirtController, evict

from nicplug.kube.errors import Rejected
from nicplug_sandbox.kubevirt.workload_updater import FORCED_ABORTION

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


def test_3_5_a_vm_starts_with_a_revision() -> None:
    world = World().started()
    assert world.vmi["metadata"]["generation"] > 1
    (revision,) = world.cluster.all(REVISIONS)
    assert world.vmi["status"]["virtualMachineRevisionName"] == revision["metadata"]["name"]
    machine = world.cluster.get(VMS, VM)
    assert machine is not None
    assert machine["status"]["printableStatus"] == "Running"


def test_6_3_where_the_controller_runs_a_nic_comes_and_goes_without_a_migration() -> None:
    world = World().started()
    world.plug("blue")
    world.settle(seconds=1)
    assert world.nics() == {"blue"}
    world.unplug("blue")
    world.settle(seconds=1)
    assert world.nics() == world.wanted() == set()
    assert len(world.vmi["spec"]["networks"]) == 1
    assert world.migrations == []


def test_4_5_4_6_without_it_the_updater_migrates_after_the_timer() -> None:
    world = World(has_controllers=False).started()
    world.plug("blue")
    world.settle(seconds=15)
    assert (condition(world.vmi, "MigrationRequired"), world.migrations) == ("False", [])
    world.settle(seconds=20)
    (made,) = world.migrations
    assert made["metadata"]["name"].startswith("kubevirt-workload-update-")
    assert (made["status"]["phase"], world.nics()) == ("Succeeded", {"blue"})
    assert condition(world.vmi, "MigrationRequired") is None


def test_4_3_a_controller_that_has_given_up_is_waited_for_as_long_as_one_that_is_not_there() -> None:
    """It looks again at another text of the annotation only; KubeVirt knows of neither, and its timer is the same."""
    world = World().started()
    machines = list(world.cluster.machines.values())
    for machine in machines:
        machine.is_controller_broken = True
    world.plug("blue")
    world.settle(seconds=5)
    for machine in machines:
        machine.is_controller_broken = False
    world.settle(seconds=10)
    assert (condition(world.vmi, "MigrationRequired"), world.nics()) == ("False", set())
    world.settle(seconds=20)
    assert world.nics() == {"blue"}
    assert len(world.migrations) == 1


def test_4_6_a_network_that_is_not_there_is_migrated_for_without_end() -> None:
    """Each target pod waits for its network until its deadline; the abortion annotation alone ends it."""
    world = World(has_controllers=False).started()
    world.cluster.delete(NADS, "blue-net", by="admin")
    world.plug("blue")
    world.settle(seconds=4000)
    failed = [item for item in world.migrations if item["status"]["phase"] == "Failed"]
    assert len(failed) >= 3
    body = world.vmi
    body["metadata"].setdefault("annotations", {})[FORCED_ABORTION] = ""
    world.cluster.replace(VMIS, VM, body, by="user")
    world.settle(seconds=1000)
    count = len(world.cluster.history)
    world.settle(seconds=4000)
    made = [item for item in world.cluster.history[count:] if item[:2] == (MIGRATIONS, "ADDED")]
    assert made == []
    assert all(item["status"]["phase"] == "Failed" for item in world.migrations)


@pytest.mark.parametrize(("methods", "version"), [((), "v1.9.0"), (("LiveMigrate",), "v1.5.2")])
def test_4_6_nobody_migrates_where_it_is_not_permitted_or_not_known_yet(methods: tuple[str, ...], version: str) -> None:
    world = World(has_controllers=False, methods=methods, version=version).started()
    world.plug("blue")
    world.settle(seconds=120)
    assert (world.migrations, world.nics()) == ([], set())
    assert condition(world.vmi, "MigrationRequired") == ("True" if version == "v1.9.0" else None)
    world.migrate("by-hand")
    world.settle(seconds=30)
    assert world.nics() == {"blue"}


def test_4_6_with_evict_the_guest_ends_for_its_nic() -> None:
    world = World(has_controllers=False, methods=("Evict",)).started()
    before = world.vmi["metadata"]["uid"]
    world.plug("blue")
    world.settle(seconds=60)
    assert "SuccessfulEvict" in world.reasons()
    assert world.vmi["metadata"]["uid"] != before
    assert world.nics() == {"blue"}
    assert world.migrations == []


def test_an_eviction_becomes_an_evacuation() -> None:
    world = World(configuration={"evictionStrategy": "LiveMigrate"}).started()
    node = world.vmi["status"]["nodeName"]
    (pod,) = world.cluster.all(PODS)
    with pytest.raises(Rejected, match=f'Eviction triggered evacuation of VMI "{NAMESPACE}/{VM}"'):
        evict(world.cluster, pod["metadata"]["name"], by="drain")
    world.settle(seconds=30)
    (made,) = world.migrations
    assert made["metadata"]["annotations"]["kubevirt.io/evacuationMigration"] == node
    assert made["status"]["phase"] == "Succeeded"
    assert world.vmi["status"]["nodeName"] != node


def test_a_migration_that_waits_keeps_an_evacuation_back_until_it_is_withdrawn() -> None:
    world = World(configuration={"evictionStrategy": "LiveMigrate"}).started()
    elsewhere = [
        world.cluster.machines[name] for name in world.cluster.machines if name != world.vmi["status"]["nodeName"]
    ]
    for machine in elsewhere:
        machine.has_room = False
    (pod,) = world.cluster.all(PODS)
    world.migrate("waiting")
    world.settle(seconds=5)
    with pytest.raises(Rejected):
        evict(world.cluster, pod["metadata"]["name"], by="drain")
    world.settle(seconds=60)
    assert [(item["metadata"]["name"], item["status"]["phase"]) for item in world.migrations] == [
        ("waiting", "Scheduling")
    ]
    world.cluster.delete(MIGRATIONS, "waiting", by="user")
    for machine in elsewhere:
        machine.has_room = True
    world.settle(seconds=60)
    (made,) = world.migrations
    assert (made["spec"]["priority"], made["status"]["phase"]) == ("system-critical", "Succeeded")


def kill_while_it_works(world: World, *, steps: int, odds: float) -> None:
    """Let things happen, and the process end in the midst of them."""
    for _ in range(steps):
        if world.randomness.random() < odds:
            world.cluster.say("virt-controller: killed and started again")
            world.controller.start()
        if not world.step():
            due = world.controller.next_due()
            if due is None:
                return
            world.cluster.pass_time(max(0.001, (due - world.cluster.now).total_seconds()))


@pytest.mark.parametrize("seed", range(8))
def test_killed_again_and_again_it_goes_on_where_it_was(seed: int) -> None:
    world = World(seed=seed, has_controllers=False)
    kill_while_it_works(world, steps=300, odds=0.05)
    world.started()
    world.plug("blue")
    kill_while_it_works(world, steps=600, odds=0.02)
    world.settle(seconds=120)
    assert world.nics() == {"blue"}
    assert {item["status"]["phase"] for item in world.migrations} <= {"Succeeded", "Failed"}


def misfortune(world: World) -> None:
    """Something that people do, or that happens to them."""
    name = world.randomness.choice(NAMES)
    match world.randomness.randrange(6):
        case 0 | 1:
            world.plug(name)
        case 2:
            world.unplug(name)
        case 3 if world.cluster.get(VMIS, VM) is not None:
            try:
                world.migrate(f"by-hand-{world.cluster.version}")
            except Rejected:
                return
        case 4 if world.migrations:
            world.cluster.delete(MIGRATIONS, world.randomness.choice(world.migrations)["metadata"]["name"], by="user")
        case 5:
            world.controller.start()


def one_at_a_time(cluster: Cluster) -> None:
    """No VMI has two migrations under way."""
    unfinished = [
        item["spec"]["vmiName"]
        for item in cluster.shown(MIGRATIONS)
        if (item.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]
    assert len(unfinished) == len(set(unfinished)), unfinished


@pytest.mark.parametrize("has_controllers", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_every_nic_comes_that_can(seed: int, has_controllers: bool) -> None:
    faults = Faults(refused=0.05, answer_lost=0.05)
    world = World(seed=seed, has_controllers=has_controllers, faults=faults)
    world.cluster.on_commit.append(one_at_a_time)
    for _ in range(1500):
        dice = world.randomness.random()
        if dice < 0.01:
            misfortune(world)
        elif dice < 0.05:
            world.cluster.pass_time(world.randomness.uniform(0, 2))
        else:
            world.step()
    faults.end()
    world.controller.start()
    world.settle(seconds=600)
    assert world.nics() == world.wanted(), "\n".join(world.cluster.log)
    assert all(item["status"]["phase"] in ("Succeeded", "Failed") for item in world.migrations)


def test_at_rest_nothing_is_written() -> None:
    world = World().started()
    world.plug("blue")
    world.settle(seconds=60)
    before = world.controller.writes
    world.controller.look_at_everything()
    world.settle(seconds=60)
    assert world.controller.writes == before
