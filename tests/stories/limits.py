"""Migrations that wait for each other, and for what the cluster allows."""

from tests.build import primary
from tests.sim.movers import set_limits
from tests.stories.migrations import NODES, THREE_NODES, phase
from tests.stories.people import a_cluster, a_stage, cordon, create_vm, migrate
from tests.stories.stage import Stage
from tests.stories.telling import story


@story
def limit_of_the_cluster() -> Stage:
    """Three VMs are migrated, and one may be under way at a time

    The queue goes by priority, then by age; each waiting migration names those ahead of it.
    """
    stage = _three_vms()
    set_limits(stage.cluster, 1, 1, 1)
    stage.settle(1)
    stage.begin()
    migrate(stage, "vm-a", name="first")
    stage.cluster.pass_time(1)
    migrate(stage, "vm-b", name="second")
    stage.cluster.pass_time(1)
    migrate(stage, "vm-c", name="urgent", priority="system-critical")
    stage.settle()
    assert [phase(stage, name) for name in ("first", "second", "urgent")] == ["Succeeded"] * 3
    return stage


def _three_vms() -> Stage:
    """vm-a, vm-b and vm-c run on node01; node02 and node03 are free."""
    stage = a_cluster(nodes=THREE_NODES)
    stage.add_operator()
    for node in THREE_NODES[1:]:
        stage.cluster.machines[node].has_room = False
    for name in ("vm-a", "vm-b", "vm-c"):
        create_vm(stage, name, primary())
    stage.settle(10)
    for node in THREE_NODES[1:]:
        stage.cluster.machines[node].has_room = True
    return stage


@story
def limit_of_the_source_node() -> Stage:
    """Three VMs leave a node, and two may leave it at a time"""
    stage = _three_vms()
    set_limits(stage.cluster, 5, 2, 2)
    stage.settle(1)
    stage.begin()
    for name in ("vm-a", "vm-b", "vm-c"):
        migrate(stage, name, name=f"job-{name}")
    stage.settle()
    assert all(phase(stage, f"job-{name}") == "Succeeded" for name in ("vm-a", "vm-b", "vm-c"))
    return stage


@story
def limit_of_the_target_node() -> Stage:
    """Two VMs move to one node, which takes in one at a time

    The node is the scheduler's choice, so the second target pod is made, and waits there, ready.
    """
    stage = _three_vms()
    set_limits(stage.cluster, 5, 5, 1)
    cordon(stage, "node03")
    stage.settle(1)
    stage.begin()
    stage.cluster.machines["node01"].sends_guests = False
    migrate(stage, "vm-a", name="first")
    migrate(stage, "vm-b", name="second")
    stage.settle(5)
    stage.chapter("The copy of the first begins.")
    stage.cluster.machines["node01"].sends_guests = True
    stage.settle()
    assert [phase(stage, name) for name in ("first", "second")] == ["Succeeded"] * 2
    return stage


@story
def second_migration_of_a_vm() -> Stage:
    """A VM is migrated twice at once

    A VM has one migration at a time; the other one says which.
    """
    stage = a_stage(nodes=THREE_NODES)
    migrate(stage, name="first")
    stage.settle(0.05)
    migrate(stage, name="second")
    stage.settle()
    assert [phase(stage, name) for name in ("first", "second")] == ["Succeeded", "Failed"]
    return stage


@story
def quota() -> Stage:
    """A quota leaves no room for the target pod

    The migration waits, and says which quota; when it is raised, the migration goes on.
    """
    stage = a_stage(nodes=NODES)
    stage.cluster.is_quota_reached = True
    migrate(stage)
    stage.settle(20)
    assert phase(stage) == "Pending"
    stage.chapter("The admin raises the quota.")
    stage.cluster.is_quota_reached = False
    stage.settle()
    assert phase(stage) == "Succeeded"
    return stage
