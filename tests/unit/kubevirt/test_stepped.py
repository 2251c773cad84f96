"""virt-controller one step at a time: what a pass wants, what holds it back, and when it is repeated."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, migration, pod, required, revision, uid, vm, vmi

from nicplug_sandbox.kubevirt.objects import Json
from nicplug_sandbox.kubevirt.stepped import SteppedController, SteppedPass, Task
from nicplug_sandbox.kubevirt.writes import Event

VM = Task("vm", ("default", "fedora"))
VMI = Task("vmi", ("default", "fedora"))
UPDATER = Task("workload-updater", ("kubevirt", "kubevirt"))
CR: Json = {
    "metadata": {"name": "kubevirt", "namespace": "kubevirt", "uid": "kv"},
    "spec": {"workloadUpdateStrategy": {"workloadUpdateMethods": ["LiveMigrate"]}},
    "status": {
        "phase": "Deployed",
        "observedDeploymentID": "1",
        "targetDeploymentID": "1",
        "outdatedVirtualMachineInstanceWorkloads": 1,
    },
}


class World:
    """A controller with a clock, and what it says."""

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.said: list[Event] = []
        self.controller = SteppedController(clock=lambda: self.now, on_event=self.said.append)
        self._version = 0

    def stored(self, obj: Json) -> Json:
        """The object in its next version."""
        self._version += 1
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}

    def see(self, kind: Any, obj: Json) -> Json:
        """An event arrives."""
        found = self.stored(obj)
        self.controller.informer.put(kind, found)
        return found

    def begin(self, task: Task) -> SteppedPass:
        """A pass; the key must be due."""
        assert task in self.controller.due()
        return self.controller.begin(task)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)


def wanted(work: SteppedPass) -> str:
    return f"{work.wanted.verb} {work.wanted.kind}" if work.wanted is not None else ""


def born(work: SteppedPass) -> Json:
    """What the API server makes of the creation that is wanted."""
    assert work.wanted is not None
    assert isinstance(work.wanted.body, dict)
    metadata = {"uid": uid("new"), "resourceVersion": "90", **work.wanted.body["metadata"]}
    return {**work.wanted.body, "metadata": metadata}


def test_a_pass_waits_until_what_it_has_created_is_seen_and_nobody_takes_its_key_meanwhile() -> None:
    world = World()
    world.see("VirtualMachine", vm())
    world.see("ControllerRevision", revision(2))
    work = world.begin(VM)
    assert wanted(work) == "create VirtualMachineInstance"
    made = born(work)
    work.answered(made)
    assert (work.is_waiting, work.wanted, work.is_over) == (True, None, False)
    assert [event.message for event in world.said] == [
        "Started the virtual machine by creating the new virtual machine instance fedora"
    ]
    world.see("VirtualMachine", vm())
    assert VM not in world.controller.due()
    world.controller.informer.put("VirtualMachineInstance", made)
    assert not work.is_waiting
    work.go_on()
    assert wanted(work) == "update-status VirtualMachine"
    assert work.wanted is not None
    assert isinstance(work.wanted.body, dict)
    assert work.wanted.body["status"]["created"] is True
    work.answered(None)
    assert work.is_over
    assert VM in world.controller.due()


def test_after_a_refusal_the_status_says_it_and_the_pass_is_repeated_with_back_off() -> None:
    world = World()
    world.see("VirtualMachine", vm())
    world.see("ControllerRevision", revision(2))
    for wait in (0.005, 0.01, 0.02):
        work = world.begin(VM)
        work.refused("quota")
        assert world.said[-1].message == "Error creating virtual machine instance: quota"
        assert work.wanted is not None
        assert isinstance(work.wanted.body, dict)
        (failure,) = [item for item in work.wanted.body["status"]["conditions"] if item["type"] == "Failure"]
        assert failure["message"] == "Failure while starting VMI: quota"
        work.answered(None)
        assert work.is_over
        assert world.controller.next_due() == world.now + timedelta(seconds=wait)
        world.wait(wait)


def test_a_change_cuts_a_back_off_short() -> None:
    world = World()
    world.see("VirtualMachine", vm())
    work = world.begin(VM)
    work.refused("no")
    work.answered(None)
    assert VM not in world.controller.due()
    world.see("VirtualMachine", vm())
    assert VM in world.controller.due()


def test_an_object_that_is_gone_ends_the_pass_or_is_what_was_wanted() -> None:
    world = World()
    world.see("VirtualMachineInstance", vmi(phase=""))
    work = world.begin(VMI)
    assert wanted(work) == "create Pod"
    work.gone()
    assert work.is_over
    world.see("VirtualMachineInstance", vmi(deletionTimestamp="2026-06-01T11:59:59Z"))
    world.see("Pod", pod())
    work = world.begin(VMI)
    assert wanted(work) == "delete Pod"
    work.gone()
    assert (work.is_over, wanted(work)) == (False, "patch VirtualMachineInstance")


def test_answers_are_seen_at_once_and_older_events_do_not_undo_them() -> None:
    world = World()
    old = world.see("VirtualMachineInstance", vmi())
    new = world.stored(vmi(phase="Succeeded"))
    world.controller.informer.answer("VirtualMachineInstance", new)
    world.controller.informer.put("VirtualMachineInstance", old)
    assert world.controller.informer.get("VirtualMachineInstance", ("default", "fedora")) == new


def test_an_answer_does_not_bring_back_what_is_gone_and_a_new_one_takes_the_name() -> None:
    world = World()
    old = world.see("VirtualMachineInstance", vmi())
    informer = world.controller.informer
    informer.remove("VirtualMachineInstance", old)
    informer.answer("VirtualMachineInstance", world.stored(vmi()))
    assert informer.all("VirtualMachineInstance") == []
    first, second = world.see("Pod", pod()), pod()
    second["metadata"] |= {"uid": uid("another"), "resourceVersion": "1"}
    informer.put("Pod", second)
    informer.remove("Pod", first)
    assert informer.all("Pod") == [second]
    informer.replace("Pod", [])
    assert informer.all("Pod") == []


def test_4_6_the_updater_looks_5_s_after_a_change_and_backs_off_from_there() -> None:
    world = World()
    world.see("KubeVirt", CR)
    assert (world.controller.due(), world.controller.next_due()) == ([], NOW + timedelta(seconds=5))
    world.wait(5)
    for seconds in (5, 10, 20, 40, 80, 160, 300, 300):
        world.see("VirtualMachineInstance", vmi(conditions=(LIVE, required("True"))))
        work = world.begin(UPDATER)
        assert wanted(work) == "create VirtualMachineInstanceMigration"
        work.refused("in-flight migration detected")
        assert work.is_over
        assert world.said[-1].message.endswith("for automated workload update: in-flight migration detected")
        world.wait(seconds - 0.001)
        assert UPDATER not in world.controller.due()
        world.wait(0.001)


@pytest.mark.parametrize(
    ("machine", "is_change", "looks"),
    [
        (vmi(conditions=(LIVE, required("True"))), True, True),
        (vmi(conditions=(LIVE, required("True"))), False, False),
        (vmi(conditions=(LIVE, required("False"))), True, False),
        (vmi(conditions=(required("True"),), phase="Failed"), True, False),
        (
            vmi(conditions=(required("True"),), status={"migrationState": {"startTimestamp": "2026-06-01T11:59:50Z"}}),
            True,
            False,
        ),
    ],
)
def test_4_6_only_a_vmi_that_changes_and_waits_wakes_the_updater(machine: Json, is_change: bool, looks: bool) -> None:
    world = World()
    world.see("KubeVirt", CR)
    world.wait(5)
    work = world.begin(UPDATER)
    while not work.is_over:
        work.answered(None)
    if is_change:
        world.see("VirtualMachineInstance", vmi())
    world.see("VirtualMachineInstance", machine)
    world.wait(5)
    assert (UPDATER in world.controller.due()) is looks


def test_4_6_any_change_of_a_migration_wakes_the_updater() -> None:
    world = World()
    world.see("KubeVirt", CR)
    world.wait(5)
    work = world.begin(UPDATER)
    while not work.is_over:
        work.answered(None)
    world.see("VirtualMachineInstanceMigration", migration(phase="Succeeded"))
    world.wait(5)
    assert UPDATER in world.controller.due()


def test_a_node_and_the_vmis_on_it_wake_its_evacuation() -> None:
    for kind, obj in (
        ("Node", {"metadata": {"name": "node01", "uid": "n"}, "spec": {}}),
        ("VirtualMachineInstance", vmi()),
    ):
        world = World()
        world.see(kind, obj)
        assert Task("evacuation", ("", "node01")) in world.controller.due()
