"""RestartRequired, and NICs that the next restart removes, in `status`, `why` and `restart`."""

import json
from typing import Any

import pytest
from tests.build import VM_UID, absent, kubevirt, nic, node, operation, pod, primary, row, vm, vmi
from tests.unit.cli.played import ACCEPTED, CommandLine, PlayedServer, collection, refusal

Json = dict[str, Any]
BASE, PODS = "GET /apis/kubevirt.io/v1/namespaces/default", "GET /api/v1/namespaces/default/pods"
RESTART = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/vmi-fedora/restart"
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
# Nothing is said of the operator to those who may not read its Lease.
UNREADABLE = refusal(403, "Forbidden", "you cannot get leases")
MESSAGE = "a non-live-updatable field was changed in the template spec"
REQUIRED = {"conditions": [{"type": "RestartRequired", "status": "True", "message": MESSAGE}]}
ORIGIN = {"nicplug.io/template-interfaces": '["default","red"]'}
ROWS = [row(name, "domain") for name in ("default", "red", "blue")]


def serve(server: PlayedServer, template: Json, running: Json) -> None:
    server.answers |= {
        f"{BASE}/virtualmachines/vmi-fedora": (200, template),
        f"{BASE}/virtualmachineinstances/vmi-fedora": (200, running),
        f"{BASE}/virtualmachineinstancemigrations": collection(),
        "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        PODS: collection(pod()),
        "GET /apis/apps/v1/namespaces/default/controllerrevisions": collection(),
        "GET /api/v1/nodes": collection(),
        "GET /apis/apps/v1/namespaces/kube-system/daemonsets": collection(),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
        "GET /api/v1/namespaces/default/events": collection(),
        LEASE: UNREADABLE,
        f"PUT {RESTART}": ACCEPTED,
    }


@pytest.fixture
def _deleted(server: PlayedServer) -> None:
    """red was deleted from the template, blue was added without --persist."""
    running = vmi(primary(), nic("red"), nic("blue"), rows=ROWS, owner_uid=VM_UID, annotations=dict(ORIGIN))
    serve(server, vm(primary(), status=REQUIRED), running)


@pytest.mark.usefixtures("_deleted")
def test_no_command_said_that_a_vm_needs_a_restart(nicplug: CommandLine) -> None:
    shown = nicplug("status", "vmi-fedora").stdout
    assert f"restart    RestartRequired: {MESSAGE}" in shown
    assert "restart    the next one removes NICs that the template does not have: red, blue" in shown
    told = json.loads(nicplug("status", "vmi-fedora", "-o", "json").stdout)
    assert (told["restartRequired"], told["lostAtRestart"]) == (MESSAGE, ["red", "blue"])


@pytest.mark.usefixtures("_deleted")
def test_why_says_what_a_restart_does_to_the_nic(nicplug: CommandLine) -> None:
    assert "restart    RestartRequired: the NIC was removed" in nicplug("why", "vmi-fedora", "red").stdout
    blue = json.loads(nicplug("why", "vmi-fedora", "blue", "-o", "json").stdout)
    assert blue["restart"] == "the VM's template does not have this NIC: the next restart removes it from the guest"
    assert json.loads(nicplug("why", "vmi-fedora", "default", "-o", "json").stdout)["restart"] is None


def test_why_says_that_a_nic_waits_for_the_restart_that_is_required(server: PlayedServer, nicplug: CommandLine) -> None:
    waiting = operation("blue", path="Restart", phase="Blocked", reason="BindingNeedsRestart")
    nics = (primary(), nic("blue", binding="masquerade"))
    serve(server, vm(*nics, status=REQUIRED), vmi(*nics, owner_uid=VM_UID, operations=[waiting]))
    assert f"restart    RestartRequired: {MESSAGE}" in nicplug("why", "vmi-fedora", "blue").stdout


@pytest.mark.usefixtures("_deleted")
def test_a_restart_silently_dropped_nics_that_the_template_lacks(server: PlayedServer, nicplug: CommandLine) -> None:
    done = nicplug("restart", "vmi-fedora")
    assert done.exit_code == 0, done.output
    assert done.stdout == "VM vmi-fedora was scheduled to restart\n"
    assert 'NIC "red" is not in the template' in done.stderr
    assert 'NIC "blue" is not in the template' in done.stderr
    command = "nicplug add vmi-fedora --network blue-net --name blue --persist --namespace default"
    assert f"To keep it, add it to the template too: {command}\n" in done.stderr
    assert len(server.put()) == 1


def test_add_cannot_keep_a_nic_that_is_no_bridge(server: PlayedServer, nicplug: CommandLine) -> None:
    running = vmi(primary(), nic("blue", binding="sriov"), rows=ROWS, owner_uid=VM_UID)
    serve(server, vm(primary()), running)
    assert "Add it to spec.template of the VM to keep it.\n" in nicplug("restart", "vmi-fedora").stderr


def test_a_restart_took_the_vm_down_without_a_word(server: PlayedServer, nicplug: CommandLine) -> None:
    serve(server, vm(primary()), vmi(primary(), rows=ROWS[:1], owner_uid=VM_UID))
    server.answers["GET /api/v1/nodes"] = collection(node("node01", unschedulable=True))
    done = nicplug("restart", "vmi-fedora")
    assert done.exit_code == 0, done.output
    said = "VM vmi-fedora may not start again: 0 of 1 node can take the VM: 1 is cordoned"
    assert f"Note: {said}: it would be down until one can." in done.stderr


def test_a_restart_needs_no_right_to_read(server: PlayedServer, nicplug: CommandLine) -> None:
    server.answers |= {
        f"{BASE}/virtualmachines/vmi-fedora": refusal(403, "Forbidden", "you cannot get virtualmachines"),
        LEASE: UNREADABLE,
        f"PUT {RESTART}": ACCEPTED,
    }
    done = nicplug("restart", "vmi-fedora")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"type": "RestartRequired", "status": "False", "message": "no"}, None),
        ({"type": "RestartRequired", "status": "True"}, "the message is empty"),
    ],
    ids=["not any more", "without a message"],
)
def test_the_condition_counts_while_it_is_true(
    server: PlayedServer, nicplug: CommandLine, condition: Json, said: str | None
) -> None:
    serve(server, vm(primary(), status={"conditions": [condition]}), vmi(primary(), rows=ROWS[:1], owner_uid=VM_UID))
    assert json.loads(nicplug("status", "vmi-fedora", "-o", "json").stdout)["restartRequired"] == said


@pytest.mark.parametrize(
    ("template", "running"),
    [
        (vm(primary(), nic("red")), vmi(primary(), nic("red"), owner_uid=VM_UID)),
        (vm(primary()), vmi(primary(), absent("red"), owner_uid=VM_UID)),
        (vm(), vmi(primary(), owner_uid=VM_UID)),
    ],
    ids=["in the template", "leaving", "given pod network"],
)
def test_a_restart_keeps_the_nic(server: PlayedServer, nicplug: CommandLine, template: Json, running: Json) -> None:
    serve(server, template, running)
    assert nicplug("restart", "vmi-fedora").stderr == ""
    assert json.loads(nicplug("status", "vmi-fedora", "-o", "json").stdout)["lostAtRestart"] == []
