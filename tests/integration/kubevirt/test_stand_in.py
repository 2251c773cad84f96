"""The stand-in of KubeVirt on a real API server: CRDs, life of a VM, hot-plug by both paths, refusals."""

import time

import pytest
from tests.integration.kubevirt.conftest import conditions, status_of
from tests.integration.kubevirt.guests import (
    in_guest,
    migrate,
    plug,
    refused,
    started,
    told,
    until_final,
)
from tests.integration.user import MIGRATION, POD, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import network, spec


def test_1_vmis_have_no_status_subresource_and_no_foreign_fields(user: User) -> None:
    before = started(user, "vm1", "node01")
    assert user.request("GET", user.path(VMI, "vm1", status=True))[0] == 404
    user.merge(VMI, "vm1", {"status": {"interfaceOperations": [{"name": "lan"}], "reason": "because"}})
    after = user.get(VMI, "vm1") or {}
    assert "interfaceOperations" not in after["status"]
    assert after["status"]["reason"] == "because"
    assert after["metadata"]["generation"] > before["metadata"]["generation"]


def test_3_5_a_vm_starts_and_its_pod_is_kubevirts(user: User) -> None:
    machine = started(user, "vm1", "node01")
    (pod,) = user.items(POD)
    assert pod["metadata"]["name"].startswith("virt-launcher-vm1-")
    assert machine["status"]["activePods"] == {pod["metadata"]["uid"]: "node01"}
    assert told(user, "vm1")["SuccessfulCreate"] in (
        f"Created virtual machine pod {pod['metadata']['name']}",
        "Started the virtual machine by creating the new virtual machine instance vm1",
    )
    until(lambda: status_of(user.get(VM, "vm1")).get("printableStatus") == "Running")


def test_6_3_plug_and_unplug_where_the_controller_runs(user: User) -> None:
    started(user, "vm1", "node01")
    plug(user, "vm1")
    until(lambda: in_guest(user, "vm1"))
    assert user.items(MIGRATION) == []

    def unplug(body: Json) -> None:
        body["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][1]["state"] = "absent"

    user.change(VM, "vm1", unplug)
    until(lambda: len((user.get(VM, "vm1") or {})["spec"]["template"]["spec"]["networks"]) == 1)
    assert len((user.get(VMI, "vm1") or {})["spec"]["networks"]) == 1


def test_4_5_4_6_without_a_controller_the_updater_migrates_after_its_timer(user: User) -> None:
    started(user, "vm1", "node02", "node03")
    plug(user, "vm1")
    began = time.monotonic()
    until(lambda: conditions(user.get(VMI, "vm1") or {}).get("MigrationRequired") == "False")
    until(lambda: in_guest(user, "vm1"), seconds=90)
    took = time.monotonic() - began
    assert took > 15
    (made,) = user.items(MIGRATION)
    assert made["metadata"]["name"].startswith("kubevirt-workload-update-")
    assert made["spec"]["priority"] == "user-triggered"
    until(lambda: status_of(user.get(MIGRATION, made["metadata"]["name"])).get("phase") == "Succeeded")
    phases = [item["phase"] for item in until_final(user, made)["status"]["phaseTransitionTimestamps"]]
    assert phases == ["Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded"]
    assert "MigrationRequired" not in conditions(user.get(VMI, "vm1") or {})


def test_a_second_partys_migration_brings_the_nic_without_the_timer(user: User) -> None:
    started(user, "vm1", "node02", "node03")
    plug(user, "vm1")
    until(lambda: len((user.get(VMI, "vm1") or {})["spec"]["networks"]) == 2)
    began = time.monotonic()
    assert migrate(user, "vm1")[0] == 201
    until(lambda: in_guest(user, "vm1"))
    assert time.monotonic() - began < 12
    assert until_final(user, user.items(MIGRATION)[0])["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize(("marks", "phase"), [({"kubevirt.io/workloadUpdateMigration": ""}, ""), ({}, "Succeeded")])
def test_4_6_the_updater_deletes_what_carries_its_mark_while_nothing_is_required(
    user: User, marks: dict[str, str], phase: str
) -> None:
    started(user, "vm1", "node02", "node03", copy_seconds=8)
    code, made = migrate(user, "vm1", annotations=marks)
    assert code == 201
    name = made["metadata"]["name"]

    def ended() -> bool:
        found = user.get(MIGRATION, name)
        return found is None or (found.get("status") or {}).get("phase") in ("Succeeded", "Failed")

    until(ended)
    found = user.get(MIGRATION, name)
    assert (found["status"]["phase"] if found and "deletionTimestamp" not in found["metadata"] else "") == phase
    assert ("SuccessfulChangeAbortion" in told(user, "vm1")) is bool(marks)


def test_5_7_refusals(user: User) -> None:
    assert refused(migrate(user, "vm1")) == f'the VMI "{user.namespace}/vm1" does not exist'
    started(user, "vm1", "node02", "node03", copy_seconds=3)
    code, first = migrate(user, "vm1")
    assert code == 201
    assert first["metadata"]["labels"] == {"kubevirt.io/vmi-name": "vm1"}
    assert refused(migrate(user, "vm1")) == (
        f"in-flight migration detected. Active migration job ({first['metadata']['uid']}) "
        "is currently already in progress for VMI vm1."
    )
    until_final(user, first)
    assert migrate(user, "vm1")[0] == 201


def test_7_1_nobody_else_changes_the_spec_of_a_vmi(user: User) -> None:
    started(user, "vm1", "node01")
    patch: Json = {"spec": {"networks": [*spec()["networks"], network("lan")]}}
    path, kind = user.path(VMI, "vm1"), "application/merge-patch+json"
    assert refused(user.request("PATCH", path, patch, content_type=kind)) == "update of VMI object is restricted"
