"""The check that nicplug writes its own objects alone beside KubeVirt, by lines of the audit log."""

from typing import Any

import pytest
from tests.integration.kubevirt.own_writes import ACCOUNT, foreign_writes, writes

KUBEVIRT, OWN = "kubevirt.io", "nicplug.io"
MIGRATIONS = "virtualmachineinstancemigrations"


def line(verb: str, group: str, resource: str, name: str = "", *, user: str = ACCOUNT, **members: Any) -> Any:
    """A line as kube-apiserver writes it at level Metadata."""
    plural, _, subresource = resource.partition("/")
    reference = {"resource": plural, "apiGroup": group, "subresource": subresource, "namespace": "default"}
    reference |= {"name": name, **members}
    return {
        "verb": verb,
        "user": {"username": user},
        "objectRef": {key: value for key, value in reference.items() if value},
        "responseStatus": {"code": 200},
    }


@pytest.mark.parametrize(
    "entry",
    [
        line("create", OWN, "interfacereports", "vm1"),
        line("patch", OWN, "interfacereports/status", "vm1"),
        line("delete", OWN, "interfacereports", "vm1"),
        line("create", KUBEVIRT, MIGRATIONS, "nicplug-0123456789"),
        line("delete", KUBEVIRT, MIGRATIONS, "nicplug-0123456789"),
        line("create", "events.k8s.io", "events", "vm1.17"),
        line("update", "coordination.k8s.io", "leases", "nicplug-operator", namespace="nicplug-system"),
        line("list", KUBEVIRT, "virtualmachineinstances"),
        line("patch", KUBEVIRT, "virtualmachineinstances", "vm1", user="admin"),
    ],
    ids=lambda item: f"{item['verb']} {item['objectRef']['resource']}",
)
def test_its_own_objects_reads_and_others_users(entry: Any) -> None:
    assert foreign_writes([entry]) == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (line("patch", KUBEVIRT, "virtualmachines", "vm1"), "patch virtualmachines.kubevirt.io default/vm1"),
        (
            line("patch", KUBEVIRT, "virtualmachineinstances/status", "vm1"),
            "patch virtualmachineinstances/status.kubevirt.io default/vm1",
        ),
        (line("patch", "", "pods", "virt-launcher-vm1"), "patch pods. default/virt-launcher-vm1"),
        (line("delete", KUBEVIRT, MIGRATIONS, "by-hand-x"), f"delete {MIGRATIONS}.kubevirt.io default/by-hand-x"),
        (line("delete", KUBEVIRT, MIGRATIONS, "nicplug-hand"), f"delete {MIGRATIONS}.kubevirt.io default/nicplug-hand"),
        (line("create", KUBEVIRT, MIGRATIONS), f"create {MIGRATIONS}.kubevirt.io default/"),
        (line("deletecollection", OWN, "interfacereports"), "deletecollection interfacereports.nicplug.io default/"),
        (line("patch", OWN, "hotplugpolicies", "default"), "patch hotplugpolicies.nicplug.io default/default"),
        (
            line("update", "coordination.k8s.io", "leases", "virt-controller", namespace="kubevirt"),
            "update leases.coordination.k8s.io kubevirt/virt-controller",
        ),
        (
            {"verb": "post", "user": {"username": ACCOUNT}, "requestURI": "/metrics"},
            "post /metrics",
        ),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)  # fmt: skip
def test_anything_else_is_told(entry: Any, expected: str) -> None:
    assert foreign_writes([line("create", OWN, "interfacereports", "vm1"), entry]) == [expected]


def test_a_refused_write_is_one_too() -> None:
    entry = line("patch", KUBEVIRT, "virtualmachines", "vm1") | {"responseStatus": {"code": 403}}
    assert foreign_writes([entry]) != []


def test_its_writes_are_found() -> None:
    """None would prove nothing."""
    entry = line("create", OWN, "interfacereports", "vm1")
    assert writes([entry, line("get", OWN, "interfacereports", "vm1")]) == [entry]
