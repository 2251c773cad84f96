"""Who is waited for while a VM is migrated, for how long, and how that is told."""

from tests.api.journey import Journey, guest
from tests.api.objects import Json
from tests.api.test_migrations import is_as_it_was
from tests.api.world import MIGRATION, POD, World

PENDING_TIMEOUT = "kubevirt.io/migrationPendingPodTimeoutSeconds"


def end_sidecar(body: Json) -> None:
    """The kubelet: the pod runs, and a container that somebody has injected has ended."""
    ended = {"terminated": {"reason": "Error", "exitCode": 1}}
    body["status"]["containerStatuses"].append({"name": "logger", "ready": False, "state": ended})


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
