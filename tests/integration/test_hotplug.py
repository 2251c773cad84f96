"""What the README promises, on a real API server: the seed's page, plug and unplug, on VMs and bare VMIs."""

import json

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.kubectl import Kubectl
from tests.integration.user import NAD, POD, VM, VMI, User
from tests.integration.waiting import until
from tests.manifests import nics, plug, unplug, vm, vmi

from nicplug_sandbox.operator_process import ROOT

EXAMPLES = ROOT / "examples"
NETWORKS = "k8s.v1.cni.cncf.io/networks"


def _kubectl(user: User) -> Kubectl:
    return Kubectl(kubeconfig=user.kubeconfig, namespace=user.namespace)


def test_the_page_that_started_the_project_works_word_for_word(user: User) -> None:
    kubectl = _kubectl(user)
    for name in ("vmi-fedora", "network-attachment-definition"):
        kubectl("apply", "-f", EXAMPLES / f"{name}.yaml")
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "--timeout=30s", "vmi/vmi-fedora")
    _add_interface(kubectl, "vmi-fedora", name="dyniface1", attachment="new-fancy-net")
    kubectl("wait", "--for=condition=InterfacesReady", "--timeout=30s", "vmi/vmi-fedora")
    user.until_ready("vmi-fedora", "dyniface1")
    rows = json.loads(kubectl("get", "vmi", "vmi-fedora", "-ojsonpath={ @.status.interfaces }"))
    assert [row["name"] for row in rows] == ["defaultnetwork", "dyniface1"]
    assert rows[1]["infoSource"] == "domain, multus-status"
    assert rows[1]["podInterfaceName"].startswith("pod")


def _add_interface(kubectl: Kubectl, vmi_name: str, *, name: str, attachment: str) -> None:
    """The JSON patch that `virtctl addinterface` makes the API server write."""
    operations = [
        {"op": "add", "path": "/spec/networks/-", "value": {"name": name, "multus": {"networkName": attachment}}},
        {"op": "add", "path": "/spec/domain/devices/interfaces/-", "value": {"name": name, "bridge": {}}},
    ]
    kubectl("patch", "vmi", vmi_name, "--type=json", f"--patch={json.dumps(operations)}")


def test_a_nic_in_the_template_reaches_the_guest_and_leaves_it_again(user: User, sandbox: Sandbox) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    record = user.record("a", "blue")
    assert (record["operation"], record["path"], record["reason"]) == ("Plug", "Dynamic", "Attached")
    guest = sandbox.guests()[f"{user.namespace}/a"]
    assert [(nic["name"], nic["link"]) for nic in guest["nics"]] == [("main", "up"), ("blue", "up")]
    assert guest["pod"] == user.pod_of("a")["metadata"]["name"]
    user.change(VM, "a", unplug("blue"))
    until(lambda: nics(user.get(VM, "a")) == ["main"] and nics(user.get(VMI, "a")) == ["main"])
    until(lambda: not user.record("a", "blue") and not user.row("a", "blue"))
    # The last one: the key stays, or the dynamic networks controller would not notice.
    assert user.annotation("a") == ""
    until(lambda: user.condition("a", "InterfacesReady").get("status") == "True")


def test_two_nics_in_one_apply_arrive_by_one_patch_of_the_pod(user: User, sandbox: Sandbox) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("blue", "green"))
    for name in ("blue", "green"):
        user.until_ready("a", name)
    pod = user.pod_of("a")["metadata"]["name"]
    patches = [
        entry
        for entry in sandbox.operator_requests()
        if (entry["verb"], entry["objectRef"]["resource"], entry["objectRef"].get("name")) == ("patch", POD, pod)
        and "subresource" not in entry["objectRef"]  # the readiness gate
    ]
    # A dynamic networks controller that takes longer than two seconds is asked again.
    assert [entry["responseStatus"]["code"] for entry in patches] == [200] * user.record("a", "blue")["attempts"]
    user.change(VM, "a", unplug("blue"))
    until(lambda: nics(user.get(VMI, "a")) == ["main", "green"])
    assert user.row("a", "green")["infoSource"] == "domain, multus-status"


def test_a_bare_vmi_loses_an_unplugged_nic_from_its_spec_too(user: User) -> None:
    user.create(VMI, vmi("a", "blue"))
    user.until_running("a")
    user.change(VMI, "a", plug("green"))
    user.until_ready("a", "green")
    user.change(VMI, "a", unplug("blue", "green"))
    until(lambda: nics(user.get(VMI, "a")) == ["main"])
    until(lambda: user.annotation("a") == "")


def test_elements_of_others_in_the_annotation_survive_plug_and_unplug(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    foreign = {"name": "lan", "namespace": user.namespace, "interface": "net9"}
    pod = user.pod_of("a")["metadata"]["name"]
    user.merge(POD, pod, {"metadata": {"annotations": {NETWORKS: json.dumps([foreign])}}})
    user.change(VMI, "a", plug("blue"))
    user.until_ready("a", "blue")
    assert foreign in json.loads(user.annotation("a") or "[]")
    user.change(VMI, "a", unplug("blue"))
    until(lambda: nics(user.get(VMI, "a")) == ["main"])
    assert json.loads(user.annotation("a") or "[]") == [foreign]


@pytest.mark.usefixtures("without_fences")
def test_a_forged_launcher_pod_gets_no_network_and_does_no_harm(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    real = user.pod_of("a")
    labels = real["metadata"]["labels"]
    container = {"name": "compute", "image": "forged"}
    body = {"metadata": {"name": "virt-launcher-a-zzzzz", "labels": labels}, "spec": {"containers": [container]}}
    user.create(POD, body)
    user.change(VMI, "a", plug("blue"))
    user.until_ready("a", "blue")
    forged = user.get(POD, "virt-launcher-a-zzzzz")
    assert forged is not None
    assert NETWORKS not in (forged["metadata"].get("annotations") or {})
    assert user.pod_of("a")["metadata"]["name"] == real["metadata"]["name"]


def test_a_vm_halts_starts_and_goes_with_all_that_was_its_own(user: User) -> None:
    user.create(VM, vm("a", "blue"))
    user.until_running("a")
    first = (user.get(VMI, "a") or {})["metadata"]
    assert set(first["finalizers"]) == {
        "kubevirt.io/foregroundDeleteVirtualMachine",
        "kubevirt.io/virtualMachineControllerFinalize",
    }
    user.merge(VM, "a", {"spec": {"runStrategy": "Halted"}})
    user.until_gone(VMI, "a")
    until(lambda: not user.items(POD))
    until(lambda: (user.get(VM, "a") or {})["status"]["printableStatus"] == "Stopped")
    user.merge(VM, "a", {"spec": {"runStrategy": "Always"}})
    user.until_running("a")
    assert (user.get(VMI, "a") or {})["metadata"]["uid"] != first["uid"]
    user.delete(VM, "a")
    for plural in (VM, VMI):
        user.until_gone(plural, "a")
    until(lambda: not user.items(POD))


def test_a_vmi_goes_while_its_pod_is_pending_and_while_it_runs(user: User) -> None:
    user.create(VMI, vmi("pending", nodeSelector={"no-such": "node"}))
    user.create(VMI, vmi("running"))
    user.until_running("running")
    until(lambda: user.pod_of("pending"))
    for name in ("pending", "running"):
        user.delete(VMI, name)
    for name in ("pending", "running"):
        user.until_gone(VMI, name)
    until(lambda: not user.items(POD))


def test_a_vm_leaves_a_vmi_of_its_name_that_another_owner_controls_alone(user: User) -> None:
    controller = user.create(VM, vm("b", strategy="Halted"))["metadata"]["uid"]
    body = vmi("a")
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "b", "uid": controller, "controller": True}
    ]
    user.create(VMI, body)
    user.until_running("a")
    uid = (user.get(VMI, "a") or {})["metadata"]["uid"]
    user.create(VM, vm("a"))
    until(lambda: user.condition("a", "Failure", plural=VM).get("reason") == "NameTaken")
    assert (user.get(VMI, "a") or {})["metadata"]["uid"] == uid
    user.delete(VMI, "a")
    until(lambda: ((user.get(VMI, "a") or {}).get("metadata") or {}).get("uid") not in (None, uid))
    user.until_running("a")


def test_a_vmi_that_fits_on_no_node_shows_what_the_scheduler_says(user: User) -> None:
    user.create(VM, vm("a", nodeSelector={"no-such": "node"}))
    until(lambda: user.condition("a", "PodScheduled").get("reason") == "Unschedulable")
    message = user.condition("a", "PodScheduled")["message"]
    assert message.startswith("0/"), message
    assert "didn't match Pod's node affinity/selector" in message
    until(lambda: (user.get(VM, "a") or {})["status"].get("printableStatus") == "ErrorUnschedulable")


def test_kubectl_waits_for_nics_and_shows_them(user: User) -> None:
    kubectl = _kubectl(user)
    kubectl("apply", "-f", "-", stdin=vm("a", "blue"))
    until(lambda: user.get(VMI, "a"))
    kubectl("wait", "--for=condition=InterfacesReady", "--timeout=30s", "vmi/a")
    kubectl("wait", "--for=condition=InterfacesReady", "--timeout=30s", "vm/a")
    user.change(VM, "a", plug("green"))
    user.until_ready("a", "green")
    kubectl("wait", "--for=condition=InterfacesReady", "--timeout=30s", "vm/a")
    found = user.get(VM, "a")
    assert found is not None
    (row,) = [row for row in found["status"]["conditions"] if row["type"] == "InterfacesReady"]
    assert row["observedGeneration"] == found["metadata"]["generation"]

    def is_announced() -> bool:
        notes = [event["note"] for event in user.items("events") if event["reason"] == "InterfacePlugged"]
        return any('NIC "green"' in note for note in notes)

    until(is_announced)
    assert user.get(NAD, "lan") is not None
