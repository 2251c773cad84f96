"""The KubeVirt CR is obeyed at once: update methods, eviction strategy, version; and what is said by revisions."""

import time

import pytest
from tests.integration.evictions import evict
from tests.integration.kubevirt.conftest import conditions, status_of
from tests.integration.kubevirt.guests import in_guest, migrate, plug, started, told, until_final
from tests.integration.kubevirt.settings import be, configure, methods
from tests.integration.user import MIGRATION, POD, VM, VMI, User
from tests.integration.waiting import until

ABORTION = "kubevirt.io/testWorkloadUpdateMigrationAbortion"


def is_required(user: User) -> bool:
    return conditions(user.get(VMI, "vm1") or {}).get("MigrationRequired") == "True"


def test_3_5_a_start_leaves_a_revision_and_its_name(user: User) -> None:
    machine = started(user, "vm1", "node01")
    (revision,) = user.items("controllerrevisions")
    vm = user.get(VM, "vm1") or {}
    assert revision["metadata"]["name"] == f"revision-start-vm-{vm['metadata']['uid']}-1"
    assert machine["status"]["virtualMachineRevisionName"] == revision["metadata"]["name"]
    assert revision["data"]["spec"]["template"]["spec"]["domain"] == vm["spec"]["template"]["spec"]["domain"]
    assert "kubevirt.io/virtualMachineControllerFinalize" in vm["metadata"]["finalizers"]


def test_3_4_a_field_that_no_guest_can_get_needs_a_restart(user: User) -> None:
    started(user, "vm1", "node01")
    plug(user, "vm1")
    until(lambda: in_guest(user, "vm1"))
    assert "RestartRequired" not in conditions(user.get(VM, "vm1") or {})
    user.change(VM, "vm1", lambda body: body["spec"]["template"]["spec"].update(hostname="other"))
    until(lambda: conditions(user.get(VM, "vm1") or {}).get("RestartRequired") == "True")
    user.delete(VMI, "vm1")
    until(lambda: "RestartRequired" not in conditions(user.get(VM, "vm1") or {}))


def test_3_5_a_guest_that_runs_once_is_not_started_again_when_it_has_ended(user: User) -> None:
    started(user, "vm1", "node01", strategy="Once")
    (pod,) = user.items(POD)
    user.delete(POD, pod["metadata"]["name"])
    until(lambda: user.phase("vm1") in ("Succeeded", "Failed"))
    until(lambda: status_of(user.get(VM, "vm1")).get("printableStatus") == "Stopped")
    time.sleep(1)
    assert user.phase("vm1") in ("Succeeded", "Failed")


def test_4_6_without_methods_it_is_only_required_and_with_them_it_is_done(user: User, kubevirt_cr: User) -> None:
    configure(kubevirt_cr, workloadUpdateStrategy={})
    started(user, "vm1", "node02", "node03")
    plug(user, "vm1")
    until(lambda: is_required(user), seconds=40)
    until(lambda: status_of(kubevirt_cr.get("kubevirts", "kubevirt")).get("outdatedVirtualMachineInstanceWorkloads"))
    assert user.items(MIGRATION) == []
    configure(kubevirt_cr, workloadUpdateStrategy=methods("LiveMigrate"))
    until(lambda: in_guest(user, "vm1"), seconds=30)


def test_4_6_the_abortion_annotation_ends_the_updaters_migration_and_keeps_others_back(
    user: User, kubevirt_cr: User
) -> None:
    configure(kubevirt_cr, workloadUpdateStrategy={})
    started(user, "vm1", "node02", "node03", copy_seconds=20)
    plug(user, "vm1")
    until(lambda: is_required(user), seconds=40)
    configure(kubevirt_cr, workloadUpdateStrategy=methods("LiveMigrate"))
    until(lambda: user.items(MIGRATION), seconds=20)
    user.merge(VMI, "vm1", {"metadata": {"annotations": {ABORTION: ""}}})
    until(lambda: "SuccessfulChangeAbortion" in told(user, "vm1"), seconds=30)
    until(lambda: not user.items(MIGRATION), seconds=40)
    time.sleep(6)
    assert user.items(MIGRATION) == []
    assert not in_guest(user, "vm1")


def test_4_6_evict_ends_the_guest_for_its_nic(user: User, kubevirt_cr: User) -> None:
    configure(kubevirt_cr, workloadUpdateStrategy=methods("Evict"))
    before = started(user, "vm1", "node02", "node03")["metadata"]["uid"]
    plug(user, "vm1")
    until(lambda: (user.get(VMI, "vm1") or {}).get("metadata", {}).get("uid") not in (None, before), seconds=90)
    until(lambda: in_guest(user, "vm1"))
    assert told(user, "vm1")["SuccessfulEvict"] == (
        "Initiated eviction of VMI as part of automated workload update: <nil>"
    )
    assert user.items(MIGRATION) == []


def test_an_eviction_becomes_an_evacuation(user: User, kubevirt_cr: User) -> None:
    configure(kubevirt_cr, configuration={"evictionStrategy": "LiveMigrate"})
    node = started(user, "vm1", "node02", "node03", copy_seconds=2)["status"]["nodeName"]
    pod = user.items(POD)[0]["metadata"]["name"]
    code, message = evict(user, pod)
    assert (code, message.partition("denied the request: ")[2]) == (
        429, f'Eviction triggered evacuation of VMI "{user.namespace}/vm1"',
    )  # fmt: skip
    until(lambda: conditions(user.get(VMI, "vm1") or {}).get("EvictionRequested") == "True")
    assert evict(user, pod)[1].partition("denied the request: ")[2].startswith("Evacuation in progress: ")
    (made,) = until(lambda: user.items(MIGRATION))
    assert made["metadata"]["annotations"]["kubevirt.io/evacuationMigration"] == node
    assert made["spec"]["priority"] == "system-critical"
    assert until_final(user, made)["status"]["phase"] == "Succeeded"
    machine = user.get(VMI, "vm1") or {}
    assert machine["status"]["nodeName"] != node
    assert not machine["status"].get("evacuationNodeName")
    until(lambda: "EvictionRequested" not in conditions(user.get(VMI, "vm1") or {}))


def test_a_pending_migration_keeps_an_evacuation_back(user: User, kubevirt_cr: User) -> None:
    limits = {"parallelMigrationsPerCluster": 1}
    configure(kubevirt_cr, configuration={"evictionStrategy": "LiveMigrate", "migrations": limits})
    started(user, "vm1", "node02", "node03", copy_seconds=8)
    started(user, "vm2", "node02", "node03")
    assert migrate(user, "vm1")[0] == 201
    until(lambda: status_of(user.items(MIGRATION)[0]).get("phase") == "Running")
    code, waiting = migrate(user, "vm2")
    assert code == 201
    pod = next(item for item in user.items(POD) if item["metadata"]["annotations"]["kubevirt.io/domain"] == "vm2")
    assert evict(user, pod["metadata"]["name"])[0] == 429
    time.sleep(3)
    names = [item["metadata"]["name"] for item in user.items(MIGRATION)]
    assert sorted(name.rpartition("-")[0] for name in names) == ["by-hand", "by-hand"]
    user.delete(MIGRATION, waiting["metadata"]["name"])
    made = until(lambda: [item for item in user.items(MIGRATION) if "evacuation" in item["metadata"]["name"]])
    assert made[0]["spec"]["vmiName"] == "vm2"


@pytest.mark.parametrize(("version", "outdated"), [("v1.5.0", True), ("v1.9.0", False)])
def test_a_version_shows_in_the_launcher_and_before_1_6_no_nic_asks_for_a_migration(
    user: User, kubevirt_cr: User, version: str, outdated: bool
) -> None:
    be(kubevirt_cr, version)
    machine = started(user, "vm1", "node02", "node03")
    image = f"quay.io/kubevirt/virt-launcher:{version}"
    assert user.items(POD)[0]["spec"]["containers"][0]["image"] == image
    until(lambda: (user.get(VMI, "vm1") or machine)["status"].get("launcherContainerImageVersion") == image)
    plug(user, "vm1")
    until(lambda: len((user.get(VMI, "vm1") or {})["spec"]["networks"]) == 2)
    time.sleep(1)
    assert ("MigrationRequired" in conditions(user.get(VMI, "vm1") or {})) is not outdated
    if not outdated:
        return
    be(kubevirt_cr, "v1.9.0")
    # KubeVirt was upgraded: the launcher is outdated, and the NIC comes along with its replacement.
    until(lambda: in_guest(user, "vm1"), seconds=40)
    assert user.items(MIGRATION)[0]["spec"]["priority"] == "system-critical"
