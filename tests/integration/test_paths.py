"""By which path a NIC comes on a real control plane, and what is left of one that cannot come."""

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.user import MIGRATION, NAD, POD, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad, nics, plug, unplug, vm

TIMEOUT = "kubevirt.io/migrationPendingPodTimeoutSeconds"
LAUNCHERS = "kubevirt.io=virt-launcher"
WITHOUT_CONTROLLER = {"kubernetes.io/hostname": "node02"}


def on_node_without_controller(user: User, name: str) -> None:
    """A VM that runs there, and may move."""
    user.create(VM, vm(name, nodeSelector=WITHOUT_CONTROLLER))
    user.until_running(name)
    until(lambda: user.condition(name, "LiveMigratable").get("status") == "True")
    user.change(VM, name, lambda body: body["spec"]["template"]["spec"].pop("nodeSelector"))
    until(lambda: not (user.get(VMI, name) or {})["spec"].get("nodeSelector"))


def failing(name: str) -> Json:
    """A network whose plugin fails on every node; nothing in its definition tells."""
    body = nad(name)
    body["metadata"]["annotations"] = {"sandbox.nicplug.io/cni": "fails"}
    return body


def migrations(user: User) -> list[Json]:
    """Those there are."""
    return user.items(MIGRATION)


@pytest.mark.usefixtures("without_controller", "unharmed")
def test_without_a_controller_nics_that_are_asked_for_one_by_one_come_by_one_migration(user: User) -> None:
    on_node_without_controller(user, "a")
    for name in ("blue", "green", "red"):
        user.change(VMI, "a", plug(name))
    for name in ("blue", "green", "red"):
        user.until_ready("a", name)
    records = [user.record("a", name) for name in ("blue", "green", "red")]
    assert {record["path"] for record in records} <= {"Migration", "Dynamic"}
    assert len(migrations(user)) == 1
    assert records[0]["path"] == "Migration"
    assert user.pod_of("a")["spec"]["nodeName"]


@pytest.mark.usefixtures("without_controller", "unharmed")
def test_a_broken_network_migrates_a_vm_once_and_again_when_it_is_mended(user: User) -> None:
    user.create(NAD, failing("broken"))
    on_node_without_controller(user, "a")
    user.change(VMI, "a", plug("blue", attachment="broken"))
    (made,) = until(lambda: migrations(user))
    user.merge(MIGRATION, made["metadata"]["name"], {"metadata": {"annotations": {TIMEOUT: "2"}}})
    until(lambda: user.record("a", "blue").get("phase") == "Failed")
    record = user.record("a", "blue")
    assert (record["path"], record["reason"]) == ("Migration", "MigrationFailed")
    assert record["migrationFailures"]["reason"] == "TargetPodNotReady"
    # Not by its pods: the target pod is on its way out.
    assert (user.get(VMI, "a") or {})["status"]["nodeName"] == "node02"
    # A healthy NIC is not kept waiting by it, nor does it drag the broken one along.
    user.change(VMI, "a", plug("green"))
    user.until_ready("a", "green")
    assert len(migrations(user)) <= 2
    assert user.record("a", "blue")["phase"] in ("Failed", "Pending")
    mended = nad("broken")
    user.change(
        NAD, "broken", lambda body: body.update(spec=mended["spec"] | {"config": mended["spec"]["config"] + " "})
    )
    user.merge(NAD, "broken", {"metadata": {"annotations": {"sandbox.nicplug.io/cni": None}}})
    user.until_ready("a", "blue")


@pytest.mark.usefixtures("without_controller", "unharmed")
def test_a_migration_goes_with_the_nic_that_it_was_for(user: User) -> None:
    user.create(NAD, failing("broken"))
    on_node_without_controller(user, "a")
    pod = user.pod_of("a")["metadata"]["uid"]
    user.change(VM, "a", plug("blue", attachment="broken"))
    until(lambda: [item["status"]["phase"] for item in migrations(user) if item.get("status")])
    user.change(VM, "a", unplug("blue"))
    until(lambda: migrations(user) == [])
    until(lambda: nics(user.get(VMI, "a")) == ["main"])
    until(lambda: [item["metadata"]["uid"] for item in user.items(POD, selector=LAUNCHERS)] == [pod])


def test_a_nic_that_cannot_come_is_rolled_back_and_its_vm_keeps_it(user: User, sandbox: Sandbox) -> None:
    user.create(NAD, failing("broken"))
    body = vm("a", nodeSelector={"kubernetes.io/hostname": "node01"})
    body["metadata"]["annotations"] = {"nicplug.io/on-failure": "Rollback"}
    user.create(VM, body)
    user.until_running("a")
    user.change(VM, "a", plug("blue", attachment="broken"))
    until(lambda: user.record("a", "blue").get("reason") == "RolledBack")
    until(lambda: nics(user.get(VMI, "a")) == ["main"])
    template = (user.get(VM, "a") or {})["spec"]["template"]
    assert [item["name"] for item in template["spec"]["domain"]["devices"]["interfaces"]] == ["main", "blue"]
    assert "blue" not in (user.annotation("a") or "")
    record = user.record("a", "blue")
    assert (record["operation"], record["phase"]) == ("Plug", "Failed")
    assert "nicplug.io/on-failure of VirtualMachine" in record["message"]
    assert migrations(user) == []
    # Another operator does not bring it either.
    sandbox.stop(grace_seconds=0)
    sandbox.start()
    user.change(VM, "a", plug("green"))
    user.until_ready("a", "green")
    assert (nics(user.get(VMI, "a")), user.record("a", "blue")["reason"]) == (["main", "green"], "RolledBack")

    def correct(vm: Json) -> None:
        vm["spec"]["template"]["spec"]["networks"][1]["multus"]["networkName"] = "lan"

    user.change(VM, "a", correct)
    user.until_ready("a", "blue")


def test_a_nic_that_was_taken_back_together_with_a_failing_one_is_mended(user: User, sandbox: Sandbox) -> None:
    """The runtime takes back what the same pass had added, and network-status goes on listing it."""
    user.create(NAD, failing("broken"))
    user.create(VM, vm("a", nodeSelector={"kubernetes.io/hostname": "node01"}))
    user.until_running("a")

    def both(body: Json) -> None:
        plug("blue")(body)
        plug("broken", attachment="broken")(body)

    user.change(VM, "a", both)
    user.until_ready("a", "blue")
    guest = sandbox.guests()[f"{user.namespace}/a"]
    assert "blue" in str(guest)
    assert user.record("a", "broken")["phase"] in ("Failed", "Pending", "Blocked", "Migrating")
