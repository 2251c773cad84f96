"""Catalogue of all metrics that nicplug exports, with their labels; docs/metrics.md is generated from it (`make docs`).

Nothing else can be exported: `obs.instruments` creates only the families listed here.
"""

from http import HTTPStatus

from nicplug.cache.kinds import CachedKind
from nicplug.kube import errors
from nicplug.kube import resources as kinds
from nicplug.kube.api import Resource
from nicplug.model.migration import MigrationPhase
from nicplug.model.migration_configuration import MigrationLimits
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.obs.families import BOTH, Family, Label, MetricType, Process
from nicplug.plan.reasons import Reason

_API = frozenset({Process.API})
_COUNTER, _GAUGE, _HISTOGRAM = MetricType.COUNTER, MetricType.GAUGE, MetricType.HISTOGRAM

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SUBRESOURCE_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_HOTPLUG_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

STUCK_AGES = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600}
"""Values of the label `age`, mapped to seconds."""

_UNSETTLED = tuple(phase for phase in OperationPhase if phase is not OperationPhase.READY)

COMPONENT = Label(name="component", values=tuple(process.value for process in Process))
OPERATION = Label(name="operation", values=tuple(OperationType))
PATH = Label(name="path", values=tuple(OperationPath), meaning="as in the NIC's record")
PHASE = Label(name="phase", values=tuple(OperationPhase), meaning="as in the NIC's record")
WAITING_PHASE = Label(name="phase", values=_UNSETTLED, meaning="as in the NIC's record")
REASON = Label(name="reason", values=tuple(Reason), meaning="[reasons](reasons.md)")
AGE = Label(name="age", values=tuple(STUCK_AGES), meaning="at least so long; `1m` counts those of `5m` too")
STATE = Label(name="state", values=("running", "queued"))
LIMIT = Label(name="limit", values=tuple(MigrationLimits().named()), meaning="field of the KubeVirt CR")
RESULT = Label(name="result", values=(MigrationPhase.SUCCEEDED, MigrationPhase.FAILED))
PRIORITY = Label(name="priority", values=("live", "sweep"), meaning="`live`: something changed; `sweep`: a new leader")
CACHED = Label(
    name="kind",
    values=(
        *(kind.value for kind in CachedKind),
        kinds.NETWORK_ATTACHMENT_DEFINITIONS.kind,
        kinds.NODES.kind,
        kinds.POD_DISRUPTION_BUDGETS.kind,
    ),
)
WATCHED = Label(name="kind", values=tuple(kind.value for kind in CachedKind))
KEY_KIND = Label(name="kind", values=("vm", "vmi", "migration", "budget", "slots"))
OUTCOME = Label(
    name="outcome",
    values=(
        "ok",
        "TurnTaken",
        "PlanRepeats",
        "Bug",
        *(
            item.__name__
            for item in (
                errors.Stale,
                errors.AlreadyExists,
                errors.Gone,
                errors.Throttled,
                errors.Unavailable,
                errors.Denied,
                errors.Rejected,
            )
        ),
    ),
    meaning="`ok`, or what ended the pass ([errors](architecture.md#errors))",
)
CERTIFICATE = Label(
    name="certificate",
    values=("aggregated-api", "metrics"),
    meaning="`aggregated-api`: that the API server verifies; `metrics`: that of a protected /metrics",
)
VERB = Label(name="verb", values=("get", "list", "watch", "create", "update", "patch", "delete"))
_RESOURCES = tuple(item for item in vars(kinds).values() if isinstance(item, Resource))
_PLURALS = tuple(dict.fromkeys(item.plural for item in _RESOURCES))
RESOURCE = Label(
    name="resource",
    values=(
        *_PLURALS,
        *(f"{plural}/status" for plural in _PLURALS),
        "secrets",
        "subjectaccessreviews",
        "tokenreviews",
        "version",
    ),
    meaning="plural, `PLURAL/status` for the status; `other` for discovery",
)
CODE = Label(
    name="code",
    values=("0", *(str(int(status)) for status in HTTPStatus)),
    meaning="HTTP status; `0`: no answer came",
)
ANSWERED = Label(name="code", values=tuple(str(int(status)) for status in HTTPStatus), meaning="HTTP status")
SUBRESOURCE = Label(
    name="subresource",
    values=(
        "",
        *(f"virtualmachines/{name}" for name in ("addinterface", "removeinterface", "start", "stop", "restart")),
        *(f"virtualmachines/{name}" for name in ("migrate", "nicplan", "nicstory")),
        *(f"virtualmachineinstances/{name}" for name in ("addinterface", "removeinterface", "nicplan", "nicstory")),
        "pods/eviction",
    ),
    meaning="`pods/eviction`: the webhook; empty for anything else, such as discovery",
)
FLAG = Label(name="urgent", values=("true", "false"), meaning="`true`: of a death")
FOLLOWED = Label(name="state", values=("followed", "ignored"), meaning="`ignored`: beyond the limit")

FAMILIES: tuple[Family, ...] = (
    Family(
        name="nicplug_build_info",
        type=_GAUGE,
        text="Always 1; the label has the version.",
        labels=(COMPONENT, Label(name="version", values=(), meaning="of nicplug")),
        processes=BOTH,
    ),
    Family(
        name="nicplug_ready",
        type=_GAUGE,
        text="1 while /readyz of the process says so: of the operator, while its caches are complete.",
        labels=(COMPONENT,),
        processes=BOTH,
    ),
    Family(
        name="nicplug_certificate_expiry_timestamp_seconds",
        type=_GAUGE,
        text="When a certificate that is served with expires, in seconds since the epoch; no series without one.",
        labels=(COMPONENT, CERTIFICATE),
        processes=BOTH,
    ),
    Family(
        name="nicplug_hotplug_duration_seconds",
        type=_HISTOGRAM,
        text="From the moment a NIC change was seen to its end in the guest and the pod.",
        labels=(OPERATION, PATH),
        buckets=_HOTPLUG_BUCKETS,
    ),
    Family(
        name="nicplug_hotplug_phase_duration_seconds",
        type=_HISTOGRAM,
        text="How long an operation on a NIC was in a phase, counted when it leaves it.",
        labels=(PATH, PHASE),
        buckets=_HOTPLUG_BUCKETS,
    ),
    Family(
        name="nicplug_path_choices_total",
        type=_COUNTER,
        text="Paths that operations on NICs took, by the reason of the choice.",
        labels=(PATH, REASON),
    ),
    Family(
        name="nicplug_nics",
        type=_GAUGE,
        text="NICs with a record in status.interfaceOperations; those that a guest was born with have none.",
        labels=(PHASE, REASON),
    ),
    Family(
        name="nicplug_operations_stuck",
        type=_GAUGE,
        text="Operations on NICs that have been in their phase for at least that long.",
        labels=(WAITING_PHASE, AGE),
    ),
    Family(
        name="nicplug_migrations",
        type=_GAUGE,
        text="Migrations that have not ended; running: with a slot or a target pod.",
        labels=(STATE,),
    ),
    Family(
        name="nicplug_migrations_ended_total",
        type=_COUNTER,
        text="Migrations that have ended, no matter who made them, by the reason that their status gives.",
        labels=(RESULT, REASON),
    ),
    Family(
        name="nicplug_migration_slots_used",
        type=_GAUGE,
        text="Slots that migrations take up; of a limit per node, on the fullest node. 0 on a standby.",
        labels=(LIMIT,),
    ),
    Family(
        name="nicplug_migration_slots_limit",
        type=_GAUGE,
        text="Slots that there are.",
        labels=(LIMIT,),
    ),
    Family(
        name="nicplug_queue_depth", type=_GAUGE, text="Keys that wait for a worker. 0 on a standby.", labels=(PRIORITY,)
    ),
    Family(
        name="nicplug_queue_oldest_age_seconds",
        type=_GAUGE,
        text="How long the oldest key has waited for a worker. 0 on a standby.",
    ),
    Family(
        name="nicplug_large_objects_waiting",
        type=_GAUGE,
        text="Keys that wait for their turn to write something large.",
    ),
    Family(
        name="nicplug_reconcile_total",
        type=_COUNTER,
        text="Passes over a key by outcome.",
        labels=(KEY_KIND, OUTCOME),
    ),
    Family(
        name="nicplug_reconcile_duration_seconds",
        type=_HISTOGRAM,
        text="Time of a pass, requests included.",
        labels=(KEY_KIND,),
        buckets=_REQUEST_BUCKETS,
    ),
    Family(
        name="nicplug_bugs_total",
        type=_COUNTER,
        text="Passes, events and requests that ended in an error that is nicplug's own.",
        processes=BOTH,
    ),
    Family(
        name="nicplug_api_requests_total",
        type=_COUNTER,
        text="Requests to the API server.",
        labels=(VERB, RESOURCE, CODE),
        processes=BOTH,
    ),
    Family(
        name="nicplug_api_request_duration_seconds",
        type=_HISTOGRAM,
        text="Time until the API server's answer was read; of watches, and of the lists before them, until it began.",
        labels=(VERB,),
        buckets=_REQUEST_BUCKETS,
        processes=BOTH,
    ),
    Family(name="nicplug_cache_objects", type=_GAUGE, text="Objects in the cache.", labels=(CACHED,)),
    Family(
        name="nicplug_cache_drift",
        type=_GAUGE,
        text="Objects that the last sweep found in the cache and not in the API server.",
        labels=(WATCHED,),
    ),
    Family(
        name="nicplug_watch_works",
        type=_GAUGE,
        text="1 unless the API server refuses the watch of the kind.",
        labels=(WATCHED,),
    ),
    Family(name="nicplug_leader", type=_GAUGE, text="1 while this process leads, with complete caches; else 0."),
    Family(
        name="nicplug_event_loop_lag_seconds",
        type=_HISTOGRAM,
        text="How much later than asked for the event loop came back, once a second.",
        buckets=_LAG_BUCKETS,
        processes=BOTH,
    ),
    Family(
        name="nicplug_dropped_events_total",
        type=_COUNTER,
        text="Events given up: too many of one object or in all, or the API server took none.",
        labels=(FLAG,),
    ),
    Family(name="nicplug_ignored_kubevirts", type=_GAUGE, text="KubeVirt CRs that have no effect."),
    Family(
        name="nicplug_controller_watches",
        type=_GAUGE,
        text="Watches open for the dynamic networks controller.",
    ),
    Family(
        name="nicplug_dynamic_controllers",
        type=_GAUGE,
        text="Dynamic networks controllers in trusted namespaces.",
        labels=(FOLLOWED,),
    ),
    Family(
        name="nicplug_subresource_requests_total",
        type=_COUNTER,
        text="Requests to the aggregated API.",
        labels=(SUBRESOURCE, ANSWERED),
        processes=_API,
    ),
    Family(
        name="nicplug_subresource_request_duration_seconds",
        type=_HISTOGRAM,
        text="Time until the aggregated API's answer was ready.",
        labels=(SUBRESOURCE,),
        buckets=_SUBRESOURCE_BUCKETS,
        processes=_API,
    ),
    Family(
        name="nicplug_subresource_requests_under_way",
        type=_GAUGE,
        text="Requests for subresources that are not answered yet.",
        processes=_API,
    ),
    Family(
        name="nicplug_access_reviews_remembered",
        type=_GAUGE,
        text="Entries in the cache of access reviews.",
        processes=_API,
    ),
)
