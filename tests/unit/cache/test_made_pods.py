"""What a process remembers of the pods that it has made, and what foreign pods may tell its caches."""

from typing import Any

import pytest
from tests.build import (
    MIGRATION_UID,
    NODE,
    NOW,
    POD_NAME,
    POD_UID,
    VMI_UID,
    Json,
    later,
    migration,
    pod,
    target_pod,
    vmi,
)

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.made_pods import MadePods
from nicplug.model.keys import MigrationKey, PodKey, VmiKey
from nicplug.model.pod import PodRecord

DIGEST = {"nicplug.io/pod-spec": "0123456789abcdef"}
VMI = VmiKey("default", "vmi-fedora")
JOB = MigrationKey("default", "migration-job")


def _caches(*, phase: str = "Running", recorded: bool = True) -> Caches:
    caches = Caches(clock=lambda: NOW)
    raw: Json = vmi(phase=phase)
    if recorded:
        raw.setdefault("status", {})["launcherPods"] = [{"name": POD_NAME, "uid": POD_UID}]
    caches.observe(CachedKind.VMI, raw)
    return caches


def _podless(caches: Caches) -> Any:
    found = caches.vmis.get(VMI)
    assert found is not None
    return caches.launchers.podless_since(found)


def test_a_foreign_pod_does_not_take_back_that_the_vmis_pod_is_gone() -> None:
    """Else a tenant who touches his pod again and again would keep a lost guest from being told."""
    caches = _caches()
    caches.launchers.confirm_podless(VMI, uid=VMI_UID)
    caches.observe(CachedKind.POD, pod(uid="evil"))
    assert _podless(caches) is not None
    caches.observe(CachedKind.POD, pod(version=11, name="b"))
    assert _podless(caches) is None


def test_a_foreign_pod_does_not_take_back_that_a_target_is_gone() -> None:
    caches = _caches()
    caches.observe(CachedKind.MIGRATION, migration("Scheduled", status={"targetPod": {"name": "t", "uid": "target"}}))
    caches.launchers.confirm_gone(PodKey("default", "t"), migration=JOB, uid=MIGRATION_UID)
    caches.observe(CachedKind.POD, pod(uid="evil", name="t"))
    record = caches.migrations.get(JOB)
    assert record is not None
    assert caches.launchers.gone_of(record) == {PodKey("default", "t")}
    caches.observe(CachedKind.POD, pod(uid="target", name="t", version=11))
    assert caches.launchers.gone_of(record) == frozenset()


@pytest.mark.parametrize(("name", "uid"), [(JOB, "other"), (MigrationKey("default", "none"), MIGRATION_UID)])
def test_an_answer_for_a_migration_that_is_gone_is_kept_for_no_namesake(name: MigrationKey, uid: str) -> None:
    caches = _caches()
    caches.observe(CachedKind.MIGRATION, migration("Scheduled"))
    assert caches.launchers.confirm_gone(PodKey("default", "t"), migration=name, uid=uid) == []
    record = caches.migrations.get(JOB)
    assert record is not None
    assert caches.launchers.gone_of(record) == frozenset()


def test_a_standby_knows_since_when_a_pod_waits_to_be_recorded() -> None:
    caches = _caches(phase="Pending", recorded=False)
    caches.observe(CachedKind.POD, pod(uid="a", annotations=DIGEST))
    caches.observe(CachedKind.POD, pod(uid="b", name="b", labels={"kubevirt.io": "virt-launcher"}, annotations={}))
    assert caches.launchers.made.unrecorded(VMI_UID) == {"a": NOW}


def test_a_target_waits_for_its_own_record() -> None:
    caches = _caches()
    caches.observe(CachedKind.MIGRATION, migration("Pending"))
    caches.observe(CachedKind.POD, target_pod(uid="a", annotations=DIGEST))
    assert caches.launchers.made.unrecorded(MIGRATION_UID) == {"a": NOW}
    reported = migration("Scheduling", version=11, status={"targetPod": {"name": "t", "uid": "a"}})
    caches.observe(CachedKind.MIGRATION, reported)
    assert caches.launchers.made.unrecorded(MIGRATION_UID) == {}


def test_only_a_few_are_given_time() -> None:
    made = MadePods()
    for number in range(10):
        made.note_unrecorded(f"pod-{number}", needed_by=VMI_UID, now=later(number))
    assert made.unrecorded(VMI_UID) == {"pod-0": NOW, "pod-1": later(1), "pod-2": later(2)}


def test_who_makes_one_look_alike_after_the_other_takes_no_memory() -> None:
    made = MadePods()
    for number in range(100):
        made.note_discarded(f"pod-{number}", vmi_uid=VMI_UID)
    assert made.discarded(VMI_UID) == {f"pod-{number}" for number in range(16)}


def test_what_was_made_is_remembered_until_it_is_recorded_or_gone() -> None:
    caches = _caches(phase="Pending", recorded=False)
    for uid, name in ((POD_UID, POD_NAME), ("lost", "b")):
        caches.launchers.note_made(pod(uid=uid, name=name), vmi_uid=VMI_UID, migration_uid="")
        caches.observe(CachedKind.POD, pod(uid=uid, name=name))
    assert {record.uid for record in caches.launchers.made.of(VMI_UID)} == {POD_UID, "lost"}
    assert caches.launchers.is_own("lost", vmi=VMI)
    caches.forget_uid(CachedKind.POD, key=PodKey("default", "b"), uid="lost")
    assert {record.uid for record in caches.launchers.made.of(VMI_UID)} == {POD_UID}
    raw = vmi(phase="Scheduling", version=11)
    raw["status"] |= {"launcherPods": [{"name": POD_NAME, "uid": POD_UID}], "activePods": {POD_UID: NODE}}
    caches.observe(CachedKind.VMI, raw)
    assert caches.launchers.made.of(VMI_UID) == ()


def test_nothing_is_kept_of_what_is_gone() -> None:
    made = MadePods()
    made.add(PodRecord(key=PodKey("default", "a"), uid="a"), vmi_uid=VMI_UID)
    made.note_taken(PodKey("default", "b"), needed_by=VMI_UID)
    made.note_unrecorded("c", needed_by=VMI_UID, now=NOW)
    made.forget(VMI_UID)
    assert (made.of(VMI_UID), made.taken(VMI_UID), made.unrecorded(VMI_UID)) == ((), frozenset(), {})


def test_a_record_that_a_status_has_lost_is_remembered_until_a_status_has_it_again() -> None:
    """A guest whose status somebody had emptied lost its pod, which was made again."""
    caches = Caches(clock=lambda: NOW)
    recorded = vmi(version=1)
    recorded.setdefault("status", {})["launcherPods"] = [{"name": POD_NAME, "uid": POD_UID}]
    caches.observe(CachedKind.VMI, recorded)
    caches.observe(CachedKind.VMI, {**vmi(version=2), "status": {}})
    (known,) = caches.vmis
    assert [item.uid for item in caches.launchers.records_of(known)] == [POD_UID]
    caches.observe(CachedKind.VMI, {**recorded, "metadata": vmi(version=3)["metadata"]})
    assert caches.launchers.made.of(VMI_UID) == ()
