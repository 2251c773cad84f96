"""What became of each NIC that was asked for: in its guest once, lost, or there twice.

Pure. From what watches, guests, objects and the audit log tell; nothing of the operator is imported.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.perf.audit import Write

from nicplug_sandbox.node.api import Json

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DYNAMIC, MIGRATION = "Dynamic", "Migration"
_EVENTS = frozenset({"events", "leases"})


@dataclass(slots=True, kw_only=True)
class Hotplug:
    """One NIC. Times in seconds since the run began.

    Attributes:
        asked: when the API server had taken it; None while it has not.
        ready: when a watch told that it was in its guest; None when that has not happened in time.
        path: by which it came.
    """

    drill: str
    vm: str
    nic: str
    asked: float | None = None
    ready: float | None = None
    path: str = ""

    @property
    def wait(self) -> float:
        """From the request until it was in the guest; it may be there before its user has the answer."""
        return 0.0 if self.asked is None or self.ready is None else max(0.0, self.ready - self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The sum of some hot-plugs.

    Attributes:
        started: taken by the API server.
        finished: in their guests.
        lost: taken, and not in the guest when their drill was over, or not any more in the end.
        doubled: more than once in the guest, the pod's annotation, or a status; names.
        longest_wait: of one NIC, in seconds.
        longest_stall: for which NICs were waited for and none arrived, in seconds.
        evidence: what went wrong, as somebody else than the operator saw it.
    """

    drill: str
    started: int = 0
    finished: int = 0
    in_place: int = 0
    migrated: int = 0
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    longest_wait: float = 0.0
    longest_stall: float = 0.0
    evidence: str = ""
    window: tuple[float, float] = field(default=(0.0, 0.0))


def account(
    drill: str,
    hotplugs: Collection[Hotplug],
    *,
    copies: Mapping[tuple[str, str], int],
    evidence: str,
    window: tuple[float, float],
) -> Account:
    """Add up.

    Args:
        copies: of each (VM, NIC), as `copies_of` counts them at the end of the run.
        window: when the drill began, and when it had been waited for.
    """
    started = [one for one in hotplugs if one.asked is not None]
    finished = [one for one in started if one.ready is not None]
    gone = [one for one in started if one.ready is None or copies.get((one.vm, one.nic), 0) == 0]
    twice = [one for one in started if copies.get((one.vm, one.nic), 0) > 1]
    return Account(
        drill=drill,
        started=len(started),
        finished=len(finished),
        in_place=sum(one.path == DYNAMIC for one in finished),
        migrated=sum(one.path == MIGRATION for one in finished),
        lost=tuple(_name(one) for one in gone),
        doubled=tuple(_name(one) for one in twice),
        longest_wait=round(max((one.wait for one in finished), default=0.0), 2),
        longest_stall=round(longest_stall(started, until=window[1]), 2),
        evidence=evidence,
        window=window,
    )


def longest_stall(hotplugs: Iterable[Hotplug], *, until: float) -> float:
    """The longest time for which at least one NIC was waited for and none arrived, in seconds."""
    moments: list[tuple[float, int]] = []
    for one in hotplugs:
        if one.asked is not None:
            moments.append((one.asked, 1))
            # One that came before its answer came at once.
            moments.append((until if one.ready is None else max(one.ready, one.asked), -1))
    waiting, since, longest = 0, 0.0, 0.0
    for moment, step in sorted(moments, key=lambda pair: (pair[0], -pair[1])):
        if step > 0 and waiting == 0:
            since = moment
        waiting += step
        if step < 0:
            longest, since = max(longest, moment - since), moment
    return longest


def copies_of(nic: str, *, network: str, guest: Json, vmi: Json, pod: Json) -> int:
    """How often a NIC is where it should be once; 0 when it is missing anywhere."""
    elements = json.loads((pod["metadata"].get("annotations") or {}).get(NETWORKS) or "[]")
    status = vmi.get("status") or {}
    counts = (
        sum(item["name"] == nic for item in guest.get("nics", [])),
        sum(item["name"] == network for item in elements),
        sum(item.get("name") == nic for item in status.get("interfaces") or []),
        sum(item.get("name") == nic for item in vmi["spec"]["domain"]["devices"].get("interfaces") or []),
    )
    return max(counts) if all(counts) else 0


def doubled_writes(writes: Iterable[Write], *, asked: Mapping[str, int], vm_of_pod: Mapping[str, str]) -> list[str]:
    """What the operators have done twice, from the audit log.

    Args:
        writes: of the operators, in the namespace of the VMs.
        asked: how many NICs were asked for, by VM.
        vm_of_pod: the VM of each launcher pod; of one that is not listed nothing is said.
    """
    found = [write for write in writes if write.resource not in _EVENTS and not write.is_rejected]
    created = Counter((write.resource, write.name) for write in found if write.verb == "create")
    patched = Counter(write.name for write in found if (write.verb, write.resource) == ("patch", "pods"))
    return [*_created_twice(created), *_patched_too_often(patched, asked, vm_of_pod)]


def _created_twice(created: Mapping[tuple[str, str], int]) -> Iterator[str]:
    for (resource, name), count in sorted(created.items()):
        if count > 1 and name:
            yield f"{resource} {name}: created {count} times"


def _patched_too_often(
    patched: Mapping[str, int], asked: Mapping[str, int], vm_of_pod: Mapping[str, str]
) -> Iterator[str]:
    """One patch for each NIC at most, as two that come together share one; and the readiness gate."""
    for pod, count in sorted(patched.items()):
        vm = vm_of_pod.get(pod)
        if vm is not None and count > asked.get(vm, 0) + 1:
            yield f"pod {pod}: patched {count} times for {asked.get(vm, 0)} NICs"


def _name(one: Hotplug) -> str:
    return f"{one.vm}/{one.nic}"


def as_json(account: Account) -> dict[str, Any]:
    """For programs: counts, and the names behind them."""
    return {
        "drill": account.drill,
        "started": account.started,
        "finished": account.finished,
        "inPlace": account.in_place,
        "migrated": account.migrated,
        "lost": list(account.lost),
        "doubled": list(account.doubled),
        "longestWaitSeconds": account.longest_wait,
        "longestStallSeconds": account.longest_stall,
        "evidence": account.evidence,
        "window": [round(moment, 1) for moment in account.window],
    }
