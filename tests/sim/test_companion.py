"""Beside KubeVirt: virt-controller with its updater and two companions, each writing when it likes.

Never two active migrations of nicplug's for one VMI, none that goes on beside another's or that nobody needs, no write
to what is not nicplug's; every NIC converges, or its report says why not.
"""

import math
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from tests.sim.companion_world import CompanionSchedule
from tests.slow import IS_ASKED_FOR

_SCHEDULES = os.environ.get("NICPLUG_SIM_SCHEDULES")
_FIRST_SEED = int(os.environ.get("NICPLUG_SIM_FIRST_SEED", "0"))
_ONLY_SEED = os.environ.get("NICPLUG_SIM_SEED")
_CHUNK = 10


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def _chunks() -> list[Any]:
    count = int(_SCHEDULES) if _SCHEDULES else 100 if IS_ASKED_FOR else 10
    first, end = (int(_ONLY_SEED), int(_ONLY_SEED) + 1) if _ONLY_SEED else (_FIRST_SEED, _FIRST_SEED + count)
    starts = range(first, end, max(1, min(_CHUNK, math.ceil(count / 2))))
    step = starts.step
    return [pytest.param(range(start, min(start + step, end)), id=f"seeds {start}") for start in starts]


@pytest.mark.parametrize("seeds", _chunks())
def test_companions_converge_beside_virt_controller(seeds: range) -> None:
    for seed in seeds:
        CompanionSchedule(seed=seed).run()
