"""A small soak about the paths: NICs in place and by migration, while controllers break and operators are killed."""

from pathlib import Path

import pytest
from tests.slow import slow
from tests.soak.run import Outcome, soak
from tests.soak.shape import Scenario, Shape

pytestmark = slow
SHAPE = Shape(
    scenario=Scenario.PATHS,
    operations=20,
    vms=4,
    kills=2,
    restarts=0,
    cuts=0,
    controllers=6,
    pause_seconds=0.3,
    rest_seconds=5,
    nodes=4,
)
# On two nodes, the controller is absent or not ready from the beginning: the first NIC there comes by migration.
SEED = 46


@pytest.fixture(scope="module")
def outcome(sandbox: Path) -> Outcome:
    return soak(directory=sandbox, shape=SHAPE, seed=SEED, say=print)


def test_every_nic_ends_in_its_guest_and_at_rest_nothing_is_written(outcome: Outcome) -> None:
    assert outcome.violations == []
    assert outcome.converged_seconds is not None
    assert outcome.rest_writes == {}


def test_controllers_really_broke_and_operators_were_killed(outcome: Outcome) -> None:
    assert sum(outcome.faults.values()) == SHAPE.kills + SHAPE.controllers
    assert outcome.starts == 2 + SHAPE.kills + len(outcome.ends)


def test_nics_came_by_both_paths(outcome: Outcome) -> None:
    assert outcome.migrations.get("Succeeded", 0) > 0
    assert {"Dynamic", "Migration"} <= outcome.paths.keys()
