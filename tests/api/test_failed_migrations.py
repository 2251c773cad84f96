"""Migrations that are made for NICs, in vain: how often, for whom, and what lifts a back-off."""

import json

from tests import manifests
from tests.api import objects
from tests.api.objects import Json
from tests.api.on_demand import made, posts, without_controller
from tests.api.world import DAEMON_SETS, MIGRATION, POD, VM, VMI, World

INTERFACES = "nicplug.io/interfaces"
IGNORE_BACKOFF = "kubevirt.io/func-test-ignore-migration-backoff"
PENDING_TIMEOUT = "kubevirt.io/migrationPendingPodTimeoutSeconds"
NADS = "network-attachment-definitions"
NO_BRIDGE = 'plugin type="multus" failed (add): error adding container to network default/lan: no such bridge'
BLUE, GREEN = manifests.pod_interface("blue"), manifests.pod_interface("green")


def target_pods(world: World) -> list[Json]:
    """The pods that were made for migrations."""
    label = "kubevirt.io/migrationJobUID"
    return [pod for pod in world.server.items(POD) if label in (pod["metadata"].get("labels") or {})]


def made_for(migration: Json) -> set[str]:
    """The NICs that a migration says it was made for."""
    return set(json.loads(migration["metadata"]["annotations"][INTERFACES]))


def told(migration: Json) -> str:
    """What its condition `Progressing` says."""
    rows = migration.get("status", {}).get("conditions", [])
    return next((row.get("message", "") for row in rows if row["type"] == "Progressing"), "")


async def failed_once(world: World) -> str:
    """A VM whose NIC has kept a target pod from starting: it had a node, and did not come up in time."""
    name = await without_controller(world)
    world.plug(VM, name, "blue")
    await never_starts(world, [BLUE])
    await world.until(lambda: world.record(name, "blue").get("phase") == "Failed")
    return name


async def never_starts(world: World, nics: list[str]) -> None:
    """The target pod has these NICs, gets a node and does not come up: its migration fails, and the pod goes."""

    def going() -> Json:
        return next((item for item in made(world) if item.get("status", {}).get("phase") != "Failed"), {})

    await world.until(going)
    annotate(world, going(), IGNORE_BACKOFF, "")
    await world.until(lambda: target_pods(world))
    (pod,), migration = target_pods(world), going()
    assert objects.requested(pod) == nics
    world.server.bind(pod["metadata"]["name"], node="node02")
    # Pods and migrations have a watch each: one without a node would be late for another reason.
    await world.until(lambda: "on node02" in told(going()))
    annotate(world, migration, PENDING_TIMEOUT, "1")
    await world.until(lambda: phase_of(world, migration) == "Failed")
    await world.at_rest()
    for gone in target_pods(world):
        world.server.delete(POD, gone["metadata"]["name"], grace_seconds=0)


def annotate(world: World, migration: Json, name: str, value: str) -> None:
    """What a person may write on a migration."""
    key = migration["metadata"]["name"]
    world.server.modify(MIGRATION, key, lambda body: body["metadata"]["annotations"].update({name: value}))


def phase_of(world: World, migration: Json) -> str:
    """Of that migration now."""
    return str(world.get(MIGRATION, migration["metadata"]["name"]).get("status", {}).get("phase", ""))


async def test_a_broken_network_migrates_a_vm_once_whoever_leads_and_cleans_up(world: World) -> None:
    name = await failed_once(world)
    record = world.record(name, "blue")
    assert (record["path"], record["reason"]) == ("Migration", "MigrationFailed")
    assert "migrating failed once" in record["message"]
    assert record["migrationFailures"]["migrations"] == [made(world)[0]["metadata"]["uid"]]
    assert len(posts(world)) == 1
    world.server.delete(MIGRATION, made(world)[0]["metadata"]["name"])
    await world.until(lambda: not made(world))
    await world.at_rest()
    await world.stop(world.operators()[0])
    await world.operator()
    await world.at_rest()
    assert len(posts(world)) == 1
    assert world.record(name, "blue") == record


async def test_a_corrected_nic_is_tried_at_once(world: World) -> None:
    name = await failed_once(world)

    def correct(body: Json) -> None:
        devices = body["spec"]["template"]["spec"]["domain"]["devices"]
        devices["interfaces"][1]["macAddress"] = "02:00:00:00:00:07"

    world.server.modify(VM, name, correct)
    await world.until(lambda: len(posts(world)) == 2 and target_pods(world))
    assert objects.requested(target_pods(world)[0]) == [BLUE]
    assert "migrationFailures" not in world.record(name, "blue")


async def test_a_healthy_nic_comes_without_the_broken_one(world: World) -> None:
    name = await failed_once(world)
    world.plug(VM, name, "green")
    await world.until(lambda: len(posts(world)) == 2 and target_pods(world))
    assert objects.requested(target_pods(world)[0]) == [GREEN]
    going = [item for item in made(world) if item["status"]["phase"] != "Failed"]
    assert [made_for(item) for item in going] == [{"green"}]
    await world.at_rest()
    assert world.record(name, "blue")["phase"] == "Failed"


async def test_a_healthy_nic_that_was_asked_for_together_with_a_broken_one_comes_in_the_end(world: World) -> None:
    name = await without_controller(world)
    world.set_limits(cluster=0)
    await world.configured()
    world.plug(VM, name, "blue")
    world.plug(VM, name, "green")
    await world.until(lambda: made(world) and made_for(made(world)[0]) == {"blue", "green"})
    world.set_limits(cluster=5)
    await never_starts(world, [BLUE, GREEN])
    # Nobody can tell for which of them: each gets a target pod for itself.
    await never_starts(world, [BLUE])
    await world.until(lambda: world.record(name, "blue").get("phase") == "Failed")
    await world.until(lambda: len(made(world)) == 3)
    going = next(item for item in made(world) if phase_of(world, item) != "Failed")
    assert made_for(going) == {"green"}
    annotate(world, going, IGNORE_BACKOFF, "")
    await world.until(lambda: target_pods(world))
    assert objects.requested(target_pods(world)[0]) == [GREEN]
    await world.at_rest()
    assert len(posts(world)) == 3
    assert [world.record(name, nic)["phase"] for nic in ("blue", "green")] == ["Failed", "Migrating"]


async def test_nics_wait_for_the_network_of_one_that_the_guest_has_and_come_when_it_is_corrected(world: World) -> None:
    """The kubelet names it: the NICs that are to come were each migrated for once more, and then given up for good."""
    world.server.serve(DAEMON_SETS)
    world.server.create(NADS, manifests.nad("blue-lan"))
    await world.operator()
    name = await world.running(objects.vm("a", ["green"]))
    condition = {"type": "LiveMigratable", "status": "True"}
    world.server.modify(VMI, name, lambda body: body["status"]["conditions"].append(condition), status=True)
    world.plug(VM, name, "blue", "blue-lan")
    world.plug(VM, name, "red", "blue-lan")
    await world.until(lambda: target_pods(world))
    (pod,), (migration,) = target_pods(world), made(world)
    assert made_for(migration) == {"blue", "red"}
    world.server.bind(pod["metadata"]["name"], node="node02")
    said = objects.failure_event(pod, "sandbox") | {"reason": "FailedCreatePodSandBox", "message": NO_BRIDGE}
    world.server.create("core/events", said)
    await world.until(lambda: "no such bridge" in told(made(world)[0]))
    annotate(world, migration, PENDING_TIMEOUT, "1")
    await world.until(lambda: phase_of(world, migration) == "Failed")
    await world.until(lambda: {world.record(name, nic).get("phase") for nic in ("blue", "red")} == {"Blocked"})
    assert 'NIC "green" on network default/lan' in world.record(name, "blue")["message"]
    assert made(world)[0]["status"]["interfacesAtFault"] == ["green"]
    await world.at_rest()
    for gone in target_pods(world):
        world.server.delete(POD, gone["metadata"]["name"], grace_seconds=0)
    await world.at_rest()
    assert len(posts(world)) == 1
    config = '{"type": "bridge", "bridge": "br1"}'
    world.server.modify(NADS, "lan", lambda body: body["spec"].update(config=config))
    await world.until(lambda: len(posts(world)) == 2 and target_pods(world))
    assert set(objects.requested(target_pods(world)[0])) == {GREEN, BLUE, manifests.pod_interface("red")}


async def test_a_nic_that_is_asked_for_while_a_migration_waits_comes_with_it(world: World) -> None:
    name = await without_controller(world)
    world.set_limits(cluster=0)
    await world.configured()
    world.plug(VM, name, "blue")
    await world.until(lambda: made(world))
    assert made_for(made(world)[0]) == {"blue"}
    world.plug(VM, name, "green")
    await world.until(lambda: made_for(made(world)[0]) == {"blue", "green"})
    await world.until(lambda: world.record(name, "green").get("migration") == made(world)[0]["metadata"]["name"])
    world.set_limits(cluster=5)
    await world.until(lambda: target_pods(world))
    assert objects.requested(target_pods(world)[0]) == [BLUE, GREEN]
    assert len(posts(world)) == 1


async def test_a_nic_that_is_asked_for_while_its_target_pod_waits_comes_with_the_pod_that_takes_its_place(
    world: World,
) -> None:
    name = await without_controller(world)
    world.plug(VM, name, "blue")
    await world.until(lambda: target_pods(world) and phase_of(world, made(world)[0]) == "Scheduling")
    (old,) = target_pods(world)
    await world.at_rest()
    sent = len(world.written())
    world.plug(VM, name, "green")
    await world.until(lambda: [pod for pod in target_pods(world) if objects.requested(pod) == [BLUE, GREEN]])
    await world.until(lambda: phase_of(world, made(world)[0]) == "Scheduling")
    (new,) = target_pods(world)
    await world.until(lambda: made_for(made(world)[0]) == {"blue", "green"})
    (migration,) = made(world)
    assert len(posts(world)) == 1
    assert migration["status"]["targetPod"]["uid"] == new["metadata"]["uid"]
    replaced = {"name": old["metadata"]["name"], "uid": old["metadata"]["uid"]}
    assert migration["status"]["targetPodRenewal"] == {"count": 1, "replacedPods": [replaced]}
    # Written off, deleted, made anew: whenever the operator dies, the next one goes on from what it finds.
    written = world.written()[sent:]
    steps = (
        f"patch {MIGRATION}/status {migration['metadata']['name']} 200",
        f"delete {POD} {old['metadata']['name']} 200",
        f"create {POD} {new['metadata']['name']} 201",
    )
    assert [written.index(step) for step in steps] == sorted(written.index(step) for step in steps)


async def test_a_migration_that_is_not_needed_any_more_is_taken_back(world: World) -> None:
    """The pod has got the NIC after all, before the migration had its turn."""
    name = await without_controller(world)
    world.set_limits(cluster=0)
    await world.configured()
    world.plug(VM, name, "blue")
    await world.until(lambda: made(world))
    (migration,) = made(world)
    assert migration["metadata"]["name"].startswith("kubevirt-workload-update-")
    assert "kubevirt.io/workloadUpdateMigration" in migration["metadata"]["annotations"]
    await world.until(lambda: world.condition(name, "MigrationRequired", member="reason"))
    assert world.condition(name, "MigrationRequired", member="reason") == "AutoMigrationDueToLiveUpdate"
    world.attach(name)
    await world.until(lambda: not made(world))
    world.run_guest(name)
    await world.until(lambda: world.record(name, "blue").get("phase") == "Ready")
    assert world.condition(name, "MigrationRequired") == ""
    await world.until(lambda: _event_reasons(world) >= {"SuccessfulCreate", "SuccessfulChangeAbortion"})
    notes = {event.get("note") for event in world.server.items("events")}
    assert f"Created Migration {migration['metadata']['name']} for automated workload update" in notes
    assert f"Aborted change for vmi: {name}" in notes


def _told(world: World, name: str, reason: str) -> list[str]:
    """The events of that reason about the VMI."""
    vmi = world.get(VMI, name)["metadata"]["uid"]
    events = [item for item in world.server.items("events") if item.get("regarding", {}).get("uid") == vmi]
    return [str(item["note"]) for item in events if item["reason"] == reason]


async def test_a_migration_that_may_not_be_made_is_told_in_kubevirts_words(world: World) -> None:
    name = await without_controller(world)
    world.server.fail(status=422, resource=MIGRATION, verb="create", times=99)
    world.plug(VM, name, "blue")
    await world.until(lambda: _told(world, name, "FailedCreate"))
    (note,) = _told(world, name, "FailedCreate")
    assert note.startswith("Error creating a Migration for automated workload update: ")
    await world.until(lambda: world.condition(name, "Synchronized", member="reason") == "FailedCreate")


async def test_a_migration_that_may_not_be_taken_back_is_told_in_kubevirts_words(world: World) -> None:
    name = await without_controller(world)
    world.set_limits(cluster=0)
    await world.configured()
    world.plug(VM, name, "blue")
    await world.until(lambda: made(world))
    world.server.fail(status=422, resource=MIGRATION, verb="delete", times=99)
    world.attach(name)
    await world.until(lambda: _told(world, name, "FailedChangeAbortion"))
    (note,) = _told(world, name, "FailedChangeAbortion")
    assert note.startswith(f"Failed to abort change for vmi: {name}: ")
    await world.until(lambda: world.condition(name, "Synchronized", member="reason") == "FailedChangeAbortion")
    assert made(world)
    assert not _told(world, name, "FailedDelete")


def _event_reasons(world: World) -> set[str]:
    vmi = world.get(VMI, "a")["metadata"]["uid"]
    return {item["reason"] for item in world.server.items("events") if item.get("regarding", {}).get("uid") == vmi}
