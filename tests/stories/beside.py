"""Beside KubeVirt: virt-controller runs the VMs, and nicplug reports, and migrates what does not come in place."""

import contextlib
from collections.abc import Sequence

from tests.build import kubevirt, primary
from tests.sim.cluster import KUBEVIRTS, MIGRATIONS, PODS, REPORTS, VMIS, Json
from tests.sim.dynamic_controller import deploy_controllers
from tests.sim.migration_agents import fail
from tests.sim.node_agent import state_of
from tests.sim.users import make_nodes
from tests.sim.virt_controller import evict
from tests.stories.blame import sandbox_fails
from tests.stories.migrations import target_of
from tests.stories.people import (
    NETWORKS,
    create_network,
    create_vm,
    delete_network,
    edit,
    edit_status,
    guest,
    migrate,
    plug,
    pod_of,
    record,
)
from tests.stories.stage import Stage
from tests.stories.telling import story

from nicplug.kube.errors import Rejected
from nicplug.model.mode import Mode

NODES = ("node01", "node02")
VM = "vm-a"


def a_stage(
    *, has_controllers: bool = False, methods: Sequence[str] = ("LiveMigrate",), nodes: Sequence[str] = NODES
) -> Stage:
    """A cluster with KubeVirt in which vm-a runs with the pod network; the story has begun.

    Args:
        methods: `workloadUpdateMethods`.
    """
    stage = Stage(nodes, mode=Mode.COMPANION)
    make_nodes(stage.cluster)
    if has_controllers:
        deploy_controllers(stage.cluster)
    else:
        for machine in stage.cluster.machines.values():
            machine.has_controller = False
    body = kubevirt()
    body["spec"]["configuration"]["evictionStrategy"] = "LiveMigrate"
    spec = {**body["spec"], "workloadUpdateStrategy": {"workloadUpdateMethods": list(methods)}}
    status = {
        "phase": "Deployed",
        "observedDeploymentID": "1",
        "targetDeploymentID": "1",
        "observedKubeVirtVersion": "v1.9.0",
    }
    metadata = {"name": "kubevirt"}
    stage.cluster.create(KUBEVIRTS, {**body, "metadata": metadata, "spec": spec, "status": status}, by="admin")
    for name in NETWORKS:
        create_network(stage, name)
    stage.add_operator()
    create_vm(stage, VM, primary())
    stage.settle(10)
    stage.begin()
    return stage


def migrations(stage: Stage) -> dict[str, str]:
    """The phase of each migration, by the beginning of its name."""
    jobs = stage.cluster.all(MIGRATIONS)
    return {job["metadata"]["name"].rpartition("-")[0]: (job.get("status") or {}).get("phase", "") for job in jobs}


def names(stage: Stage) -> list[str]:
    """The names of the migrations, oldest first."""
    jobs = sorted(stage.cluster.all(MIGRATIONS), key=lambda job: str(job["metadata"]["creationTimestamp"]))
    return [job["metadata"]["name"] for job in jobs]


def instance(stage: Stage) -> Json:
    """The VMI of vm-a."""
    found = stage.cluster.get(VMIS, VM)
    assert found is not None
    return found


def is_copying(stage: Stage) -> bool:
    """A migration of vm-a has begun to copy, and not ended."""
    state = state_of(instance(stage))
    return bool(state.get("startTimestamp")) and not state.get("completed")


def report(stage: Stage) -> Json:
    """The status of the report on vm-a."""
    found: Json = (stage.cluster.get(REPORTS, VM) or {}).get("status") or {}
    return found


@story
def beside_kubevirt_plug_in_place() -> Stage:
    """Beside KubeVirt: a NIC comes in place

    virt-controller asks the pod for it, and writes its row; nicplug reports.
    """
    stage = a_stage(has_controllers=True)
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert record(stage, "blue")["path"] == "Dynamic"
    assert not migrations(stage)
    return stage


@story
def beside_kubevirt_plug_by_migration() -> Stage:
    """Beside KubeVirt: a NIC is plugged where no dynamic networks controller runs

    nicplug creates a migration at once. virt-controller's own timer would have run for 15 s.
    """
    stage = a_stage()
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert migrations(stage) == {"nicplug": "Succeeded"}
    return stage


@story
def beside_kubevirt_anothers_migration() -> Stage:
    """Beside KubeVirt: a NIC is plugged while somebody migrates the VM

    That migration brings it if its target pod has not been created yet, and otherwise one of nicplug's follows. Two
    are never under way.
    """
    stage = a_stage()
    migrate(stage)
    plug(stage, "blue")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def beside_kubevirt_updater_after_a_failure() -> Stage:
    """Beside KubeVirt: the copy fails twice, and then KubeVirt's workload updater has its turn

    nicplug waits for its back-off, in which the updater creates a migration of its own. That one brings the NIC.
    """
    stage = a_stage()
    plug(stage, "blue")
    for name in ("first", "second"):
        stage.settle(until=lambda: is_copying(stage))
        stage.chapter(f"The {name} copy fails.")
        fail(stage.cluster, instance(stage), "unexpected end of stream")
        stage.settle(10)
    stage.settle(60)
    assert guest(stage) == ["default", "blue"]
    assert migrations(stage) == {"nicplug": "Failed", "kubevirt-workload-update": "Succeeded"}
    return stage


@story
def beside_kubevirt_evacuation() -> Stage:
    """Beside KubeVirt: the node is drained while nicplug's migration waits

    A migration that waits blocks the evacuation: nicplug withdraws it, and the evacuation brings the NIC.
    """
    stage = a_stage()
    plug(stage, "blue")
    stage.settle(until=lambda: "blue-net" in str(stage.cluster.get(PODS, pod_of(stage))))
    stage.chapter("From now on virt-controller does nothing.")
    controller, stage.controller = stage.controller, None
    stage.settle(until=lambda: bool(migrations(stage)))
    assert migrations(stage) == {"nicplug": ""}
    stage.chapter("A drain evicts the pod.")
    with contextlib.suppress(Rejected):
        evict(stage.cluster, pod_of(stage), by="drain")
    stage.settle(2)
    stage.chapter("virt-controller is back.")
    stage.controller = controller
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    assert migrations(stage) == {"kubevirt-evacuation": "Succeeded"}
    return stage


@story
def beside_kubevirt_report_by_hand() -> Stage:
    """Beside KubeVirt: somebody edits a report, and then deletes it

    nicplug writes it again, and nothing else.
    """
    stage = a_stage(has_controllers=True)
    plug(stage, "blue")
    stage.settle()
    stage.chapter("Somebody edits the status.")
    edit_status(stage, REPORTS, VM, lambda status: status.update(ready="7/7", interfaceOperations=[]), by="user")
    stage.settle()
    assert report(stage)["ready"] == "2/2"
    stage.chapter("Somebody takes the label off.")
    edit(stage, REPORTS, VM, lambda body: body["metadata"].update(labels={}))
    stage.settle()
    stage.chapter("Somebody deletes it.")
    stage.cluster.delete(REPORTS, VM, by="user")
    stage.settle()
    assert report(stage)["ready"] == "2/2"
    assert not migrations(stage)
    return stage


@story
def beside_kubevirt_report_only() -> Stage:
    """Beside KubeVirt: workloadUpdateMethods does not list LiveMigrate

    Neither KubeVirt nor nicplug migrates the VM; the report says why the NIC does not come. Then the admin allows it.
    """
    stage = a_stage(methods=())
    plug(stage, "blue")
    stage.settle(60)
    assert (record(stage, "blue")["phase"], record(stage, "blue")["reason"]) == ("Blocked", "WorkloadUpdateForbids")
    assert not migrations(stage)
    stage.chapter("The admin lists LiveMigrate.")
    strategy = {"workloadUpdateMethods": ["LiveMigrate"]}
    edit(stage, KUBEVIRTS, "kubevirt", lambda body: body["spec"].update(workloadUpdateStrategy=strategy), by="admin")
    stage.settle()
    assert guest(stage) == ["default", "blue"]
    return stage


@story
def beside_kubevirt_broken_network() -> Stage:
    """Beside KubeVirt: two NICs are to come, and the network of one is broken

    The kubelet names it. virt-controller deletes the target pod after 15 minutes, and its target pods have every NIC:
    so the broken one has failed, and the other one waits until it is corrected. nicplug's migration is made once for
    nothing, not five times. KubeVirt's workload updater goes on, and nicplug says so.
    """
    stage = a_stage()
    stage.cluster.failing_networks.add("default/blue-net")
    plug(stage, "blue", "green")
    stage.settle(3)
    sandbox_fails(stage, target_of(stage), "blue-net")
    stage.settle(1000, until=lambda: record(stage, "blue")["phase"] == "Failed")
    assert record(stage, "green")["phase"] == "Blocked"
    stage.settle(2000)
    assert [name for name in names(stage) if name.startswith("nicplug-")] == names(stage)[:1]
    assert "MigrationsInVain" in str(report(stage)["conditions"])
    stage.chapter("The admin repairs the network and writes its definition anew.")
    stage.cluster.failing_networks.clear()
    delete_network(stage, "blue")
    create_network(stage, "blue")
    stage.settle(1800)
    assert guest(stage) == ["default", "blue", "green"]
    assert "targetPodFailures" not in report(stage)
    return stage
