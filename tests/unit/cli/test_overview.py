"""`nicplug status` without a name."""

import json
from typing import Any

import pytest
from tests.build import NOW, VM_UID, a_vm, a_vmi, nic, operation, primary, row, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

from nicplug.cli.overview import first_reason
from nicplug.insight.nics import describe

Json = dict[str, Any]
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
ROOT = "GET /apis/kubevirt.io/v1"
BLOCKED = operation("blue", phase="Blocked", path="None", reason="FeatureGateDisabled", message="hot-plug is off")
RUNNING = vmi(
    primary(), nic("blue"), name="web", rows=[row("default", "domain")], operations=[BLOCKED], owner_uid=VM_UID
)
STOPPED = vm(
    name="db",
    run_strategy="Halted",
    status={"interfaceRequests": [{"addInterfaceOptions": {"name": "x", "networkAttachmentDefinitionName": "lan"}}]},
)
BARE = vmi(primary(), name="bare", rows=[row("default", "domain")])


@pytest.fixture(autouse=True)
def _served(server: PlayedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NICPLUG_NAMESPACE", raising=False)
    server.answers[LEASE] = refusal(403, "Forbidden", "you cannot get leases")
    vms, vmis = collection(vm(primary(), nic("blue"), name="web"), STOPPED), collection(RUNNING, BARE)
    for place in (f"{ROOT}/namespaces/default", ROOT):
        server.answers |= {f"{place}/virtualmachines": vms, f"{place}/virtualmachineinstances": vmis}


def test_status_needed_the_name_of_a_vm(nicplug: CommandLine, server: PlayedServer) -> None:
    done = nicplug("status")
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["NAME", "PHASE", "NODE", "NICS", "REASON"],
        ["bare", "Running", "node01", "1/1", "-"],
        ["db", "Stopped", "-", "0/0", "Requested"],
        ["web", "Running", "node01", "1/2", "FeatureGateDisabled"],
    ]
    # The KubeVirt CR says whether hot-plug is on: a request waits.
    kinds = ["kubevirts", "leases", "virtualmachineinstances", "virtualmachines"]
    assert sorted(item.path.partition("?")[0].split("/")[6] for item in server.asked()) == kinds, "one for all VMs"


def test_the_overview_did_not_say_that_no_operator_works(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[LEASE] = refusal(404, "NotFound", "no lease")
    said = "nothing happens now, as no nicplug operator works: there is no Lease"
    assert f"note: {said}" in nicplug("status").stdout
    assert said in json.loads(nicplug("status", "-o", "json").stdout)["note"]
    quiet = collection(vm(primary(), run_strategy="Halted", name="off")), collection(BARE)
    for kind, items in zip(("virtualmachines", "virtualmachineinstances"), quiet, strict=True):
        server.answers[f"{ROOT}/namespaces/default/{kind}"] = items
    assert f"note: {said}" in nicplug("status").stdout, "also where nothing waits"
    server.requests.clear()
    server.answers[LEASE] = refusal(403, "Forbidden", "you cannot get leases")
    assert json.loads(nicplug("status", "-o", "json").stdout)["note"] is None
    assert len(server.asked()) == 3


def test_a_paused_guest_and_an_annotation_without_effect(nicplug: CommandLine, server: PlayedServer) -> None:
    paused = [{"type": "Paused", "status": "True"}]
    invalid = [{"type": "InvalidHotplugPolicy", "status": "True", "message": "m"}]
    items = [
        vmi(primary(), name=name, rows=[row("default", "domain")], conditions=conditions)
        for name, conditions in (("a", paused), ("b", invalid))
    ]
    server.answers |= {
        f"{ROOT}/namespaces/default/virtualmachines": collection(),
        f"{ROOT}/namespaces/default/virtualmachineinstances": collection(*items),
    }
    assert [line.split() for line in nicplug("status").stdout.splitlines()[1:]] == [
        ["a", "Paused", "node01", "1/1", "-"],
        ["b", "Running", "node01", "1/1", "InvalidHotplugPolicy"],
    ]


def test_the_first_nic_that_is_not_ready_comes_before_what_else_is_wrong() -> None:
    said = [
        operation("blue", phase="Blocked", path="None", reason="FeatureGateDisabled", message="off"),
        operation("red", phase="Blocked", path="None", reason="NoPciSlot", message="full"),
        operation("default", phase="Ready", reason="Attached", message="it is there"),
    ]
    failure = {"type": "Failure", "status": "True", "message": "f"}
    required = {"type": "RestartRequired", "status": "True", "message": "r"}
    invalid = {"type": "InvalidHotplugPolicy", "status": "True", "message": "p"}
    request = {"removeInterfaceOptions": {"name": "blue"}}
    told = []
    for operations, conditions, requests, of_vmi in (
        (said, [failure, required], [request], [invalid]),
        ((), [failure, required], [request], [invalid]),
        ((), [required], [request], [invalid]),
        ((), [required], [], [invalid]),
        ((), [required], [], []),
        ((), [], [], []),
    ):
        nics = (primary(), nic("blue"), nic("red"))
        rows = [row(name, "domain") for name in ("default", "blue", "red")]
        running = vmi(*nics, rows=rows, operations=operations, conditions=of_vmi, owner_uid=VM_UID)
        owner = vm(*nics, status={"conditions": conditions, "interfaceRequests": requests})
        found = describe(namespace="default", name="v", vm=a_vm(owner), vmi=a_vmi(running), now=NOW)
        told.append(first_reason(found))
    assert told == [
        ("FeatureGateDisabled", 'NIC "blue": off'),
        ("Failure", "f"),
        ("Requested", 'remove NIC "blue"'),
        ("InvalidHotplugPolicy", "p"),
        ("RestartRequired", "r"),
        ("", ""),
    ]


def test_a_nic_that_waits_hid_the_one_that_needs_a_person() -> None:
    said = [
        operation("blue", phase="Pending", path="Dynamic", reason="WaitingForPodInterface", message="waiting"),
        operation("red", phase="Blocked", path="None", reason="NoPciSlot", message="full"),
    ]
    running = vmi(primary(), nic("blue"), nic("red"), rows=[row("default", "domain")], operations=said)
    found = describe(namespace="default", name="v", vm=None, vmi=a_vmi(running), now=NOW)
    assert first_reason(found) == ("NoPciSlot", 'NIC "red": full')


def test_all_namespaces(nicplug: CommandLine, server: PlayedServer) -> None:
    lines = nicplug("status", "-A").stdout.splitlines()
    assert lines[0].split()[:2] == ["NAMESPACE", "NAME"]
    assert lines[1].split()[:2] == ["default", "bare"]
    assert {item.path.partition("?")[0] for item in server.asked() if "leases" not in item.path} == {
        "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts",
        "/apis/kubevirt.io/v1/virtualmachines",
        "/apis/kubevirt.io/v1/virtualmachineinstances",
    }
    assert nicplug("status", "-A", "-o", "name").stdout == "default/bare\ndefault/db\ndefault/web\n"


def test_for_programs(nicplug: CommandLine) -> None:
    found = json.loads(nicplug("status", "-o", "json").stdout)
    assert found["kind"] == "NicStatusList"
    assert found["items"][2] == {
        "target": {"kind": "VirtualMachine", "namespace": "default", "name": "web"},
        "phase": "Running",
        "node": "node01",
        "nicsReady": 1,
        "nicsTotal": 2,
        "reason": "FeatureGateDisabled",
        "message": 'NIC "blue": hot-plug is off',
        "remedy": None,
    }
    assert nicplug("status", "-o", "name").stdout == "bare\ndb\nweb\n"


def test_an_empty_namespace_says_so(nicplug: CommandLine, server: PlayedServer) -> None:
    for kind in ("virtualmachines", "virtualmachineinstances"):
        server.answers[f"{ROOT}/namespaces/default/{kind}"] = collection()
    assert nicplug("status").stdout == "no VirtualMachine and no VirtualMachineInstance in namespace default\n"
    assert json.loads(nicplug("status", "-o", "json").stdout)["items"] == []


@pytest.mark.parametrize("arguments", [["--watch"], ["web", "-A"]])
def test_what_has_no_overview(nicplug: CommandLine, arguments: list[str]) -> None:
    assert nicplug("status", *arguments).exit_code == 2
