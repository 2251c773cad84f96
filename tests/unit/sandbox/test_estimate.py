"""The estimate of a build: judged by bytes of source, and not before it can know."""

import pytest

from nicplug_sandbox.estimate import LINK_SHARE, TYPICAL_BYTES_PER_CORE_SECOND, Meter, duration


def test_counts_bytes_not_packages() -> None:
    meter = Meter({**{f"small{n}": 10 for n in range(90)}, "big": 9_100}, cores=1)
    for n in range(90):
        meter.saw(f"small{n}")
    estimate = meter.estimate(elapsed_seconds=10)
    assert estimate.compiled == 90
    assert estimate.total == 91
    assert estimate.fraction < 0.1
    assert estimate.remaining_seconds > 90


def test_at_half_of_the_bytes_half_of_the_time_is_left() -> None:
    meter = Meter({f"package{n}": 100 for n in range(1_000)}, cores=1)
    for n in range(500):
        meter.saw(f"package{n}")
    estimate = meter.estimate(elapsed_seconds=60)
    assert estimate.fraction == pytest.approx(0.5 * (1 - LINK_SHARE), abs=0.001)
    assert estimate.remaining_seconds == pytest.approx(65, abs=1)


def test_first_moments_use_the_typical_rate_of_such_machines() -> None:
    meter = Meter({"package": TYPICAL_BYTES_PER_CORE_SECOND * 200}, cores=2)
    assert meter.whole_seconds == pytest.approx(100 / (1 - LINK_SHARE))
    assert meter.estimate(elapsed_seconds=4).remaining_seconds == pytest.approx(meter.whole_seconds - 4)


def test_never_claims_to_be_done_before_linking() -> None:
    meter = Meter({"package": 100}, cores=2)
    assert meter.saw("package")
    estimate = meter.estimate(elapsed_seconds=30)
    assert estimate.fraction <= 1 - LINK_SHARE
    assert estimate.remaining_seconds >= 1


def test_other_output_and_repetition_do_not_count() -> None:
    meter = Meter({"package": 100, "other": 100}, cores=1)
    assert not meter.saw("# package")
    assert not meter.saw("go: downloading module v1.0.0")
    assert meter.saw("package")
    assert meter.saw("package")
    assert meter.estimate(elapsed_seconds=1).compiled == 1


def test_nothing_to_compile_is_only_linking() -> None:
    assert Meter({}, cores=2).estimate(elapsed_seconds=0).total == 0


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (45, "45 s"), (99.4, "99 s"), (250, "4 min 10 s")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
