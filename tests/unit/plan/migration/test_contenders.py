"""Which slots a migration wants and holds."""

import pytest
from tests.build import (
    NOW,
    migration,
    migration_state,
    migration_view,
    node,
    pod,
    target_pod,
    vmi,
)

from nicplug.model.migration_configuration import MigrationLimits
from nicplug.model.slot_ledger import Contender, SlotEntry
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.migration.slots import SlotsPlan, SlotsView, contender_of, plan_slots
from nicplug.plan.views import MigrationView

LIMITS = MigrationLimits()


def plan(
    *contenders: Contender,
    held: tuple[SlotEntry, ...] = (),
    ended: tuple[str, ...] = (),
    returned: tuple[str, ...] = (),
    limits: MigrationLimits = LIMITS,
) -> SlotsPlan:
    """What is decided."""
    return plan_slots(
        SlotsView(
            entries={item.uid: item for item in held},
            ended=frozenset(f"uid-{name}" for name in ended),
            contenders=contenders,
            limits=limits,
            returned=frozenset(f"uid-{name}" for name in returned),
        ),
        now=NOW,
    )


def granted(decided: SlotsPlan) -> list[str]:
    """Who has a slot in the ledger."""
    return sorted(item.migration.name for item in decided.entries.values())


def wishes(view: MigrationView) -> Contender | None:
    """What it wants, after it has been looked at."""
    return contender_of(view, plan=plan_migration(view, now=NOW))


RUNNING = vmi(moving=migration_state())


@pytest.mark.parametrize(
    ("name", "contender", "expected"),
    [
        ("just made", wishes(migration_view(migration(""), vmi(), pod())), (True, False, False)),
        ("pending", wishes(migration_view(migration("Pending"), vmi(), pod())), (True, False, False)),
        (
            "no node for it",
            wishes(migration_view(migration("Pending"), vmi(), pod(), nodes=[node("node01")])),
            (False, False, False),
        ),
        (
            "refused when it was made",
            wishes(migration_view(migration("", spec={}), vmi(), pod())),
            (False, False, False),
        ),
        ("no VMI", wishes(migration_view(migration("Pending"), None)), (False, False, False)),
        (
            "being deleted",
            wishes(migration_view(migration("Pending", deleting=True), vmi(), pod())),
            (False, False, False),
        ),
        (
            "a pod, although its phase does not say so yet",
            wishes(migration_view(migration("Pending"), vmi(), pod(), target_pod())),
            (False, True, False),
        ),
        (
            "a phase, although its pod is not to be seen",
            wishes(migration_view(migration("Scheduling"), vmi(), pod())),
            (False, True, False),
        ),
        (
            "handed off, although its phase does not say so yet",
            wishes(migration_view(migration("Scheduled"), RUNNING, pod(), target_pod())),
            (False, True, True),
        ),
        (
            "not handed off, although the VMI's state was forged to say so",
            wishes(migration_view(migration("Pending"), RUNNING, pod())),
            (True, False, False),
        ),
    ],
)
def test_what_it_wants_and_has(name: str, contender: Contender | None, expected: tuple[bool, bool, bool]) -> None:
    assert contender is not None, name
    assert (contender.wants, contender.holds, contender.is_handed_off) == expected


@pytest.mark.parametrize("phase", ["", "Pending"])
def test_a_forged_migration_state_is_no_way_around_the_limits(phase: str) -> None:
    forged = wishes(migration_view(migration(phase), RUNNING, pod()))
    assert forged is not None
    assert granted(plan(forged, limits=MigrationLimits(per_cluster=0))) == []


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "WaitingForSync"])
def test_who_has_ended_or_is_not_ours_wants_nothing(phase: str) -> None:
    assert wishes(migration_view(migration(phase), vmi(), pod())) is None


@pytest.mark.parametrize(
    ("priority", "rank"),
    [("system-critical", 100), ("user-triggered", 50), ("system-maintenance", 20), ("", 0), ("nonsense", 0), (7, 0)],
)
def test_priorities_are_those_of_kubevirt(priority: object, rank: int) -> None:
    raw = migration("Pending", spec={"priority": priority})
    contender = wishes(migration_view(raw, vmi(), pod()))
    assert contender is not None
    assert contender.priority == rank
