"""What goes wrong in a cluster: gates, missing networks, absent agents, crashes, a control plane that goes away."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.conftest import CONTROLLER, KUBEVIRT, Lift, Sandbox
from tests.integration.kubernetes_release import JUDGES_STATUS_BY_CHANGES
from tests.integration.user import NAD, VM, VMI, User
from tests.integration.waiting import until
from tests.manifests import nad, nics, plug, unplug, vm, vmi

from nicplug_sandbox import controlplane
from nicplug_sandbox.apply import apply_manifests

SetGates = Callable[..., None]


def test_a_gate_that_is_off_blocks_with_the_line_to_add_and_on_serves_the_same_vm(
    user: User, set_gates: SetGates
) -> None:
    set_gates("LiveMigration")
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("blue"))
    until(lambda: user.record("a", "blue").get("phase") == "Blocked")
    record = user.record("a", "blue")
    assert record["reason"] == "FeatureGateDisabled"
    assert "KubeVirt CR kubevirt/kubevirt" in record["message"]
    assert record["remedy"].startswith('Add "HotplugNICs" to spec.configuration.developerConfiguration.featureGates')
    assert user.condition("a", "InterfacesReady")["status"] == "False"
    until(lambda: any(event["reason"] == "InterfaceBlocked" for event in user.items("events")))
    before = (user.get(VM, "a") or {})["metadata"]["generation"]
    set_gates("LiveMigration", "HotplugNICs")
    user.until_ready("a", "blue")
    assert (user.get(VM, "a") or {})["metadata"]["generation"] == before


def test_a_gate_that_was_off_when_the_operator_started_is_heeded(
    user: User, sandbox: Sandbox, set_gates: SetGates
) -> None:
    sandbox.stop()
    set_gates()
    user.create(VMI, vmi("a"))
    sandbox.start()
    user.until_running("a")
    user.change(VMI, "a", plug("blue"))
    until(lambda: user.record("a", "blue").get("reason") == "FeatureGateDisabled")
    assert user.annotation("a") is None
    set_gates("HotplugNICs")
    user.until_ready("a", "blue")


def test_without_a_kubevirt_cr_the_record_says_to_create_one(user: User, sandbox: Sandbox) -> None:
    sandbox.user("kubevirt").delete("kubevirts", "kubevirt")
    try:
        user.create(VMI, vmi("a"))
        until(lambda: user.phase("a") == "Running")
        user.change(VMI, "a", plug("blue"))
        until(lambda: user.record("a", "blue").get("reason") == "KubevirtCRMissing")
        record = user.record("a", "blue")
        where = 'no KubeVirt CR in namespace "kubevirt" (setting NICPLUG_KUBEVIRT_NAMESPACE of the operator)'
        assert where in record["message"]
        assert record["remedy"].startswith("Create one there (kind KubeVirt)")
    finally:
        apply_manifests(kubeconfig=sandbox.admin, paths=[KUBEVIRT])
    user.until_ready("a", "blue")


def test_a_network_that_does_not_exist_is_told_and_noticed_when_it_is_created(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    user.change(VMI, "a", plug("blue", attachment="missing"))
    until(lambda: user.record("a", "blue").get("reason") == "NetworkAttachmentDefinitionMissing")
    record = user.record("a", "blue")
    assert record["phase"] == "Blocked"
    assert f"{user.namespace}/missing does not exist" in record["message"]
    until(lambda: user.condition("a", "InterfacesReady").get("reason") == "NetworkAttachmentDefinitionMissing")
    user.change(VMI, "a", plug("green"))
    user.until_ready("a", "green")
    user.create(NAD, nad("missing"))
    user.until_ready("a", "blue")


def test_a_network_with_a_broken_configuration_is_told_and_noticed_when_it_is_corrected(user: User) -> None:
    user.create(NAD, nad("broken") | {"spec": {"config": "{"}})
    user.create(VMI, vmi("a"))
    user.until_running("a")
    user.change(VMI, "a", plug("blue", attachment="broken"))
    until(lambda: user.record("a", "blue").get("reason") == "NetworkAttachmentDefinitionInvalid")
    user.merge(NAD, "broken", {"spec": nad("broken")["spec"]})
    user.until_ready("a", "blue")


def test_a_vm_starts_without_a_network_that_is_missing_and_gets_it_later(user: User) -> None:
    body = vm("a", "blue")
    body["spec"]["template"]["spec"]["networks"][1]["multus"]["networkName"] = "missing"
    user.create(VM, body)
    until(lambda: user.record("a", "blue").get("reason") == "NetworkAttachmentDefinitionMissing")
    user.create(NAD, nad("missing"))
    user.until_ready("a", "blue")


def test_a_network_that_is_deleted_while_attached_changes_nothing(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    user.change(VMI, "a", plug("blue"))
    user.until_ready("a", "blue")
    before = user.annotation("a")
    user.delete(NAD, "lan")
    user.change(VMI, "a", plug("green"))
    until(lambda: user.record("a", "green").get("reason") == "NetworkAttachmentDefinitionMissing")
    # The definition's end is told by a watch of its own: the NIC may have been asked for before.
    until(lambda: user.annotation("a") == before)
    assert user.row("a", "blue")["infoSource"] == "domain, multus-status"
    user.change(VMI, "a", unplug("blue"))
    until(lambda: user.record("a", "blue").get("reason") == "NetworkAttachmentDefinitionMissing")
    assert "cannot be detached" in user.record("a", "blue")["message"]
    user.create(NAD, nad())
    user.until_ready("a", "green")
    until(lambda: "blue" not in nics(user.get(VMI, "a")))


def test_a_plugin_that_fails_is_quoted_asked_again_and_holds_up_nobody(user: User) -> None:
    failing = nad("failing")
    failing["metadata"]["annotations"] = {"sandbox.nicplug.io/cni": "fails"}
    user.create(NAD, failing)
    user.create(VMI, vmi("a"))
    user.until_running("a")
    user.change(VMI, "a", plug("blue", attachment="failing"))
    until(lambda: "failed adding interface" in user.record("a", "blue").get("lastError", ""))
    user.change(VMI, "a", plug("green"))
    user.until_ready("a", "green")
    user.merge(NAD, "failing", {"metadata": {"annotations": None}})
    user.until_ready("a", "blue")
    assert user.record("a", "blue")["attempts"] > 1
    assert "lastError" not in user.record("a", "blue")


def test_a_controller_that_failed_and_was_mended_is_asked_again(user: User, sandbox: Sandbox) -> None:
    admin = sandbox.user("")
    # Before the guest boots, which takes longer than the simulated node needs to hear of its fault.
    admin.merge("nodes", "node01", {"metadata": {"annotations": {CONTROLLER: "broken=fails"}}})
    try:
        user.create(VMI, vmi("a", nodeSelector={"kubernetes.io/hostname": "node01"}))
        user.until_running("a")
        user.change(VMI, "a", plug("blue"))
        until(lambda: user.record("a", "blue").get("reason") == "AttachFailed")
    finally:
        admin.merge("nodes", "node01", {"metadata": {"annotations": {CONTROLLER: None}}})
    user.until_ready("a", "blue")


def test_a_nic_that_never_attached_can_be_taken_back(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    user.change(VMI, "a", plug("blue", attachment="missing"))
    until(lambda: user.record("a", "blue").get("reason") == "NetworkAttachmentDefinitionMissing")
    user.change(VMI, "a", unplug("blue"))
    until(lambda: nics(user.get(VMI, "a")) == ["main"])
    until(lambda: not user.annotation("a"))
    until(lambda: user.condition("a", "InterfacesReady").get("status") == "True")


@pytest.mark.parametrize(("name", "attachment"), [("bad", "a/b/c"), ("ünï", "lan")], ids=["reference", "name"])
def test_bad_input_is_told_and_forgotten_when_it_is_corrected(
    user: User, before_rules: Lift, name: str, attachment: str
) -> None:
    """Text with < or non-ASCII letters in a status made every later guard on it fail: no NIC was served any more."""
    if attachment == "lan" and not JUDGES_STATUS_BY_CHANGES:
        pytest.skip("this API server takes no status of an object that breaks a rule")
    user.create(VMI, vmi("a"))
    user.until_running("a")
    with before_rules():
        user.change(VMI, "a", plug(name, attachment=attachment))
    until(lambda: user.record("a", name).get("phase") == "Blocked")
    user.change(VMI, "a", plug("good"))
    user.until_ready("a", "good")
    user.change(VMI, "a", unplug(name))
    until(lambda: nics(user.get(VMI, "a"))[1:] == ["good"])
    until(lambda: user.condition("a", "InterfacesReady")["status"] == "True")


@pytest.mark.usefixtures("without_controller")
def test_a_node_without_the_dynamic_networks_controller_and_nowhere_to_go_is_told_by_name(user: User) -> None:
    """It may run on that node alone; where it could move, it would (test_paths)."""
    user.create(VMI, vmi("a", nodeSelector={"kubernetes.io/hostname": "node02"}))
    user.until_running("a")
    user.change(VMI, "a", plug("blue"))
    until(lambda: user.record("a", "blue").get("reason") == "NoCandidateNode")
    record = user.record("a", "blue")
    assert (record["path"], record["phase"]) == ("None", "Blocked")
    assert "does not run on node node02, and the VM is not migrated: 0 of 2 nodes can take the VM" in record["message"]


def test_an_operator_killed_in_the_middle_of_plugs_finishes_them_when_it_is_back(user: User, sandbox: Sandbox) -> None:
    names = [f"a{index}" for index in range(8)]
    for name in names:
        user.create(VM, vm(name))
    for name in names:
        user.until_running(name)
    pods = {name: user.pod_of(name)["metadata"]["uid"] for name in names}
    for name in names[:4]:
        user.change(VM, name, plug("blue"))
    sandbox.stop(grace_seconds=0)
    for name in names[4:]:
        user.change(VM, name, plug("blue"))
    # Its Lease has to run out first: nobody gave it back.
    sandbox.start()
    for name in names:
        user.until_ready(name, "blue")
    assert {name: user.pod_of(name)["metadata"]["uid"] for name in names} == pods


def test_an_api_server_that_was_away_is_served_again_by_the_same_process(user: User, sandbox: Sandbox) -> None:
    assert sandbox.operator is not None
    pid = sandbox.operator.process.pid
    user.create(VM, vm("a"))
    user.until_running("a")
    controlplane.restart(directory=sandbox.directory, down_seconds=1)
    until(lambda: user.get(VM, "a"))
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    assert sandbox.operator.process.pid == pid
    assert sandbox.operator.metric("nicplug_leader") == 1.0
    assert sandbox.operator.metric("nicplug_bugs_total") == 0


def test_what_the_operator_does_meets_no_bug(user: User, sandbox: Sandbox) -> None:
    """In this life of a VM, and in all that the tests before it made the operator do."""
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    user.change(VM, "a", unplug("blue"))
    until(lambda: nics(user.get(VM, "a")) == ["main"])
    until(lambda: any(event["reason"] == "InterfaceUnplugged" for event in user.items("events")))
    user.delete(VM, "a")
    user.until_gone(VM, "a")
    logs = sorted(Path(sandbox.directory / "logs").glob("operator-*.log"))
    assert logs
    for log in logs:
        assert "Traceback" not in log.read_text(), log
