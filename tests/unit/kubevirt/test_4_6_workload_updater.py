"""Section 4.6: the workload updater makes migrations, and deletes its own."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, migration, required, uid, vmi

from nicplug_sandbox.kubevirt.settings import read_settings
from nicplug_sandbox.kubevirt.workload_updater import sync
from nicplug_sandbox.kubevirt.writes import Decision

DEPLOYED = {"status": {"phase": "Deployed", "observedDeploymentID": "1", "targetDeploymentID": "1"}}
SETTINGS = read_settings({"spec": {"workloadUpdateStrategy": {"workloadUpdateMethods": ["LiveMigrate"]}}, **DEPLOYED})
WAITING = vmi(conditions=(LIVE, required("True")))
MOVING = {"startTimestamp": "2026-06-01T11:59:50Z"}


def updated(*vmis: Any, migrations: tuple[Any, ...] = (), settings: Any = SETTINGS) -> Decision:
    return sync(vmis=list(vmis), migrations=list(migrations), settings=settings, now=NOW, shuffle=lambda _: None)


def words(found: Decision) -> list[str]:
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


def test_none_is_while_virt_operator_works() -> None:
    assert updated(WAITING, settings=replace(SETTINGS, is_deployed=False)).writes == ()


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


def test_it_stays_while_required_and_once_the_target_has_the_guest() -> None:
    own = migration("own", phase="Running", marked=True)
    arrived = {"migrationState": {"migrationUid": uid("own"), "targetNodeDomainReadyTimestamp": "2026-06-01T11:59:59Z"}}
    assert updated(WAITING, migrations=(own,)).writes == ()
    assert updated(vmi(conditions=(LIVE,), status=arrived), migrations=(own,)).writes == ()


def test_a_final_one_and_one_that_is_being_deleted_are_left_alone() -> None:
    done = migration("done", phase="Succeeded", marked=True)
    going = migration("going", phase="Running", marked=True, deletionTimestamp="2026-06-01T11:59:59Z")
    assert updated(vmi(conditions=(LIVE,)), migrations=(done, going)).writes == ()
