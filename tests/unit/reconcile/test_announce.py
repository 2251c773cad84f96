"""On which objects an event is recorded: writing one costs the API server about as much as a status."""

from dataclasses import dataclass, field

import pytest
from tests.build import Json, vm, vmi, vmi_view

from nicplug.kube.recorder import ObjectReference
from nicplug.plan.outcome import Announcement, Severity, Subject
from nicplug.reconcile.announce import Announcer

VM, VMI = "VirtualMachine", "VirtualMachineInstance"


@dataclass(slots=True)
class Recorded:
    kinds: list[str] = field(default_factory=list)

    def event(
        self, regarding: ObjectReference, *, type: str, reason: str, message: str, is_urgent: bool = False
    ) -> None:
        self.kinds.append(regarding.kind)


def kinds_reported(reason: str, *, owner: Json | None) -> list[str]:
    recorded = Recorded()
    announcement = Announcement(about=Subject.VMI, severity=Severity.NORMAL, reason=reason, message="a sentence")
    Announcer(recorded).announce(vmi_view(vmi(), vm=owner), announcement)
    return recorded.kinds


@pytest.mark.parametrize("reason", ["InterfacePlugged", "InterfaceLinkSet", "InterfaceUnplugged"])
def test_a_hot_plug_that_went_well_cost_two_events(reason: str) -> None:
    assert kinds_reported(reason, owner=vm()) == [VM]


@pytest.mark.parametrize("reason", ["InterfacePlugged", "InterfaceLinkSet", "InterfaceUnplugged"])
def test_an_instance_without_a_vm_has_its_events_itself(reason: str) -> None:
    assert kinds_reported(reason, owner=None) == [VMI]


@pytest.mark.parametrize("reason", ["InterfaceMigrating", "InterfaceBlocked", "InterfaceFailed", "LauncherPodLost"])
def test_what_may_need_a_person_is_on_both(reason: str) -> None:
    assert kinds_reported(reason, owner=vm()) == [VMI, VM]


def test_other_events_of_an_instance_are_on_it_alone() -> None:
    assert kinds_reported("SuccessfulCreate", owner=vm()) == [VMI]
