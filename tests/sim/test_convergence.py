"""Whatever happens in whatever order, the cluster becomes what its specs say, and then nobody writes any more.

`NICPLUG_SIM_SCHEDULES=5000 pytest tests/sim` runs more schedules than `make test` does; `NICPLUG_SIM_SEED=17` runs that
one of every scenario alone (docs/development.md).
"""

import os
from collections.abc import Iterator

import pytest
import structlog
from tests.sim.scenarios import MOVES, SCENARIOS
from tests.sim.schedule import Schedule

_SCHEDULES = int(os.environ.get("NICPLUG_SIM_SCHEDULES", "320"))
_ONLY_SEED = os.environ.get("NICPLUG_SIM_SEED")
_CHUNK = 10


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The log of a schedule is its own; the operator's would be the slowest part."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def _chunks() -> list[tuple[str, int, range]]:
    """Scenario, number of operators, seeds: small pieces, so that several processes share them evenly."""
    cells = [(scenario, operators) for scenario in (*SCENARIOS, *MOVES) for operators in (1, 2)]
    per_cell = max(1, _SCHEDULES // len(cells))
    seeds = range(int(_ONLY_SEED), int(_ONLY_SEED) + 1) if _ONLY_SEED else range(per_cell)
    return [
        (scenario, operators, seeds[start : start + _CHUNK])
        for scenario, operators in cells
        for start in range(0, len(seeds), _CHUNK)
    ]


@pytest.mark.parametrize(
    ("scenario", "operators", "seeds"),
    [pytest.param(*chunk, id=f"{chunk[0]}, {chunk[1]} operators, seeds {chunk[2]}") for chunk in _chunks()],
)
def test_converges_to_the_spec_and_falls_silent(scenario: str, operators: int, seeds: range) -> None:
    for seed in seeds:
        writes = Schedule(seed=seed, scenario=scenario, operators=operators).run()
        assert writes > 0, "the schedule did nothing"


def test_a_seed_tells_the_whole_story() -> None:
    """The same seed is the same schedule, or a failure could not be looked at again."""
    logs = []
    for _ in range(2):
        schedule = Schedule(seed=1, scenario="everything", operators=2)
        schedule.run()
        logs.append(schedule.cluster.log)
    assert logs[0] == logs[1]
