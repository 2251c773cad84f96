"""Write the Grafana dashboard of `deploy/monitoring` from the panels below: `make docs`. A test compares them.

Every query names metrics that exist (tests/unit/test_monitoring.py), and `make dashboard-picture` draws the panels from
what a bench has measured.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[1] / "deploy" / "monitoring" / "dashboard.json"
_COLUMNS = 24
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One line of a panel, or several by its labels."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A picture.

    Attributes:
        kind: `timeseries` or `stat`.
        unit: as Grafana names it.
        about: what it shows, and what to do about it.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    about: str = ""
    width: int = 8
    height: int = 8


def quantiles(metric: str, by: str, *, of: Sequence[float] = (0.5, 0.95, 0.99), where: str = "") -> tuple[Query, ...]:
    """How long it takes, for one in two, in twenty, in a hundred."""
    return tuple(
        Query(
            expression=f"histogram_quantile({share}, "
            f"sum by (le, {by}) (rate({metric}_bucket{{{where}}}[$__rate_interval])))".replace("{}", ""),
            legend=f"{{{{{by}}}}} p{round(share * 100)}",
        )
        for share in of
    )


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "At a glance",
        (
            Panel(
                title="Leaders",
                kind="stat",
                width=4,
                height=4,
                queries=(Query(expression="sum(nicplug_leader)"),),
                about="1; anything else is an alert.",
            ),
            Panel(
                title="Replicas ready",
                kind="stat",
                width=4,
                height=4,
                queries=(Query(expression="sum by (component) (nicplug_ready)", legend="{{component}}"),),
            ),
            Panel(
                title="NICs that need somebody",
                kind="stat",
                width=4,
                height=4,
                queries=(
                    Query(
                        expression='sum by (phase) (max by (phase, reason) (nicplug_nics{phase=~"Blocked|Failed"}))',
                        legend="{{phase}}",
                    ),
                ),
            ),
            Panel(
                title="Operations over 15 minutes in a phase",
                kind="stat",
                width=4,
                height=4,
                queries=(
                    Query(
                        expression='sum(max by (phase) (nicplug_operations_stuck{age="15m", phase!~"Blocked|Failed"}))'
                    ),
                ),
            ),
            Panel(
                title="Migrations",
                kind="stat",
                width=4,
                height=4,
                queries=(Query(expression="max by (state) (nicplug_migrations)", legend="{{state}}"),),
            ),
            Panel(
                title="Bugs in an hour",
                kind="stat",
                width=4,
                height=4,
                queries=(Query(expression="sum(increase(nicplug_bugs_total[1h]))"),),
            ),
        ),
    ),
    (
        "NICs",
        (
            Panel(
                title="Time to ready by path",
                unit="s",
                queries=quantiles("nicplug_hotplug_duration_seconds", "path", where='operation="Plug"'),
                about="From the moment a NIC was seen in the spec until the guest has it.",
            ),
            Panel(
                title="Time by phase, p95",
                unit="s",
                queries=(
                    Query(
                        expression="histogram_quantile(0.95, sum by (le, path, phase) "
                        "(rate(nicplug_hotplug_phase_duration_seconds_bucket[$__rate_interval])))",
                        legend="{{path}} {{phase}}",
                    ),
                ),
                about="Pending: the dynamic networks controller; InPod: the node agent; Migrating: queue and copy.",
            ),
            Panel(
                title="Paths by reason",
                unit="ops",
                queries=(
                    Query(
                        expression="sum by (path, reason) (rate(nicplug_path_choices_total[$__rate_interval]))",
                        legend="{{path}} {{reason}}",
                    ),
                ),
            ),
            Panel(
                title="NICs by phase",
                queries=(
                    Query(expression="sum by (phase) (max by (phase, reason) (nicplug_nics))", legend="{{phase}}"),
                ),
            ),
            Panel(
                title="NICs that are not ready, by reason",
                queries=(
                    Query(expression='max by (phase, reason) (nicplug_nics{phase!="Ready"})', legend="{{reason}}"),
                ),
                about="docs/reasons.md has each reason and what to do.",
            ),
            Panel(
                title="Operations that stand still",
                queries=(
                    Query(expression="max by (phase, age) (nicplug_operations_stuck) > 0", legend="{{phase}} {{age}}"),
                ),
            ),
        ),
    ),
    (
        "Migrations",
        (
            Panel(
                title="Running and queued",
                queries=(Query(expression="max by (state) (nicplug_migrations)", legend="{{state}}"),),
            ),
            Panel(
                title="Slots used and allowed",
                queries=(
                    Query(expression="max by (limit) (nicplug_migration_slots_used)", legend="{{limit}}"),
                    Query(expression="max by (limit) (nicplug_migration_slots_limit)", legend="{{limit}}: allowed"),
                ),
            ),
            Panel(
                title="Ended, by reason",
                unit="ops",
                queries=(
                    Query(
                        expression="sum by (result, reason) (rate(nicplug_migrations_ended_total[$__rate_interval]))",
                        legend="{{result}} {{reason}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Operator",
        (
            Panel(
                title="Queue depth",
                queries=(Query(expression="max by (priority) (nicplug_queue_depth)", legend="{{priority}}"),),
            ),
            Panel(
                title="Age of the oldest key",
                unit="s",
                queries=(Query(expression="max(nicplug_queue_oldest_age_seconds)", legend="oldest"),),
            ),
            Panel(
                title="Passes by outcome",
                unit="ops",
                queries=(
                    Query(
                        expression="sum by (outcome) (rate(nicplug_reconcile_total[$__rate_interval]))",
                        legend="{{outcome}}",
                    ),
                ),
            ),
            Panel(
                title="Time of a pass, p95",
                unit="s",
                queries=quantiles("nicplug_reconcile_duration_seconds", "kind", of=(0.95,)),
            ),
            Panel(
                title="Event-loop lag, p99",
                unit="s",
                queries=quantiles("nicplug_event_loop_lag_seconds", "pod", of=(0.99,)),
            ),
            Panel(
                title="Objects in the cache",
                queries=(Query(expression="max by (kind) (nicplug_cache_objects)", legend="{{kind}}"),),
            ),
            Panel(
                title="Large writes that wait, dynamic networks controllers, their watches",
                queries=(
                    Query(expression="max(nicplug_large_objects_waiting)", legend="large writes"),
                    Query(expression="max by (state) (nicplug_dynamic_controllers)", legend="controllers {{state}}"),
                    Query(expression="max(nicplug_controller_watches)", legend="watches"),
                ),
            ),
            Panel(
                title="Drift, broken watches, dropped events",
                queries=(
                    Query(expression="max by (kind) (nicplug_cache_drift) > 0", legend="drift {{kind}}"),
                    Query(expression="min by (kind) (nicplug_watch_works) == 0", legend="watch {{kind}}"),
                    Query(
                        expression="sum by (urgent) (increase(nicplug_dropped_events_total[$__rate_interval])) > 0",
                        legend="events, urgent={{urgent}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Requests to the API server",
        (
            Panel(
                title="By verb and resource",
                unit="reqps",
                queries=(
                    Query(
                        expression="sum by (verb, resource) (rate(nicplug_api_requests_total[$__rate_interval]))",
                        legend="{{verb}} {{resource}}",
                    ),
                ),
            ),
            Panel(
                title="Refused or not answered",
                unit="reqps",
                queries=(
                    Query(
                        expression="sum by (verb, resource, code) "
                        '(rate(nicplug_api_requests_total{code!~"2.."}[$__rate_interval])) > 0',
                        legend="{{verb}} {{resource}} {{code}}",
                    ),
                ),
            ),
            Panel(
                title="Latency by verb, p95",
                unit="s",
                queries=quantiles("nicplug_api_request_duration_seconds", "verb", of=(0.95,)),
            ),
        ),
    ),
    (
        "Aggregated API",
        (
            Panel(
                width=6,
                title="Requests by subresource and code",
                unit="reqps",
                queries=(
                    Query(
                        expression="sum by (subresource, code) "
                        '(rate(nicplug_subresource_requests_total{subresource!=""}[$__rate_interval]))',
                        legend="{{subresource}} {{code}}",
                    ),
                ),
            ),
            Panel(
                width=6,
                title="Latency by subresource, p99",
                unit="s",
                queries=quantiles("nicplug_subresource_request_duration_seconds", "subresource", of=(0.99,)),
            ),
            Panel(
                width=6,
                title="Under way, access reviews remembered",
                queries=(
                    Query(expression="sum by (pod) (nicplug_subresource_requests_under_way)", legend="{{pod}}"),
                    Query(expression="sum by (pod) (nicplug_access_reviews_remembered)", legend="{{pod}} reviews"),
                ),
            ),
            Panel(
                width=6,
                title="Certificates expire in",
                kind="stat",
                unit="s",
                about="The first certificate to expire of each kind. Below 7 days: NicplugCertificateExpiring.",
                queries=(
                    Query(
                        expression="min by (certificate) (nicplug_certificate_expiry_timestamp_seconds) - time()",
                        legend="{{certificate}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Processes",
        (
            Panel(
                title="CPU",
                width=12,
                queries=(
                    Query(
                        expression="sum by (pod) (rate(process_cpu_seconds_total[$__rate_interval]) "
                        "* on (namespace, pod) nicplug_ready ^ 0)",
                        legend="{{pod}}",
                    ),
                ),
            ),
            Panel(
                title="Memory",
                width=12,
                unit="bytes",
                queries=(
                    Query(
                        expression="max by (pod) (process_resident_memory_bytes "
                        "* on (namespace, pod) nicplug_ready ^ 0)",
                        legend="{{pod}}",
                    ),
                ),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    return {
        "uid": "nicplug",
        "title": "nicplug",
        "description": "NIC hot-plug: how long it takes, by which path and why, and how operator and API fare.",
        "tags": ["nicplug", "kubevirt"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in ROWS:
        number += 1
        place = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        top, left = top + 1, 0
        for panel in panels:
            number += 1
            if left + panel.width > _COLUMNS:
                top, left = top + panel.height, 0
            yield _panel(panel, number=number, left=left, top=top)
            left += panel.width
        top += panels[-1].height


def _panel(panel: Panel, *, number: int, left: int, top: int) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _DATASOURCE,
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
            "instant": panel.kind == "stat",
            "range": panel.kind != "stat",
        }
        for index, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        **({"description": panel.about} if panel.about else {}),
        "datasource": _DATASOURCE,
        "gridPos": {"h": panel.height, "w": panel.width, "x": left, "y": top},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1) + "\n"


def main() -> int:
    """Write it; `--check` only compares."""
    if "--check" in sys.argv[1:]:
        same = DASHBOARD.exists() and DASHBOARD.read_text() == text()
        print(f"{DASHBOARD.name} is {'as the panels are' if same else 'out of date: run `make docs`'}")
        return 0 if same else 1
    DASHBOARD.write_text(text())
    print(f"wrote deploy/monitoring/{DASHBOARD.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
