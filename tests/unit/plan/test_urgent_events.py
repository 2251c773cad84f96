"""Which events tell of a death, and so are never dropped for the sake of others; and that the recorder hears it."""

from typing import Any

import pytest
from tests.build import NOW, later, pod, start_failure, vmi, vmi_view

from nicplug.kube.recorder import ObjectReference
from nicplug.model.operations import InterfaceOperation
from nicplug.model.pod_conditions import Explanation
from nicplug.plan.migration.actions import failed_migration
from nicplug.plan.nic.transitions import Transitions, announce
from nicplug.plan.outcome import Announcement, Severity, Subject, normal, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.vmi.phase import announce_end
from nicplug.plan.vmi.plan_vmi import plan_vmi
from nicplug.reconcile.announce import Announcer


def _stuck(reason: str, phase: str = "Failed") -> Announcement:
    record = InterfaceOperation(
        name="blue",
        operation="Plug",
        path="None",
        phase=phase,
        reason=reason,
        message="x",
        attempts=1,
        start_time=NOW,
        last_transition_time=NOW,
    )
    (reported,) = announce(Transitions(stuck=(record,)), why_moved={}, now=NOW)
    return reported


def _start_failure() -> Announcement:
    waiting = pod(phase="Pending", ready=False, annotations={})
    view = vmi_view(vmi(phase="Scheduling"), waiting, start_failures=(FAILURE,), report_pending_since=later(-9))
    (reported,) = plan_vmi(view, now=NOW).announcements
    return reported


FAILURE = start_failure("Failed to create pod sandbox: plugin failed")
EVENTS = [
    (announce_end(Explanation(Reason.LAUNCHER_POD_LOST, "evicted"), pod=None), True),
    (failed_migration(Subject.MIGRATION, "x"), True),
    (failed_migration(Subject.VMI, "x"), True),
    (_stuck(Reason.ROLLED_BACK), True),
    (_stuck(Reason.ATTACH_FAILED), False),
    (_stuck(Reason.NO_PCI_SLOT, "Blocked"), False),
    (warning(Subject.MIGRATION, "migrationTargetPodUnschedulable", "x"), False),
    (normal(Subject.MIGRATION, "SuccessfulMigration", "x"), False),
]


@pytest.mark.parametrize(
    ("reported", "is_urgent"), EVENTS, ids=[f"{reported.reason}-{urgent}" for reported, urgent in EVENTS]
)
def test_what_tells_of_a_death_is_urgent(reported: Announcement, is_urgent: bool) -> None:
    assert reported.is_urgent is is_urgent


def test_a_pod_that_cannot_start_is_urgent() -> None:
    assert (_start_failure().reason, _start_failure().is_urgent) == ("FailedCreatePodSandBox", True)


class Heard:
    """What a recorder is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, bool]] = []

    def event(self, regarding: ObjectReference, *, reason: str, is_urgent: bool = False, **_: Any) -> None:
        self.events.append((reason, is_urgent))


@pytest.mark.parametrize("is_urgent", [True, False])
def test_the_recorder_hears_it(is_urgent: bool) -> None:
    heard = Heard()
    reported = Announcement(
        about=Subject.VMI, severity=Severity.WARNING, reason="LauncherPodLost", message="x", is_urgent=is_urgent
    )
    Announcer(heard).announce(vmi_view(vmi()), reported)
    assert heard.events == [("LauncherPodLost", is_urgent)]
