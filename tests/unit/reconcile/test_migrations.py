"""A migration's passes against an API server: what is asked, sent and remembered."""

from typing import Any

import pytest
from tests.build import Json
from tests.sim.cluster import MIGRATIONS, NAMESPACE, PODS, VMIS
from tests.unit.reconcile.bench import NAME, VMI, Bench

from nicplug.model.keys import MigrationKey
from nicplug.plan.vmi.launcher_pod import target_pod_key

KEY = MigrationKey(NAMESPACE, "migration-job")
TIMES = [{"phase": phase, "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"} for phase in ("Pending", "Scheduling")]


class Moving(Bench):
    """A running VMI whose migration has a target pod, which is about to run."""

    def __init__(self) -> None:
        super().__init__()
        self.make_vmi()
        self.set_status(VMIS, NAME, {"phase": "Running", "nodeName": "node01"})
        self.watch()
        finalizers = ["kubevirt.io/migrationJobFinalize"]
        metadata = {"name": KEY.name, "labels": {"kubevirt.io/vmi-name": NAME}, "finalizers": finalizers}
        self.cluster.create(MIGRATIONS, {"metadata": metadata, "spec": {"vmiName": NAME}}, by="user")
        self.set_status(MIGRATIONS, KEY.name, {"phase": "Scheduling", "phaseTransitionTimestamps": TIMES})
        self.watch()
        vmi, migration = self.caches.vmis.get(VMI), self.caches.migrations.get(KEY)
        assert vmi is not None
        assert migration is not None
        self.target = target_pod_key(vmi, migration_uid=migration.uid).name
        self.migration_uid = migration.uid
        self.make_pod("source", node="node01")
        self.make_pod(self.target, node="node02")
        self.watch()

    def set_status(self, plural: str, name: str, status: Json) -> None:
        found = self.cluster.get(plural, name)
        assert found is not None
        self.cluster.replace(plural, name, {**found, "status": status}, by="somebody", subresource="status")

    def make_pod(self, name: str, *, node: str, owner_uid: str = "") -> None:
        """One that the VMI controls."""
        vmi = self.cluster.get(VMIS, NAME)
        assert vmi is not None
        owner = {
            "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": NAME, "controller": True,
            "uid": owner_uid or vmi["metadata"]["uid"],
        }  # fmt: skip
        labels = {"kubevirt.io": "virt-launcher"}
        metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
        self.cluster.create(PODS, {"metadata": metadata, "spec": {"nodeName": node, "containers": []}}, by="somebody")

    def change(self, name: str, **metadata: Any) -> None:
        """Metadata of a pod."""
        found = self.cluster.get(PODS, name)
        assert found is not None
        found["metadata"] |= metadata
        self.cluster.replace(PODS, name, found, by="somebody")
        self.watch()

    async def passes(self, *, of_vmi: bool = True) -> None:
        """Until everybody has had his say."""
        for _ in range(6):
            self.cluster.pass_time(1)
            if of_vmi:
                await self.reconciler.reconcile(VMI)
            await self.reconciler.reconcile(KEY)
            self.watch()

    @property
    def phase(self) -> str:
        found = self.cluster.get(MIGRATIONS, KEY.name)
        return found["status"]["phase"] if found is not None else "gone"


@pytest.fixture
def moving() -> Moving:
    return Moving()


async def test_a_target_pod_that_lost_its_label_is_found_and_the_migration_goes_on(moving: Moving) -> None:
    """The watch said that it was deleted: the migration was failed, and the pod was left behind for ever."""
    moving.change(moving.target, labels={"app": "x"})
    assert len(moving.caches.launchers.store) == 1
    await moving.passes()
    assert moving.phase == "Scheduling"
    found = moving.cluster.get(PODS, moving.target)
    assert found is not None
    assert found["metadata"]["labels"]["kubevirt.io"] == "virt-launcher"
    moving.cluster.delete(PODS, moving.target, by="somebody", force=True)
    moving.watch()
    await moving.passes()
    assert moving.phase == "Failed", "its end is heard again"


async def test_a_target_pod_that_is_gone_fails_the_migration(moving: Moving) -> None:
    moving.cluster.delete(PODS, moving.target, by="somebody", force=True)
    moving.watch()
    await moving.passes()
    assert moving.phase == "Failed"
    after = moving.cluster.get(MIGRATIONS, KEY.name)
    assert after is not None
    assert not after["metadata"].get("finalizers")


async def test_a_namesake_of_a_lost_target_pod_is_no_substitute(moving: Moving) -> None:
    moving.cluster.delete(PODS, moving.target, by="somebody", force=True)
    moving.make_pod(moving.target, node="node02", owner_uid="forged")
    moving.watch()
    await moving.passes()
    assert moving.phase == "Failed"
    assert moving.cluster.get(PODS, moving.target) is not None, "it is not ours to delete"


async def test_a_failed_migration_deletes_a_target_pod_that_is_out_of_sight(moving: Moving) -> None:
    """Nobody else would: the pod, which holds the VM's networks and a node's memory, would outlive the migration."""
    moving.cluster.delete(MIGRATIONS, KEY.name, by="user")
    moving.change(moving.target, labels={})
    await moving.passes(of_vmi=False)
    left = moving.cluster.get(PODS, moving.target)
    assert left is None or "deletionTimestamp" in left["metadata"]
    assert moving.phase == "gone"
    source = moving.cluster.get(PODS, "source")
    assert source is not None
    assert "deletionTimestamp" not in source["metadata"]


async def test_what_was_learned_of_a_pod_is_forgotten_with_the_migration(moving: Moving) -> None:
    moving.cluster.delete(PODS, moving.target, by="somebody", force=True)
    moving.cluster.delete(MIGRATIONS, KEY.name, by="user")
    moving.watch()
    record = moving.caches.migrations.get(KEY)
    assert record is not None
    await moving.passes()
    assert moving.phase == "gone"
    assert moving.caches.launchers.gone_of(record) == frozenset()
