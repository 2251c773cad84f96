"""What is counted of NICs whose records change: paths taken, phases left, good ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from tests.build import NOW, Json, operation

from nicplug.model.operations import OperationPath, OperationType, parse_operations
from nicplug.plan.nic.transitions import Transitions, measure_nics
from nicplug.plan.outcome import Completion, Measure, PathTaken, PhaseLeft
from nicplug.plan.reasons import Reason

READY_CONTROLLER = {("blue", OperationType.PLUG, OperationPath.DYNAMIC): Reason.WAITING_FOR_POD_INTERFACE}
TEN_AGO, FOUR_AGO = NOW - timedelta(seconds=10), NOW - timedelta(seconds=4)


def blue(phase: str, *, path: str = "Dynamic", reason: str = "x", type_: str = "Plug", started: bool = True) -> Json:
    """A record that began ten seconds ago and has been in its phase for four."""
    row = operation("blue", type_=type_, path=path, phase=phase, reason=reason, since=TEN_AGO if started else NOW)
    return row | {"lastTransitionTime": FOUR_AGO.isoformat()} if started else row


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    title: str
    before: Json | None = None
    after: Json | None = None
    measures: Sequence[Measure]

    def __str__(self) -> str:
        return self.title


CASES = (
    Case(
        title="the first record of a NIC that waits for its pod",
        after=blue("Pending", reason="WaitingForLauncherPod"),
        measures=[PathTaken(path="Dynamic", reason="WaitingForPodInterface")],
    ),
    Case(
        title="the first record of a NIC that is in its pod: it was pending, unwritten",
        after=blue("InPod", reason="WaitingForGuest"),
        measures=[
            PathTaken(path="Dynamic", reason="WaitingForPodInterface"),
            PhaseLeft(path="Dynamic", phase="Pending", seconds=6),
        ],
    ),
    Case(
        title="a NIC that gets on",
        before=blue("InPod"),
        after=blue("Ready"),
        measures=[PhaseLeft(path="Dynamic", phase="InPod", seconds=4)],
    ),
    Case(title="a NIC that does not", before=blue("InPod", reason="x"), after=blue("InPod", reason="y"), measures=[]),
    Case(
        title="in vain in place, then by migration: the reason is that of the record",
        before=blue("Pending"),
        after=blue("Migrating", path="Migration", reason="AttachFailed"),
        measures=[
            PathTaken(path="Migration", reason="AttachFailed"),
            PhaseLeft(path="Dynamic", phase="Pending", seconds=4),
        ],
    ),
    Case(
        title="blocked from the beginning",
        after=blue("Blocked", path="None", reason="FeatureGateDisabled"),
        measures=[PathTaken(path="None", reason="FeatureGateDisabled")],
    ),
    Case(
        title="blocked no more: what waited without a path counts for the one that it takes",
        before=blue("Blocked", path="None", reason="FeatureGateDisabled"),
        after=blue("Pending"),
        measures=[
            PathTaken(path="Dynamic", reason="WaitingForPodInterface"),
            PhaseLeft(path="Dynamic", phase="Blocked", seconds=4),
        ],
    ),
    Case(title="a record about a NIC that is there", after=blue("Ready", path="None"), measures=[]),
    Case(
        title="another operation on a NIC that is there",
        before=blue("Ready"),
        after=blue("Pending", type_="Unplug", reason="WaitingForGuestRelease", started=False),
        measures=[PathTaken(path="Dynamic", reason="WaitingForGuestRelease")],
    ),
    Case(title="a NIC that has lost its interface was ready", before=blue("Ready"), after=blue("Pending"), measures=[]),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_counted(case: Case) -> None:
    before = parse_operations([case.before] if case.before else [])
    after = parse_operations([case.after] if case.after else [])
    found = measure_nics(Transitions(), before=before, after=list(after.values()), reasons=READY_CONTROLLER, now=NOW)
    assert list(found) == list(case.measures)


def test_an_unplug_ends_with_its_last_phase() -> None:
    before = parse_operations([blue("InPod", type_="Unplug")])
    reported = Transitions(unplugged=tuple(before.values()))
    assert list(measure_nics(reported, before=before, after=[], reasons={}, now=NOW)) == [
        Completion(operation="Unplug", path="Dynamic", seconds=10),
        PhaseLeft(path="Dynamic", phase="InPod", seconds=4),
    ]
