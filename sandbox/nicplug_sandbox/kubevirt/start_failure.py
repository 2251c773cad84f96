"""How long a VM waits before its next start after its guest has failed to run (section 3.5). Pure."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from nicplug_sandbox.kubevirt.objects import (
    Json,
    is_final,
    moment_of,
    run_strategy,
    status_of,
    text_of,
    uid_of,
)

LONGEST_SECONDS = 300
INTERVAL_SECONDS = max(10, LONGEST_SECONDS // 30)
RETRIED_STRATEGIES = ("Always", "RerunOnFailure", "Once")

Pick = Callable[[int, int], int]
"""A random number from the first to the second, both included."""


def recorded(vm: Json, vmi: Json | None, *, now: datetime, pick: Pick = random.randint) -> Json | None:
    """`status.startFailure` as it must be: one more failure, as it was, or None once a guest has run."""
    present: Json | None = status_of(vm).get("startFailure")
    if _has_run(vmi) or run_strategy(vm) not in RETRIED_STRATEGIES:
        return None
    if vmi is None or not is_final(vmi) or (present or {}).get("lastFailedVMIUID") == uid_of(vmi):
        return present
    count = int((present or {}).get("consecutiveFailCount", 0)) + 1
    delay = timedelta(seconds=delay_seconds(count, pick=pick))
    return {
        "consecutiveFailCount": count,
        "lastFailedVMIUID": uid_of(vmi),
        "retryAfterTimestamp": text_of(now + delay),
    }


def delay_seconds(count: int, *, pick: Pick = random.randint) -> int:
    """The delay after so many failures in a row; its random part keeps failing VMs from starting together."""
    delay = INTERVAL_SECONDS * count * count
    return min(delay + pick(0, delay // 2), LONGEST_SECONDS)


def seconds_left(vm: Json, *, now: datetime) -> float:
    """How long the VM must not be started yet."""
    found: dict[str, Any] = status_of(vm).get("startFailure") or {}
    retry = found.get("retryAfterTimestamp")
    return max(0.0, (moment_of(retry) - now).total_seconds()) if retry else 0.0


def is_backing_off(vm: Json, vmi: Json | None) -> bool:
    """Whether the VM is `CrashLoopBackOff` (3.6): no guest is on its way, and the last ones never ran."""
    if (vmi is not None and not is_final(vmi)) or run_strategy(vm) not in RETRIED_STRATEGIES:
        return False
    return bool((status_of(vm).get("startFailure") or {}).get("consecutiveFailCount"))


def _has_run(vmi: Json | None) -> bool:
    if vmi is None:
        return False
    past = status_of(vmi).get("phaseTransitionTimestamps") or ()
    return any(item["phase"] == "Running" for item in past)
