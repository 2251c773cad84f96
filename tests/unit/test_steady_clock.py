"""The operator's time goes on evenly, no matter who sets the machine's clock; a lasting difference ends the process."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from nicplug.steady_clock import PATIENCE_SECONDS, TOLERANCE_SECONDS, SteadyClock

pytestmark = pytest.mark.looptime

START = datetime(2026, 1, 1, tzinfo=UTC)


class Machine:
    """A clock that can be set."""

    def __init__(self) -> None:
        self.shift = timedelta()
        self.ticks = asyncio.get_running_loop().time

    def wall(self) -> datetime:
        return START + timedelta(seconds=self.ticks()) + self.shift


@pytest.fixture
async def machine() -> Machine:
    return Machine()


@pytest.fixture
async def clock(machine: Machine) -> SteadyClock:
    return SteadyClock(wall=machine.wall, ticks=machine.ticks)


async def test_a_pod_looks_as_old_as_it_is_whatever_happens_to_the_clock(clock: SteadyClock, machine: Machine) -> None:
    """A jump of two hours had a migration fail, "did not start within 900 s", and back off for two hours."""
    began = clock()
    for hours in (2, -2, 0):
        machine.shift = timedelta(hours=hours)
        await asyncio.sleep(10)
    assert (clock() - began).total_seconds() == pytest.approx(30)


async def test_a_clock_that_jumps_to_and_fro_ends_nothing(clock: SteadyClock, machine: Machine) -> None:
    watching = asyncio.create_task(clock.until_wrong())
    for hours in (2, 0, -2, 0) * 5:
        machine.shift = timedelta(hours=hours)
        await asyncio.sleep(PATIENCE_SECONDS / 2)
    machine.shift = timedelta(seconds=TOLERANCE_SECONDS * 0.9)
    await asyncio.sleep(10 * PATIENCE_SECONDS)
    assert not watching.done()
    watching.cancel()


@pytest.mark.parametrize("hours", [8, -4])
async def test_a_lasting_difference_is_noticed_after_a_minute(
    clock: SteadyClock, machine: Machine, hours: float
) -> None:
    watching = asyncio.create_task(clock.until_wrong())
    await asyncio.sleep(5)
    machine.shift = timedelta(hours=hours)
    await asyncio.sleep(PATIENCE_SECONDS - 2)
    assert not watching.done()
    async with asyncio.timeout(4):
        assert await watching == pytest.approx(hours * 3600)


def test_by_itself_it_agrees_with_the_machine() -> None:
    assert abs(SteadyClock().behind_seconds()) < 1
