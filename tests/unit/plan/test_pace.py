"""A large object is written, and looked at, less often; an ordinary one exactly as before."""

import pytest

from nicplug.elided import LARGE_BYTES
from nicplug.plan.outcome import pass_rest, write_pause


@pytest.mark.parametrize(
    ("stored_bytes", "nics", "seconds"),
    [
        (0, 255, 0.0),
        (LARGE_BYTES, 255, 0.0),
        (LARGE_BYTES + 10_000, 255, 0.3),
        (LARGE_BYTES + 100_000, 8, 3.0),
        (LARGE_BYTES + 1_000_000, 255, 30.0),
        (LARGE_BYTES + 1_000_000, 8, 30.0),
        (LARGE_BYTES + 1_000_000, 4, 15.0),
        (LARGE_BYTES + 1_000_000, 1, 3.75),
        (LARGE_BYTES + 1_000_000, 0, 0.0),
        (3_000_000, 255, 45.0),
    ],
)
def test_a_report_waits_in_proportion_to_the_size_and_to_the_nics(stored_bytes: int, nics: int, seconds: float) -> None:
    assert write_pause(stored_bytes, nics=nics).total_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize(("nics", "seconds"), [(0, 0.0), (1, 0.0), (64, 0.0), (65, 0.26), (100, 0.4), (255, 1.02)])
def test_an_object_rests_after_a_pass_in_proportion_to_its_nics(nics: int, seconds: float) -> None:
    assert pass_rest(nics).total_seconds() == pytest.approx(seconds)
