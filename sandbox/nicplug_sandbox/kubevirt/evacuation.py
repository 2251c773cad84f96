"""Evacuation: migrates the VMIs that are to leave a node, as KubeVirt's evacuation controller does. Pure.

It aborts nobody's migration: one that is pending for a VMI keeps its evacuation back.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from nicplug_sandbox.kubevirt.launcher_pod import active_pods
from nicplug_sandbox.kubevirt.migration_rules import is_running
from nicplug_sandbox.kubevirt.objects import (
    EVACUATION,
    Json,
    is_being_deleted,
    is_condition,
    is_final,
    is_migrating,
    name_of,
    namespace_of,
    status_of,
)
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.writes import NOTHING, Decision, Event, Write, create

VMI: Final = "VirtualMachineInstance"
BUSY_SECONDS, REMIND_SECONDS = 5.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the controller sees of a node.

    Attributes:
        vmis: all of the cluster.
        migrations: all of the cluster.
        pods: all launcher pods.
    """

    node: Json
    vmis: list[Json]
    migrations: list[Json]
    pods: list[Json]
    settings: ClusterSettings = field(default_factory=ClusterSettings)


def sync(view: View, *, now: datetime) -> Decision:
    """Make the migrations that there is room for; each of the writes stands for itself."""
    on_node = [vmi for vmi in view.vmis if status_of(vmi).get("nodeName") == name_of(view.node)]
    leaving = on_node if has_drain_taint(view) else [vmi for vmi in on_node if is_marked(vmi, now=now)]
    ready, stuck = _sorted(leaving, view)
    if not ready and not stuck:
        return NOTHING
    free = _free(on_node, view)
    if free <= 0:
        return Decision(again=BUSY_SECONDS)
    told = stuck[: max(0, free - len(ready))]
    events = tuple(
        Event(about=vmi, kind=VMI, reason="FailedCreate", message="VirtualMachineInstance is not migrateable")
        for vmi in told
    )
    writes = tuple(_migrate(vmi, node=name_of(view.node)) for vmi in ready[:free])
    return Decision(writes=writes, events=events, again=REMIND_SECONDS if told and not writes else None)


def has_drain_taint(view: View) -> bool:
    """The old way to empty a node, which KubeVirt still obeys."""
    taints = (view.node.get("spec") or {}).get("taints") or ()
    return any(item["key"] == view.settings.drain_taint and item["effect"] == "NoSchedule" for item in taints)


def is_marked(vmi: Json, *, now: datetime) -> bool:
    """Somebody has tried to evict the VMI's pod, and it is still there."""
    marked = status_of(vmi).get("evacuationNodeName")
    return bool(marked) and marked == status_of(vmi).get("nodeName") and not is_migrating(vmi, now=now)


def eviction_strategy(vmi: Json, settings: ClusterSettings) -> str:
    """The VMI's own, or the cluster's; "" for none."""
    return str(vmi["spec"].get("evictionStrategy") or settings.eviction_strategy)


def wants_migration(vmi: Json, settings: ClusterSettings) -> bool:
    """Whether an eviction of this VMI becomes a migration."""
    strategy = eviction_strategy(vmi, settings)
    is_migratable = is_condition(vmi, "LiveMigratable")
    return strategy == "LiveMigrate" or (strategy == "LiveMigrateIfPossible" and is_migratable)


def _sorted(vmis: list[Json], view: View) -> tuple[list[Json], list[Json]]:
    """Those that can be migrated now, and those that cannot at all."""
    busy = {(namespace_of(item), item["spec"]["vmiName"]) for item in view.migrations if not is_final(item)}
    ready, stuck = [], []
    for vmi in vmis:
        if is_final(vmi) or is_being_deleted(vmi) or not wants_migration(vmi, view.settings):
            continue
        if not is_condition(vmi, "LiveMigratable"):
            stuck.append(vmi)
        elif (namespace_of(vmi), name_of(vmi)) not in busy and len(active_pods(vmi, view.pods)) <= 1:
            ready.append(vmi)
    return ready, stuck


def _free(on_node: list[Json], view: View) -> int:
    running = [item for item in view.migrations if is_running(item)]
    names = {name_of(vmi) for vmi in on_node}  # by name alone, as KubeVirt counts
    here = [item for item in running if item["spec"]["vmiName"] in names]
    settings = view.settings
    return min(settings.parallel_per_cluster - len(running), settings.outbound_per_node - len(here))


def _migrate(vmi: Json, *, node: str) -> Write:
    body: Json = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {
            "generateName": "kubevirt-evacuation-",
            "namespace": namespace_of(vmi),
            "annotations": {EVACUATION: node},
        },
        "spec": {"vmiName": name_of(vmi), "priority": "system-critical"},
    }
    failed = "Error creating a Migration: {error}"
    return create(
        "VirtualMachineInstanceMigration", body,
        said=Event(about=vmi, kind=VMI, reason="SuccessfulCreate", message="Created Migration {name}"),
        failed=Event(about=vmi, kind=VMI, reason="FailedCreate", message=failed, type="Warning"),
    )  # fmt: skip
