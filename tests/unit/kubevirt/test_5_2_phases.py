"""Section 5.2: the ladder of a migration's phase, and one step per pass."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, migration, pod, required, target, uid, vmi

from nicplug_sandbox.kubevirt.migration_phase import status
from nicplug_sandbox.kubevirt.migration_rules import View
from nicplug_sandbox.kubevirt.writes import Decision

OURS = {"migrationUid": uid("mig"), "targetNode": "node02", "sourceNode": "node01"}
DELETED: dict[str, Any] = {"deletionTimestamp": "2026-06-01T11:59:59Z"}


def moving(state: dict[str, Any], *conditions: Any, **more: Any) -> Any:
    return vmi(conditions=(LIVE, *conditions), status={"migrationState": {**OURS, **state}}, **more)


def step(mig: Any, machine: Any, *pods: Any, others: tuple[Any, ...] = ()) -> Decision:
    view = View(migration=mig, vmi=machine, vmis=[machine], migrations=[mig, *others], pods=[pod(), *pods])
    return status(view, now=NOW)


def phase(found: Decision) -> str:
    bodies = [item.body for item in found.writes if item.verb == "update-status"]
    return str(bodies[-1]["status"].get("phase", "")) if bodies and isinstance(bodies[-1], dict) else ""


@pytest.mark.parametrize(
    ("old", "machine", "pods", "new"),
    [
        ("", vmi(), (), "Pending"),
        ("Pending", vmi(), (), ""),
        ("Pending", vmi(), (target(phase="Pending"),), "Scheduling"),
        ("Scheduling", vmi(), (target(phase="Pending"),), ""),
        ("Scheduling", vmi(), (target(),), "Scheduled"),
        ("Scheduled", vmi(), (target(),), ""),
        ("Scheduled", moving({}), (target(),), "PreparingTarget"),
        ("PreparingTarget", moving({}), (target(),), ""),
        ("PreparingTarget", moving({"targetNodeAddress": "a"}), (target(),), "TargetReady"),
        ("TargetReady", moving({"startTimestamp": "t"}), (target(),), "Running"),
        ("Running", moving({}), (target(),), ""),
        ("Running", moving({"completed": True}), (target(),), "Succeeded"),
        ("Running", moving({"completed": True}, required("False")), (target(),), "Succeeded"),
        ("Running", moving({"completed": True}, required("True")), (target(),), ""),
    ],
)
def test_one_step(old: str, machine: Any, pods: tuple[Any, ...], new: str) -> None:
    assert phase(step(migration(phase=old), machine, *pods)) == new


@pytest.mark.parametrize(
    ("mig", "machine", "pods", "text"),
    [
        (migration(), None, (), "Migration failed because vmi does not exist."),
        (migration(phase="Pending"), vmi(phase="Failed"), (), "Migration failed vmi shutdown during migration."),
        (migration(phase="Scheduled", **DELETED), vmi(), (target(),), "Migration failed due to being canceled"),
        (
            migration(phase="Scheduling"),
            vmi(),
            (target(phase="Failed"),),
            "Migration failed because target pod shutdown during migration",
        ),
        (migration(phase="Scheduling"), vmi(), (), "Migration target pod was removed during active migration."),
        (
            migration(phase="Running"),
            vmi(),
            (target(),),
            "VMI's migration state was cleared during the active migration.",
        ),
        (
            migration(phase="Running"),
            moving({"migrationUid": "other"}),
            (target(),),
            "VMI's migration state was taken over by another migration job during active migration.",
        ),
        (migration(phase="Running"), moving({"failed": True}), (target(),), "source node reported migration failed"),
    ],
)
def test_failures(mig: Any, machine: Any, pods: tuple[Any, ...], text: str) -> None:
    found = step(mig, machine, *pods)
    assert phase(found) == "Failed"
    said = found.writes[-1].said
    assert said is not None
    assert (said.type, said.reason, said.message) == ("Warning", "FailedMigration", text)


def test_beside_anothers_unfinished_migration_it_fails_before_it_begins() -> None:
    other = migration("other", phase="Running")
    machine = moving({"migrationUid": uid("other")})
    found = step(migration(), machine, others=(other,))
    assert phase(found) == "Failed"
    assert found.writes[0].said is not None
    assert found.writes[0].said.message == (
        "VMI is not eligible for migration because another migration job is in progress."
    )
    assert phase(step(migration(), machine, others=(migration("other", phase="Succeeded"),))) == "Pending"


def test_a_canceled_one_that_is_handed_off_is_marked_and_goes_on() -> None:
    found = step(migration(phase="TargetReady", **DELETED), moving({}), target())
    (marked,) = found.writes
    assert isinstance(marked.body, dict)
    assert [item["type"] for item in marked.body["status"]["conditions"]] == ["migrationAbortRequested"]
    assert phase(found) == "TargetReady"


def test_the_end_keeps_the_state_and_then_gives_the_finalizer_back() -> None:
    done, machine = migration(phase="Succeeded"), moving({"completed": True})
    (kept,) = step(done, machine).writes
    assert isinstance(kept.body, dict)
    assert kept.body["status"]["migrationState"] == machine["status"]["migrationState"]
    (freed,) = step(kept.body, machine).writes
    assert isinstance(freed.body, dict)
    assert (freed.verb, freed.body["metadata"]["finalizers"]) == ("update", [])
    assert step(freed.body, machine).writes == ()


def test_success_is_said() -> None:
    (done,) = step(migration(phase="Running"), moving({"completed": True}), target()).writes
    assert done.said is not None
    assert (done.said.type, done.said.reason) == ("Normal", "SuccessfulMigration")
    assert done.said.message == "Source node reported migration succeeded"


def test_the_target_pod_is_marked_when_its_domain_is_up() -> None:
    at = "2026-06-01T11:59:59Z"
    (mark,) = step(migration(phase="Running"), moving({"targetNodeDomainReadyTimestamp": at}), target()).writes
    assert mark.kind == "Pod"
    path = "/metadata/annotations/kubevirt.io~1migration-target-ready-timestamp"
    assert mark.body == [{"op": "add", "path": path, "value": at}]
