"""Which controllers look at what after a change: the event handlers of virt-controller. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from nicplug_sandbox.kubevirt import workload_updater
from nicplug_sandbox.kubevirt.objects import (
    CREATED_BY,
    EVACUATION,
    Json,
    annotations_of,
    is_final,
    is_migrating,
    labels_of,
    moment_of,
    status_of,
    uid_of,
)
from nicplug_sandbox.kubevirt.view import Cache, Key, Queue, key_of, migrations_of, vmi_key
from nicplug_sandbox.kubevirt.writes import Kind

THROTTLE = workload_updater.THROTTLE.total_seconds()
FAR_FUTURE = moment_of("9999-01-01T00:00:00Z")


class Appointment(NamedTuple):
    """A key that a controller is to look at, `after` so many seconds."""

    queue: Queue
    key: Key
    after: float = 0.0


def reactions(kind: Kind, old: Json | None, new: Json | None, cache: Cache) -> Iterator[Appointment]:
    """What follows from one change.

    Args:
        kind: of the object.
        old: as it was; None for a new one.
        new: as it is; None for one that is gone.
        cache: after the change.
    """
    obj = new or old or {}
    match kind:
        case "VirtualMachine":
            yield Appointment("vm", key_of(obj))
        case "VirtualMachineInstance":
            yield from _of_vmi(obj, cache, is_change=old is not None and new is not None)
        case "VirtualMachineInstanceMigration":
            yield from _of_migration(obj, cache, is_new=old is None)
        case "Pod":
            yield from _of_pod(obj, cache)
        case "KubeVirt":
            yield from _update_workloads(cache)
        case "Node":
            yield Appointment("evacuation", key_of(obj))


def _update_workloads(cache: Cache) -> Iterator[Appointment]:
    for kubevirt in cache.all("KubeVirt"):
        yield Appointment("workload-updater", key_of(kubevirt), THROTTLE)


def _evacuate(vmi: Json) -> Iterator[Appointment]:
    if node := status_of(vmi).get("nodeName"):
        yield Appointment("evacuation", ("", node))


def _of_vmi(vmi: Json, cache: Cache, *, is_change: bool) -> Iterator[Appointment]:
    yield Appointment("vmi", key_of(vmi))
    if cache.get("VirtualMachine", key_of(vmi)) is not None:
        yield Appointment("vm", key_of(vmi))
    for migration in migrations_of(cache, vmi):
        yield Appointment("migration", key_of(migration))
    yield from _evacuate(vmi)
    # Only a VMI that wants to be migrated and is not: what ends such a wish is seen at the next change of another kind.
    is_waiting = workload_updater.has_change(vmi) and not is_migrating(vmi, now=FAR_FUTURE)
    if is_change and is_waiting and not is_final(vmi):
        yield from _update_workloads(cache)


def _of_migration(migration: Json, cache: Cache, *, is_new: bool) -> Iterator[Appointment]:
    yield Appointment("migration", key_of(migration))
    yield Appointment("vmi", vmi_key(migration))
    node = annotations_of(migration).get(EVACUATION) if is_new else None
    vmi = cache.get("VirtualMachineInstance", vmi_key(migration))
    if node:
        yield Appointment("evacuation", ("", node))
    elif vmi is not None:
        yield from _evacuate(vmi)
    yield from _update_workloads(cache)


def _of_pod(pod: Json, cache: Cache) -> Iterator[Appointment]:
    for vmi in cache.all("VirtualMachineInstance"):
        if uid_of(vmi) == labels_of(pod).get(CREATED_BY):
            yield Appointment("vmi", key_of(vmi))
            for migration in migrations_of(cache, vmi):
                yield Appointment("migration", key_of(migration))
