"""A small soak on a real control plane: what `make soak` does at length, and that its report can be shown."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.slow import slow
from tests.soak import report
from tests.soak.run import Outcome, soak
from tests.soak.shape import Shape

pytestmark = slow
SHAPE = Shape(operations=20, vms=5, kills=2, restarts=1, cuts=2, pause_seconds=0.3, rest_seconds=5, nodes=2)
SEED = 11


@pytest.fixture(scope="module")
def outcome(sandbox: Path) -> Outcome:
    return soak(directory=sandbox, shape=SHAPE, seed=SEED, say=print)


def test_everything_ends_as_declared_and_at_rest_nothing_is_written(outcome: Outcome) -> None:
    assert outcome.violations == []
    assert outcome.converged_seconds is not None
    assert outcome.rest_writes == {}


def test_things_really_went_wrong(outcome: Outcome) -> None:
    assert sum(outcome.faults.values()) == SHAPE.kills + SHAPE.restarts + SHAPE.cuts
    assert outcome.starts == 2 + SHAPE.kills + len(outcome.ends)
    assert sum(outcome.done.values()) + len(outcome.not_possible) >= SHAPE.operations
    assert outcome.writes


def test_outcome_is_json_and_can_be_shown(outcome: Outcome) -> None:
    assert json.loads(json.dumps(report.as_json(outcome)))["holds"] is True
    shown = io.StringIO()
    report.show(outcome, console=Console(file=shown, width=110))
    assert f"seed {SEED}" in shown.getvalue()
    assert "Everything holds." in shown.getvalue()
