"""Which migrations that have ended are kept, and what goes with the others."""

from typing import Any

import pytest
from tests.build import (
    NODE,
    NOW,
    TARGET_NODE,
    Json,
    later,
    migration,
    migration_state,
    migration_view,
    pod,
    target_pod,
    vmi,
)
from tests.unit.plan.migration.outcome import names

from nicplug.plan.actions import Delete, Kind
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan


def ended(number: int, phase: str = "Failed", **members: Any) -> Json:
    """The `number`-th that was made."""
    made = {"creationTimestamp": f"2026-01-02T02:{number:02}:00Z", "finalizers": []}
    return migration(phase, name=f"m{number}", uid=f"m{number}", **made | members)


def deleted(plan: Plan, kind: Kind = Kind.MIGRATION) -> list[str]:
    """Names of what the plan deletes."""
    return [action.key.name for action in plan.actions if isinstance(action, Delete) and action.kind is kind]


KEPT = [
    pytest.param(range(1, 5), [], id="five: none"),
    pytest.param(range(1, 6), ["m1"], id="six: the oldest"),
    pytest.param(range(1, 9), ["m1", "m2", "m3", "m4"], id="nine: the four oldest"),
]


@pytest.mark.parametrize(("numbers", "expected"), KEPT)
@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_the_five_newest_of_a_vmi_are_kept(numbers: range, expected: list[str], phase: str) -> None:
    of = ended(50, phase)
    plan = plan_migration(migration_view(of, vmi(), pod(), others=[ended(n) for n in numbers]), now=NOW)
    assert sorted(deleted(plan)) == expected


def test_those_under_way_are_neither_counted_nor_deleted() -> None:
    others = [ended(1), *(ended(n, "Pending") for n in range(2, 9))]
    assert deleted(plan_migration(migration_view(ended(50), vmi(), pod(), others=others), now=NOW)) == []


def test_one_that_is_going_already_is_not_deleted_again() -> None:
    others = [ended(1, deleting=True), *(ended(n) for n in range(2, 7))]
    assert deleted(plan_migration(migration_view(ended(50), vmi(), pod(), others=others), now=NOW)) == ["m2"]


def test_one_that_was_taken_back_hid_how_often_the_guest_has_moved() -> None:
    """It counted as one of the five newest, and an older one that had moved the guest was deleted."""
    others = [*(ended(n) for n in range(1, 5)), *(ended(n, deleting=True) for n in range(5, 9))]
    assert deleted(plan_migration(migration_view(ended(50), vmi(), pod(), others=others), now=NOW)) == []


def test_the_pods_of_an_old_one_have_gone_long_before() -> None:
    """KubeVirt deletes the pod together with the migration; here it is deleted when the migration has ended."""
    assert deleted(plan_migration(migration_view(migration("Failed"), vmi(), pod(), target_pod()), now=NOW), Kind.POD)
    done = migration_state(targetNodeDomainReadyTimestamp="2026-01-02T03:04:03Z", completed=True)
    of = migration("Succeeded", status={"migrationState": done})
    view = migration_view(of, vmi(node=TARGET_NODE, moving=done), pod(), target_pod())
    assert deleted(plan_migration(view, now=NOW), Kind.POD) == [pod()["metadata"]["name"]]


LATER: Json = {"migration_uid": "later"}


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(vmi(node=NODE), id="the guest is there"),
        pytest.param(vmi(node="node03", moving=migration_state(**LATER, target=pod())), id="the next target"),
        pytest.param(vmi(node="node03", moving=migration_state(**LATER, source=pod())), id="the next source"),
    ],
)
def test_a_source_that_is_needed_again_stays(of: Json) -> None:
    done = migration_state(completed=True)
    view = migration_view(migration("Succeeded", status={"migrationState": done}), of, pod(), target_pod())
    assert deleted(plan_migration(view, now=NOW), Kind.POD) == []


class TestWithoutVmi:
    """A person has ten minutes to read why it failed; then it goes, as KubeVirt has it at once."""

    def plan(self, *, seconds: float, **members: Any) -> Plan:
        times = [{"phase": "Failed", "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"}]
        of = migration("Failed", status={"phaseTransitionTimestamps": times}, **{"finalizers": []} | members)
        return plan_migration(migration_view(of, None), now=later(seconds))

    def test_it_stays_for_a_while(self) -> None:
        plan = self.plan(seconds=1)
        assert plan.is_empty
        assert plan.again_at == later(600).replace(microsecond=0)

    def test_then_it_goes(self) -> None:
        assert deleted(self.plan(seconds=601)) == ["migration-job"]

    def test_its_finalizer_goes_at_once(self) -> None:
        """In KubeVirt one for a missing VMI hangs on it."""
        plan = self.plan(seconds=1, finalizers=["kubevirt.io/migrationJobFinalize"], deleting=True)
        assert names(plan) == ["PatchFinalizers VirtualMachineInstanceMigration"]
