"""The migrations beside KubeVirt: whose each is, and the VMs that wait before theirs is created."""

from typing import Any

import pytest
from tests.build import Json, a_migration, interface_report, kubevirt, later, migration, operation
from tests.unit.insight.read_api import Api

from nicplug.insight.companion_queue import NOT_CREATED, purpose_of, read_companion_queue
from nicplug.insight.queue import MigrationQueue
from nicplug.model.times import format_time

NICS = {"nicplug.io/interfaces": '{"blue":"Plug","red":"Unplug"}'}
UPDATE, EVACUATION = {"kubevirt.io/workloadUpdateMigration": ""}, {"kubevirt.io/evacuationMigration": "node01"}


@pytest.mark.parametrize(
    ("name", "annotations", "expected"),
    [
        ("nicplug-0123456789", NICS, "created by nicplug for blue, red"),
        ("nicplug-0123456789", {}, "created by neither KubeVirt nor nicplug"),
        ("by-hand", NICS, "created by neither KubeVirt nor nicplug"),
        ("kubevirt-workload-update-x", UPDATE, "created by KubeVirt's workload updater"),
        ("kubevirt-evacuation-x", EVACUATION, "created by KubeVirt for an evacuation"),
        ("nicplug-0123456789", NICS | UPDATE, "created by KubeVirt's workload updater"),
    ],
)
def test_who_has_created_it(name: str, annotations: dict[str, str], expected: str) -> None:
    assert purpose_of(a_migration(migration("Running", name=name, annotations=annotations))) == expected


def waiting(name: str, seconds_ago: float, *, reason: str = "WaitingForSlot", namespace: str = "default") -> Json:
    """The report on a VM with a NIC that waits, and a settled one."""
    start = format_time(later(-seconds_ago))
    rows = [
        operation("red", phase="Ready", reason="Attached"),
        operation("blue", phase="Waiting", reason=reason, message="2 of 2 slots are used", startTime=start),
    ]
    report = interface_report(name=name, interfaceOperations=rows)
    report["metadata"]["namespace"] = namespace
    return report


class Namespaced(Api):
    """Lists by namespace; may refuse to list those of all."""

    is_everywhere_denied = False

    async def list(self, resource: Any, **options: Any) -> Json:
        namespace = options.get("namespace")
        if namespace is None and self.is_everywhere_denied:
            self.denied = frozenset({resource.plural})
        page = await super().list(resource, **options)
        self.denied -= {resource.plural} if self.is_everywhere_denied else set()
        items = [item for item in page["items"] if namespace in (None, item["metadata"]["namespace"])]
        return {**page, "items": items}


def cluster(*migrations: Json, reports: tuple[Json, ...] = (), denied: frozenset[str] = frozenset()) -> Namespaced:
    api = Namespaced(denied=denied)
    config = kubevirt()
    config["spec"]["configuration"]["migrations"] = {"parallelMigrationsPerCluster": 2}
    api.objects["kubevirts"] = [config | {"metadata": config["metadata"] | {"namespace": "kubevirt"}}]
    api.objects |= {"virtualmachineinstancemigrations": list(migrations), "interfacereports": list(reports)}
    return api


async def read(api: Namespaced, *, namespace: str | None = "default") -> MigrationQueue:
    found: MigrationQueue = await read_companion_queue(api, namespace=namespace, kubevirt_namespace="kubevirt")  # type: ignore[arg-type]
    return found


TARGET = {"migrationState": {"targetPod": "virt-launcher-target"}}
RUNNING = migration("Running", name="running", uid="1", status=TARGET)
PENDING = migration("Pending", name="pending", uid="2")
ENDED = migration("Succeeded", name="ended", uid="3", status=TARGET)
ELSEWHERE = migration("Running", name="elsewhere", uid="4", namespace="other", status=TARGET)


async def test_those_that_are_not_created_yet_come_behind_those_under_way_the_oldest_first() -> None:
    reports = (waiting("vm-late", 5), waiting("vm-early", 50), waiting("vm-other", 70, reason="Requested"))
    found = await read(cluster(ENDED, PENDING, RUNNING, reports=reports))
    rows = [(item.name or item.vmi, item.phase, item.position) for item in found.migrations]
    assert rows == [
        ("running", "Running", None),
        ("pending", "Pending", None),
        ("vm-early", NOT_CREATED, 1),
        ("vm-late", NOT_CREATED, 2),
        ("ended", "Succeeded", None),
    ]
    assert found.migrations[2].message == 'NIC "blue": 2 of 2 slots are used'
    assert [item.has_slot for item in found.migrations] == [True, False, False, False, False]
    assert found.unknown == ()
    assert found.limits.per_cluster == 2
    assert not found.has_inbound_limit


async def test_slots_are_those_of_the_cluster_whatever_namespace_is_shown() -> None:
    reports = (waiting("vm1", 5), waiting("vm2", 5, namespace="other"))
    found = await read(cluster(RUNNING, PENDING, ELSEWHERE, reports=reports))
    assert found.taken == 2
    assert [item.name or item.vmi for item in found.migrations] == ["running", "pending", "vm1"]
    everything = await read(cluster(RUNNING, PENDING, ELSEWHERE, reports=reports), namespace=None)
    assert everything.taken == 2
    assert {item.name or item.vmi for item in everything.migrations} == {
        "running",
        "pending",
        "elsewhere",
        "vm1",
        "vm2",
    }


async def test_what_the_user_may_not_read_is_unknown() -> None:
    api = cluster(RUNNING, denied=frozenset({"interfacereports"}))
    found = await read(api)
    assert [item.name for item in found.migrations] == ["running"]
    assert [item.partition(" (")[0] for item in found.unknown] == ["which VMs wait for a migration slot"]
    api = cluster(RUNNING, ELSEWHERE)
    api.is_everywhere_denied = True
    found = await read(api)
    assert found.taken is None
    assert [item.partition(" (")[0] for item in found.unknown] == ["migrations of other namespaces"]
