"""Beside KubeVirt a NIC is added to and removed from the VM's template, by a patch that holds for what was read."""

import json
from typing import Any

import pytest
from tests.build import Json, absent, kubevirt, nad, nic, operation, primary, primary_row, row, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

from nicplug.cli.template import removed
from nicplug.model.requests import RemoveInterface

DISCOVERY = "GET /apis/kubevirt.io/v1"
OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
DEFINITIONS = "GET /apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions"
SPEC = "/spec/template/spec"
INTERFACES, NETWORKS = f"{SPEC}/domain/devices/interfaces", f"{SPEC}/networks"


@pytest.fixture(autouse=True)
def _beside_kubevirt(server: PlayedServer) -> None:
    resources = [{"name": name} for name in ("virtualmachines", "virtualmachines/status", "virtualmachineinstances")]
    server.answers |= {
        DISCOVERY: (200, {"kind": "APIResourceList", "resources": resources}),
        f"{DISCOVERY}/namespaces/kubevirt/kubevirts": collection(kubevirt(defaultNetworkInterface="masquerade")),
        f"GET {OBJECT}/virtualmachineinstances/vmi-fedora": refusal(404, "NotFound", 'vmi "vmi-fedora" not found'),
        "GET /apis/nicplug.io/v1alpha1/namespaces/default/interfacereports/vmi-fedora": refusal(404, "NotFound", "no"),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
        f"{DEFINITIONS}/lan": (200, nad("lan")),
    }


def with_vm(server: PlayedServer, raw: Json, running: Json | None = None) -> None:
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/vmi-fedora": (200, raw),
        f"PATCH {OBJECT}/virtualmachines/vmi-fedora": (200, raw),
    }
    if running is not None:
        server.answers[f"GET {OBJECT}/virtualmachineinstances/vmi-fedora"] = (200, running)


def written(server: PlayedServer) -> dict[str, Any]:
    """What the only write puts where."""
    (patch,) = [json.loads(item.body) for item in server.put()]
    assert patch[0] == {"op": "test", "path": "/metadata/uid", "value": vm()["metadata"]["uid"]}
    tested = {item["path"] for item in patch if item["op"] == "test"}
    changed = {item["path"]: item["value"] for item in patch if item["op"] == "add"}
    assert changed.keys() <= tested
    return changed


NEW = {"name": "lan", "bridge": {}}, {"name": "lan", "multus": {"networkName": "lan"}}
DEFAULT = {"name": "default", "masquerade": {}}, {"name": "default", "pod": {}}


@pytest.mark.parametrize("command", ["add", "addinterface"])
def test_the_default_nic_of_the_vm_was_lost_at_its_next_start(
    nicplug: CommandLine, server: PlayedServer, command: str
) -> None:
    with_vm(server, vm(status={}))
    options = {"add": ["--network", "lan"], "addinterface": ["--network-attachment-definition-name=lan", "--name=lan"]}
    done = nicplug(command, "vmi-fedora", *options[command])
    assert done.exit_code == 0, done.output
    assert written(server) == {INTERFACES: [DEFAULT[0], NEW[0]], NETWORKS: [DEFAULT[1], NEW[1]]}


def test_the_default_nic_of_a_running_vm_stays_as_it_is(nicplug: CommandLine, server: PlayedServer) -> None:
    running = vmi(primary(binding="bridge"), rows=[primary_row()], owner_uid=vm()["metadata"]["uid"])
    with_vm(server, vm(status={}), running)
    assert nicplug("add", "vmi-fedora", "--network", "lan").exit_code == 0
    assert written(server)[INTERFACES] == [{"name": "default", "bridge": {}}, NEW[0]]


def test_a_vm_that_gets_no_default_nic_gets_the_new_one_alone(nicplug: CommandLine, server: PlayedServer) -> None:
    raw = vm(status={})
    raw["spec"]["template"]["spec"]["domain"]["devices"]["autoattachPodInterface"] = False
    with_vm(server, raw)
    assert nicplug("add", "vmi-fedora", "--network", "lan", "--mac", "02:00:00:00:00:01").exit_code == 0
    assert written(server) == {INTERFACES: [NEW[0] | {"macAddress": "02:00:00:00:00:01"}], NETWORKS: [NEW[1]]}


def test_the_name_of_the_default_nic_is_taken(nicplug: CommandLine, server: PlayedServer) -> None:
    with_vm(server, vm(status={}))
    done = nicplug("add", "vmi-fedora", "--network", "lan", "--name", "default")
    assert done.exit_code == 7
    assert 'NIC "default" of the VM\'s template is the primary one: use another name' in done.stderr
    assert server.put() == []


def listed(raw: Json) -> tuple[Any, Any]:
    spec = raw["spec"]["template"]["spec"]
    return spec["domain"]["devices"]["interfaces"], spec["networks"]


def test_a_nic_that_a_guest_may_have_becomes_absent_and_its_network_stays() -> None:
    raw = vm(primary(), nic("blue"))
    interfaces, networks = listed(raw)
    assert removed(raw, RemoveInterface(name="blue")) == [
        {"op": "test", "path": "/metadata/uid", "value": raw["metadata"]["uid"]},
        {"op": "test", "path": INTERFACES, "value": interfaces},
        {"op": "add", "path": INTERFACES, "value": listed(vm(primary(), absent("blue")))[0]},
        {"op": "test", "path": NETWORKS, "value": networks},
        {"op": "add", "path": NETWORKS, "value": networks},
    ]


def test_the_entries_of_a_nic_that_cannot_be_absent_are_deleted() -> None:
    raw = vm(primary(), nic("fast", binding="sriov"))
    patch = removed(raw, RemoveInterface(name="fast"))
    changed = {item["path"]: item["value"] for item in patch if item["op"] == "add"}
    assert changed == dict(zip((INTERFACES, NETWORKS), listed(vm(primary())), strict=True))


def test_a_nic_is_removed_under_guard_of_what_was_read(nicplug: CommandLine, server: PlayedServer) -> None:
    rows = [primary_row(), row("blue", "domain", "multus-status")]
    records = [operation("blue", phase="Ready", reason="Attached")]
    raw = vm(primary(), nic("blue"), status={})
    running = vmi(primary(), nic("blue"), rows=rows, operations=records, owner_uid=raw["metadata"]["uid"])
    with_vm(server, raw, running)
    done = nicplug("remove", "vmi-fedora", "blue")
    assert done.exit_code == 0, done.output
    assert written(server)[INTERFACES][1]["state"] == "absent"
    server.requests.clear()
    conflict = refusal(422, "Invalid", "the server rejected our request due to an error in our request")
    server.answers[f"PATCH {OBJECT}/virtualmachines/vmi-fedora"] = conflict
    done = nicplug("remove", "vmi-fedora", "blue")
    assert done.exit_code == 7, done.output
    assert "the NICs of vmi-fedora have changed since they were read" in done.stderr
