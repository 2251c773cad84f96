"""The NIC on the pod network that a template does not list was lost at the first start after another one was added."""

from typing import Any

import pytest
from tests.build import VM_UID, Json, a_vm, a_vmi, kubevirt, nic, primary, primary_row, vm, vm_view, vmi

from nicplug.model.networks import Binding
from nicplug.model.requests import AddInterface, RemoveInterface
from nicplug.plan.actions import PatchInterfaces
from nicplug.plan.nic.default_nic import gets_default_nic, with_default_nic
from nicplug.plan.subresources.interfaces import Evidence, ask_vm
from nicplug.plan.vm.interface_requests import process_requests

BLUE = AddInterface(name="blue", network="blue-net")
MASQUERADE = {"name": "default", "masquerade": {}}
POD = {"name": "default", "pod": {}}
INTERFACES = [MASQUERADE, {"name": "blue", "bridge": {}}]
NETWORKS = [POD, {"name": "blue", "multus": {"networkName": "blue-net"}}]


def machine(*requests: Any, **devices: Any) -> Json:
    """A VM whose template lists no NIC."""
    raw = vm(status={"interfaceRequests": [item.to_row() for item in requests]} if requests else {})
    raw["spec"]["template"]["spec"]["domain"]["devices"] |= devices
    return raw


def instance(binding: str = "masquerade") -> Json:
    """Its VMI, with the NIC that it was started with."""
    return vmi(primary(binding=binding), owner_uid=VM_UID, rows=[primary_row()])


def lists(write: Any) -> tuple[Any, Any]:
    """The interfaces and networks that the template has after the patch; None where it changes none."""
    assert isinstance(write, PatchInterfaces)
    found = {item["path"].rpartition("/")[2]: item["value"] for item in write.json_patch() if item["op"] == "add"}
    return found.get("interfaces"), found.get("networks")


def asked(request: Any, raw: Json, running: Json | None) -> Any:
    evidence = Evidence(vm=a_vm(raw), vmi=a_vmi(running) if running else None, default_binding=Binding.MASQUERADE)
    return ask_vm(request, name="vmi-fedora", evidence=evidence)


def processed(raw: Json, running: Json | None) -> Any:
    view = vm_view(raw, vmi=running, config=kubevirt(defaultNetworkInterface="masquerade"))
    return process_requests(view, view.vmi)


def test_the_api_adds_both() -> None:
    assert lists(asked(BLUE, machine(), instance()).write) == (INTERFACES, NETWORKS)


def test_a_vm_that_runs_without_it_gets_none() -> None:
    """A preference may say so: the VM would have got the pod network at its next start."""
    without = vmi(owner_uid=VM_UID, rows=[])
    without["spec"]["domain"]["devices"]["interfaces"] = without["spec"]["networks"] = []
    assert lists(asked(BLUE, machine(), without).write) == ([INTERFACES[1]], [NETWORKS[1]])


@pytest.mark.parametrize("running", [instance(), None], ids=["running", "stopped"])
def test_a_recorded_request_adds_both(running: Json | None) -> None:
    plan = processed(machine(BLUE), running)
    assert lists(plan.actions[0]) == (INTERFACES, NETWORKS)


def test_without_a_default_nic_only_the_new_one_is_added() -> None:
    raw = machine(autoattachPodInterface=False)
    assert lists(asked(BLUE, raw, vmi(owner_uid=VM_UID)).write) == (INTERFACES[1:], NETWORKS[1:])
    plan = processed(machine(BLUE, autoattachPodInterface=False), None)
    assert lists(plan.actions[0]) == (INTERFACES[1:], NETWORKS[1:])


def test_a_removal_adds_nothing() -> None:
    raw, running = machine(RemoveInterface(name="blue")), vmi(primary(), nic("blue"), owner_uid=VM_UID)
    plan = processed(raw, running)
    template = [item for item in plan.actions if isinstance(item, PatchInterfaces) and item.kind.name == "VM"]
    assert template == []


def test_its_name_is_taken() -> None:
    request = AddInterface(name="default", network="blue-net")
    answer = asked(request, machine(), None)
    assert answer.code == 409
    assert 'NIC "default" of the VM\'s template is the primary one: use another name' in answer.message
    (failed,) = processed(machine(request), None).failure.message.splitlines()
    assert "is the primary one" in failed


def test_the_binding_is_that_of_the_running_guest() -> None:
    """The default of the KubeVirt CR may have changed since it was started."""
    found = with_default_nic(a_vm(machine()), vmi=a_vmi(instance("bridge")), binding=Binding.MASQUERADE)
    assert [item.binding for item in found.interfaces] == [Binding.BRIDGE]
    found = with_default_nic(a_vm(machine()), vmi=None, binding=Binding.MASQUERADE)
    assert [item.binding for item in found.interfaces] == [Binding.MASQUERADE]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (machine(), True),
        (machine(autoattachPodInterface=True), True),
        (machine(autoattachPodInterface=False), False),
        (vm(primary()), False),
        (vm(nic("blue")), False),
    ],
    ids=["no NIC", "asked for", "refused", "pod network", "secondary network"],
)
def test_who_gets_one(raw: Json, expected: bool) -> None:
    assert gets_default_nic(a_vm(raw)) is expected
