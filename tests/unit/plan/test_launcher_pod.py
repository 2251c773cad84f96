"""The manifest of a launcher pod: what KubeVirt 1.9 puts in it, as far as NICs need it."""

import json
from typing import Any

import pytest
from tests.build import VMI_UID, Json, Nic, a_vmi, absent, nic, primary, vmi

from nicplug.model.frozen_json import thaw
from nicplug.plan.launcher_pod import create_launcher_pod
from nicplug.plan.views import PlanSettings

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
    spec = _pod(spec={"domain": {"devices": {}, "memory": {"guest": "2Gi"}, "cpu": {"cores": 3}}})["spec"]
    (container,) = spec["containers"]
    assert (container["name"], container["image"]) == ("compute", "launcher:7")
    assert container["resources"] == {"requests": {"memory": "2Gi", "cpu": 3}}
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False


def test_explicit_resources_win() -> None:
    resources = {"requests": {"memory": "64Mi"}, "limits": {"memory": "128Mi"}}
    spec = _pod(spec={"domain": {"devices": {}, "memory": {"guest": "2Gi"}, "resources": resources}})["spec"]
    assert spec["containers"][0]["resources"] == resources


@pytest.mark.parametrize(("asked", "given"), [(None, 60), (0, 30), (180, 210), ("soon", 60)])
def test_the_launcher_outlives_the_guest(asked: Any, given: int) -> None:
    spec = _pod(spec={"terminationGracePeriodSeconds": asked})["spec"]
    assert spec["terminationGracePeriodSeconds"] == given


def test_where_it_may_run_is_the_vmi_s_wish() -> None:
    wish = {"nodeSelector": {"zone": "a"}, "tolerations": [{"key": "x", "operator": "Exists"}], "hostname": "h"}
    pod = _pod(spec=wish)
    assert {key: pod["spec"][key] for key in wish} == wish
    assert pod["metadata"]["labels"]["vm.kubevirt.io/name"] == "h"


def test_a_long_name_is_cut_to_a_label() -> None:
    pod = _pod(name="a" * 62 + "-" + "b" * 40)
    assert pod["metadata"]["labels"]["vm.kubevirt.io/name"] == "a" * 62
