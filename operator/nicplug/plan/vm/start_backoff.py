"""How long a VM whose guests never came up waits before the next start.

Source: KubeVirt 1.9 `vm.go` (`status.startFailure`): 10 s times the square of the failures in a row, plus
up to half of it, at most 300 s. Without it a launcher that dies at once is recreated without end.

No clock is trusted beyond that maximum: a retry that lies further ahead, by whoever's clock, is brought back to it.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.metadata import mapping, objects, text
from nicplug.model.times import format_time, parse_time
from nicplug.model.vm import RunStrategy
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase

_BASE_SECONDS = 10
_MAXIMUM = timedelta(seconds=300)
# From this many failures on the maximum is reached anyway; in the status any number may stand.
_MAXIMUM_FAILURES = 1_000_000
_TRACKED = frozenset({RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE, RunStrategy.ONCE})


def start_failure(
    *, status: Mapping[str, Any], strategy: RunStrategy, vmi: VirtualMachineInstance | None, now: datetime
) -> dict[str, Any] | None:
    """`status.startFailure` as it shall be; None when the last guest came up, or only a person starts the VM.

    Args:
        status: of the VM, as it is.
        vmi: the VM's VMI, final or not; None when it has none.
    """
    known = mapping(status.get("startFailure"))
    if strategy not in _TRACKED or (vmi is not None and _came_up(vmi)):
        return None
    if vmi is None or not vmi.is_final or known.get("lastFailedVMIUID") == vmi.uid:
        return _without_far_future(known, now=now) or None
    failures = failed_starts(known) + 1
    return {
        "consecutiveFailCount": failures,
        "lastFailedVMIUID": vmi.uid,
        "retryAfterTimestamp": format_time(now + _backoff(failures, seed=vmi.uid)),
    }


def failed_starts(failure: Mapping[str, Any]) -> int:
    """How many starts in a row have failed, of a `status.startFailure` that anybody may have written."""
    count = failure.get("consecutiveFailCount")
    return min(max(count, 0), _MAXIMUM_FAILURES) if isinstance(count, int) else 0


def start_not_before(status: Mapping[str, Any], *, now: datetime) -> datetime | None:
    """The moment before which no VMI is made."""
    retry = parse_time(mapping(status.get("startFailure")).get("retryAfterTimestamp"))
    return min(retry, now + _MAXIMUM) if retry is not None else None


def _without_far_future(known: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    retry = parse_time(known.get("retryAfterTimestamp"))
    if retry is None or retry <= now + _MAXIMUM:
        return dict(known)
    return {**known, "retryAfterTimestamp": format_time(now + _MAXIMUM)}


def _came_up(vmi: VirtualMachineInstance) -> bool:
    timestamps = objects(vmi.read_status().get("phaseTransitionTimestamps"))
    return vmi.phase is VmiPhase.RUNNING or any(
        text(mapping(row).get("phase")) == VmiPhase.RUNNING for row in timestamps
    )


def _backoff(failures: int, *, seed: str) -> timedelta:
    """Jitter from the uid instead of a random number: the same plan from the same view."""
    seconds = _BASE_SECONDS * failures * failures
    share = hashlib.sha256(seed.encode()).digest()[0] / 255
    return min(timedelta(seconds=seconds * (1 + share / 2)), _MAXIMUM)
