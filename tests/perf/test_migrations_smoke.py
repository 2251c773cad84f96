"""NICs that come by migration, counted on a real API server: what `make bench` measures at length.

Only counts are asserted, never times.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.perf import migration_report, migrations, report
from tests.perf.audit import counted
from tests.perf.budgets import MIGRATION_BUDGETS, judge
from tests.perf.migration_figures import migration_figures, slot_seconds
from tests.perf.migrations import LIMIT_INBOUND, LIMIT_OUTBOUND, LIMIT_PER_CLUSTER, MigrationShape, Moved
from tests.perf.milestones import Milestone
from tests.slow import slow

from nicplug_sandbox import controlplane

pytestmark = slow
# More than the cluster's limit, and on each node more than a node's.
SHAPE = MigrationShape(vms=9, single=2)
NAMES = ("single", "crowd")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a sandbox of the bench's own."""
    directory = tmp_path_factory.mktemp("migrations")
    yield directory
    controlplane.stop(directory=directory)


@pytest.fixture(scope="module")
def moved(sandbox: Path) -> dict[str, Moved]:
    """Both scenarios on a cluster without dynamic networks controllers."""
    return migrations.run(directory=sandbox, shape=SHAPE, say=print)


@pytest.fixture(scope="module")
def found(moved: dict[str, Moved]) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(json.dumps(migration_figures(shape=SHAPE, moved=moved)))
    return figures


@pytest.mark.parametrize("name", NAMES)
def test_each_nic_comes_by_one_migration_that_succeeds(moved: dict[str, Moved], name: str) -> None:
    seen = moved[name].migrations
    assert len(seen.phases) == seen.succeeded == moved[name].phase.operations
    assert seen.doubled == []
    for hotplug in moved[name].phase.hotplugs:
        assert {Milestone.IN_STATUS, Milestone.IN_GUEST, Milestone.READY} <= hotplug.seen.keys()


def test_limits_hold_when_all_ask_at_once(moved: dict[str, Moved]) -> None:
    seen = moved["crowd"].migrations
    assert 2 <= seen.cluster <= LIMIT_PER_CLUSTER, "it was a crowd, and the limit of the cluster held"
    assert max(seen.outbound.values()) <= LIMIT_OUTBOUND
    assert max(seen.inbound.values()) <= LIMIT_INBOUND


@pytest.mark.parametrize("name", NAMES)
def test_a_nic_costs_one_migration_and_one_target_pod(moved: dict[str, Moved], name: str) -> None:
    created = counted(
        (write for write in moved[name].phase.writes if write.verb == "create" and not write.is_rejected),
        by=lambda write: write.resource,
    )
    nics = moved[name].phase.operations
    assert created["virtualmachineinstancemigrations"] == nics
    assert created["pods"] == nics
    assert created.pop("configmaps", 0) <= 1, "the ledger of slots, once"
    assert set(created) <= {"virtualmachineinstancemigrations", "pods", "events"}


def test_the_steps_of_a_single_migration_are_told_in_order(found: dict[str, Any]) -> None:
    steps = [figures["p50"] for figures in found["steps"].values()]
    assert next(iter(found["steps"])) == "migration made"
    assert list(found["steps"])[-1] == "Succeeded"
    assert steps == sorted(steps)


def test_every_nic_takes_up_a_slot_of_its_own(moved: dict[str, Moved], found: dict[str, Any]) -> None:
    for name in NAMES:
        seen, nics = moved[name].migrations, found[name]["nics"]
        assert len(seen.slots) == nics, "each was seen to begin and to end"
        assert seen.running[-1][1] == 0, "all are over"
        assert (found[name]["failed"], found[name]["unfinished"], found[name]["doubled"]) == (0, 0, 0)


def test_the_time_of_a_crowd_is_explained_by_limit_and_copy(moved: dict[str, Moved], found: dict[str, Any]) -> None:
    crowd, seen = found["crowd"], moved["crowd"].migrations
    assert crowd["rounds"] == 2
    # However fast the machine is: with this limit two copies come one after the other.
    assert 2 * SHAPE.copy_seconds <= crowd["seconds"]
    assert crowd["expected_together"] == pytest.approx(2 * crowd["slot_seconds"], abs=0.01)
    # The whole is the sum of its parts: how many ran, for as long as they did, is the slots one by one.
    steps = zip(seen.running, seen.running[1:], strict=False)
    whole = sum(count * (end - begin) for (begin, count), (end, _) in steps)
    assert whole == pytest.approx(sum(slot_seconds(seen)))
    assert crowd["slots_used"] * crowd["seconds"] == pytest.approx(whole, rel=0.05)
    assert crowd["slots_used"] <= LIMIT_PER_CLUSTER


def test_figures_can_be_shown_and_compared(found: dict[str, Any]) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=110)
    report.show_budgets({"migrations": found}, baseline={"migrations": found}, console=console)
    migration_report.show(found, baseline=found, console=console)
    text = shown.getvalue()
    for verdict in judge({"migrations": found}):
        if verdict.budget in MIGRATION_BUDGETS and verdict.measured is not None:
            assert verdict.budget.name in text
    assert "VMs at once, explained by limit x copy" in text
    assert "1.00" in text, "a result is its own baseline"
