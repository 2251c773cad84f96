"""Limits of migrations, on the wire: the ledger is written before anything is begun, by however many operators."""

from tests.api import objects
from tests.api.objects import Json
from tests.api.world import MIGRATION, POD, VMI, World

LEDGER = "configmaps"
NAME = "nicplug-migration-slots"
JOB = "kubevirt.io/migrationJobUID"


def ledger(world: World) -> Json:
    """The slots in the ledger, by the uid of their migration."""
    found = world.server.get(LEDGER, NAME, namespace="nicplug-system")
    return {uid: value for uid, value in found["data"].items() if uid != "checksum"} if found else {}


async def guest(world: World, name: str, *, node: str = "node01") -> str:
    """A VMI that runs on that node and can move."""
    await world.running(objects.vmi(name), node=node)
    condition = {"type": "LiveMigratable", "status": "True"}
    world.server.modify(VMI, name, lambda body: body["status"]["conditions"].append(condition), status=True)
    return name


def migrate(world: World, name: str, **spec: str) -> str:
    """kubectl create; returns the uid."""
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": f"job-{name}"},
        "spec": {"vmiName": name, **spec},
    }
    return str(world.server.create(MIGRATION, body)["metadata"]["uid"])


def targets(world: World) -> set[str]:
    """uids of the migrations that have a target pod."""
    labels = [pod["metadata"].get("labels", {}) for pod in world.server.items(POD)]
    return {item[JOB] for item in labels if JOB in item}


async def test_a_slot_is_in_the_ledger_before_the_target_pod_is_made(world: World) -> None:
    await world.operator()
    await guest(world, "a")
    await world.quiet()
    uid = migrate(world, "a")
    await world.until(lambda: targets(world) == {uid})
    written = [line.rsplit(" ", 2)[0] for line in world.written() if LEDGER in line or line.startswith("create")]
    assert written == [f"create {LEDGER}", f"create {POD}"]
    assert list(ledger(world)) == [uid]


async def test_an_operator_that_may_not_write_the_ledger_says_so_and_begins_nothing(world: World) -> None:
    refused = world.server.fail(status=403, resource=LEDGER, times=999)
    await world.operator()
    await guest(world, "a")
    uid = migrate(world, "a")
    await world.until(lambda: "SlotLedgerRefused" in progress(world, "a").get("reason", ""))
    assert "nicplug-system/nicplug-migration-slots, cannot be written" in progress(world, "a")["message"]
    assert targets(world) == set()
    refused.times = 0
    await world.until(lambda: targets(world) == {uid}, seconds=60)


def progress(world: World, name: str) -> Json:
    """The condition `Progressing` of its migration."""
    rows = (world.get(MIGRATION, f"job-{name}").get("status") or {}).get("conditions", [])
    return next((row for row in rows if row["type"] == "Progressing"), {})


async def test_everybody_who_waits_is_told_for_whom(world: World) -> None:
    await world.operator()
    names = [await guest(world, f"a{number}") for number in range(7)]
    for name in names:
        migrate(world, name)
    await world.until(lambda: len(targets(world)) == 2)
    waiting = [name for name in names if job(world, name)["metadata"]["uid"] not in targets(world)]

    def told() -> list[str]:
        return sorted(progress(world, name).get("message", "") for name in waiting)

    await world.until(lambda: all("in the queue" in message for message in told()))
    limit = "(parallelOutboundMigrationsPerNode of node01: 2, all taken)"
    assert [message.split()[0] for message in told()] == ["1st", "2nd", "3rd", "4th", "5th"]
    assert all(message.endswith(limit) for message in told())
    assert ["behind migration" in message for message in told()] == [True, True, True, False, False]


def job(world: World, name: str) -> Json:
    """Its migration."""
    return world.get(MIGRATION, f"job-{name}")
