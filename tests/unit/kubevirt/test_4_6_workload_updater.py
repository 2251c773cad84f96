"""Section 4.6: the workload updater makes migrations, and deletes its own."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, condition, migration, pod, required, uid, vmi

from nicplug_sandbox.kubevirt.settings import read_settings
from nicplug_sandbox.kubevirt.workload_updater import FORCED_ABORTION, Updates, View, sync

DEPLOYED = {"status": {"phase": "Deployed", "observedDeploymentID": "1", "targetDeploymentID": "1"}}
SETTINGS = read_settings({"spec": {"workloadUpdateStrategy": {"workloadUpdateMethods": ["LiveMigrate"]}}, **DEPLOYED})
WAITING = vmi(conditions=(LIVE, required("True")))
MOVING = {"startTimestamp": "2026-06-01T11:59:50Z"}


def updated(
    *vmis: Any, migrations: tuple[Any, ...] = (), settings: Any = SETTINGS, pods: tuple[Any, ...] = (), **more: Any
) -> Updates:
    view = View(vmis=list(vmis), migrations=list(migrations), settings=settings, pods=list(pods), **more)
    return sync(view, now=NOW, shuffle=lambda _: None)


def words(found: Updates) -> list[str]:
    return [f"{item.verb} {item.name}" for item in found.writes]


def test_a_vmi_that_waits_is_migrated_with_the_mark_and_the_priority() -> None:
    (made,) = updated(WAITING).writes
    assert isinstance(made.body, dict)
    assert made.body["metadata"]["generateName"] == "kubevirt-workload-update-"
    assert made.body["metadata"]["annotations"] == {"kubevirt.io/workloadUpdateMigration": ""}
    assert made.body["spec"] == {"vmiName": "fedora", "priority": "user-triggered"}
    assert made.said is not None
    assert made.said.message == "Created Migration {name} for automated workload update"


@pytest.mark.parametrize(
    "machine",
    [
        vmi(conditions=(LIVE, required("False"))),
        vmi(conditions=(LIVE,)),
        vmi(conditions=(required("True"),)),
        vmi(conditions=(LIVE, required("True")), phase="Scheduled"),
        vmi(conditions=(LIVE, required("True")), status={"migrationState": MOVING}),
        vmi(conditions=(LIVE, required("True")), deletionTimestamp="2026-06-01T11:59:50Z"),
        vmi(
            conditions=(LIVE, required("True")),
            annotations={"kubevirt.io/testWorkloadUpdateMigrationAbortion": ""},
        ),
    ],
)
def test_no_other_is(machine: Any) -> None:
    assert updated(machine).writes == ()


@pytest.mark.parametrize("kubevirt", [None, DEPLOYED, {"spec": {}, "status": {"phase": "Deploying"}}])
def test_none_is_without_the_method_which_is_the_default(kubevirt: Any) -> None:
    assert updated(WAITING, settings=read_settings(kubevirt)).writes == ()


@pytest.mark.parametrize("marked", [True, False])
def test_none_is_while_any_migration_of_it_is_unfinished(marked: bool) -> None:
    assert updated(WAITING, migrations=(migration(phase="Pending", marked=marked),)).writes == ()
    assert words(updated(WAITING, migrations=(migration(phase="Failed", marked=marked),))) == [
        "create kubevirt-workload-update-"
    ]


def test_no_more_than_the_parallel_limit_less_those_that_run() -> None:
    machines = [vmi(name=f"vm{number}", conditions=(LIVE, required("True"))) for number in range(9)]
    running = (migration(phase="Running", vmi="other"), migration("pending", phase="Pending", vmi="third"))
    assert len(updated(*machines, migrations=running).writes) == 4


@pytest.mark.parametrize("conditions", [(LIVE,), (LIVE, required("False", since=3))])
def test_its_own_is_deleted_while_nothing_is_required(conditions: Any) -> None:
    """So is everybody's that carries the mark: the first 15 seconds of a NIC are such a while."""
    own, foreign = migration("own", phase="Running", marked=True), migration("foreign", phase="Pending")
    (gone,) = updated(vmi(conditions=conditions), migrations=(own, foreign)).writes
    assert (gone.verb, gone.name) == ("delete", "own")
    assert gone.said is not None
    assert (gone.said.reason, gone.said.message) == ("SuccessfulChangeAbortion", "Aborted change for vmi: fedora")


def test_it_stays_while_required_and_once_a_target_has_had_the_guest() -> None:
    """Whichever migration it was: KubeVirt does not compare, and the state stays until the next hand-off."""
    own = migration("own", phase="Running", marked=True)
    ready = {"targetNodeDomainReadyTimestamp": "2026-06-01T11:59:59Z"}
    assert updated(WAITING, migrations=(own,)).writes == ()
    for whose in ("own", "old"):
        arrived = {"migrationState": {"migrationUid": uid(whose), **ready}}
        assert updated(vmi(conditions=(LIVE,), status=arrived), migrations=(own,)).writes == ()


def test_the_abortion_annotation_ends_its_own_whatever_is_required_and_makes_none() -> None:
    own, foreign = migration("own", phase="Running", marked=True), migration("foreign", phase="Pending", vmi="other")
    arrived = {"migrationState": {"targetNodeDomainReadyTimestamp": "2026-06-01T11:59:59Z"}}
    stopped = vmi(conditions=(LIVE, required("True")), annotations={FORCED_ABORTION: ""}, status=arrived)
    assert words(updated(stopped, migrations=(own, foreign))) == ["delete own"]
    assert updated(stopped).writes == ()
    unmarked = migration("by-hand", phase="Running")
    assert updated(stopped, migrations=(unmarked,)).writes == ()


def test_a_final_one_is_left_alone_and_one_that_is_being_deleted_is_deleted_again() -> None:
    done = migration("done", phase="Succeeded", marked=True)
    going = migration("going", phase="Running", marked=True, deletionTimestamp="2026-06-01T11:59:59Z")
    assert words(updated(vmi(conditions=(LIVE,)), migrations=(done, going))) == ["delete going"]


BOTH = replace(SETTINGS, update_methods=frozenset({"LiveMigrate", "Evict"}))
EVICT = replace(SETTINGS, update_methods=frozenset({"Evict"}))
STUCK = vmi(conditions=(condition("LiveMigratable", "False"), required("True")))


@pytest.mark.parametrize(
    ("machine", "settings", "verbs"),
    [
        (WAITING, BOTH, ["create"]),
        (STUCK, BOTH, ["evict"]),
        (WAITING, EVICT, ["evict"]),
        (STUCK, SETTINGS, []),
        (STUCK, replace(SETTINGS, update_methods=frozenset()), []),
        (vmi(conditions=(LIVE,)), EVICT, []),
    ],
)
def test_with_evict_the_pod_goes_where_no_migration_may_or_can(machine: Any, settings: Any, verbs: list[str]) -> None:
    found = updated(machine, settings=settings, pods=(pod(),))
    assert [item.verb for item in found.writes] == verbs
    assert found.evicts is (verbs == ["evict"])
    for item in found.writes:
        if item.verb == "evict":
            assert item.name == "virt-launcher-fedora-abcde"
            assert item.said is not None
            assert item.failed is not None
            assert item.said.reason == "SuccessfulEvict"
            assert item.said.message == "Initiated eviction of VMI as part of automated workload update: <nil>"
            assert item.failed.told(error="no").message == "Error deleting VMI during automated workload update: no"


def test_evictions_come_in_batches_with_an_interval_between() -> None:
    strategy = {"workloadUpdateMethods": ["Evict"], "batchEvictionSize": 2, "batchEvictionInterval": "1m30s"}
    settings = read_settings({"spec": {"workloadUpdateStrategy": strategy}, **DEPLOYED})
    machines = [vmi(name=f"vm{number}", conditions=(required("True"),)) for number in range(3)]
    pods = tuple(pod(name=f"pod{number}", owner=f"vmi-vm{number}") for number in range(3))
    assert len(updated(*machines, settings=settings, pods=pods).writes) == 2
    for ago, count in ((90, 0), (91, 2)):
        last = NOW - timedelta(seconds=ago)
        found = updated(*machines, settings=settings, pods=pods, last_eviction=last)
        assert (len(found.writes), found.again) == (count, True)


def test_the_defaults_are_ten_at_a_time_and_a_minute() -> None:
    found = read_settings(DEPLOYED)
    assert (found.eviction_batch, found.eviction_interval) == (10, timedelta(minutes=1))


def test_launchers_of_an_older_kubevirt_are_migrated_first() -> None:
    old = {"launcherContainerImageVersion": "quay.io/kubevirt/virt-launcher:v1.8.0"}
    (made,) = updated(vmi(conditions=(LIVE,), status=old)).writes
    assert isinstance(made.body, dict)
    assert made.body["spec"]["priority"] == "system-critical"
    same = {"launcherContainerImageVersion": SETTINGS.launcher_image}
    assert updated(vmi(conditions=(LIVE,), status=same)).writes == ()


def test_those_that_wait_are_counted_whether_or_not_anything_is_done_for_them() -> None:
    going = migration(phase="Running", vmi="vm1")
    moving = vmi(name="vm1", conditions=(LIVE, required("True")))
    found = updated(WAITING, STUCK, moving, vmi(name="vm2"), migrations=(going,))
    assert (found.outdated, len(found.writes)) == (3, 1)
    assert not updated(STUCK).again
