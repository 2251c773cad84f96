"""Whether a start, a stop or a restart waits for an operator, as VM and instance say."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.build import VM_UID, VMI_UID, Json, a_vm, a_vmi, vm, vmi

from nicplug.insight.power import is_off, power_requests

START: Json = {"action": "Start"}
STOP: Json = {"action": "Stop", "uid": VMI_UID}
RERUN: Json = {"action": "Start", "data": {"nicplug.io/made-by": "RerunOnFailure"}}


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    strategy: str = "Always"
    requests: tuple[Json, ...] = ()
    printable: str = "Stopped"
    running: Json | None = None
    told: tuple[str, ...] = ()
    off: bool = False

    def __str__(self) -> str:
        return self.name


RUNNING = vmi(owner_uid=VM_UID)
CASES = [
    Case(name="runs", running=RUNNING),
    Case(name="stop was written into the run strategy", strategy="Halted", running=RUNNING, told=("stop the VM",)),
    Case(name="stop was requested", strategy="Manual", requests=(STOP,), running=RUNNING, told=("stop the VM",)),
    Case(name="restart was requested", requests=(STOP, START), running=RUNNING, told=("restart the VM",)),
    Case(name="of an earlier instance", requests=({**STOP, "uid": "old"},), running=RUNNING),
    Case(name="is being stopped", strategy="Halted", running=vmi(owner_uid=VM_UID, deleting=True)),
    Case(name="somebody else's instance", strategy="Halted", running=vmi(owner_uid="other")),
    Case(name="start was written into the run strategy", told=("start the VM",)),
    Case(name="waits for a back-off", printable="CrashLoopBackOff"),
    Case(name="start was requested", strategy="Manual", requests=(START,), told=("start the VM",)),
    Case(name="the operator's own note", strategy="RerunOnFailure", requests=(RERUN,)),
    Case(name="stopped", strategy="Halted", off=True),
    Case(name="stopped, on request", strategy="Manual", off=True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_waits_for_an_operator(case: Case) -> None:
    status: dict[str, Any] = {"stateChangeRequests": list(case.requests), "printableStatus": case.printable}
    owner = a_vm(vm(run_strategy=case.strategy, status=status))
    running = a_vmi(case.running) if case.running is not None else None
    assert power_requests(owner, running) == case.told
    assert is_off(owner, running) is case.off


def test_an_instance_that_belongs_to_no_vm_has_no_power_of_its_own() -> None:
    assert (power_requests(None, a_vmi(vmi())), is_off(None, a_vmi(vmi()))) == ((), False)
