"""The workload updater: migrates what a change waits for, and aborts what no change waits for (section 4.6). Pure."""

import random
from collections.abc import Callable
from datetime import datetime

from nicplug_sandbox.kubevirt.migration_rules import is_running, vmi_of
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
    uid_of,
)
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Event, Write, create, write

FORCED_ABORTION = "kubevirt.io/testWorkloadUpdateMigrationAbortion"
THROTTLE_SECONDS = 5.0
"""From a change in the cluster to the pass that sees it, as measured beside virt-controller 1.9.0."""
BUSY_SECONDS = 0.1
"""KubeVirt looks again after 30 ns while something waits, by a slip; this often is enough to act alike."""

Shuffle = Callable[[list[Json]], None]


def sync(
    *,
    vmis: list[Json],
    migrations: list[Json],
    settings: ClusterSettings,
    now: datetime,
    shuffle: Shuffle = random.shuffle,
) -> Decision:
    """One pass over all VMIs."""
    if not settings.is_deployed:
        return NOTHING
    running = [vmi for vmi in vmis if phase_of(vmi) == "Running" and not is_being_deleted(vmi)]
    aborted = [item for vmi in running for item in to_abort(vmi, migrations, now=now)]
    waiting = [vmi for vmi in running if needs_migration(vmi, now=now)]
    free = settings.parallel_per_cluster - sum(1 for item in migrations if is_running(item) and not is_final(item))
    chosen = [
        vmi
        for vmi in waiting
        if not in_flight(vmi, migrations)
        and "LiveMigrate" in settings.update_methods
        and is_condition(vmi, "LiveMigratable")
    ]
    shuffle(chosen)
    writes = [
        *(_abort(vmi_of(item, running) or item, item) for item in aborted),
        *map(_migrate, chosen[: max(0, free)]),
    ]
    return Decision(writes=tuple(writes), again=BUSY_SECONDS if waiting else None)


def has_change(vmi: Json) -> bool:
    """Whether something of the VMI waits for a migration."""
    return (
        condition_of(vmi, "HotVCPUChange") is not None
        or is_condition(vmi, "HotMemoryChange")
        or is_condition(vmi, "MigrationRequired")
        or is_condition(vmi, "VolumesChange")
    )


def needs_migration(vmi: Json, *, now: datetime) -> bool:
    """Whether the updater wants to migrate the VMI."""
    return not is_migrating(vmi, now=now) and FORCED_ABORTION not in annotations_of(vmi) and has_change(vmi)


def in_flight(vmi: Json, migrations: list[Json]) -> bool:
    """Whether an unfinished migration of the VMI exists, whoever made it."""
    return any(not is_final(item) and _is_of(item, vmi) for item in migrations)


def to_abort(vmi: Json, migrations: list[Json], *, now: datetime) -> list[Json]:
    """The marked, unfinished migrations of a VMI that nothing waits for; none once the target has the guest."""
    state = status_of(vmi).get("migrationState") or {}
    wants = has_change(vmi) and FORCED_ABORTION not in annotations_of(vmi)
    marked = [
        item
        for item in migrations
        if _is_of(item, vmi)
        and not is_final(item)
        and not is_being_deleted(item)
        and WORKLOAD_UPDATE in annotations_of(item)
    ]
    if wants or not marked:
        return []
    is_there = state.get("targetNodeDomainReadyTimestamp") and state.get("migrationUid") in {
        uid_of(item) for item in marked
    }
    return [] if is_there else marked


def _is_of(migration: Json, vmi: Json) -> bool:
    return namespace_of(migration) == namespace_of(vmi) and migration["spec"]["vmiName"] == name_of(vmi)


def _migrate(vmi: Json) -> Write:
    body: Json = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {
            "generateName": "kubevirt-workload-update-",
            "namespace": namespace_of(vmi),
            "annotations": {WORKLOAD_UPDATE: ""},
        },
        "spec": {"vmiName": name_of(vmi), "priority": "user-triggered"},
    }
    made = "Created Migration {name} for automated workload update"
    failed = "Error creating a Migration for automated workload update: {error}"
    return create(
        "VirtualMachineInstanceMigration", body,
        said=Event(about=vmi, kind="VirtualMachineInstance", reason="SuccessfulCreate", message=made),
        failed=Event(about=vmi, kind="VirtualMachineInstance", reason="FailedCreate", message=failed, type="Warning"),
    )  # fmt: skip


def _abort(vmi: Json, migration: Json) -> Write:
    name = migration["spec"]["vmiName"]
    done, failed = f"Aborted change for vmi: {name}", f"Failed to abort change for vmi: {name}: {{error}}"
    return write(
        "delete", "VirtualMachineInstanceMigration", migration,
        said=Event(about=vmi, kind="VirtualMachineInstance", reason="SuccessfulChangeAbortion", message=done),
        failed=Event(
            about=vmi, kind="VirtualMachineInstance", reason="FailedChangeAbortion", message=failed, type="Warning"
        ),
    )  # fmt: skip
