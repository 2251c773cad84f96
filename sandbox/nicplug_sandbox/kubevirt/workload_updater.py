"""The workload updater: migrates or evicts what a change waits for, and aborts what none waits for (4.6). Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from nicplug_sandbox.kubevirt.launcher_pod import current_pod
from nicplug_sandbox.kubevirt.migration_rules import is_running
from nicplug_sandbox.kubevirt.objects import (
    WORKLOAD_UPDATE,
    Json,
    annotations_of,
    condition_of,
    is_being_deleted,
    is_condition,
    is_final,
    is_migrating,
    name_of,
    namespace_of,
    phase_of,
    status_of,
)
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.writes import Event, Write, create, write

FORCED_ABORTION = "kubevirt.io/testWorkloadUpdateMigrationAbortion"
THROTTLE = timedelta(seconds=5)
"""From a change in the cluster to the pass that sees it."""
LONGEST_BACKOFF = timedelta(seconds=300)
BUSY_SECONDS = 0.1
"""KubeVirt looks again after 30 ns while something is to be done, by a slip; this often is enough to act alike."""
VMI: Final = "VirtualMachineInstance"

Shuffle = Callable[[list[Json]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """What one pass found.

    Attributes:
        outdated: all that wait for an update, also those that are on the move for it.
        writes: each stands for itself: a refused one does not keep the others back.
        evicts: pods are evicted; the next batch waits.
        again: whether to look again soon.
    """

    outdated: int
    writes: tuple[Write, ...]
    evicts: bool
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the updater sees.

    Attributes:
        pods: all launcher pods.
        last_eviction: when this virt-controller evicted the last batch.
    """

    vmis: list[Json]
    migrations: list[Json]
    settings: ClusterSettings
    pods: list[Json]
    last_eviction: datetime | None = None


def sync(view: View, *, now: datetime, shuffle: Shuffle = random.shuffle) -> Updates:
    """One pass over all VMIs."""
    settings = view.settings
    aborted, outdated, migrates, evicts = [], 0, [], []
    for vmi in view.vmis:
        if phase_of(vmi) != "Running" or is_being_deleted(vmi):
            continue
        is_old = is_outdated(vmi, settings)
        if not is_old and (marked := to_abort(vmi, view.migrations)):
            aborted += [(vmi, item) for item in marked]
            continue
        if not is_old and not needs_migration(vmi, now=now):
            continue
        outdated += 1
        if is_migrating(vmi, now=now) or in_flight(vmi, view.migrations):
            continue
        if "LiveMigrate" in settings.update_methods and is_condition(vmi, "LiveMigratable"):
            migrates.append(vmi)
        elif "Evict" in settings.update_methods:
            evicts.append(vmi)
    shuffle(migrates)
    free = settings.parallel_per_cluster - sum(is_running(item) for item in view.migrations)
    chosen, batch = migrates[: max(0, free)], _batch(evicts, view, now=now)
    pods = [(vmi, pod) for vmi in batch if (pod := current_pod(vmi, view.pods)) is not None]
    return Updates(
        outdated=outdated,
        writes=(*map(_migrate, chosen), *(_evict(*pair) for pair in pods), *(_abort(*pair) for pair in aborted)),
        evicts=bool(batch),
        again=bool(migrates or evicts or aborted),
    )


def _batch(vmis: list[Json], view: View, *, now: datetime) -> list[Json]:
    """At most so many at once, and the next ones only after the interval."""
    last = view.last_eviction
    if last is not None and now <= last + view.settings.eviction_interval:
        return []
    return vmis[: view.settings.eviction_batch]


def is_outdated(vmi: Json, settings: ClusterSettings) -> bool:
    """Whether an older KubeVirt has made the launcher."""
    image = status_of(vmi).get("launcherContainerImageVersion")
    return bool(image) and image != settings.launcher_image


def has_change(vmi: Json) -> bool:
    """Whether something of the VMI waits for a migration."""
    return (
        condition_of(vmi, "HotVCPUChange") is not None
        or is_condition(vmi, "HotMemoryChange")
        or is_condition(vmi, "MigrationRequired")
        or is_condition(vmi, "VolumesChange")
    )


def needs_migration(vmi: Json, *, now: datetime) -> bool:
    """Whether the updater wants to migrate the VMI for a change."""
    return not is_migrating(vmi, now=now) and FORCED_ABORTION not in annotations_of(vmi) and has_change(vmi)


def in_flight(vmi: Json, migrations: list[Json]) -> bool:
    """Whether an unfinished migration of the VMI exists, whoever made it."""
    return any(not is_final(item) and _is_of(item, vmi) for item in migrations)


def to_abort(vmi: Json, migrations: list[Json]) -> list[Json]:
    """The marked, unfinished migrations of a VMI that nothing waits for.

    None once the target has the guest; KubeVirt does not ask which migration has brought it there, and so spares also
    one that has not been handed off yet after one that has succeeded.
    """
    marked = [
        item
        for item in migrations
        if _is_of(item, vmi) and not is_final(item) and WORKLOAD_UPDATE in annotations_of(item)
    ]
    if FORCED_ABORTION in annotations_of(vmi):
        return marked
    state = status_of(vmi).get("migrationState") or {}
    return [] if has_change(vmi) or state.get("targetNodeDomainReadyTimestamp") else marked


def _is_of(migration: Json, vmi: Json) -> bool:
    return namespace_of(migration) == namespace_of(vmi) and migration["spec"]["vmiName"] == name_of(vmi)


def _migrate(vmi: Json) -> Write:
    priority = "user-triggered" if has_change(vmi) else "system-critical"
    body: Json = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {
            "generateName": "kubevirt-workload-update-",
            "namespace": namespace_of(vmi),
            "annotations": {WORKLOAD_UPDATE: ""},
        },
        "spec": {"vmiName": name_of(vmi), "priority": priority},
    }
    made = "Created Migration {name} for automated workload update"
    failed = "Error creating a Migration for automated workload update: {error}"
    return create(
        "VirtualMachineInstanceMigration", body,
        said=Event(about=vmi, kind=VMI, reason="SuccessfulCreate", message=made),
        failed=Event(about=vmi, kind=VMI, reason="FailedCreate", message=failed, type="Warning"),
    )  # fmt: skip


def _evict(vmi: Json, pod: Json) -> Write:
    # The empty error that KubeVirt prints into its success is part of the text.
    done = "Initiated eviction of VMI as part of automated workload update: <nil>"
    failed = "Error deleting VMI during automated workload update: {error}"
    return write(
        "evict", "Pod", pod,
        said=Event(about=vmi, kind=VMI, reason="SuccessfulEvict", message=done),
        failed=Event(about=vmi, kind=VMI, reason="FailedEvict", message=failed, type="Warning"),
    )  # fmt: skip


def _abort(vmi: Json, migration: Json) -> Write:
    name = migration["spec"]["vmiName"]
    done, failed = f"Aborted change for vmi: {name}", f"Failed to abort change for vmi: {name}: {{error}}"
    return write(
        "delete", "VirtualMachineInstanceMigration", migration,
        said=Event(about=vmi, kind=VMI, reason="SuccessfulChangeAbortion", message=done),
        failed=Event(about=vmi, kind=VMI, reason="FailedChangeAbortion", message=failed),
    )  # fmt: skip
