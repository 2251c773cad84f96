"""The command line beside KubeVirt: the mode, the reports, edits of the template, and what is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result
from tests.integration.kubevirt.companion import REPORTS, Companion, companion_of
from tests.integration.kubevirt.conftest import Cluster, conditions, status_of
from tests.integration.kubevirt.guests import on, started
from tests.integration.user import MIGRATION, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad, vm, vmi

from nicplug.cli.main import main

CR = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts/kubevirt"
MERGE = "application/merge-patch+json"
STANDALONE_CHECKS = {"api", "api-rbac", "certificate", "evictions", "fences", "admission", "status", "policy"}


@pytest.fixture(scope="module")
def companion(cluster: Cluster) -> Iterator[Companion]:
    """nicplug beside KubeVirt."""
    with companion_of(cluster) as found:
        yield found
        assert "Traceback" not in found.log()


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command silences the logs of its process, which here is that of the next test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True)
def _stopped(companion: Companion, user: User) -> Iterator[None]:
    """What a test has created does not disturb the next."""
    yield
    for plural in (VM, VMI):
        for item in user.items(plural):
            user.request("DELETE", user.path(plural, item["metadata"]["name"]))
    until(lambda: not user.items(VMI))


def nicplug(user: User, *arguments: str, who: str = "") -> Result:
    """A command in the namespace of `user`."""
    command, *rest = arguments
    options = [command, f"--kubeconfig={user.kubeconfig}", "--namespace", user.namespace, *rest]
    return CliRunner().invoke(main, [*options, "--as", who] if who else options)


def document(done: Result) -> dict[str, Any]:
    """What -o json has printed."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def report(user: User, name: str) -> Json:
    """The status of the report on a VM; empty without one."""
    return status_of(user.get(REPORTS, name))


def template_nics(user: User, name: str) -> list[str]:
    """The names of the NICs in the VM's template."""
    devices = (user.get(VM, name) or {})["spec"]["template"]["spec"]["domain"]["devices"]
    return [item["name"] for item in devices["interfaces"]]


def test_a_nic_is_planned_added_and_ready_with_the_same_record_everywhere(user: User) -> None:
    started(user, "vm1", "node02", "node03")
    planned = document(nicplug(user, "plan", "vm1", "--add", "lan", "-o", "json"))
    (nic,) = [item for item in planned["nics"] if item["name"] == "lan"]
    assert (nic["outcome"], nic["reason"], planned["refusals"]) == ("ByMigration", "NoDynamicController", [])
    assert template_nics(user, "vm1") == ["main"]
    done = nicplug(user, "add", "vm1", "--network", "lan", "--wait", "--timeout", "60s")
    assert done.exit_code == 0, done.output
    assert 'NIC "lan" is ready' in done.stdout
    assert template_nics(user, "vm1") == ["main", "lan"]
    found = document(nicplug(user, "status", "vm1", "-o", "json"))
    (row,) = [item for item in found["nics"] if item["name"] == "lan"]
    assert (row["phase"], row["path"], row["reason"]) == ("Ready", "Migration", "Attached")
    assert (found["interfacesReady"], found["note"]) == ("True", None)
    assert row["message"] == report(user, "vm1")["interfaceOperations"][0]["message"]
    listed = document(nicplug(user, "status", "-o", "json"))["items"]
    assert [(item["target"]["name"], item["nicsReady"], item["nicsTotal"]) for item in listed] == [("vm1", 2, 2)]
    (migration,) = document(nicplug(user, "migrations", "-a", "-o", "json"))["migrations"]
    assert migration["name"].startswith("nicplug-")
    assert migration["message"] == "created by nicplug for lan"


def test_a_nic_is_removed_from_the_template(user: User) -> None:
    user.create(VM, vm("vm1", "lan"))
    until(lambda: report(user, "vm1").get("ready") == "2/2", seconds=60)
    done = nicplug(user, "remove", "vm1", "lan", "--wait", "--timeout", "60s")
    assert done.exit_code == 0, done.output
    assert "lan" not in template_nics(user, "vm1")
    again = nicplug(user, "remove", "vm1", "lan")
    assert again.exit_code == 3
    assert 'VM vm1 has no NIC "lan"' in again.stderr


def test_virtctls_commands_edit_the_template_and_print_nothing(user: User) -> None:
    user.create(VM, vm("vm1", strategy="Halted"))
    options = ["--network-attachment-definition-name", "lan", "--name", "blue"]
    done = nicplug(user, "addinterface", "vm1", *options)
    assert (done.exit_code, done.stdout) == (0, "")
    assert template_nics(user, "vm1") == ["main", "blue"]
    assert nicplug(user, "addinterface", "vm1", *options, "--persist").exit_code == 0
    assert template_nics(user, "vm1") == ["main", "blue"]
    user.create("network-attachment-definitions", nad("other"))
    options[1] = "other"
    refused = nicplug(user, "addinterface", "vm1", *options)
    assert refused.exit_code == 1
    assert "use another name, or remove that NIC first" in refused.stderr
    assert nicplug(user, "removeinterface", "vm1", "--name", "blue").exit_code == 0
    until(lambda: template_nics(user, "vm1") == ["main"])


def test_the_default_nic_of_a_vm_stays_when_another_one_is_added(user: User) -> None:
    """Its template lists no NIC; KubeVirt gives it one on the pod network only as long as that is so."""
    body = vm("vm1", affinity=on("node01"))
    template = body["spec"]["template"]["spec"]
    del template["domain"]["devices"]["interfaces"], template["networks"]
    user.create(VM, body)
    until(lambda: user.phase("vm1") == "Running")
    assert nicplug(user, "add", "vm1", "--network", "lan", "--wait", "--timeout", "60s").exit_code == 0
    assert template_nics(user, "vm1") == ["default", "lan"]
    assert [item["name"] for item in (user.get(VMI, "vm1") or {})["spec"]["networks"]] == ["default", "lan"]
    assert "RestartRequired" not in conditions(user.get(VM, "vm1") or {})


def test_the_nics_of_a_bare_vmi_are_kubevirts(user: User) -> None:
    user.create(VMI, vmi("vmi1"))
    for done in (
        nicplug(user, "add", "vmi1", "--network", "lan"),
        nicplug(user, "addinterface", "vmi1", "--network-attachment-definition-name", "lan", "--name", "lan"),
    ):
        assert done.exit_code in (1, 7)
        assert "KubeVirt lets only its own accounts change the spec of a VirtualMachineInstance" in done.stderr
        assert "Create a VirtualMachine with it instead" in done.stderr
    planned = document(nicplug(user, "plan", "vmi1", "--add", "lan", "-o", "json"))
    assert "only its own accounts" in planned["refusals"][0]


def test_why_says_what_kubevirt_does_and_what_nicplug_does(user: User) -> None:
    methods: Json = {"spec": {"workloadUpdateStrategy": {"workloadUpdateMethods": []}}}
    assert user.request("PATCH", CR, methods, content_type=MERGE)[0] == 200
    try:
        started(user, "vm1", "node02", "node03")
        assert nicplug(user, "add", "vm1", "--network", "lan").exit_code == 0
        until(lambda: (report(user, "vm1").get("reason") or "").startswith("WorkloadUpdate"), seconds=30)
        (story,) = [document(nicplug(user, "why", "vm1", "lan", "-o", "json"))]
        assert story["nic"]["phase"] == "Blocked"
        assert "marks the VM as one to migrate; nobody does" in story["kubevirtDoes"]
        assert story["nicplugDoes"] == "only reports: it may not migrate the VM"
        shown = nicplug(user, "why", "vm1", "lan").stdout
        assert "  KubeVirt   waits" in shown
        assert "  nicplug    only reports" in shown
        waited = nicplug(user, "wait", "vm1", "lan", "--timeout", "10s")
        assert waited.exit_code == 9
        findings = document(nicplug(user, "doctor", "-o", "json"))["findings"]
        (finding,) = [item for item in findings if item["check"] == "migrations"]
        assert finding["severity"] == "warning"
        assert "nicplug only reports, and KubeVirt migrates nothing either" in finding["message"]
    finally:
        methods["spec"]["workloadUpdateStrategy"]["workloadUpdateMethods"] = ["LiveMigrate"]
        assert user.request("PATCH", CR, methods, content_type=MERGE)[0] == 200
    until(lambda: report(user, "vm1").get("ready") == "2/2", seconds=60)
    assert user.items(MIGRATION)


def test_doctor_checks_what_there_is_beside_kubevirt(cluster: Cluster, user: User) -> None:
    found = document(nicplug(user, "doctor", "-o", "json"))["findings"]
    checks = {item["check"]: item for item in found}
    assert not STANDALONE_CHECKS & set(checks)
    assert checks["mode"]["message"].startswith("companion: KubeVirt runs the virtual machines")
    assert checks["kubevirt"]["severity"] == "ok", checks["kubevirt"]
    assert "which nicplug knows" in checks["kubevirt"]["message"]
    for name in ("crds", "leader", "migrations", "limits", "gate", "virt-controller", "rbac"):
        assert checks[name]["severity"] == "ok", checks[name]
    assert "renews Lease kubevirt/virt-controller" in checks["virt-controller"]["message"]
    cluster.end("controller")
    try:
        # Or its Lease counted for another minute.
        User(kubeconfig=user.kubeconfig, namespace="kubevirt").delete("leases", "virt-controller")
        found = document(nicplug(user, "doctor", "-o", "json"))["findings"]
    finally:
        cluster.start("controller")
    (silent,) = [item for item in found if item["check"] == "virt-controller"]
    assert silent["severity"] != "ok"
    assert "nobody renews the Lease of virt-controller" in silent["message"]


def test_an_editor_without_permission_for_crds_has_the_same_mode(user: User) -> None:
    role = {
        "rules": [{"apiGroups": ["kubevirt.io", "nicplug.io", "k8s.cni.cncf.io"], "resources": ["*"], "verbs": ["*"]}]
    }
    user.create("roles", {"metadata": {"name": "editor"}, **role})
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "editor"}
    user.create("rolebindings", {"metadata": {"name": "bob"}, "roleRef": reference, "subjects": [subject]})
    user.create(VM, vm("vm1", strategy="Halted"))
    done = nicplug(user, "add", "vm1", "--network", "lan", who="bob")
    assert done.exit_code == 0, done.output
    assert template_nics(user, "vm1") == ["main", "lan"]
