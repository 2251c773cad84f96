"""What the two processes count, and the text form."""

import asyncio
import re
import time
from datetime import UTC, datetime

import pytest

from nicplug import __version__
from nicplug.obs.loop_lag import watch_loop_lag
from nicplug.obs.metrics import ApiMetrics, Metrics, OperatorMetrics
from nicplug.plan.outcome import Completion, Measure, MigrationEnded, PathTaken, PhaseLeft


def test_requests_are_counted_by_verb_resource_and_code_and_timed_by_verb() -> None:
    metrics = OperatorMetrics()
    metrics.requested(verb="patch", resource="pods", code=200, seconds=0.004)
    metrics.requested(verb="patch", resource="pods", code=422, seconds=0.2)
    metrics.requested(verb="patch", resource="pods", code=0, seconds=10.5)
    sample = metrics.registry.get_sample_value
    for code in ("200", "422", "0"):
        labels = {"verb": "patch", "resource": "pods", "code": code}
        assert sample("nicplug_api_requests_total", labels) == 1
    assert sample("nicplug_api_request_duration_seconds_count", {"verb": "patch"}) == 3
    assert sample("nicplug_api_request_duration_seconds_bucket", {"verb": "patch", "le": "0.005"}) == 1
    assert sample("nicplug_api_request_duration_seconds_sum", {"verb": "patch"}) == pytest.approx(10.704)


def test_passes_are_counted_by_kind_and_outcome() -> None:
    metrics = OperatorMetrics()
    metrics.reconciled(kind="vmi", outcome="ok", seconds=0.01)
    metrics.reconciled(kind="vmi", outcome="Stale", seconds=0.01)
    metrics.reconciled(kind="vm", outcome="ok", seconds=0.01)
    sample = metrics.registry.get_sample_value
    assert sample("nicplug_reconcile_total", {"kind": "vmi", "outcome": "ok"}) == 1
    assert sample("nicplug_reconcile_total", {"kind": "vmi", "outcome": "Stale"}) == 1
    assert sample("nicplug_reconcile_duration_seconds_count", {"kind": "vmi"}) == 2


def test_certificates_are_exported_while_there_are_some() -> None:
    metrics = ApiMetrics()
    expiry: list[datetime | None] = [None]
    metrics.export_expiry("aggregated-api", lambda: expiry[0])
    name, labels = "nicplug_certificate_expiry_timestamp_seconds", {"component": "api", "certificate": "aggregated-api"}
    assert metrics.registry.get_sample_value(name, labels) is None
    expiry[0] = moment = datetime(2027, 3, 1, tzinfo=UTC)
    assert metrics.registry.get_sample_value(name, labels) == moment.timestamp()


MEASURES: list[tuple[Measure, str, dict[str, str], float]] = [
    (
        Completion(operation="Plug", path="Dynamic", seconds=0.2),
        "nicplug_hotplug_duration_seconds_sum",
        {"operation": "Plug", "path": "Dynamic"},
        0.2,
    ),
    (
        PhaseLeft(path="Migration", phase="Migrating", seconds=1.5),
        "nicplug_hotplug_phase_duration_seconds_sum",
        {"path": "Migration", "phase": "Migrating"},
        1.5,
    ),
    (
        PathTaken(path="Migration", reason="NoDynamicController"),
        "nicplug_path_choices_total",
        {"path": "Migration", "reason": "NoDynamicController"},
        1,
    ),
    (
        MigrationEnded(phase="Failed", reason="TargetPodLate"),
        "nicplug_migrations_ended_total",
        {"result": "Failed", "reason": "TargetPodLate"},
        1,
    ),
]


@pytest.mark.parametrize(("measure", "name", "labels", "value"), MEASURES, ids=lambda item: type(item).__name__)
def test_what_a_plan_measures_is_counted(measure: Measure, name: str, labels: dict[str, str], value: float) -> None:
    metrics = OperatorMetrics()
    assert metrics.registry.get_sample_value(name, labels) is None
    metrics.measured(measure)
    assert metrics.registry.get_sample_value(name, labels) == value


def test_bugs_and_dropped_events_are_counted_from_zero() -> None:
    metrics = OperatorMetrics()
    sample = metrics.registry.get_sample_value

    def counts() -> tuple[float | None, ...]:
        dropped = (sample("nicplug_dropped_events_total", {"urgent": urgent}) for urgent in ("true", "false"))
        return sample("nicplug_bugs_total"), *dropped

    assert counts() == (0, 0, 0)
    metrics.failed_by_bug()
    metrics.event_dropped(True)
    assert counts() == (1, 1, 0)
    metrics.event_dropped(False)
    assert counts() == (1, 1, 1)


def test_readiness_is_read_when_it_is_scraped() -> None:
    metrics, problems = ApiMetrics(), ["not started"]
    metrics.export_ready(lambda: problems[0])
    assert metrics.registry.get_sample_value("nicplug_ready", {"component": "api"}) == 0
    problems[0] = ""
    assert metrics.registry.get_sample_value("nicplug_ready", {"component": "api"}) == 1


@pytest.mark.parametrize("metrics", [OperatorMetrics(), ApiMetrics()], ids=lambda item: type(item).__name__)
def test_the_text_form_tells_what_each_metric_means_and_how_the_process_fares(metrics: Metrics) -> None:
    text = metrics.render().decode()
    assert "# HELP nicplug_bugs_total Passes, events and requests" in text
    assert "# TYPE nicplug_bugs_total counter" in text
    assert re.search(rf'nicplug_build_info{{component="(operator|api)",version="{re.escape(__version__)}"}} 1.0', text)
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text, "a series more for each counter"


def test_two_operators_in_one_process_do_not_share_counters() -> None:
    one, other = OperatorMetrics(), OperatorMetrics()
    one.failed_by_bug()
    assert other.registry.get_sample_value("nicplug_bugs_total") == 0


def test_of_a_request_to_the_aggregated_api_only_its_subresource_and_code_are_labels() -> None:
    """Neither objects nor users: both grow with the cluster, and metrics are read without asking about rights."""
    metrics = ApiMetrics()
    metrics.answered(subresource="virtualmachines/addinterface", code=200, seconds=0.1)
    metrics.watch(under_way=lambda: 1, remembered=lambda: 2)
    sample = metrics.registry.get_sample_value
    labels = {"subresource": "virtualmachines/addinterface"}
    assert sample("nicplug_subresource_requests_total", {**labels, "code": "200"}) == 1
    assert sample("nicplug_subresource_request_duration_seconds_count", labels) == 1
    assert sample("nicplug_subresource_requests_under_way") == 1
    assert sample("nicplug_access_reviews_remembered") == 2


async def test_a_loop_that_is_held_up_is_seen() -> None:
    lags: list[float] = []
    seen = asyncio.Event()

    def lagged(seconds: float) -> None:
        lags.append(seconds)
        seen.set()

    watching = asyncio.create_task(watch_loop_lag(lagged, interval_seconds=0.01))
    await asyncio.sleep(0.001)
    time.sleep(0.3)  # noqa: ASYNC251  that is what is measured
    await asyncio.wait_for(seen.wait(), timeout=10)
    watching.cancel()
    assert lags[0] >= 0.25


def test_how_late_the_loop_was_is_counted() -> None:
    metrics = ApiMetrics()
    metrics.lagged(0.3)
    assert metrics.registry.get_sample_value("nicplug_event_loop_lag_seconds_bucket", {"le": "0.25"}) == 0
    assert metrics.registry.get_sample_value("nicplug_event_loop_lag_seconds_sum") == 0.3
