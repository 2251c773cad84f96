"""The stand-in of KubeVirt's virt-controller in the simulation: NICs by both paths, and whatever happens in between.

By itself, without an operator of nicplug's: what these tests say holds for KubeVirt as the reference describes it.
"""

import pytest
from tests.sim.cluster import MIGRATIONS, NADS, NAMESPACE, PODS, REVISIONS, VMIS, VMS, Cluster
from tests.sim.kubevirt_world import VM, World, condition
from tests.sim.operators import Faults
from tests.sim.users import NAMES
from tests.sim.virt_controller import evict

from nicplug.kube.errors import Rejected
from nicplug_sandbox.kubevirt.workload_updater import FORCED_ABORTION


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
    assert not world.vmi["status"]["evacuationNodeName"]
    assert condition(world.vmi, "EvictionRequested") is None


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
def test_whatever_happens_every_nic_comes_that_is_wanted(seed: int, has_controllers: bool) -> None:
    """Not the reverse: a NIC that is unplugged while it is being plugged may stay indefinitely.

    virt-controller drops an absent NIC without a row from the spec. Its patch tests the spec and not the rows, of which
    it may have an old view; no node agent detaches what the spec does not call absent.
    """
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
    assert world.nics() >= world.wanted(), "\n".join(world.cluster.log)
    assert all(item["status"]["phase"] in ("Succeeded", "Failed") for item in world.migrations)


def test_at_rest_nothing_is_written() -> None:
    world = World().started()
    world.plug("blue")
    world.settle(seconds=60)
    before = world.controller.writes
    world.controller.look_at_everything()
    world.settle(seconds=60)
    assert world.controller.writes == before
