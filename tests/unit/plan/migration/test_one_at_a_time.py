"""Two migrations of one VMI: one goes on, the other fails, and both agree which."""

from itertools import permutations

import pytest
from tests.build import (
    NAME,
    NOW,
    VMI_UID,
    Json,
    migration,
    migration_state,
    migration_view,
    owner,
    pod,
    target_pod,
    vmi,
)
from tests.unit.plan.migration.outcome import events, names, progressing, status

from nicplug.plan.actions import Create
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan

TOGETHER = "2026-01-02T03:04:05Z"


def made(name: str, phase: str = "", *, at: str = TOGETHER, **members: object) -> Json:
    """One of several."""
    return migration(phase, name=name, uid=f"uid-{name}", creationTimestamp=at, **members)  # type: ignore[arg-type]


def plans(*raws: Json, of: Json | None = None, pods: tuple[Json, ...] = ()) -> dict[str, Plan]:
    """What each of them decides for itself."""
    return {
        raw["metadata"]["name"]: plan_migration(
            migration_view(raw, of or vmi(), pod(), *pods, others=[other for other in raws if other is not raw]),
            now=NOW,
        )
        for raw in raws
    }


def failed(found: dict[str, Plan]) -> set[str]:
    """Those that fail now."""
    return {name for name, plan in found.items() if status(plan).get("phase") == "Failed"}


def test_two_made_in_the_same_millisecond() -> None:
    found = plans(made("b"), made("a"))
    assert failed(found) == {"b"}
    assert progressing(found["b"])["reason"] == "MigrationInFlight"
    event = (
        "in-flight migration detected. Active migration job (uid-a) is currently already in progress "
        "for VMI vmi-fedora."
    )
    assert progressing(found["b"])["message"] == f"a is already moving vmi-fedora: {event}"
    assert events(found["b"]) == [("FailedMigration", f"{event} Its name is a.")]
    assert names(found["b"]) == ["PatchStatus VirtualMachineInstanceMigration"]
    assert status(found["a"])["phase"] == "Pending"


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_of_three_one_goes_whichever_is_looked_at_first(order: tuple[str, ...]) -> None:
    assert failed(plans(*(made(name) for name in order))) == {"b", "c"}


LEADERS = [
    pytest.param(made("z", "Pending", at=TOGETHER), (), None, id="one that was accepted"),
    pytest.param(
        made("z", "Pending", at=TOGETHER),
        (target_pod(migration_uid="uid-z", ready=False),),
        None,
        id="one whose target pod was made, before its status says so",
    ),
    pytest.param(made("z", "Scheduling"), (target_pod(migration_uid="uid-z", ready=False),), None, id="one with a pod"),
    pytest.param(
        made("z", "Scheduled"),
        (target_pod(migration_uid="uid-z"),),
        vmi(moving=migration_state(migration_uid="uid-z")),
        id="one that the node agents have",
    ),
]


@pytest.mark.parametrize(("leader", "pods", "of"), LEADERS)
def test_an_older_one_that_is_seen_late_does_not_push_it_aside(
    leader: Json, pods: tuple[Json, ...], of: Json | None
) -> None:
    """Clocks of several API servers differ, and watch lines have no common order."""
    found = plans(made("a", at="2026-01-02T03:03:00Z"), leader, of=of, pods=pods)
    assert failed(found) == {"a"}


OWN = {
    "annotations": {"kubevirt.io/workloadUpdateMigration": ""},
    "ownerReferences": [owner("VirtualMachineInstance", NAME, VMI_UID)],
}


def test_a_person_s_goes_before_one_that_nicplug_has_made_and_not_begun() -> None:
    """It may wait for its back-off, from which migrating by hand is the way out; a NIC comes with either."""
    ours = made("kubevirt-workload-update-1", "Pending", at="2026-01-02T03:03:00Z", **OWN)
    assert failed(plans(ours, made("z"))) == {"kubevirt-workload-update-1"}
    assert failed(plans(ours, made("z", "Pending"))) == {"kubevirt-workload-update-1"}
    pods = (target_pod(migration_uid="uid-kubevirt-workload-update-1", ready=False),)
    assert failed(plans(ours, made("z"), pods=pods)) == {"z"}


def test_two_that_were_both_accepted_before_either_heard_of_the_other() -> None:
    """Two leaders for a moment, or two clients: neither has made a pod when they learn of each other, or one has."""
    assert failed(plans(made("a", "Pending"), made("b", "Pending"))) == {"b"}
    with_pod = plans(made("a", "Pending"), made("b", "Pending"), pods=(target_pod(migration_uid="uid-b", ready=False),))
    assert failed(with_pod) == {"a"}


def test_while_one_is_being_cancelled_the_next_one_does_not_begin() -> None:
    going = made("a", "Running", deleting=True)
    of = vmi(moving=migration_state(migration_uid="uid-a", startTimestamp="2026-01-02T03:04:00Z"))
    found = plans(going, made("b"), of=of, pods=(target_pod(migration_uid="uid-a"),))
    assert failed(found) == {"b"}
    assert events(found["b"])[0][1] == (
        "VMI is not eligible for migration because another migration job is in progress. Its name is a."
    )


def test_after_it_has_ended_the_next_one_goes_once_its_pod_is_gone() -> None:
    """Never three pods of one VMI."""
    over = made("a", "Failed", at="2026-01-02T03:03:00Z")
    waiting = plans(over, made("b", "Pending"), pods=(target_pod(migration_uid="uid-a"),))["b"]
    assert not [action for action in waiting.actions if isinstance(action, Create)]
    assert progressing(waiting)["reason"] == "SeveralLauncherPods"
    assert [action for action in plans(over, made("b", "Pending"))["b"].actions if isinstance(action, Create)]


def test_one_made_for_an_earlier_vmi_of_that_name_keeps_nobody_waiting() -> None:
    owner = {"kind": "VirtualMachineInstance", "name": "vmi-fedora", "uid": "earlier"}
    found = plans(made("a", "Pending", ownerReferences=[owner]), made("b"))
    assert failed(found) == {"a"}
    assert status(found["b"])["phase"] == "Pending"
