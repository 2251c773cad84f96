"""What happens to launcher pods on a real API server with a real scheduler, and what the VMI says of it."""

import json
import time
from collections.abc import Iterator

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.user import NAD, POD, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad, nics, plug, unplug, vm, vmi

GATE = "kubevirt.io/virtual-machine-unpaused"
POD_FAULT = "sandbox.nicplug.io/pod"
HOSTNAME = "kubernetes.io/hostname"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"


def _status(user: User, name: str) -> Json:
    return (user.get(VMI, name) or {}).get("status") or {}


def _pod_name(user: User, name: str) -> str:
    return str(until(lambda: user.pod_of(name).get("metadata", {}).get("name")))


def _annotated(body: Json, **annotations: str) -> Json:
    body["metadata"]["annotations"] = annotations
    return body


def _hold(user: User, pod: str) -> None:
    """Somebody's finalizer keeps the pod for a while, as a node that is slow does."""
    user.merge(POD, pod, {"metadata": {"finalizers": ["example.com/held"]}})


def _release(user: User, pod: str) -> None:
    user.merge(POD, pod, {"metadata": {"finalizers": None}})


def test_a_pod_that_no_node_fits_is_told_in_the_scheduler_s_words_and_starts_when_one_does(user: User) -> None:
    label = f"test/{user.namespace}"
    user.create(VM, vm("a", nodeSelector={label: "yes"}))
    row = until(lambda: user.condition("a", "PodScheduled"))
    assert (row["status"], row["reason"]) == ("False", "Unschedulable")
    assert "node affinity/selector" in row["message"]
    assert user.phase("a") == "Scheduling"
    until(lambda: (user.get(VM, "a") or {}).get("status", {}).get("printableStatus") == "ErrorUnschedulable")
    user.merge("nodes", "node01", {"metadata": {"labels": {label: "yes"}}})
    user.until_running("a")
    assert user.condition("a", "PodScheduled") == {}


def test_a_vm_that_fits_on_no_node_runs_when_its_selector_is_corrected(user: User) -> None:
    user.create(VM, vm("a", nodeSelector={"no-such": "node"}))
    until(lambda: user.condition("a", "PodScheduled").get("reason") == "Unschedulable")
    uid, pod = (user.get(VMI, "a") or {})["metadata"]["uid"], user.pod_of("a")["metadata"]["uid"]
    user.merge(VM, "a", {"spec": {"template": {"spec": {"nodeSelector": None}}}})
    user.until_running("a")
    assert (user.get(VMI, "a") or {})["metadata"]["uid"] == uid
    assert user.pod_of("a")["metadata"]["uid"] != pod
    until(lambda: (user.get(VM, "a") or {})["status"]["printableStatus"] == "Running")


def test_an_image_that_cannot_be_pulled_is_told_in_the_kubelet_s_words(user: User) -> None:
    user.create(VMI, _annotated(vmi("a"), **{POD_FAULT: "image-pull"}))
    until(lambda: user.condition("a", "Synchronized").get("reason") == "ErrImagePull")
    until(lambda: user.condition("a", "Synchronized").get("reason") == "ImagePullBackOff")
    assert "Back-off pulling image" in user.condition("a", "Synchronized")["message"]
    assert user.phase("a") == "Scheduling"
    user.merge(POD, _pod_name(user, "a"), {"metadata": {"annotations": {POD_FAULT: None}}})
    user.until_running("a")
    assert user.condition("a", "Synchronized") == {}


def test_a_guest_whose_process_crashes_has_failed_and_its_vm_starts_it_again(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    first = (user.get(VMI, "a") or {})["metadata"]["uid"]
    pod = _pod_name(user, "a")
    _hold(user, pod)
    user.merge(POD, pod, {"metadata": {"annotations": {POD_FAULT: "exit=137"}}})
    until(lambda: user.phase("a") == "Failed")
    until(lambda: _events(user, "VirtualMachine", "LauncherPodLost"))
    assert "exit code 137" in _events(user, "VirtualMachine", "LauncherPodLost")[0]["note"]
    _release(user, pod)
    until(lambda: (user.get(VMI, "a") or {"metadata": {}})["metadata"].get("uid") not in (None, first))


def _events(user: User, kind: str, reason: str) -> list[Json]:
    return [item for item in user.items("events") if item["reason"] == reason and item["regarding"]["kind"] == kind]


def test_a_pod_that_never_runs_fails_the_vmi_and_its_vm_backs_off(user: User) -> None:
    body = vm("a")
    body["spec"]["template"]["metadata"] = {"annotations": {POD_FAULT: "exit=1"}}
    user.create(VM, body)
    until(lambda: ((user.get(VM, "a") or {}).get("status") or {}).get("startFailure"))
    failure = (user.get(VM, "a") or {})["status"]["startFailure"]
    assert failure["consecutiveFailCount"] >= 1


def test_an_eviction_by_the_api_is_told_by_its_name(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    pod = _pod_name(user, "a")
    _hold(user, pod)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    code, answer = user.request("POST", f"/api/v1/namespaces/{user.namespace}/pods/{pod}/eviction", eviction)
    assert code == 201, answer
    until(lambda: _status(user, "a").get("reason") == "EvictionByEvictionAPI")
    until(lambda: user.condition("a", "Ready").get("reason") == "PodTerminating")
    _release(user, pod)
    until(lambda: not user.get(POD, pod))
    until(lambda: user.phase("a") in ("Failed", "Succeeded"))
    assert _status(user, "a")["reason"] == "EvictionByEvictionAPI"


def test_an_eviction_by_the_kubelet_is_told_by_its_name(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    pod = _pod_name(user, "a")
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    user.merge(POD, pod, {"status": evicted}, status=True)
    until(lambda: _status(user, "a").get("reason") == "Evicted")
    until(lambda: user.phase("a") == "Failed")
    lost = until(lambda: _events(user, "VirtualMachineInstance", "LauncherPodLost"))
    assert "low on resource" in lost[0]["note"]


@pytest.fixture
def dead_node(sandbox: Sandbox) -> Iterator[str]:
    """node02, which dies when the test says so: neither its kubelet nor its agent does anything any more."""
    admin = sandbox.user("")
    roles = [f"sandbox.nicplug.io/{role}" for role in ("kubelet", "virt-handler")]
    yield "node02"
    admin.merge("nodes", "node02", {"metadata": {"annotations": dict.fromkeys(roles)}})


def test_a_guest_on_a_lost_node_is_not_failed_while_its_pod_exists(user: User, dead_node: str) -> None:
    """It may still run, and write to its disks: a second one must not be started before somebody has made sure."""
    user.create(VM, vm("a", nodeSelector={HOSTNAME: dead_node}))
    user.until_running("a")
    first = (user.get(VMI, "a") or {})["metadata"]["uid"]
    roles = {f"sandbox.nicplug.io/{role}": "absent" for role in ("kubelet", "virt-handler")}
    user.merge("nodes", dead_node, {"metadata": {"annotations": roles}})
    pod = _pod_name(user, "a")
    user.delete(POD, pod)
    until(lambda: user.condition("a", "Ready").get("reason") == "PodTerminating")
    time.sleep(1)
    assert user.phase("a") == "Running"
    assert (user.get(VMI, "a") or {})["metadata"]["uid"] == first
    path = f"/api/v1/namespaces/{user.namespace}/pods/{pod}?gracePeriodSeconds=0"
    code, _ = user.request("DELETE", path)
    assert code == 200
    until(lambda: (user.get(VMI, "a") or {"metadata": {}})["metadata"].get("uid") not in (None, first))
    until(lambda: _events(user, "VirtualMachine", "LauncherPodLost"))


def test_a_pod_deleted_by_hand_ends_the_vmi_and_its_vm_starts_a_new_one(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    first = (user.get(VMI, "a") or {})["metadata"]["uid"]
    user.delete(POD, _pod_name(user, "a"))
    until(lambda: (user.get(VMI, "a") or {"metadata": {}})["metadata"].get("uid") not in (None, first))
    user.until_running("a")


@pytest.mark.parametrize("labels", [{"kubevirt.io": None}, {"kubevirt.io": "virt-nothing"}], ids=["removed", "changed"])
def test_a_label_taken_from_a_living_pod_comes_back_and_nothing_else_happens(user: User, labels: Json) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    before, pod = user.get(VMI, "a") or {}, _pod_name(user, "a")
    user.merge(POD, pod, {"metadata": {"labels": labels}})
    until(lambda: (user.get(POD, pod) or {})["metadata"]["labels"].get("kubevirt.io") == "virt-launcher")
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    after = user.get(VMI, "a") or {}
    assert (after["metadata"]["uid"], after["status"]["phase"]) == (before["metadata"]["uid"], "Running")
    assert after["status"]["phaseTransitionTimestamps"] == before["status"]["phaseTransitionTimestamps"]


def _gate(user: User, name: str) -> str:
    rows = user.pod_of(name).get("status", {}).get("conditions") or []
    return next((row["status"] for row in rows if row["type"] == GATE), "")


def test_a_pod_is_ready_while_its_guest_is_not_paused(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    until(lambda: user.condition("a", "Ready").get("status") == "True")
    assert _gate(user, "a") == "True"
    user.change(VMI, "a", lambda body: _set_paused(body, "True"), status=True)
    until(lambda: _gate(user, "a") == "False")
    until(lambda: user.condition("a", "Ready").get("status") == "False")
    user.change(VMI, "a", lambda body: _set_paused(body, "False"), status=True)
    until(lambda: _gate(user, "a") == "True")
    until(lambda: user.condition("a", "Ready").get("status") == "True")
    rows = user.pod_of("a")["status"]["conditions"]
    assert len([row for row in rows if row["type"] == GATE]) == 1


def _set_paused(body: Json, status: str) -> None:
    rows = [row for row in body["status"]["conditions"] if row["type"] != "Paused"]
    body["status"]["conditions"] = [*rows, {"type": "Paused", "status": status}]


@pytest.mark.parametrize("name", ["a" * 63, "b" * 200, "c.d.e", "f" * 100 + ".g"], ids=["63", "200", "dots", "both"])
def test_long_and_dotted_names_run(user: User, name: str) -> None:
    user.create(VMI, vmi(name))
    user.until_running(name)
    user.change(VMI, name, plug("blue"))
    user.until_ready(name, "blue")
    user.delete(VMI, name)
    user.until_gone(VMI, name)


BAD_PODS = [
    ("memory", {"domain": {"resources": {"requests": {"memory": "a lot"}}}}),
    ("cpu", {"domain": {"resources": {"requests": {"cpu": "-1"}}}}),
    ("hostname", {"hostname": "Not_A_Hostname"}),
    ("tolerations", {"tolerations": [{"operator": "Sometimes"}]}),
    pytest.param(
        "priority",
        {"priorityClassName": "nobody-has-made-this"},
        marks=pytest.mark.refused_calls(reason="names a PriorityClass that does not exist"),
    ),
]


@pytest.mark.parametrize(("title", "spec"), BAD_PODS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_pod_that_the_api_server_refuses_is_told_and_made_when_the_vmi_is_corrected(
    user: User, title: str, spec: Json
) -> None:
    good = vmi("a")
    bad = json.loads(json.dumps(good))
    bad["spec"] |= {key: value for key, value in spec.items() if key != "domain"}
    bad["spec"]["domain"] |= spec.get("domain", {})
    user.create(VMI, bad)
    row = until(lambda: user.condition("a", "Synchronized"))
    assert (row["status"], row["reason"]) == ("False", "FailedCreate"), title
    assert len(row["message"]) > len("pod is forbidden")
    assert user.phase("a") == "Pending"
    user.change(VMI, "a", lambda body: body.update(spec=good["spec"]))
    user.until_running("a")
    assert user.condition("a", "Synchronized") == {}


@pytest.mark.usefixtures("without_fences")
def test_a_pod_with_our_labels_and_another_owner_speaks_for_nobody(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    real = user.pod_of("a")
    said = json.dumps([{"name": "default/missing", "interface": "pod16477688c0e", "mac": "02:00:00:00:00:99"}])
    forged = {
        "metadata": {
            "name": "virt-launcher-a-zzzzz",
            "labels": real["metadata"]["labels"],
            "annotations": {NETWORK_STATUS: said},
        },
        "spec": {"nodeName": real["spec"]["nodeName"], "containers": [{"name": "compute", "image": "x"}]},
    }
    user.create(POD, forged)
    user.change(VMI, "a", plug("blue", attachment="missing"))
    until(lambda: user.record("a", "blue").get("phase"))
    time.sleep(0.5)
    assert user.row("a", "blue") == {}
    assert _status(user, "a")["activePods"].keys() == {real["metadata"]["uid"]}
    user.change(VMI, "a", unplug("blue"))
    until(lambda: nics(user.get(VMI, "a")) == ["main"])


@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_whatever_way_a_vm_is_deleted_nothing_is_left(user: User, policy: str) -> None:
    user.create(VM, vm("a", "blue"))
    user.until_running("a")
    _delete(user, VM, policy)
    user.until_gone(VM, "a")
    until(lambda: not user.get(VMI, "a") and not user.items(POD))


def test_a_vmi_whose_dependents_are_to_be_orphaned_leaves_no_guest_behind(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    _delete(user, VMI, "Orphan")
    user.until_gone(VMI, "a")
    until(lambda: not user.items(POD))


def test_an_orphaned_vmi_is_adopted_when_its_vm_is_applied_again(user: User) -> None:
    """`kubectl delete vm --cascade=orphan`, and the same manifest again: it said NameTaken without end."""
    user.create(VM, vm("a"))
    user.until_running("a")
    guest = (user.get(VMI, "a") or {})["metadata"]["uid"]
    _delete(user, VM, "Orphan")
    user.until_gone(VM, "a")
    assert (user.get(VMI, "a") or {})["metadata"].get("ownerReferences") is None
    again = user.create(VM, vm("a"))
    until(lambda: user.condition("a", "Ready", plural=VM).get("status") == "True")
    found = user.get(VMI, "a") or {}
    assert found["metadata"]["uid"] == guest
    assert [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [again["metadata"]["uid"]]
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    user.delete(VM, "a")
    user.until_gone(VMI, "a")


def _delete(user: User, plural: str, policy: str) -> None:
    path = f"/apis/kubevirt.io/v1/namespaces/{user.namespace}/{plural}/a"
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
    code, answer = user.request("DELETE", path, options)
    assert code in (200, 202), answer


def test_a_vmi_deleted_at_any_moment_of_its_start_leaves_no_pod(user: User) -> None:
    for index in range(12):
        user.create(VMI, vmi(f"a{index}"))
        time.sleep(0.004 * index)
        user.delete(VMI, f"a{index}")
    for index in range(12):
        user.until_gone(VMI, f"a{index}")
    until(lambda: not user.items(POD))


def test_a_network_made_for_a_vmi_of_no_spec_to_speak_of(user: User) -> None:
    """Nulls and empty objects where there could be something."""
    spec: Json = {
        "domain": {"devices": {}},
        "nodeSelector": None,
        "tolerations": None,
        "terminationGracePeriodSeconds": 0,
    }
    user.create(NAD, nad("lan2"))
    user.create(VMI, {**vmi("a"), "spec": spec})
    until(lambda: user.phase("a") == "Running")
