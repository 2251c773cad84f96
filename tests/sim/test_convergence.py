"""Whatever happens in whatever order, the cluster becomes what its specs say, and then nobody writes any more.

`make test` runs one schedule of every scenario with one operator and with two, `make slow-test` ten.
`NICPLUG_SIM_SCHEDULES=5000` runs so many of each kind, with `NICPLUG_SIM_FIRST_SEED=100` from that seed on;
`NICPLUG_SIM_SEED=17` runs that one of every scenario alone (docs/development.md).
"""

import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import structlog
from tests.sim.cluster import VMIS, VMS
from tests.sim.scenarios import MOVES, SCENARIOS
from tests.sim.schedule import Schedule
from tests.slow import IS_ASKED_FOR

_SCHEDULES = os.environ.get("NICPLUG_SIM_SCHEDULES")
_FIRST_SEED = int(os.environ.get("NICPLUG_SIM_FIRST_SEED", "0"))
_ONLY_SEED = os.environ.get("NICPLUG_SIM_SEED")
_CHUNK = 10


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The log of a schedule is its own; the operator's would be the slowest part."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def _chunks(scenarios: Iterable[str]) -> list[Any]:
    """Scenario, number of operators, seeds: small pieces, so that several processes share them evenly."""
    cells = [(scenario, operators) for scenario in scenarios for operators in (1, 2)]
    per_cell = math.ceil(int(_SCHEDULES) / len(cells)) if _SCHEDULES else 10 if IS_ASKED_FOR else 1
    first, end = (int(_ONLY_SEED), int(_ONLY_SEED) + 1) if _ONLY_SEED else (_FIRST_SEED, _FIRST_SEED + per_cell)
    chunks = [range(start, min(start + _CHUNK, end)) for start in range(first, end, _CHUNK)]
    return [
        pytest.param(scenario, operators, seeds, id=f"{scenario}, {operators} operators, seeds {seeds}")
        for scenario, operators in cells
        for seeds in chunks
    ]


def run_one(*, seed: int, scenario: str, operators: int) -> None:
    """Nothing is written only where users have deleted everything before the operator saw it."""
    schedule = Schedule(seed=seed, scenario=scenario, operators=operators)
    writes = schedule.run()
    left = schedule.cluster.all(VMS) + schedule.cluster.all(VMIS)
    assert writes > 0 or not left, f"seed {seed} did nothing"


@pytest.mark.parametrize(("scenario", "operators", "seeds"), _chunks(SCENARIOS))
def test_converges_to_the_spec_and_falls_silent(scenario: str, operators: int, seeds: range) -> None:
    for seed in seeds:
        run_one(seed=seed, scenario=scenario, operators=operators)


@pytest.mark.parametrize(("scenario", "operators", "seeds"), _chunks(MOVES))
def test_vms_that_move_converge_too(scenario: str, operators: int, seeds: range) -> None:
    """Never two migrations of one VMI under way, no limit exceeded, nothing lost that a user wrote."""
    for seed in seeds:
        run_one(seed=seed, scenario=scenario, operators=operators)


def test_a_seed_tells_the_whole_story() -> None:
    """The same seed is the same schedule, or a failure could not be looked at again."""
    logs = []
    for _ in range(2):
        schedule = Schedule(seed=1, scenario="everything", operators=2)
        schedule.run()
        logs.append(schedule.cluster.log)
    assert logs[0] == logs[1]
