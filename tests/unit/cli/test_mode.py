"""The command line in a cluster that KubeVirt runs: which mode it finds, and whose records it believes."""

import json
from typing import Any

import pytest
from tests.build import VM_UID, nic, operation, primary, row, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection

from nicplug.insight.reports import is_current, with_report
from nicplug.model.interface_report import interfaces_hash, parse_report
from nicplug.model.vm import parse_vm
from nicplug.model.vmi import parse_vmi

DISCOVERY = "GET /apis/kubevirt.io/v1"
BASE = f"{DISCOVERY}/namespaces/default"
REPORT = "GET /apis/nicplug.io/v1alpha1/namespaces/default/interfacereports/vmi-fedora"
DONE = operation("blue", phase="Ready", reason="Attached", message="there")
VMI = vmi(primary(), nic("blue"), rows=[row("default", "domain"), row("blue", "domain, multus-status")])


def resources(*names: str) -> tuple[int, dict[str, Any]]:
    return 200, {"kind": "APIResourceList", "resources": [{"name": name} for name in names]}


def report(**status: Any) -> dict[str, Any]:
    known = {
        "vmiUid": VMI["metadata"]["uid"],
        "interfacesHash": interfaces_hash(VMI["spec"]),
        "interfacesGeneration": 3,
        "interfaceOperations": [DONE],
        "conditions": [{"type": "InterfacesReady", "status": "True"}],
    }
    return {"metadata": {"name": "vmi-fedora", "namespace": "default", "uid": "r"}, "status": known | status}


@pytest.fixture
def beside(server: PlayedServer) -> PlayedServer:
    """A VMI of KubeVirt's with a NIC in its guest, and a report on it."""
    server.answers |= {
        DISCOVERY: resources("virtualmachines", "virtualmachines/status", "virtualmachineinstances"),
        f"{BASE}/virtualmachineinstances/vmi-fedora": (200, VMI),
        f"{BASE}/virtualmachineinstancemigrations": collection(),
        REPORT: (200, report()),
    }
    missing = {"kind": "Status", "reason": "NotFound", "message": 'virtualmachines.kubevirt.io "vmi-fedora" not found'}
    server.answers[f"{BASE}/virtualmachines/vmi-fedora"] = (404, missing)
    return server


def reasons(nicplug: CommandLine) -> dict[str, str | None]:
    found = json.loads(nicplug("status", "vmi-fedora", "-o", "json").stdout)["nics"]
    return {item["name"]: item["reason"] for item in found}


def test_the_report_is_shown_where_vmis_have_no_status_subresource(nicplug: CommandLine, beside: PlayedServer) -> None:
    assert reasons(nicplug)["blue"] == "Attached"
    beside.answers[DISCOVERY] = resources("virtualmachineinstances", "virtualmachineinstances/status")
    beside.requests.clear()
    assert reasons(nicplug)["blue"] is None
    assert not [item for item in beside.requests if "interfacereports" in item.path]


def test_a_report_on_an_earlier_instance_is_not_shown(nicplug: CommandLine, beside: PlayedServer) -> None:
    beside.answers[REPORT] = (200, report(vmiUid="another"))
    assert reasons(nicplug)["blue"] is None


def test_the_generation_is_that_of_the_nics() -> None:
    assert with_report(VMI, report())["metadata"]["generation"] == 3
    assert with_report(VMI, report(interfacesHash="0"))["metadata"]["generation"] == 4
    assert with_report(VMI, None)["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"observedGeneration": 1}, True),
        ({"observedGeneration": 2}, False),
        ({"observedGeneration": 1, "interfacesHash": "0"}, False),
        ({"observedGeneration": 1, "vmiUid": "another"}, False),
    ],
    ids=["seen", "the VM has changed", "the VMI's NICs have changed", "restarted"],
)
def test_a_report_is_current_by_hash_and_observed_generation(status: dict[str, Any], expected: bool) -> None:
    raw = vm(primary(), nic("blue"))
    raw["metadata"] |= {"uid": VM_UID, "generation": 1}
    found = is_current(parse_report(report(**status)), vm=parse_vm(raw), vmi=parse_vmi(VMI))
    assert found is expected


def test_a_vm_without_secondary_nics_has_no_report() -> None:
    assert is_current(None, vm=parse_vm(vm(primary())), vmi=None)
    assert not is_current(None, vm=parse_vm(vm(primary(), nic("blue"))), vmi=None)
