"""How long a VM whose guests never came up waits before the next start.

Source: KubeVirt 1.9 `vm.go` (`status.startFailure`): 10 s times the square of the failures in a row, plus
up to half of it, at most 300 s. Without it a launcher that dies at once is recreated without end.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.metadata import mapping, objects, text
from nicplug.model.times import format_time, parse_time
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase

_BASE_SECONDS = 10
_MAXIMUM_SECONDS = 300


def start_failure(*, status: Mapping[str, Any], vmi: VirtualMachineInstance | None, now: datetime) -> Any:
    """`status.startFailure` as it shall be; None when the last guest came up.

    Args:
        status: of the VM, as it is.
        vmi: the VM's VMI, final or not; None when it has none.
    """
    known = mapping(status.get("startFailure"))
    if vmi is None:
        return dict(known) or None
    if _came_up(vmi):
        return None
    if not vmi.is_final or known.get("lastFailedVMIUID") == vmi.uid:
        return dict(known) or None
    count = known.get("consecutiveFailCount")
    failures = (count if isinstance(count, int) else 0) + 1
    return {
        "consecutiveFailCount": failures,
        "lastFailedVMIUID": vmi.uid,
        "retryAfterTimestamp": format_time(now + _backoff(failures, seed=vmi.uid)),
    }


def start_not_before(status: Mapping[str, Any]) -> datetime | None:
    """The moment before which no VMI is made."""
    return parse_time(mapping(status.get("startFailure")).get("retryAfterTimestamp"))


def _came_up(vmi: VirtualMachineInstance) -> bool:
    timestamps = objects(vmi.read_status().get("phaseTransitionTimestamps"))
    return vmi.phase is VmiPhase.RUNNING or any(
        text(mapping(row).get("phase")) == VmiPhase.RUNNING for row in timestamps
    )


def _backoff(failures: int, *, seed: str) -> timedelta:
    """Jitter from the uid instead of a random number: the same plan from the same view."""
    seconds = _BASE_SECONDS * failures * failures
    share = hashlib.sha256(seed.encode()).digest()[0] / 255
    return timedelta(seconds=min(seconds * (1 + share / 2), _MAXIMUM_SECONDS))
