"""A small soak beside KubeVirt, whose virt-controller is killed as often as nicplug."""

from pathlib import Path

import pytest
from tests.slow import slow
from tests.soak.run import Outcome, soak
from tests.soak.shape import Scenario, Shape

pytestmark = slow
SHAPE = Shape(
    scenario=Scenario.COMPANION,
    operations=20,
    vms=4,
    kills=2,
    restarts=0,
    cuts=2,
    controllers=6,
    pause_seconds=0.3,
    rest_seconds=5,
    nodes=4,
)
# The controllers of both fragile nodes are absent at first, so their first NICs come by migration.
SEED = 39


@pytest.fixture(scope="module")
def outcome(sandbox: Path) -> Outcome:
    return soak(directory=sandbox, shape=SHAPE, seed=SEED, say=print)


def test_every_nic_ends_in_its_guest_and_nicplug_writes_nothing_but_its_own(outcome: Outcome) -> None:
    assert outcome.violations == []
    assert outcome.converged_seconds is not None
    assert outcome.explained == []
    assert outcome.rest_writes == {}


def test_virt_controller_was_killed_as_often_as_nicplug(outcome: Outcome) -> None:
    assert sum(outcome.faults.values()) == 2 * SHAPE.kills + SHAPE.cuts + SHAPE.controllers
    assert outcome.starts == 2 + SHAPE.kills + len(outcome.ends)
    assert outcome.virt_controller_starts == 1 + SHAPE.kills


def test_nics_came_by_both_paths(outcome: Outcome) -> None:
    assert outcome.migrations.get("nicplug Succeeded", 0) > 0
    assert {"Dynamic", "Migration"} <= outcome.paths.keys()
