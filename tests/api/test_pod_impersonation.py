"""Somebody else's pods under the names of nicplug's: neither a start nor a migration waits for them or uses them."""

import hashlib

import pytest
from tests.api.crowd import guest, migrate, targets
from tests.api.objects import Json, vmi
from tests.api.world import MIGRATION, POD, VMI, World

DIGEST = {"nicplug.io/pod-spec": "0123456789abcdef"}
LABELS = {"kubevirt.io": "virt-launcher"}


def squat(world: World, name: str, *, job: str = "", labels: Json | None = None, forged: bool = False) -> str:
    """Take the name of the next pod of a VMI; the uid of that pod."""
    uid = world.get(VMI, name)["metadata"]["uid"]
    digits = hashlib.sha256((f"{uid}/{job}" if job else uid).encode()).hexdigest()[:5]
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": name, "uid": uid}
    metadata = {
        "name": f"virt-launcher-{name}-{digits}",
        "labels": {**(labels or {}), **({"kubevirt.io/migrationJobUID": job} if job else {})},
        "annotations": {**DIGEST} if forged else {},
        "ownerReferences": [{**owner, "controller": True}],
    }
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "evil"}]}}
    made = world.server.create(POD, body)
    return str(made["metadata"]["uid"])


def events(world: World) -> list[Json]:
    """What people are told."""
    return [item for item in world.server.items("events") if item["reason"] == "ForeignPod"]


@pytest.mark.parametrize(
    ("labels", "forged"), [({}, False), (LABELS, False), (LABELS, True)], ids=["out of sight", "labelled", "forged"]
)
async def test_a_squatter_blocks_no_first_start(world: World, labels: Json, forged: bool) -> None:
    world.server.create(VMI, vmi("a"))
    evil = squat(world, "a", labels=labels, forged=forged)
    await world.operator()
    await world.until(lambda: (world.get(VMI, "a").get("status") or {}).get("phase") == "Scheduling")
    (row,) = world.get(VMI, "a")["status"]["launcherPods"]
    assert row["uid"] != evil
    assert evil not in world.get(VMI, "a")["status"]["activePods"]
    made = [pod for pod in world.server.items(POD) if pod["metadata"]["uid"] == row["uid"]]
    assert [pod["spec"]["containers"][0]["name"] for pod in made] == ["compute"]
    if not forged:
        await world.until(lambda: events(world))
        assert "was not made by nicplug and is not used" in events(world)[0]["note"]


def phase(world: World) -> str:
    """Of the migration."""
    return str((world.get(MIGRATION, "job-a").get("status") or {}).get("phase"))


async def test_a_squatter_of_the_target_jumps_no_queue_and_gets_no_guest(world: World) -> None:
    """As long as the migration waits for its turn, and when it has it."""
    world.set_limits(cluster=0)
    guest(world, "a", node="node01")
    await world.operator()
    uid = migrate(world, "a")
    await world.until(lambda: phase(world) == "Pending")
    evil = squat(world, "a", job=uid, labels=LABELS)
    world.set_limits(cluster=5)
    await world.until(lambda: phase(world) == "Scheduling")
    recorded = world.get(MIGRATION, "job-a")["status"]["targetPod"]
    assert recorded["uid"] != evil
    assert evil not in world.get(VMI, "a")["status"].get("activePods", {})
    assert targets(world) == {uid}
