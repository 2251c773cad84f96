"""A VM that does not start: in whose words, who is waited for, what to do."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.build import NOW, VM_UID, a_vm, a_vmi, nic, primary, vm, vmi

from nicplug.insight.nics import describe
from nicplug.insight.story import compose_story

Json = dict[str, Any]
NO_NODE = "0/3 nodes are available: 3 node(s) were unschedulable"
SANDBOX = "pod virt-launcher-a cannot start on node01: plugin type bridge failed: no such bridge"
CONDITION = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_NODE}
NO_SANDBOX = {"type": "Synchronized", "status": "False", "reason": "FailedCreatePodSandBox", "message": SANDBOX}
NICS = (primary(), nic("blue"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A VM as the API has it, and what is said of its NICs."""

    name: str
    running: Json | None
    of_vm: tuple[Json, ...] = ()
    says: str = ""
    waits_for: str = "the VM's owner"
    todo: str = "Start the VM"

    def __str__(self) -> str:
        return self.name


def starting(*conditions: Json, phase: str = "Scheduling") -> Json:
    return vmi(*NICS, phase=phase, conditions=list(conditions), owner_uid=VM_UID)


CASES = (
    Case(
        name="every node is cordoned",
        running=starting(CONDITION),
        says=f"the VM does not start: Unschedulable: {NO_NODE}",
        waits_for="the scheduler, which finds no node for the launcher pod",
        todo="Uncordon a node",
    ),
    Case(
        name="a network is broken",
        running=starting(NO_SANDBOX, phase="Scheduled"),
        says=f"the VM does not start: FailedCreatePodSandBox: {SANDBOX}",
        waits_for="the kubelet of the launcher pod's node",
        todo="Correct what the kubelet names",
    ),
    Case(
        name="the API server refuses the instance",
        running=None,
        of_vm=({"type": "Failure", "status": "True", "reason": "FailedCreate", "message": "quota"},),
        says="the VM does not start: FailedCreate: quota",
        todo="Correct what the message names",
    ),
    Case(name="nothing is wrong", running=starting()),
    Case(name="it is over", running=starting({**CONDITION, "status": "True"})),
    Case(name="stopped", running=None),
    Case(
        name="a request for a NIC has failed",
        running=None,
        of_vm=({"type": "Failure", "status": "True", "reason": "HotPlugNetworkInterfaceError", "message": "no"},),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_vm_that_could_not_start_was_not_explained(case: Case) -> None:
    parsed = a_vmi(case.running) if case.running is not None else None
    owner = a_vm(vm(*NICS, status={"printableStatus": "Stopped", "conditions": list(case.of_vm)}))
    described = describe(namespace="default", name="vmi-fedora", vm=owner, vmi=parsed, now=NOW)
    told = compose_story(
        nic=described.nics[1],
        record=None,
        vmi=parsed,
        pod="virt-launcher-a",
        migrations=(),
        events=[of_pod("FailedScheduling", "no node"), of_pod("Pulled", "an image", type_="Normal")],
        forecast=None,
        next_reconcile_at=None,
        problem=described.start_problem,
        now=NOW,
    )
    assert told.nic.reason == "GuestNotRunning"
    assert (told.nic.message, told.waits_for) == (case.says, case.waits_for)
    assert told.todo.startswith(case.todo)
    assert [item.what for item in told.moments] == (["FailedScheduling: no node"] if case.says else [])


def of_pod(reason: str, message: str, *, type_: str = "Warning") -> Json:
    about = {"kind": "Pod", "name": "virt-launcher-a", "uid": "p"}
    stamp = NOW.isoformat()
    return {"involvedObject": about, "type": type_, "reason": reason, "message": message, "lastTimestamp": stamp}


def test_a_guest_that_runs_has_no_problem_to_start() -> None:
    running = a_vmi(vmi(*NICS, conditions=[NO_SANDBOX]))
    assert describe(namespace="default", name="vmi-fedora", vm=None, vmi=running, now=NOW).start_problem is None
