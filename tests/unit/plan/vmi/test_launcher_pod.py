"""The manifest of a launcher pod: what KubeVirt 1.9 puts in it, as far as NICs need it."""

import hashlib
import json
import re
from typing import Any

import pytest
from tests.build import VMI_UID, Json, Nic, a_config, a_vmi, absent, kubevirt, nic, primary, vmi

from nicplug.model.frozen_json import thaw
from nicplug.plan.views import PlanSettings
from nicplug.plan.vmi.launcher_pod import create_launcher_pod

NETWORKS = "k8s.v1.cni.cncf.io/networks"


def _pod(*nics: Nic, spec: dict[str, Any] | None = None, **members: Any) -> Json:
    raw = vmi(*nics, phase="", **members)
    raw["spec"] |= spec or {}
    body: Json = thaw(create_launcher_pod(vmi=a_vmi(raw), settings=PlanSettings(launcher_image="launcher:7")).body)
    return body


def _elements(*nics: Nic) -> list[str]:
    annotations = _pod(*nics)["metadata"]["annotations"]
    return [item["interface"] for item in json.loads(annotations[NETWORKS])] if NETWORKS in annotations else []


def test_who_it_belongs_to() -> None:
    metadata = _pod()["metadata"]
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "VirtualMachineInstance",
        VMI_UID,
        True,
        True,
    )
    assert metadata["labels"]["kubevirt.io"] == "virt-launcher"
    assert metadata["labels"]["kubevirt.io/created-by"] == VMI_UID
    assert metadata["annotations"]["kubevirt.io/domain"] == "vmi-fedora"


def test_labels_of_the_vmi_are_carried_over_but_do_not_win() -> None:
    labels = _pod(labels={"app": "x", "kubevirt.io/created-by": "forged"})["metadata"]["labels"]
    assert (labels["app"], labels["kubevirt.io/created-by"]) == ("x", VMI_UID)


def test_its_networks_in_the_order_of_the_interfaces() -> None:
    assert _elements(nic("blue"), primary(), nic("red")) == ["pod16477688c0e", "podb1f51a511f1"]


def test_an_sriov_nic_is_there_from_the_start() -> None:
    assert _elements(primary(), nic("blue", binding="sriov")) == ["pod16477688c0e"]


@pytest.mark.parametrize(
    "unfit",
    [absent("blue"), nic("blue", mac="01:00:5e:00:00:01"), nic("blue", attachment="Not A Name"), nic("a.b")],
    ids=["absent", "multicast MAC", "bad reference", "bad name"],
)
def test_what_no_pod_may_get_is_left_out(unfit: Nic) -> None:
    assert _elements(primary(), unfit, nic("red")) == ["podb1f51a511f1"]


def test_without_secondary_networks_there_is_no_annotation() -> None:
    assert NETWORKS not in _pod(primary())["metadata"]["annotations"]


def test_the_default_network_of_multus() -> None:
    default = ({"name": "d", "bridge": {}}, {"name": "d", "multus": {"networkName": "ops/lan", "default": True}})
    annotations = _pod(default)["metadata"]["annotations"]
    assert annotations["v1.multus-cni.io/default-network"] == "ops/lan"
    assert NETWORKS not in annotations


def test_the_container() -> None:
    spec = _pod(spec={"domain": {"devices": {}, "memory": {"guest": "1Gi"}}})["spec"]
    (container,) = spec["containers"]
    assert (container["name"], container["image"]) == ("compute", "launcher:7")
    assert container["resources"] == {"requests": {"memory": "1314Mi", "cpu": "100m"}}
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec


def _token_of(*names: str) -> dict[str, Any]:
    disk = {"name": "disk", "containerDisk": {"image": "fedora"}}
    tokens = [{"name": f"v{n}", "serviceAccount": {"serviceAccountName": name}} for n, name in enumerate(names)]
    return {"volumes": [disk, *tokens]}


ACCOUNTS = [
    ({"serviceAccountName": "ledger"}, "ledger", False),
    (_token_of("ledger"), "ledger", True),
    ({**_token_of("ledger"), "serviceAccountName": "ledger"}, "ledger", True),
    ({**_token_of("other"), "serviceAccountName": "ledger"}, "ledger", True),
    (_token_of("ledger", "other"), "ledger", True),
    (_token_of("default"), "default", True),
    (_token_of(), None, False),
    (_token_of(""), None, False),
    ({"volumes": [{"name": "v", "serviceAccount": None}]}, None, False),
    ({"serviceAccountName": ""}, None, False),
]


@pytest.mark.parametrize(("members", "account", "has_token"), ACCOUNTS)
def test_the_service_account_of_a_vm_was_ignored(members: dict[str, Any], account: str | None, has_token: bool) -> None:
    """As KubeVirt 1.9: the field counts before the volume, and only the volume brings the token."""
    spec = _pod(spec=members)["spec"]
    assert (spec.get("serviceAccountName"), spec["automountServiceAccountToken"]) == (account, has_token)


def test_it_is_ready_when_its_guest_is_not_paused() -> None:
    assert _pod()["spec"]["readinessGates"] == [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]


@pytest.mark.parametrize(("asked", "given"), [(None, 60), (0, 30), (180, 210), ("soon", 60)])
def test_the_launcher_outlives_the_guest(asked: Any, given: int) -> None:
    spec = _pod(spec={"terminationGracePeriodSeconds": asked})["spec"]
    assert spec["terminationGracePeriodSeconds"] == given


PLACEMENT = {
    "nodeSelector": {"zone": "a"},
    "affinity": {"nodeAffinity": {}, "podAntiAffinity": {"x": 1}},
    "tolerations": [{"key": "x", "operator": "Exists"}],
    "topologySpreadConstraints": [{"maxSkew": 1}],
    "schedulerName": "mine",
    "priorityClassName": "high",
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.1"]},
    "subdomain": "sub",
}


@pytest.mark.parametrize("member", PLACEMENT)
def test_where_it_may_run_is_the_vmi_s_wish(member: str) -> None:
    assert _pod(spec={member: PLACEMENT[member]})["spec"][member] == PLACEMENT[member]
    assert member not in _pod()["spec"]


def test_it_asks_for_no_label_that_only_kubevirt_s_own_nodes_have() -> None:
    assert "nodeSelector" not in _pod()["spec"]


LONG = "a" * 62 + "-" + "b" * 40
NAMES = [
    ("vmi-fedora", "", "vmi-fedora", "vmi-fedora"),
    ("vmi-fedora", "web", "web", "web"),
    ("web.example", "", "web", "web"),
    (LONG, "", "a" * 62, "a" * 62),
    ("a." + "b" * 251, "", "a", "a"),
    ("a", "x" * 80, "x" * 80, "x" * 63),
]


@pytest.mark.parametrize(("name", "asked", "hostname", "label"), NAMES)
def test_host_names(name: str, asked: str, hostname: str, label: str) -> None:
    """What a user asks for is the API server's to refuse; what follows from a name always fits."""
    pod = _pod(name=name, spec={"hostname": asked} if asked else {})
    assert pod["spec"]["hostname"] == hostname
    assert pod["metadata"]["labels"]["vm.kubevirt.io/name"] == label


def test_the_id_of_a_long_name_is_cut_and_unique() -> None:
    """KubeVirt's rule: 54 characters, and eight digits of the SHA-1 of the whole."""
    labels = [_pod(name=LONG + end)["metadata"]["labels"]["vmi.kubevirt.io/id"] for end in ("", "c")]
    assert labels[0] == "a" * 54 + "-" + hashlib.sha1(LONG.encode()).hexdigest()[:8]
    assert len({len(label) for label in labels} | {63}) == 1
    assert labels[0] != labels[1]
    assert _pod()["metadata"]["labels"]["vmi.kubevirt.io/id"] == "vmi-fedora"


@pytest.mark.parametrize("name", ["a" * 253, "b." * 126 + "b", "c" * 232 + "." + "d" * 20, LONG])
def test_names_of_pods_are_names_that_a_pod_may_have(name: str) -> None:
    pod = _pod(name=name)["metadata"]["name"]
    assert len(pod) <= 253
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", pod)


@pytest.mark.parametrize(
    "label",
    [
        "kubevirt.io/migrationJobUID",
        "kubevirt.io/migrationTargetNodeName",
        "kubevirt.io/nodeName",
        "kubevirt.io/outdatedLauncherImage",
        "nicplug.io/foo",
        "nicplug.io/elided-members",
    ],
)
def test_a_label_of_the_vmi_does_not_make_its_pod_pass_for_another(label: str) -> None:
    assert label not in _pod(labels={label: "forged"})["metadata"]["labels"]


@pytest.mark.parametrize(
    "annotation",
    [
        "kubevirt.io/foo",
        "kubevirt.io/migration-target-ready-timestamp",
        "kubevirt.io/vm-generation",
        "nicplug.io/nad-policy",
        "nicplug.io/network-attachments",
        "k8s.v1.cni.cncf.io/networks",
        "v1.multus-cni.io/default-network",
        "kubectl.kubernetes.io/last-applied-configuration",
    ],
)
def test_a_tenant_put_annotations_of_reserved_prefixes_on_a_launcher_pod(annotation: str) -> None:
    assert annotation not in _pod(annotations={annotation: "forged"})["metadata"]["annotations"]


@pytest.mark.parametrize(
    "label",
    [
        "app",
        "a.kubevirt.io/x",
        "kubevirt.io/domain",
        "kubevirt.io/vm",
        "kubevirt.io/vmpool",
        "kubevirt.io/vmReplicaSet",
    ],
)
def test_services_find_a_pod_by_the_labels_of_its_vmi(label: str) -> None:
    assert _pod(labels={label: "x"})["metadata"]["labels"][label] == "x"


@pytest.mark.parametrize(
    "label", ["kubevirt.io", "kubevirt.io/created-by", "vm.kubevirt.io/name", "vmi.kubevirt.io/id"]
)
def test_a_label_of_the_vmi_does_not_overwrite_one_of_every_launcher(label: str) -> None:
    assert _pod(labels={label: "forged"})["metadata"]["labels"][label] != "forged"


@pytest.mark.parametrize(
    "annotation",
    ["team", "sidecar.istio.io/inject", "hooks.kubevirt.io/x", "kubevirt.io/allow-pod-bridge-network-live-migration"],
)
def test_what_others_read_from_a_pod_is_copied_from_its_vmi(annotation: str) -> None:
    assert _pod(annotations={annotation: "x"})["metadata"]["annotations"][annotation] == "x"


def test_the_admin_s_share_of_cpus() -> None:
    raw = kubevirt()
    raw["spec"]["configuration"]["developerConfiguration"]["cpuAllocationRatio"] = 2
    action = create_launcher_pod(vmi=a_vmi(vmi(phase="")), settings=PlanSettings(), config=a_config(raw))
    (container,) = thaw(action.body)["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "500m"
