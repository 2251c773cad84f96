"""`nicplug uninstall` where KubeVirt runs the virtual machines: all of nicplug's goes, and nothing of KubeVirt's."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.build import Json
from tests.unit.cli.played import CommandLine, PlayedServer, Recorded, collection

from nicplug.cli.uninstall.parts import GUARD, IN_ORDER, OF_USERS, OWN_DEFINITIONS
from nicplug.kube.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    KUBEVIRTS,
    NAMESPACES,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINES,
)

CRDS = Path(__file__).parents[3] / "crds" / "nicplug.io"


def path(resource: Any, *, method: str = "GET") -> str:
    group = f"/apis/{resource.group}" if resource.group else "/api"
    return f"{method} {group}/{resource.version}/{resource.plural}"


def item(name: str, **metadata: Any) -> Json:
    return {"metadata": {"name": name, "uid": f"uid-{name}", **metadata}}


def migration(name: str, phase: str, *, is_marked: bool = True) -> Json:
    annotations = {"nicplug.io/interfaces": "{}"} if is_marked else {}
    body = item(name, namespace="default", annotations=annotations)
    return {**body, "status": {"phase": phase}} if phase else body


MIGRATIONS = (
    migration("nicplug-0000000001", ""),
    migration("nicplug-0000000002", "Pending"),
    migration("nicplug-0000000003", "Scheduled"),
    migration("nicplug-0000000004", "PreparingTarget"),
    migration("nicplug-0000000005", "Running"),
    migration("nicplug-0000000006", "Succeeded"),
    migration("nicplug-0000000007", "WaitingForSync"),
    migration("nicplug-by-hand", "Pending", is_marked=False),
    migration("kubevirt-workload-update-a", "Pending", is_marked=False),
    # Of a nicplug that was here in KubeVirt's place.
    migration("kubevirt-workload-update-b", "Pending"),
)
REMOVABLE = [f"nicplug-000000000{number}" for number in (1, 2, 3, 6)]
INSTALLED = ["nicplug-operator", "nicplug.io:view"]


@pytest.fixture
def beside(server: PlayedServer) -> PlayedServer:
    """A Deployment, a role, the kinds of nicplug's group, a VM and migrations; no CRD of KubeVirt's is nicplug's."""
    for resource in (*IN_ORDER, *OF_USERS, PODS):
        server.answers[path(resource)] = collection()
    found = {resource.plural: path(resource) for resource in IN_ORDER}
    server.answers[found["deployments"]] = collection(item("nicplug-operator", namespace="nicplug-system"))
    server.answers[found["clusterroles"]] = collection(item("nicplug.io:view"))
    server.answers[path(CUSTOM_RESOURCE_DEFINITIONS)] = collection(*map(item, OWN_DEFINITIONS))
    server.answers[path(KUBEVIRTS)] = collection(item("kubevirt", namespace="kubevirt"))
    server.answers[path(VIRTUAL_MACHINES)] = collection(item("vm-fedora", namespace="default"))
    server.answers[path(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS)] = collection(*MIGRATIONS)
    return server


def planned(nicplug: CommandLine, *options: str) -> Json:
    done = nicplug("uninstall", "-o", "json", *options)
    assert done.exit_code == 0, done.output
    document: Json = json.loads(done.stdout)
    assert document["done"] is False
    return document


def names(document: Json) -> list[str]:
    return [row["name"] for row in document["removed"]]


def test_each_kind_of_its_group_is_known() -> None:
    """One that is not would be left behind."""
    assert {f"{file.stem}.nicplug.io" for file in CRDS.glob("*.yaml")} <= set(OWN_DEFINITIONS)


@pytest.mark.parametrize("options", [(), ("--purge",)], ids=["uninstall", "purge"])
def test_everything_of_nicplugs_goes_and_nothing_of_kubevirts(
    nicplug: CommandLine, beside: PlayedServer, options: tuple[str, ...]
) -> None:
    document = planned(nicplug, *options)
    assert sorted(names(document)) == sorted([*REMOVABLE, *INSTALLED, *OWN_DEFINITIONS])
    assert document["migrationsUnderWay"] == 3
    assert document["virtualMachineObjectsKept"] == 1 + len(MIGRATIONS) - len(REMOVABLE)
    assert {request.method for request in beside.requests} == {"GET"}


def test_a_purge_would_have_deleted_the_virtual_machines_of_kubevirt(
    nicplug: CommandLine, beside: PlayedServer
) -> None:
    done = nicplug("uninstall", "--purge", "--delete-vms", "--yes")
    assert done.exit_code == 7
    assert "the virtual machines of this cluster are not nicplug's: " in done.stderr
    assert {request.method for request in beside.requests} == {"GET"}


def test_a_purge_would_have_deleted_the_namespace_of_kubevirt(nicplug: CommandLine, beside: PlayedServer) -> None:
    """It has nicplug's label where nicplug was installed into it."""
    beside.answers[path(NAMESPACES)] = collection(item("kubevirt"), item("nicplug-system"))
    for options in ((), ("--purge",)):
        found = names(planned(nicplug, *options))
        assert "nicplug-system" in found
        assert "kubevirt" not in found


def test_a_policy_that_guards_crds_would_guard_those_of_kubevirt(nicplug: CommandLine, beside: PlayedServer) -> None:
    (policies,) = [path(resource) for resource in IN_ORDER if resource.plural == "validatingadmissionpolicies"]
    beside.answers[policies] = collection(item(GUARD))
    assert GUARD in names(planned(nicplug))


def test_a_helm_release_is_uninstalled_first(nicplug: CommandLine, beside: PlayedServer) -> None:
    (deployments,) = [path(resource) for resource in IN_ORDER if resource.plural == "deployments"]
    annotations = {"meta.helm.sh/release-name": "mine", "meta.helm.sh/release-namespace": "y"}
    beside.answers[deployments] = collection(item("nicplug-operator", namespace="x", annotations=annotations))
    done = nicplug("uninstall", "--yes")
    assert done.exit_code == 7
    assert "helm uninstall mine --namespace y; KubeVirt goes on." in done.stderr
    assert "then run nicplug uninstall" in done.stderr
    assert "--purge" not in done.stderr


def test_people_are_told_what_goes_on(nicplug: CommandLine, beside: PlayedServer) -> None:
    done = nicplug("uninstall")
    assert "would delete VirtualMachineInstanceMigration nicplug-0000000001 -n default" in done.stdout
    assert "3 migrations of nicplug's are moving guests; KubeVirt finishes them." in done.stdout


class Deleting:
    """Answers deletions as an API server does: what is deleted is no longer listed."""

    def __init__(self, server: PlayedServer) -> None:
        self.deleted: list[str] = []
        for resource in (*IN_ORDER, *OF_USERS, CUSTOM_RESOURCE_DEFINITIONS, PODS):
            status, body = server.answers[path(resource)]  # type: ignore[misc]
            for row in (body or {}).get("items", ()):
                metadata = row["metadata"]
                where = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
                prefix, _, plural = path(resource, method="DELETE").rpartition("/")
                server.answers[f"{prefix}{where}/{plural}/{metadata['name']}"] = self.delete
            server.answers[path(resource)] = self.lister(status, body or {})

    def delete(self, request: Recorded) -> tuple[int, Json]:
        self.deleted.append(request.path.partition("?")[0].rpartition("/")[2])
        return 200, {"kind": "Status", "status": "Success"}

    def lister(self, status: int, body: Json) -> Any:
        def answer(_: Recorded) -> tuple[int, Json]:
            left = [row for row in body.get("items", ()) if row["metadata"]["name"] not in self.deleted]
            return status, {**body, "items": left}

        return answer


def test_migrations_go_after_the_operator_that_would_create_the_next(
    nicplug: CommandLine, beside: PlayedServer
) -> None:
    deleting = Deleting(beside)
    done = nicplug("uninstall", "--yes", "-o", "json")
    assert done.exit_code == 0, done.output
    assert deleting.deleted[: len(INSTALLED)] == INSTALLED
    assert deleting.deleted[len(INSTALLED) :] == [*REMOVABLE, *OWN_DEFINITIONS]
    document = json.loads(done.stdout)
    assert (document["done"], document["migrationsUnderWay"]) == (True, 3)
    again = json.loads(nicplug("uninstall", "--yes", "-o", "json").stdout)
    assert again["removed"] == []


def test_a_pod_that_does_not_end_holds_nothing_up(nicplug: CommandLine, beside: PlayedServer) -> None:
    """Its node may be down; its permissions are gone."""
    beside.answers[path(PODS)] = collection(item("nicplug-operator-a", namespace="nicplug-system"))
    deleting = Deleting(beside)
    done = nicplug("uninstall", "--yes", "--timeout", "1")
    assert done.exit_code == 0, done.output
    assert "1 pods still exist: Pod nicplug-operator-a -n nicplug-system" in done.stderr
    assert deleting.deleted == [*INSTALLED, *REMOVABLE, *OWN_DEFINITIONS]
