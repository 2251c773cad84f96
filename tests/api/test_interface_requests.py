"""Requests of `virtctl addinterface` and `removeinterface`, from the VM's status to the guest."""

from collections import Counter
from dataclasses import dataclass

import pytest
from tests import manifests
from tests.api import objects
from tests.api.objects import Json
from tests.api.world import VM, VMI, World
from tests.fakes.faults import Fault, Request

PATIENT = 5.0
_DENIED_BY_POLICY = {
    "kind": "Status",
    "status": "Failure",
    "code": 422,
    "reason": "Invalid",
    "message": "ValidatingAdmissionPolicy 'no-nics' denied request: no more NICs",
}


def add(nic: str, attachment: str = "lan") -> Json:
    """As the subresource records it."""
    return {"addInterfaceOptions": {"networkAttachmentDefinitionName": attachment, "name": nic}}


def remove(nic: str) -> Json:
    return {"removeInterfaceOptions": {"name": nic}}


def ask(world: World, name: str, *requests: Json) -> None:
    """Record requests behind those that are pending."""

    def change(body: Json) -> None:
        status = body.setdefault("status", {})
        status["interfaceRequests"] = [*(status.get("interfaceRequests") or []), *requests]

    world.server.modify(VM, name, change, status=True)


def pending(world: World, name: str) -> list[Json]:
    return list(world.get(VM, name)["status"].get("interfaceRequests") or [])


def generation(world: World, name: str) -> int:
    return int(world.get(VM, name)["metadata"]["generation"])


async def test_a_request_on_a_running_vm_reaches_template_vmi_and_guest(world: World) -> None:
    await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    ask(world, name, add("blue"))
    await world.until(lambda: manifests.pod_interface("blue") in objects.requested(world.pod_of(name)))
    await world.until(lambda: not pending(world, name))
    count = Counter(line for line in world.written() if " pods " not in line and f"{VMI}/status" not in line)
    assert count == {f"patch {VM} {name} 200": 1, f"patch {VMI} {name} 200": 1, f"patch {VM}/status {name} 200": 1}
    world.attach(name)
    await world.until(lambda: world.row(name, "blue").get("infoSource") == "multus-status")
    world.run_guest(name)
    await world.until(lambda: world.record(name, "blue").get("phase") == "Ready")
    assert world.nics(VM, name) == world.nics(VMI, name) == ["main", "blue"]

    ask(world, name, remove("blue"))
    await world.until(lambda: world.record(name, "blue").get("operation") == "Unplug")
    world.release(name, "blue")
    await world.until(lambda: manifests.pod_interface("blue") not in objects.requested(world.pod_of(name)))
    world.attach(name)
    await world.until(lambda: world.row(name, "blue").get("infoSource") is None)
    world.forget_row(name, "blue")
    await world.until(lambda: world.nics(VM, name) == world.nics(VMI, name) == ["main"])
    assert pending(world, name) == []


async def test_a_request_on_a_stopped_vm_changes_its_template_alone(world: World) -> None:
    await world.operator(report_delay_seconds=0.05)
    world.server.create(VM, objects.vm("a", running=False))
    await world.until(lambda: world.get(VM, "a").get("status", {}).get("printableStatus") == "Stopped")
    await world.quiet()
    ask(world, "a", add("blue"))
    await world.until(lambda: world.written())
    await world.at_rest()
    assert world.written() == [f"patch {VM} a 200", f"patch {VM}/status a 200"]
    assert (world.nics(VM, "a"), pending(world, "a"), world.server.get(VMI, "a")) == (["main", "blue"], [], None)


async def test_a_request_while_the_gate_is_off_waits_for_it(world: World) -> None:
    world.set_gates()
    await world.operator(report_delay_seconds=0.05)
    world.server.create(VM, objects.vm("a", running=False))
    ask(world, "a", add("blue"))
    await world.at_rest()
    assert (world.nics(VM, "a"), pending(world, "a")) == (["main"], [add("blue")])
    world.set_gates(objects.GATE)
    await world.until(lambda: not pending(world, "a"))
    assert world.nics(VM, "a") == ["main", "blue"]


@dataclass(slots=True, kw_only=True, eq=False)
class CutOff(Fault):
    """From one write on, nothing of the operator's that concerns the VM or its VMI arrives: it has been killed."""

    after: int = 0
    seen: int = 0

    def matches(self, request: Request) -> bool:
        if request.verb != "patch" or request.resource not in (VM, VMI):
            return False
        self.seen += 1
        return self.seen > self.after


@pytest.mark.parametrize("written", [0, 1, 2])
async def test_an_operator_that_dies_between_its_writes_loses_no_request_and_repeats_none(
    world: World, written: int
) -> None:
    first = await world.operator(report_delay_seconds=PATIENT)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    before = generation(world, name)
    cut = CutOff(after=written, drop=True, times=10**6)
    world.server.inject(cut)
    ask(world, name, add("blue"))
    await world.until(lambda: cut.seen > written)
    await world.stop(first)
    world.server.heal()
    await world.operator(report_delay_seconds=0.05)
    await world.until(lambda: not pending(world, name))
    await world.until(lambda: manifests.pod_interface("blue") in objects.requested(world.pod_of(name)))
    await world.at_rest()
    assert world.nics(VM, name) == world.nics(VMI, name) == ["main", "blue"]
    assert generation(world, name) == before + 1, "the template was written once"


async def test_a_request_that_a_policy_refuses_ends_with_the_reason_and_can_be_made_again(world: World) -> None:
    await world.operator(report_delay_seconds=0.05)
    name = await world.running(objects.vm("a"))
    await world.quiet()
    world.server.inject(Fault(verb="patch", resource=VM, subresource="", status=422, body=_DENIED_BY_POLICY))
    ask(world, name, add("blue"))
    await world.until(lambda: not pending(world, name))
    await world.until(lambda: world.condition(name, "Failure", plural=VM) == "True")
    message = world.condition(name, "Failure", plural=VM, member="message")
    assert message.startswith("error encountered while handling dynamic interface request: ")
    assert message.endswith("no more NICs")
    assert world.condition(name, "Failure", plural=VM, member="reason") == "HotPlugNetworkInterfaceError"
    assert world.nics(VM, name) == ["main"]
    ask(world, name, add("blue"))
    await world.until(lambda: "blue" in world.nics(VMI, name))
    await world.until(lambda: not world.condition(name, "Failure", plural=VM))
