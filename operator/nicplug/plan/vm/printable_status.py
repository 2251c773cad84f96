"""`status.printableStatus`: the first of KubeVirt's values, in its order, whose condition holds.

Source: KubeVirt 1.9 `vm.go` (`setPrintableStatus`). What KubeVirt reads from DataVolumes and claims, nicplug reads from
the conditions of the VMI (docs/differences.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from nicplug.model.conditions import FALSE, PAUSED, POD_SCHEDULED, PROVISIONING, SYNCHRONIZED
from nicplug.model.vm import RunStrategy, VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase

_STARTING_PHASES = frozenset({VmiPhase.UNSET, VmiPhase.PENDING, VmiPhase.SCHEDULING, VmiPhase.SCHEDULED})
_RESTARTING = frozenset({RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE, RunStrategy.ONCE})


class PrintableStatus(StrEnum):
    """Every value of KubeVirt."""

    TERMINATING = "Terminating"
    STOPPING = "Stopping"
    MIGRATING = "Migrating"
    PAUSED = "Paused"
    RUNNING = "Running"
    PVC_NOT_FOUND = "ErrorPvcNotFound"
    DATA_VOLUME_ERROR = "DataVolumeError"
    UNSCHEDULABLE = "ErrorUnschedulable"
    PROVISIONING = "Provisioning"
    WAITING_FOR_VOLUME_BINDING = "WaitingForVolumeBinding"
    ERR_IMAGE_PULL = "ErrImagePull"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    STARTING = "Starting"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    STOPPED = "Stopped"
    WAITING_FOR_RECEIVER = "WaitingForReceiver"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The input of the decision.

    Attributes:
        vmi: the VM's own VMI; None if it has none.
        starts, stops: a VMI is about to be created, or this one to be deleted.
        failed_starts: how many starts in a row have failed.
    """

    vm: VirtualMachine
    vmi: VirtualMachineInstance | None
    starts: bool
    stops: bool
    failed_starts: int

    def is_true(self, type_: str) -> bool:
        """Report whether the VMI has the condition, as True."""
        return self.vmi is not None and self.vmi.status.is_true(type_)

    def is_false(self, type_: str, reason: str = "") -> bool:
        """Report whether the VMI has the condition, as False, for that reason."""
        found = self.vmi.status.condition(type_) if self.vmi is not None else None
        return found is not None and found.status == FALSE and reason in ("", found.reason)


def printable_status(facts: Facts) -> PrintableStatus:
    """Return the value; Unknown if none applies."""
    return next((status for status, applies in _ROWS if applies(facts)), PrintableStatus.UNKNOWN)


def _is_stopping(facts: Facts) -> bool:
    return facts.vmi is not None and not facts.vmi.is_final and (facts.vmi.deleting or facts.stops)


def _is_migrating(facts: Facts) -> bool:
    """Apply KubeVirt's `IsMigrating`, begun and not over, but without a clock: the times are those of two nodes.

    Compared with the local clock, the end of a migration by a clock that is a minute ahead would lie in the future, and
    nothing would trigger another pass when that time has come.
    """
    if facts.vmi is None:
        return False
    state = facts.vmi.migration_state
    return state.started_at is not None and state.ended_at is None and not state.completed and not state.failed


def _is_running(facts: Facts) -> bool:
    return facts.vmi is not None and facts.vmi.phase is VmiPhase.RUNNING


def _is_waiting_for_binding(facts: Facts) -> bool:
    """Report whether the claim waits for the pod that will use it; KubeVirt reads the claims themselves."""
    return facts.vm.run_strategy is not RunStrategy.HALTED and facts.is_true(PROVISIONING)


def _is_starting(facts: Facts) -> bool:
    return facts.starts if facts.vmi is None else facts.vmi.phase in _STARTING_PHASES


def _is_crash_looping(facts: Facts) -> bool:
    has_ended = facts.vmi is None or facts.vmi.is_final
    return has_ended and not facts.starts and facts.failed_starts > 0 and facts.vm.run_strategy in _RESTARTING


def _waits_for_receiver(facts: Facts) -> bool:
    waits = facts.vmi is None or facts.vmi.phase is VmiPhase.WAITING_FOR_SYNC
    return waits and facts.vm.run_strategy is RunStrategy.WAIT_AS_RECEIVER


def _is_stopped(facts: Facts) -> bool:
    return not facts.starts if facts.vmi is None else facts.vmi.is_final


_ROWS: tuple[tuple[PrintableStatus, Callable[[Facts], bool]], ...] = (
    (PrintableStatus.TERMINATING, lambda facts: facts.vm.deleting),
    (PrintableStatus.STOPPING, _is_stopping),
    (PrintableStatus.MIGRATING, _is_migrating),
    (PrintableStatus.PAUSED, lambda facts: _is_running(facts) and facts.is_true(PAUSED)),
    (PrintableStatus.RUNNING, _is_running),
    (PrintableStatus.PVC_NOT_FOUND, lambda facts: facts.is_false(SYNCHRONIZED, "FailedPvcNotFound")),
    (PrintableStatus.DATA_VOLUME_ERROR, lambda facts: facts.is_false(SYNCHRONIZED, "FailedDataVolumeImport")),
    (PrintableStatus.UNSCHEDULABLE, lambda facts: facts.is_false(POD_SCHEDULED, "Unschedulable")),
    (PrintableStatus.PROVISIONING, lambda facts: facts.is_false("DataVolumesReady")),
    (PrintableStatus.WAITING_FOR_VOLUME_BINDING, _is_waiting_for_binding),
    (PrintableStatus.ERR_IMAGE_PULL, lambda facts: facts.is_false(SYNCHRONIZED, "ErrImagePull")),
    (PrintableStatus.IMAGE_PULL_BACK_OFF, lambda facts: facts.is_false(SYNCHRONIZED, "ImagePullBackOff")),
    (PrintableStatus.STARTING, _is_starting),
    (PrintableStatus.CRASH_LOOP_BACK_OFF, _is_crash_looping),
    (PrintableStatus.STOPPED, _is_stopped),
    (PrintableStatus.WAITING_FOR_RECEIVER, _waits_for_receiver),
)
