"""`status.printableStatus`: the first of KubeVirt's values, in its order, whose condition holds.

Source: KubeVirt 1.9 `vm.go` (`setPrintableStatus`). What KubeVirt reads from DataVolumes and claims, nicplug reads from
the conditions of the VMI (docs/differences.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nicplug.model.conditions import FALSE, POD_SCHEDULED, SYNCHRONIZED, find_condition, is_true
from nicplug.model.vm import RunStrategy
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
        conditions: its conditions.
        starts, stops: a VMI is about to be created, or this one to be deleted.
        failed_starts: how many starts in a row have failed.
    """

    is_deleting: bool
    strategy: RunStrategy
    vmi: VirtualMachineInstance | None
    conditions: Sequence[Mapping[str, Any]]
    starts: bool
    stops: bool
    failed_starts: int

    def is_out_of_sync(self, reason: str) -> bool:
        """Report whether the VMI has failed to synchronize, for that reason."""
        return self.is_false(SYNCHRONIZED, reason)

    def is_false(self, type_: str, reason: str | None = None) -> bool:
        """Report whether the VMI has the condition, as False, for that reason."""
        row = find_condition(self.conditions, type_)
        return row is not None and row.get("status") == FALSE and reason in (None, row.get("reason"))


def printable_status(facts: Facts) -> PrintableStatus:
    """Return the value; Unknown if none applies."""
    return next((status for status, holds in _LADDER if holds(facts)), PrintableStatus.UNKNOWN)


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
    return facts.strategy is not RunStrategy.HALTED and is_true(facts.conditions, "Provisioning")


def _is_starting(facts: Facts) -> bool:
    return facts.starts if facts.vmi is None else facts.vmi.phase in _STARTING_PHASES


def _is_crash_looping(facts: Facts) -> bool:
    has_ended = facts.vmi is None or facts.vmi.is_final
    return has_ended and not facts.starts and facts.failed_starts > 0 and facts.strategy in _RESTARTING


def _waits_for_receiver(facts: Facts) -> bool:
    waits = facts.vmi is None or facts.vmi.phase is VmiPhase.WAITING_FOR_SYNC
    return waits and facts.strategy is RunStrategy.WAIT_AS_RECEIVER


def _is_stopped(facts: Facts) -> bool:
    return not facts.starts if facts.vmi is None else facts.vmi.is_final


_LADDER: tuple[tuple[PrintableStatus, Callable[[Facts], bool]], ...] = (
    (PrintableStatus.TERMINATING, lambda facts: facts.is_deleting),
    (PrintableStatus.STOPPING, _is_stopping),
    (PrintableStatus.MIGRATING, _is_migrating),
    (PrintableStatus.PAUSED, lambda facts: _is_running(facts) and is_true(facts.conditions, "Paused")),
    (PrintableStatus.RUNNING, _is_running),
    (PrintableStatus.PVC_NOT_FOUND, lambda facts: facts.is_out_of_sync("FailedPvcNotFound")),
    (PrintableStatus.DATA_VOLUME_ERROR, lambda facts: facts.is_out_of_sync("FailedDataVolumeImport")),
    (PrintableStatus.UNSCHEDULABLE, lambda facts: facts.is_false(POD_SCHEDULED, "Unschedulable")),
    (PrintableStatus.PROVISIONING, lambda facts: facts.is_false("DataVolumesReady")),
    (PrintableStatus.WAITING_FOR_VOLUME_BINDING, _is_waiting_for_binding),
    (PrintableStatus.ERR_IMAGE_PULL, lambda facts: facts.is_out_of_sync("ErrImagePull")),
    (PrintableStatus.IMAGE_PULL_BACK_OFF, lambda facts: facts.is_out_of_sync("ImagePullBackOff")),
    (PrintableStatus.STARTING, _is_starting),
    (PrintableStatus.CRASH_LOOP_BACK_OFF, _is_crash_looping),
    (PrintableStatus.STOPPED, _is_stopped),
    (PrintableStatus.WAITING_FOR_RECEIVER, _waits_for_receiver),
)
