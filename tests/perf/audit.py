"""Count writes from kube-apiserver's audit log: what was sent, by whom, and what it was answered.

The log is written before a request is answered (`--audit-log-mode=blocking`), so whoever has an answer
finds its line.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

ACCOUNTS = "system:serviceaccount:nicplug-system:"
OPERATOR = f"{ACCOUNTS}nicplug-operator"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
LEASES = "leases"
EVENTS = "events"
# Longer than the operator's longest wait: in a burst its reports on VMs are due after twenty times 0.3 s.
_QUIET_SECONDS = 6.5
_POLL_SECONDS = 0.1
# The audit policy logs metadata only: a few kilobytes a line.
_LONGEST_LINE_BYTES = 1 << 20
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write as the API server saw it."""

    verb: str
    resource: str  # with its subresource: `virtualmachineinstances/status`
    code: int
    user: str
    user_agent: str
    namespace: str
    name: str
    received: datetime
    answered: datetime

    @property
    def is_rejected(self) -> bool:
        """The API server refused it; 409 and 422 are refused guards."""
        return not 200 <= self.code < 300


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The audit log of one control plane."""

    path: Path

    def mark(self) -> int:
        """The end of the last whole line, in bytes: one that is being written belongs to what comes."""
        with self.path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            start = log.seek(max(0, end - _LONGEST_LINE_BYTES))
            return start + log.read(end - start).rfind(b"\n") + 1

    def writes(self, *, since: int = 0, user: str | None = None) -> list[Write]:
        """Every write that was answered after `since`, of one user or of all."""
        with self.path.open("rb") as log:
            log.seek(since)
            # At once: read line by line, the second half of one that is being written would pass for a line.
            told = log.read()
        entries = (json.loads(line) for line in told[: told.rfind(b"\n") + 1].split(b"\n") if line)
        found = (_write(entry) for entry in entries if entry["verb"] in WRITES and "objectRef" in entry)
        return [write for write in found if user is None or write.user == user]


def _write(entry: dict[str, Any]) -> Write:
    target = entry["objectRef"]
    subresource = target.get("subresource")
    return Write(
        verb=entry["verb"],
        resource=f"{target['resource']}/{subresource}" if subresource else target["resource"],
        code=int(entry.get("responseStatus", {}).get("code", 0)),
        user=entry["user"].get("username", ""),  # none when the credentials were refused
        user_agent=entry.get("userAgent", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        received=datetime.fromisoformat(entry["requestReceivedTimestamp"]),
        answered=datetime.fromisoformat(entry["stageTimestamp"]),
    )


def without_lease(writes: Iterable[Write]) -> list[Write]:
    """All but leader election, which writes whether there is work or not."""
    return [write for write in writes if write.resource != LEASES]


def counted(items: Iterable[Item], *, by: Callable[[Item], str]) -> dict[str, int]:
    """How many there are of each, most frequent first."""
    return dict(Counter(by(item) for item in items).most_common())


def tally(log: AuditLog) -> dict[str, int]:
    """Writes of nicplug's accounts in the whole life of a sandbox, the Lease left out, and those that were refused."""
    found = without_lease(write for write in log.writes() if write.user.startswith(ACCOUNTS))
    return {"total": len(found), "rejected": sum(write.is_rejected for write in found)}


async def settled(
    log: AuditLog, *, seconds: float = 30.0, user: str = OPERATOR, quiet_seconds: float = _QUIET_SECONDS
) -> None:
    """Wait until `user` has written nothing but its Lease for longer than any of its reports waits.

    Args:
        seconds: how long it may go on writing.
        quiet_seconds: how long it has to be silent. Repetitions of an event wait for 10 s: those who count them
            as well wait longer than that.

    Raises:
        TimeoutError: it went on writing: a VM at rest costs writes.
    """
    deadline = time.monotonic() + seconds
    position, quiet_since = log.mark(), time.monotonic()
    while time.monotonic() - quiet_since < quiet_seconds:
        await asyncio.sleep(_POLL_SECONDS)
        end = log.mark()
        if found := without_lease(log.writes(since=position, user=user)):
            quiet_since = time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{user} still writes after {seconds:.0f} s: {found[-1]}")
        position = end
