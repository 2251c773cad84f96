"""What is asked of a migration again and again: phases, who may migrate, limits, back-off (1.4, 5.2 to 5.5). Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nicplug_sandbox.kubevirt.launcher_pod import active_pods
from nicplug_sandbox.kubevirt.objects import (
    CREATED_BY,
    EVACUATION,
    JOB_UID,
    NODE_NAME,
    WORKLOAD_UPDATE,
    Json,
    annotations_of,
    created_at,
    is_final,
    labels_of,
    moment_of,
    name_of,
    namespace_of,
    phase_of,
    status_of,
    uid_of,
)
from nicplug_sandbox.kubevirt.settings import ClusterSettings

FIRST_BACKOFF = timedelta(seconds=20)
_WAITS = {"system-critical": 1.0, "user-triggered": 3.0}
_OTHER_WAIT = 5.0
_PRIORITIES = {"system-critical": 100, "user-triggered": 50, "system-maintenance": 20}
_IGNORE_BACKOFF = "kubevirt.io/func-test-ignore-migration-backoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the migration controller sees.

    Attributes:
        vmis: all of the cluster, as the parallel limits count.
        migrations: all of the cluster.
        pods: all launcher pods.
        networks: namespace and name of the attachment definitions, where KubeVirt looks them up.
    """

    migration: Json
    vmi: Json | None
    vmis: list[Json] = field(default_factory=list)
    migrations: list[Json] = field(default_factory=list)
    pods: list[Json] = field(default_factory=list)
    settings: ClusterSettings = field(default_factory=ClusterSettings)
    networks: frozenset[tuple[str, str]] | None = None

    @property
    def state(self) -> Json:
        """The VMI's migrationState, empty without one."""
        return (status_of(self.vmi).get("migrationState") or {}) if self.vmi is not None else {}

    @property
    def is_ours(self) -> bool:
        """Whether the VMI's migrationState is of this migration."""
        return bool(self.state.get("migrationUid") == uid_of(self.migration))

    @property
    def target(self) -> Json | None:
        """The newest target pod of this migration."""
        return target_of(self.migration, self.vmi, self.pods)


def target_of(migration: Json, vmi: Json | None, pods: list[Json]) -> Json | None:
    """The target pod of a migration, by its labels."""
    wanted = {JOB_UID: uid_of(migration), "kubevirt.io": "virt-launcher"}
    if vmi is not None:
        wanted[CREATED_BY] = uid_of(vmi)
    found = [pod for pod in pods if all(labels_of(pod).get(key) == value for key, value in wanted.items())]
    return max(found, key=created_at, default=None)


def is_running(migration: Json) -> bool:
    """A phase in which the migration counts against the limits."""
    return phase_of(migration) not in ("", "Pending", *("Failed", "Succeeded"))


def is_target_created(migration: Json) -> bool:
    """A phase in which there must be a target pod."""
    return phase_of(migration) not in ("", "Pending")


def is_handed_off(migration: Json) -> bool:
    """A phase in which the node agents have the migration."""
    return is_target_created(migration) and phase_of(migration) not in ("Scheduling", "Scheduled")


def can_migrate(view: View) -> bool:
    """Nobody else's unfinished migration owns the VMI's migrationState."""
    uid = view.state.get("migrationUid")
    if not uid or uid == uid_of(view.migration):
        return True
    owner = next((item for item in view.migrations if uid_of(item) == uid), None)
    return owner is None or is_final(owner)


def seconds_to_wait(view: View) -> float | None:
    """Why no target pod is made yet, as the seconds until another look; None: it may be made (5.4)."""
    vmi = view.vmi
    assert vmi is not None
    if len(active_pods(vmi, view.pods)) > 1:
        return 1.0
    busy = [item for item in view.migrations if not is_final(item) and _counts(item, view)]
    wait = _WAITS.get(view.migration["spec"].get("priority", ""), _OTHER_WAIT)
    if len(busy) >= view.settings.parallel_per_cluster:
        return wait
    outbound = [item for item in busy if _leaves(item, status_of(vmi).get("nodeName", ""), view)]
    return wait if len(outbound) >= view.settings.outbound_per_node else None


def next_pending(migrations: list[Json]) -> list[Json]:
    """Who may go on at once when another migration has ended (5.1): of those that wait, the most urgent ones."""
    waiting = [item for item in migrations if phase_of(item) == "Pending"]
    best = max((_priority(item) for item in waiting), default=0)
    return [item for item in waiting if _priority(item) == best]


def _priority(migration: Json) -> int:
    return _PRIORITIES.get(migration["spec"].get("priority", ""), 0)


def _counts(migration: Json, view: View) -> bool:
    return is_running(migration) or target_of(migration, None, view.pods) is not None


def _leaves(migration: Json, node: str, view: View) -> bool:
    vmi = vmi_of(migration, view.vmis)
    if vmi is None:
        return False
    state = status_of(vmi).get("migrationState") or {}
    return node in (status_of(vmi).get("nodeName"), state.get("sourceNode"))


def vmi_of(migration: Json, vmis: list[Json]) -> Json | None:
    """The VMI of a migration."""
    key = namespace_of(migration), migration["spec"]["vmiName"]
    return next((vmi for vmi in vmis if (namespace_of(vmi), name_of(vmi)) == key), None)


def backoff_seconds(view: View, *, now: datetime) -> float:
    """How long a marked migration waits after failed ones (5.5); 0.0 for all others."""
    migration = view.migration
    if not _is_automatic(migration) or _IGNORE_BACKOFF in annotations_of(migration):
        return 0.0
    of_vmi = [item for item in view.migrations if _is_automatic(item) and _same_vmi(item, migration)]
    newest, *older = sorted(of_vmi, key=lambda item: (created_at(item), name_of(item)), reverse=True)
    if uid_of(newest) != uid_of(migration):
        return 0.0
    wait, failed_at = timedelta(0), None
    for item in older:
        if phase_of(item) == "Succeeded":
            break
        if phase_of(item) == "Failed" and "deletionTimestamp" not in item["metadata"]:
            failed_at = failed_at or _failure_time(item)
            wait = wait * 2 if wait else FIRST_BACKOFF
    if failed_at is None:
        return 0.0
    return max(0.0, (failed_at + wait - now).total_seconds())


def _is_automatic(migration: Json) -> bool:
    return any(key in annotations_of(migration) for key in (WORKLOAD_UPDATE, EVACUATION))


def _same_vmi(one: Json, other: Json) -> bool:
    return namespace_of(one) == namespace_of(other) and one["spec"]["vmiName"] == other["spec"]["vmiName"]


def _failure_time(migration: Json) -> datetime | None:
    times = status_of(migration).get("phaseTransitionTimestamps") or ()
    return next((moment_of(item["phaseTransitionTimestamp"]) for item in times if item["phase"] == "Failed"), None)


def node_of(vmi: Json) -> str:
    """The node that a VMI runs on."""
    return str(status_of(vmi).get("nodeName") or labels_of(vmi).get(NODE_NAME, ""))
