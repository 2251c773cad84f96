"""Counters, gauges, and the text form."""

import pytest
from prometheus_client import CollectorRegistry

from nicplug.apiserver.metrics import RequestMetrics
from nicplug.obs.metrics import Metrics


def test_requests_are_counted_by_verb_resource_and_code_and_timed_by_verb() -> None:
    metrics = Metrics()
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
    metrics = Metrics()
    metrics.reconciled(kind="vmi", outcome="ok", seconds=0.01)
    metrics.reconciled(kind="vmi", outcome="Stale", seconds=0.01)
    metrics.reconciled(kind="vm", outcome="ok", seconds=0.01)
    sample = metrics.registry.get_sample_value
    assert sample("nicplug_reconcile_total", {"kind": "vmi", "outcome": "ok"}) == 1
    assert sample("nicplug_reconcile_total", {"kind": "vmi", "outcome": "Stale"}) == 1
    assert sample("nicplug_reconcile_duration_seconds_count", {"kind": "vmi"}) == 2


def test_bugs_and_dropped_events_are_counted_from_zero() -> None:
    metrics = Metrics()
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


def test_a_gauge_is_read_when_it_is_scraped() -> None:
    metrics = Metrics()
    sizes = {"Pod": 1, "VM": 5}
    for kind in sizes:
        metrics.gauge("nicplug_cache_objects", "Objects.", lambda kind=kind: sizes[kind], kind=kind)  # type: ignore[misc]
    metrics.gauge("nicplug_leader", "Leads.", lambda: bool(sizes["Pod"]))
    assert metrics.registry.get_sample_value("nicplug_leader") == 1
    sizes["Pod"] = 0
    assert metrics.registry.get_sample_value("nicplug_cache_objects", {"kind": "Pod"}) == 0
    assert metrics.registry.get_sample_value("nicplug_cache_objects", {"kind": "VM"}) == 5
    assert metrics.registry.get_sample_value("nicplug_leader") == 0


def test_the_text_form_tells_what_each_metric_means_and_how_the_process_fares() -> None:
    text = Metrics().render().decode()
    assert "# HELP nicplug_bugs_total Passes ended by an error that is not the API server's." in text
    assert "# TYPE nicplug_bugs_total counter" in text
    assert "process_resident_memory_bytes" in text


def test_two_operators_in_one_process_do_not_share_counters() -> None:
    one, other = Metrics(), Metrics()
    one.failed_by_bug()
    assert other.registry.get_sample_value("nicplug_bugs_total") == 0


def test_of_a_request_to_the_aggregated_api_only_its_subresource_and_code_are_labels() -> None:
    """Neither objects nor users: both grow with the cluster, and metrics are read without asking about rights."""
    registry = CollectorRegistry()
    metrics = RequestMetrics(registry)
    metrics.answered(subresource="addinterface", code=200, seconds=0.1)
    metrics.watch(under_way=lambda: 1, remembered=lambda: 2)
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert {label for sample in samples for label in sample.labels} == {"subresource", "code", "le"}
