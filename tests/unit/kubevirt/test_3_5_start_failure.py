"""Section 3.5: the back-off of a VM whose guest has never run, and its word for people (3.6)."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import NOW, ago, uid, vm, vmi

from nicplug_sandbox.kubevirt.run_strategy import View
from nicplug_sandbox.kubevirt.start_failure import delay_seconds, recorded, seconds_left
from nicplug_sandbox.kubevirt.vm import sync
from nicplug_sandbox.kubevirt.vm_status import printable_status, status

FAILED = vmi(phase="Failed")
RUNS = vmi(status={"phaseTransitionTimestamps": [{"phase": "Running"}]})
RAN = vmi(phase="Failed", status={"phaseTransitionTimestamps": [{"phase": "Running"}, {"phase": "Failed"}]})


def least(low: int, _high: int) -> int:
    return low


def most(_low: int, high: int) -> int:
    return high


def failure(count: int = 1, *, of: str = "another", left: float = 10) -> Any:
    return {"consecutiveFailCount": count, "lastFailedVMIUID": uid(of), "retryAfterTimestamp": ago(-left)}


def failed_vm(*, strategy: str = "Always", **more: Any) -> Any:
    return {**vm(runStrategy=strategy), "status": {"startFailure": failure(**more)}}


@pytest.mark.parametrize(
    ("count", "shortest", "longest"),
    [(1, 10, 15), (2, 40, 60), (3, 90, 135), (4, 160, 240), (5, 250, 300), (6, 300, 300)],
)
def test_the_delay_grows_with_the_square(count: int, shortest: int, longest: int) -> None:
    assert (delay_seconds(count, pick=least), delay_seconds(count, pick=most)) == (shortest, longest)


@pytest.mark.parametrize(
    ("strategy", "machine", "count"),
    [
        ("Always", FAILED, 3),
        ("RerunOnFailure", FAILED, 3),
        ("Once", FAILED, 3),
        ("Manual", FAILED, None),
        ("Halted", FAILED, None),
        ("Always", vmi(phase="Succeeded"), 3),
        ("Always", vmi(phase="Scheduling"), 2),
        ("Always", None, 2),
        ("Always", vmi(), 2),
        ("Always", RUNS, None),
        ("Always", RAN, None),
    ],
)
def test_failures_are_counted_until_a_guest_runs(strategy: str, machine: Any, count: int | None) -> None:
    found = recorded(failed_vm(strategy=strategy, count=2), machine, now=NOW, pick=least)
    assert (found or {}).get("consecutiveFailCount") == count


def test_a_failure_says_of_whom_and_until_when() -> None:
    assert recorded(vm(), FAILED, now=NOW, pick=least) == failure(1, of="vmi-fedora", left=10)


def test_one_vmi_fails_once() -> None:
    known = failed_vm(of="vmi-fedora")
    assert recorded(known, FAILED, now=NOW, pick=most) == known["status"]["startFailure"]


def test_the_status_has_it_and_loses_it() -> None:
    (written,) = status(View(vm=vm(), vmi=FAILED), now=NOW).writes
    assert isinstance(written.body, dict)
    assert written.body["status"]["startFailure"]["consecutiveFailCount"] == 1
    assert written.body["status"]["printableStatus"] == "CrashLoopBackOff"
    (written,) = status(View(vm=written.body, vmi=RUNS), now=NOW).writes
    assert isinstance(written.body, dict)
    assert "startFailure" not in written.body["status"]


@pytest.mark.parametrize(
    ("strategy", "left", "again"),
    [("Always", 10, 10.0), ("Always", 0, None), ("Always", -5, None), ("RerunOnFailure", 10, 10.0), ("Once", 10, None)],
)
def test_no_start_before_its_time(strategy: str, left: float, again: float | None) -> None:
    waiting = failed_vm(strategy=strategy, left=left)
    found = sync(View(vm=waiting), now=NOW)
    assert (bool(found.writes), found.again) == (again is None, again)
    assert seconds_left(waiting, now=NOW) == max(0, left)


@pytest.mark.parametrize(
    ("strategy", "left", "machine", "word"),
    [
        ("Always", 10, None, "CrashLoopBackOff"),
        ("Always", 10, FAILED, "CrashLoopBackOff"),
        ("Always", 0, None, "CrashLoopBackOff"),
        ("Always", 10, vmi(phase="Scheduling"), "Starting"),
        ("Halted", 10, None, "Stopped"),
    ],
)
def test_the_word_for_people(strategy: str, left: float, machine: Any, word: str) -> None:
    assert printable_status(failed_vm(strategy=strategy, left=left), machine, now=NOW) == word
