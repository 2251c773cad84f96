"""A user's migration over the API: which requests it costs, and what is left when it is cancelled or fails."""

import pytest
from tests.api.as_it_was import is_as_it_was, pod_names
from tests.api.journey import PHASES, Journey, guest
from tests.api.world import MIGRATION, POD, VMI, World

LEDGER = "nicplug-migration-slots"


async def begun(world: World, phase: str) -> Journey:
    """An operator, a VMI with a NIC, and a migration of it in that phase."""
    await world.operator()
    name = await guest(world)
    await world.quiet()
    journey = Journey(world, name)
    if phase == "Pending":
        world.set_limits(cluster=0)
        await world.configured()
    journey.ask()
    await journey.to(phase)
    return journey


async def test_a_whole_migration_and_what_it_costs(world: World) -> None:
    await world.operator()
    name = await guest(world)
    await world.quiet()
    journey = Journey(world, name).ask()
    await journey.to("Succeeded")
    await journey.until(lambda: journey.source not in pod_names(world))
    await world.at_rest()
    (target,) = pod_names(world)
    work = [line for line in world.written() if "/status" not in line and LEDGER not in line]
    assert work == [
        f"patch {MIGRATION} job 200",  # its finalizer,
        f"patch {MIGRATION} job 200",  # and its label, as KubeVirt's webhook adds them
        f"create {POD} {target} 201",
        f"patch {VMI} {name} 200",  # label by which the target's node agent finds the VMI
        f"patch {MIGRATION} job 200",  # a look, which changes nothing, before the hand-off (docs/adr/0027)
        f"patch {POD} {target} 200",  # the guest is up there
        f"delete {POD} {journey.source} 200",
        f"patch {MIGRATION} job 200",  # the finalizer goes
    ]
    reports = [line for line in world.written() if line.startswith(f"patch {MIGRATION}/status")]
    assert len(reports) <= len(PHASES) + 1
    assert journey.progressing["message"] == "the VM has moved from node01 to node02"
    await world.until(lambda: journey.events() == ["SuccessfulCreate", "SuccessfulHandOver", "SuccessfulMigration"])
    world.server.clear_requests()
    await world.at_rest(seconds=1)
    assert world.written() == []


# Each once, whatever happens in between; the source's node agent has the last word once the copy has begun.
_HANDED_OFF = ["SuccessfulCreate", "SuccessfulHandOver", "SuccessfulAbortMigration", "FailedMigration"]
TOLD_OF_A_CANCELLATION = {
    "Pending": ["FailedMigration"],
    "Scheduling": ["SuccessfulCreate", "FailedMigration", "SuccessfulDelete"],
    "Scheduled": ["SuccessfulCreate", "FailedMigration", "SuccessfulDelete"],
    "PreparingTarget": [*_HANDED_OFF, "SuccessfulDelete"],
    "TargetReady": [*_HANDED_OFF, "SuccessfulDelete"],
    "Running": [*_HANDED_OFF, "SuccessfulDelete"],
}


@pytest.mark.parametrize("phase", PHASES)
async def test_cancelled_by_deletion(world: World, phase: str) -> None:
    journey = await begun(world, phase)
    journey.cancel()
    await journey.until(lambda: not journey.exists)
    await is_as_it_was(world, journey)
    await world.until(lambda: journey.events() == TOLD_OF_A_CANCELLATION[phase])


@pytest.mark.parametrize("phase", PHASES[1:])
async def test_a_target_pod_that_is_deleted_by_force(world: World, phase: str) -> None:
    journey = await begun(world, phase)
    assert journey.target is not None
    world.server.delete(POD, journey.target["metadata"]["name"], grace_seconds=0)
    await journey.until(lambda: journey.phase == "Failed")
    assert journey.progressing["reason"] == "TargetPodLost"
    if phase in PHASES[3:]:
        await journey.until(lambda: journey.state.get("failed"))
        assert journey.state["failureReason"] == "Target pod is down"
    await is_as_it_was(world, journey)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_vmi_that_is_deleted(world: World, phase: str) -> None:
    """Both pods go, then the VMI; the migration says what became of it, and can be deleted."""
    journey = await begun(world, phase)
    world.server.delete(VMI, journey.vmi)
    await journey.until(lambda: world.server.get(VMI, journey.vmi) is None)
    await journey.until(lambda: journey.phase == "Failed")
    assert journey.progressing["reason"] in ("VmiMissing", "VmiFinal", "TargetPodLost")
    assert world.server.items(POD) == []
    journey.cancel()
    await journey.until(lambda: not journey.exists)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_new_operator_goes_on_where_the_old_one_was(world: World, phase: str) -> None:
    first = await world.operator()
    name = await guest(world)
    journey = Journey(world, name)
    if phase == "Pending":
        world.set_limits(cluster=0)
        await world.configured()
    journey.ask()
    await journey.to(phase)
    await world.stop(first)
    world.set_limits(cluster=5)
    await world.operator()
    await journey.to("Succeeded")
    assert len([line for line in world.written() if line.startswith(f"create {POD}")]) == 2


@pytest.mark.parametrize("phase", PHASES[1:])
async def test_what_is_under_way_goes_on_by_the_limits_that_it_began_by(world: World, phase: str) -> None:
    """By the new ones nothing may begin, as another migration shows."""
    journey = await begun(world, phase)
    other = await guest(world, "b", nics=())
    world.set_gates()
    world.set_limits(cluster=0, outbound=0, inbound=5)
    await world.configured()
    held = Journey(world, other, name="held").ask()
    await world.until(lambda: held.progressing.get("reason") == "WaitingForSlot")
    await journey.to("Succeeded")
    assert (held.phase, held.target) == ("Pending", None)


async def test_what_waits_begins_when_a_limit_is_raised(world: World) -> None:
    journey = await begun(world, "Pending")
    await world.until(lambda: journey.progressing.get("reason") == "WaitingForSlot")
    world.set_limits(cluster=1)
    await journey.to("Succeeded")


@pytest.mark.parametrize("phase", PHASES[3:])
async def test_a_migration_state_that_somebody_else_writes(world: World, phase: str) -> None:
    journey = await begun(world, phase)
    journey.report(migrationUid="99999999-dddd-4000-8000-000000000009")
    await journey.until(lambda: journey.phase == "Failed")
    assert journey.progressing["reason"] == "MigrationStateLost"
    # Its writer says that it is over; nicplug does not, of what is not its own.
    assert "failed" not in journey.state
    journey.report(completed=True, failed=True)
    await is_as_it_was(world, journey)


@pytest.mark.parametrize("phase", PHASES)
async def test_what_webhooks_see_to_is_seen_to(world: World, phase: str) -> None:
    """Label and finalizer that somebody takes away are put back: without the finalizer a cancellation is not heard."""
    journey = await begun(world, phase)

    def strip(body: dict[str, dict[str, object]]) -> None:
        body["metadata"] |= {"labels": {}, "finalizers": []}

    world.server.modify(MIGRATION, journey.name, strip)
    await world.until(lambda: world.get(MIGRATION, journey.name)["metadata"].get("finalizers"))
    await world.until(lambda: world.get(MIGRATION, journey.name)["metadata"].get("labels"))
    journey.cancel()
    await journey.until(lambda: not journey.exists)
    await is_as_it_was(world, journey)


async def test_a_quota_is_waited_for(world: World) -> None:
    await world.operator()
    name = await guest(world)
    text = 'pods "virt-launcher" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'
    refused = world.server.fail(status=403, resource=POD, verb="create", times=99, body={"message": text, "code": 403})
    journey = Journey(world, name).ask()
    await world.until(lambda: journey.progressing.get("reason") == "RejectedByResourceQuota")
    assert "exceeded quota: small" in journey.progressing["message"]
    assert journey.phase == "Pending"
    rows = world.get(MIGRATION, "job")["status"]["conditions"]
    assert [row["status"] for row in rows if row["type"] == "migrationRejectedByResourceQuota"] == ["True"]
    refused.times = 0
    await journey.to("Succeeded")
    rows = world.get(MIGRATION, "job")["status"]["conditions"]
    assert "migrationRejectedByResourceQuota" not in [row["type"] for row in rows]


class TestRefused:
    """What KubeVirt's webhook refuses: here it fails, and nothing holds it."""

    async def failed(self, world: World, journey: Journey, reason: str) -> None:
        await world.until(lambda: journey.phase == "Failed")
        assert journey.progressing["reason"] == reason
        # One that was accepted a moment before the VMI's end was heard of has it, and loses it again.
        await world.until(lambda: not world.get(MIGRATION, journey.name)["metadata"].get("finalizers"))
        world.server.delete(MIGRATION, journey.name)
        assert not journey.exists

    async def test_a_vmi_that_does_not_exist(self, world: World) -> None:
        await world.operator()
        name = await guest(world)
        journey = Journey(world, name)
        journey.vmi = "nobody"
        await self.failed(world, journey.ask(), "VmiMissing")
        assert [line for line in world.written() if "job" in line] == [f"patch {MIGRATION}/status job 200"]

    async def test_one_for_a_missing_vmi_that_has_the_finalizer(self, world: World) -> None:
        """Written by hand, or restored from a backup: in KubeVirt it hangs."""
        await world.operator()
        name = await guest(world)
        journey = Journey(world, name)
        journey.vmi = "nobody"
        journey.ask()
        finalizers = ["kubevirt.io/migrationJobFinalize"]
        world.server.modify(MIGRATION, "job", lambda body: body["metadata"].update(finalizers=finalizers))
        journey.cancel()
        await world.until(lambda: not journey.exists)

    async def test_a_vmi_that_has_ended(self, world: World) -> None:
        await world.operator()
        name = await guest(world)
        journey = Journey(world, name)
        finalizers = ["test.example/hold"]
        world.server.modify(VMI, name, lambda body: body["metadata"].update(finalizers=finalizers))
        world.server.modify(VMI, name, lambda body: body["status"].update(phase="Succeeded"), status=True)
        await self.failed(world, journey.ask(), "VmiFinal")

    async def test_a_vmi_that_cannot_migrate(self, world: World) -> None:
        await world.operator()
        name = await guest(world)

        def forbid(body: dict[str, dict[str, list[dict[str, str]]]]) -> None:
            rows = [row for row in body["status"]["conditions"] if row["type"] != "LiveMigratable"]
            no = {"type": "LiveMigratable", "status": "False", "reason": "DisksNotLiveMigratable", "message": "local"}
            body["status"]["conditions"] = [*rows, no]

        world.server.modify(VMI, name, forbid, status=True)
        journey = Journey(world, name).ask()
        # Failed, or waiting when it was heard of before the condition was.
        await world.until(lambda: journey.progressing.get("reason") == "NotLiveMigratable")
        told = "Cannot migrate VMI, Reason: DisksNotLiveMigratable, Message: local"
        assert journey.progressing["message"].startswith(told)
        journey.cancel()
        await world.until(lambda: not journey.exists)

    @pytest.mark.parametrize("phase", PHASES)
    async def test_a_vmi_that_is_migrated_already(self, world: World, phase: str) -> None:
        journey = await begun(world, phase)
        second = Journey(world, journey.vmi, name="second", source=journey.source)
        second.ask()
        await self.failed(world, second, "MigrationInFlight")
        world.set_limits(cluster=5)
        await journey.to("Succeeded")

    async def test_several_made_in_the_same_millisecond(self, world: World) -> None:
        """By several clients; one goes. The others name the one that they were told of, which may have failed since."""
        await world.operator()
        name = await guest(world)
        await world.quiet()
        journeys = [Journey(world, name, name=f"job-{number}") for number in range(5)]
        world.server.atomically(lambda: [journey.ask() for journey in journeys])
        await world.until(lambda: sum(journey.phase == "Failed" for journey in journeys) == 4)
        (first,) = [journey for journey in journeys if journey.phase != "Failed"]
        for journey in journeys:
            if journey is not first:
                assert journey.progressing["reason"] == "MigrationInFlight"
                assert f" is already moving {name}: " in journey.progressing["message"]
        await first.to("Succeeded")
        assert len([line for line in world.written() if line.startswith(f"create {POD}")]) == 1


async def test_a_namesake_of_the_target_pod_is_told_and_not_used(world: World) -> None:
    await world.operator()
    guest_name = await guest(world)
    await world.quiet()
    failing = world.server.fail(status=503, resource=POD, verb="create", times=99)
    journey = Journey(world, guest_name).ask()
    await world.until(lambda: failing.times < 99)
    (request, *_) = [request for request in world.server.writes(POD) if request.verb == "create"]
    pod_name = request.body["metadata"]["name"]
    world.server.create(POD, {"metadata": {"name": pod_name}, "spec": {"containers": [{"name": "a", "image": "b"}]}})
    world.server.heal()
    await journey.to("Succeeded")
    assert journey.state["targetPod"] != pod_name
    told = [item["note"] for item in world.server.items("events") if item["reason"] == "ForeignPod"]
    used = journey.state["targetPod"]
    assert told == [f"Pod {pod_name} was not made by nicplug and is not used: the virtual machine gets pod {used}"]
