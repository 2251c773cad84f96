"""One drill in small on a real control plane: what `make chaos` does at length."""

import json

import pytest
from click.testing import CliRunner
from tests.chaos import report
from tests.chaos.__main__ import main
from tests.chaos.report import Outcome
from tests.chaos.run import chaos
from tests.chaos.shape import Shape
from tests.slow import slow

SHAPE = Shape(vms=4, hotplugs=20, scale=0.2, nodes=2)
DRILL = "server-errors"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return chaos(directory=tmp_path_factory.mktemp("chaos"), shape=SHAPE, drills=[DRILL], seed=3, say=print)


@slow
def test_nothing_is_lost_or_doubled_while_requests_fail(outcome: Outcome) -> None:
    assert outcome.violations == []
    assert outcome.holds
    (found,) = outcome.accounts
    assert found.started == found.finished > 0
    assert "x 50" in found.evidence


@slow
def test_outcome_is_json(outcome: Outcome) -> None:
    assert json.loads(json.dumps(report.to_json(outcome)))["drills"][0]["drill"] == DRILL


@pytest.mark.parametrize(
    ("value", "text"), [("etcd-stop,nothing", "no drill is called nothing"), (",", "name at least")]
)
def test_an_unknown_drill_is_refused_with_those_that_there_are(value: str, text: str) -> None:
    done = CliRunner().invoke(main, ["--drills", value])
    assert done.exit_code == 2
    assert text in done.output
    assert "leader-kill" in done.output
