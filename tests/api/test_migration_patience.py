"""Who is waited for while a VM is migrated, for how long, and how that is told."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from tests.api import objects
from tests.api.as_it_was import is_as_it_was
from tests.api.journey import Journey, guest
from tests.api.objects import Json
from tests.api.world import MIGRATION, POD, VMI, World
from tests.fakes.faults import Fault, Request

PENDING_TIMEOUT = "kubevirt.io/migrationPendingPodTimeoutSeconds"


def end_sidecar(body: Json) -> None:
    """The kubelet: the pod runs, and a container that somebody has injected has ended."""
    ended = {"terminated": {"reason": "Error", "exitCode": 1}}
    body["status"]["containerStatuses"].append({"name": "logger", "ready": False, "state": ended})


def attach(body: Json) -> None:
    """Multus: all that was asked for is there."""
    body["metadata"]["annotations"][objects.NETWORK_STATUS] = objects.network_status(objects.requested(body))


def run_with_broken_sidecar(world: World, journey: Journey) -> None:
    """Scheduler and kubelet: it runs, and never gets ready."""
    assert journey.target is not None
    name = journey.target["metadata"]["name"]
    world.server.bind(name, node=journey.node)
    compute = {"name": "compute", "ready": True, "state": {"running": {}}, "image": "launcher"}

    def run(body: Json) -> None:
        body["status"] = {"phase": "Running", "containerStatuses": [compute]}
        end_sidecar(body)

    world.server.modify(POD, name, run, status=True)


async def moving(world: World, phase: str) -> Journey:
    """An operator, a VMI with a NIC, and a migration of it in that phase."""
    await world.operator()
    journey = Journey(world, await guest(world)).ask()
    await journey.to(phase)
    await world.quiet()
    return journey


async def test_a_target_pod_that_runs_and_never_gets_ready_gives_its_slot_back(world: World) -> None:
    journey = await moving(world, "Scheduling")
    run_with_broken_sidecar(world, journey)
    await world.until(lambda: journey.progressing["reason"] == "TargetPodContainersNotReady")
    told = journey.progressing
    assert told["status"] == "False"
    assert "runs on node02 and is not ready: container logger (ended with exit code 1); given up at" in told["message"]
    patience = {PENDING_TIMEOUT: "1"}
    world.server.modify(MIGRATION, "job", lambda body: body["metadata"].update(annotations=patience))
    await journey.until(lambda: journey.phase == "Failed")
    assert journey.progressing["reason"] == "TargetPodNotReady"
    assert "container logger (ended with exit code 1)" in journey.progressing["message"]
    await is_as_it_was(world, journey)


async def test_a_target_pod_that_lacked_a_container_for_a_while_is_used(world: World) -> None:
    journey = await moving(world, "Scheduling")
    run_with_broken_sidecar(world, journey)
    await world.until(lambda: journey.progressing["reason"] == "TargetPodContainersNotReady")
    assert journey.target is not None
    name = journey.target["metadata"]["name"]
    world.server.modify(POD, name, lambda body: body["status"]["containerStatuses"].pop(), status=True)
    await journey.to("Succeeded")


async def test_a_sidecar_that_ends_after_the_hand_off_changes_nothing(world: World) -> None:
    journey = await moving(world, "PreparingTarget")
    patience = {PENDING_TIMEOUT: "0"}
    world.server.modify(MIGRATION, "job", lambda body: body["metadata"].update(annotations=patience))
    assert journey.target is not None
    world.server.modify(POD, journey.target["metadata"]["name"], end_sidecar, status=True)
    await world.at_rest()
    assert journey.phase == "PreparingTarget"
    await journey.to("Succeeded")


def set_ready(world: World, name: str, *, ready: bool) -> None:
    """The node lifecycle controller says so."""
    status = objects.cluster_node(name, ready=ready)["status"]
    world.server.modify("nodes", name, lambda body: body.update(status=status), status=True)


async def copying(world: World) -> Journey:
    """A VM that is copied from node01 to node02; all that may be under way."""
    world.server.serve("nodes")
    for name in ("node01", "node02", "node03"):
        world.server.create("nodes", objects.cluster_node(name))
    world.set_limits(cluster=1)
    return await moving(world, "Running")


@pytest.mark.parametrize(("lost", "relation"), [("node01", "is to leave"), ("node02", "is to come to")])
@pytest.mark.parametrize("canceled", [False, True], ids=["copies", "is cancelled"])
async def test_a_node_that_is_lost_during_the_copy_is_told_until_it_is_back(
    world: World, lost: str, relation: str, canceled: bool
) -> None:
    journey = await copying(world)
    # The node agents have nothing to say meanwhile.
    if canceled:
        journey.cancel()
        await world.until(lambda: journey.progressing["reason"] == "Canceling")
    set_ready(world, lost, ready=False)
    await world.until(lambda: journey.progressing["reason"] == "NodeLost")
    assert journey.progressing["status"] == "False"
    assert f"node {lost}, which the VM {relation}, is not ready" in journey.progressing["message"]
    await world.at_rest()
    assert journey.phase == "Running"
    assert len(world.server.items(POD)) == 2
    set_ready(world, lost, ready=True)
    await world.until(lambda: journey.progressing["status"] == "True")
    assert journey.progressing["reason"] == ("Canceling" if canceled else "Copying")
    if canceled:
        await journey.until(lambda: not journey.exists)
        await is_as_it_was(world, journey)
    else:
        await journey.to("Succeeded")


@pytest.mark.parametrize("canceled", [False, True], ids=["copies", "is cancelled"])
@pytest.mark.parametrize("lost", ["node01", "node02"])
async def test_a_node_that_is_deleted_during_the_copy_ends_the_migration_and_frees_its_slot(
    world: World, monkeypatch: pytest.MonkeyPatch, lost: str, canceled: bool
) -> None:
    # For so long the target's node agent may still say that the guest has arrived.
    monkeypatch.setattr("nicplug.plan.vmi.phase._NODE_AGENT_SILENCE", timedelta(seconds=1))
    journey = await copying(world)
    other = await guest(world, "b")
    second = Journey(world, other, name="second", node="node03").ask()
    await world.until(lambda: second.progressing.get("reason") == "WaitingForSlot")
    if canceled:
        journey.cancel()
    world.server.delete("nodes", lost)
    await world.until(lambda: "is not in the cluster any more" in journey.progressing["message"])
    # Garbage collection of pods whose node is gone.
    for pod in world.server.items(POD):
        if pod["spec"].get("nodeName") == lost and pod["metadata"]["name"] != second.source:
            world.server.delete(POD, pod["metadata"]["name"], grace_seconds=0)
    await second.to("Succeeded")
    if canceled:
        await world.until(lambda: not journey.exists)
    else:
        assert journey.phase == "Failed"
        assert journey.progressing["reason"] == ("VmiFinal" if lost == "node01" else "TargetPodLost")
    assert world.phase(journey.vmi) == ("Failed" if lost == "node01" else "Running")
    assert world.get(VMI, journey.vmi)["status"]["migrationState"]["failed"] is True


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("PreparingTarget", "virt-handler on node02 did not prepare the target pod within 5 s"),
        ("TargetReady", "virt-handler on node01 did not begin the copy within 5 s"),
    ],
)
async def test_a_node_agent_that_never_answers_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch, phase: str, words: str
) -> None:
    for module in ("timeouts", "actions"):
        monkeypatch.setattr(f"nicplug.plan.migration.{module}.NODE_AGENT_PATIENCE", timedelta(seconds=5))
    journey = await moving(world, phase)
    # Longer than any report is withheld: nothing but the deadline makes anybody look again.
    await world.until(lambda: journey.phase == "Failed")
    assert journey.progressing["reason"] == "MigrationFailed"
    assert words in journey.progressing["message"]
    await is_as_it_was(world, journey)


@dataclass(slots=True, kw_only=True, eq=False)
class Deaf(Fault):
    """No write of the operator's to `status.migrationState` is permitted."""

    def matches(self, request: Request) -> bool:
        is_status = (request.verb, request.resource, request.subresource) == ("patch", VMI, "status")
        paths = [item.get("path") for item in request.body or [] if item.get("op") != "test"] if is_status else []
        return "/status/migrationState" in paths


def refuse_to_tell_node_agents(world: World) -> None:
    """As without the rule for `virtualmachineinstances/status`."""
    message = "virtualmachineinstances is forbidden: no"
    world.server.inject(Deaf(status=403, times=10**6, body={"message": message, "code": 403, "reason": "Forbidden"}))


def notes(world: World, journey: Journey, reason: str) -> list[str]:
    """What the events about the migration say that have this reason."""
    about = [item for item in world.server.items("events") if item["regarding"].get("uid") == journey.uid]
    return [item["note"] for item in about if item["reason"] == reason]


async def test_a_hand_off_that_is_refused_is_told_and_asked_again(world: World) -> None:
    journey = await moving(world, "Scheduling")
    refuse_to_tell_node_agents(world)
    await journey.to("Scheduled")
    assert journey.target is not None
    world.server.modify(POD, journey.target["metadata"]["name"], attach)
    await world.until(lambda: notes(world, journey, "FailedHandOver"))
    (note,) = notes(world, journey, "FailedHandOver")
    assert note.startswith("Failed to set MigrationStat in VMI status. :")
    assert "virtualmachineinstances is forbidden: no" in note
    assert journey.phase == "Scheduled"
    world.server.heal()
    await journey.to("Succeeded", seconds=60)


@pytest.mark.parametrize("phase", ["PreparingTarget", "Running"])
async def test_an_abort_that_is_refused_is_told_and_asked_again(world: World, phase: str) -> None:
    journey = await moving(world, phase)
    refuse_to_tell_node_agents(world)
    journey.cancel()
    await world.until(lambda: notes(world, journey, "FailedAbortMigration"))
    (note,) = notes(world, journey, "FailedAbortMigration")
    assert note.startswith("Error patching virtual machine instance: ")
    assert "virtualmachineinstances is forbidden: no" in note
    assert journey.phase == phase
    world.server.heal()
    await journey.until(lambda: not journey.exists, seconds=60)
    await is_as_it_was(world, journey)
