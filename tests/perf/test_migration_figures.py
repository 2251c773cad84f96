"""What explains the time of a crowd, worked out by hand for six VMs that move two at a time."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.perf.concurrency import MigrationSight, Sight, replay
from tests.perf.migration_figures import explanation, over_time, slot_seconds
from tests.perf.migrations import LIMIT_PER_CLUSTER, MigrationShape, Moved
from tests.perf.milestones import Hotplug, Milestone
from tests.perf.scenarios import Phase

# From the first sign of the target pod to the end of the copy; `READY` and `HANDED_OFF` lie between.
SLOT, READY, HANDED_OFF = 1.0, 0.2, 0.45


def moved(*begins: float, sent: float) -> Moved:
    """One migration for each moment at which its target pod is made."""
    hotplugs = [Hotplug(vm=f"vm{number}", nic="blue", sent=sent + number / 100) for number in range(len(begins))]
    seen = tuple(_all_sights(begins))
    phase = Phase(name="crowd", operations=len(begins), hotplugs=hotplugs)
    return Moved(phase=phase, migrations=replay(seen), sights=seen)


def _all_sights(begins: tuple[float, ...]) -> Iterator[Sight]:
    steps = [
        (begin + after, number, phase)
        for number, begin in enumerate(begins)
        for after, phase in (
            (0, "Scheduling"),
            (READY, "Scheduled"),
            (HANDED_OFF, "PreparingTarget"),
            (SLOT, "Succeeded"),
        )
    ]
    for version, (at, number, phase) in enumerate(sorted(steps)):
        yield MigrationSight(
            version=version, at=at, uid=f"m{number}", name=f"m{number}", vmi=f"default/vm{number}", phase=phase
        )


CROWD = moved(10.0, 10.0, 11.0, 11.0, 12.5, 12.5, sent=9.5)
FIGURES = explanation(shape=MigrationShape(vms=6, single=1, copy_seconds=0.3), single=moved(5.0, sent=4.9), crowd=CROWD)


def test_the_whole_lasts_from_the_first_request_to_the_last_end() -> None:
    assert FIGURES["seconds"] == 4.0


def test_what_is_expected_is_a_slot_for_each_round() -> None:
    assert LIMIT_PER_CLUSTER == 5
    assert FIGURES["rounds"] == 2
    assert (FIGURES["copies_alone"], FIGURES["expected_alone"], FIGURES["expected_together"]) == (0.6, 2.0, 2.0)
    assert (FIGURES["overhead_alone"], FIGURES["overhead_together"]) == (0.7, 0.7)
    assert (FIGURES["arrival_alone"], FIGURES["arrival_together"]) == (0.25, 0.25)


def test_the_slots_that_are_used_are_the_whole_divided_by_its_parts() -> None:
    assert sum(slot_seconds(CROWD.migrations)) == pytest.approx(6.0)
    assert FIGURES["slots_used"] == 1.5
    assert CROWD.migrations.running == [
        (10.0, 1), (10.0, 2), (11.0, 1), (11.0, 0), (11.0, 1), (11.0, 2), (12.0, 1), (12.0, 0),
        (12.5, 1), (12.5, 2), (13.5, 1), (13.5, 0),
    ]  # fmt: skip


def test_slots_queue_and_arrivals_are_steps_from_the_first_request() -> None:
    """The third and fourth are made with the others, and wait for a slot."""
    made = [
        MigrationSight(version=100 + number, at=9.6, uid=f"m{number}", name="", vmi="", phase="Pending")
        for number in range(4)
    ]
    for hotplug in CROWD.phase.hotplugs:
        hotplug.seen[Milestone.IN_GUEST] = hotplug.sent + 2
    seen = over_time(replace(CROWD, sights=(*made, *CROWD.sights)))
    assert seen["queue"] == [(0.0, 0), (0.1, 4), (0.5, 2), (1.5, 0), (3.0, 0)]
    assert seen["slots"] == [(0.0, 0), (0.5, 2), (1.5, 2), (2.5, 0), (3.0, 2), (4.0, 0)]
    assert seen["arrived"][-1] == (2.05, 6)
