"""The budgets of the project beside what was measured. A budget that is not met is said to be so.

Peer: virt-controller of KubeVirt 1.9 on the same work, on two cores with the control plane beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.perf.hand_over import CRASH, RELEASE
from tests.perf.milestones import Milestone

Result = dict[str, Any]
STARTS, HOTPLUGS = 200, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One line: nicplug must not exceed `limit`.

    Attributes:
        measure: takes the figure out of a result.
        vms: the figure means something only for runs of that many VMs; None for any.
        peer: what KubeVirt's virt-controller needs; None where nobody has measured it.
        part: the member of the result that it is about, of which `vms` are those; "" for the main run.
    """

    name: str
    unit: str
    peer: float | None
    limit: float
    measure: Callable[[Result], float]
    vms: int | None = 200
    part: str = ""


def _idle(milestone: Milestone, percent: str) -> Callable[[Result], float]:
    def measure(result: Result) -> float:
        return float(result["milliseconds"]["idle"][str(milestone)][percent])

    return measure


def _scaled_writes(result: Result) -> float:
    """Writes per start and per hot-plug as measured, for the amount of work that the budget names."""
    writes = result["writes"]
    hotplugs = result["shape"]["idle_hotplugs"] + result["shape"]["vms"]
    per_hotplug = (writes["idle"]["total"] + writes["burst"]["total"]) / hotplugs
    return float(round(STARTS * writes["starts"]["total"] / result["shape"]["vms"] + HOTPLUGS * per_hotplug))


def rejected_percent(phases: Mapping[str, Any]) -> float:
    """Of the operator's writes in all phases together; 0 when there were none."""
    rejected, total = (sum(int(phase[name]) for phase in phases.values()) for name in ("rejected", "total"))
    return round(100.0 * rejected / total, 2) if total else 0.0


def _rss(result: Result) -> float:
    return float(result["usage"]["rest"]["operator"]["rss_mib"])


def _migrations(*keys: str) -> Callable[[Result], float]:
    def measure(result: Result) -> float:
        found = result["migrations"]
        for key in keys:
            found = found[key]
        return float(found)

    return measure


def _peak_rss(result: Result) -> float:
    rss = result["large_objects"]["rss_mib"]
    return float(max(rss["created"], rss["restarted"]))


def _slowest_hand_over(way: str, result: Result) -> float:
    return float(result["hand_over"]["seconds"][way]["max"])


def _migrated(percent: str) -> Callable[[Result], float]:
    milliseconds = _migrations("milliseconds", "single", str(Milestone.IN_GUEST), percent)
    return lambda result: round(milliseconds(result) / 1000, 3)


def _crowd(name: str, *, limit: float, peer: float, key: str) -> Budget:
    """Of 100 VMs that migrate at once; what KubeVirt allows stands where it has a limit of its own."""
    return Budget(
        name=f"100 VMs migrate at once: {name}", unit="", peer=peer, limit=limit,
        measure=_migrations("crowd", key), vms=100, part="migrations",
    )  # fmt: skip


MIGRATION_BUDGETS: tuple[Budget, ...] = (
    Budget(name="migration: VM spec to NIC in the guest, p50", unit="s", peer=25.6, limit=2.5,
           measure=_migrated("p50"), vms=None, part="migrations"),
    Budget(name="migration: VM spec to NIC in the guest, p99", unit="s", peer=25.6, limit=2.5,
           measure=_migrated("p99"), vms=None, part="migrations"),
    Budget(name="migration: writes rejected, all phases", unit="%", peer=None, limit=1,
           measure=lambda result: rejected_percent(result["migrations"]["writes"]), vms=None, part="migrations"),
    _crowd("failed", limit=0, peer=0, key="failed"),
    _crowd("doubled", limit=0, peer=0, key="doubled"),
    _crowd("in the cluster", limit=5, peer=5, key="peak_cluster"),
    _crowd("from one node", limit=2, peer=2, key="peak_outbound"),
    _crowd("to one node", limit=2, peer=float("inf"), key="peak_inbound"),
)  # fmt: skip
LARGE_OBJECT_BUDGETS: tuple[Budget, ...] = (
    Budget(name="200 large objects of mixed shapes: peak RSS", unit="MiB", peer=None, limit=300,
           measure=_peak_rss,
           vms=None, part="large_objects"),
    Budget(name="event of the largest object, CPU", unit="ms", peer=None, limit=100,
           measure=lambda result: float(max(result["large_objects"]["event_ms"].values())),
           vms=None, part="large_objects"),
)  # fmt: skip
MANY_NICS_BUDGETS: tuple[Budget, ...] = (
    Budget(name="pass over a VM with 255 NICs and 1 MB", unit="ms", peer=None, limit=100,
           measure=lambda result: float(max(result["many_nics"]["passes"].values())), vms=None, part="many_nics"),
    Budget(name="whole pass over such a VM, without a network", unit="ms", peer=None, limit=100,
           measure=lambda result: float(max(result["many_nics"]["whole_passes"].values())),
           vms=None, part="many_nics"),
    Budget(name="idle hot-plug beside 3 such VMs, times the usual", unit="", peer=None, limit=2,
           measure=lambda result: float(result["many_nics"]["ratios"][Milestone.IN_GUEST]), vms=None, part="many_nics"),
)  # fmt: skip
SUBRESOURCE_BUDGETS: tuple[Budget, ...] = (
    Budget(name="200 subresource requests/s that change nothing, p99", unit="ms", peer=None, limit=100,
           measure=lambda result: float(result["subresources"]["no_op"]["milliseconds"]["p99"]),
           vms=None, part="subresources"),
    Budget(name="addinterface of a VMI to annotation, beyond a patch, p50", unit="ms", peer=None, limit=10,
           measure=lambda result: float(result["subresources"]["hotplugs"]["slower_p50"]["VMI"]),
           vms=None, part="subresources"),
    Budget(name="addinterface of a VM to annotation, beyond a patch, p50", unit="ms", peer=None, limit=10,
           measure=lambda result: float(result["subresources"]["hotplugs"]["slower_p50"]["VM"]),
           vms=None, part="subresources"),
)  # fmt: skip


def _companion(*keys: str) -> Callable[[Result], float]:
    def measure(result: Result) -> float:
        found = result["companion"]
        for key in keys:
            found = found[key]
        return float(len(found) if isinstance(found, list) else found)

    return measure


# Beside KubeVirt: the copy of a guest takes 0.3 s.
COMPANION_BUDGETS: tuple[Budget, ...] = (
    Budget(name="beside KubeVirt: spec to NIC by migration, p50", unit="s", peer=25.7, limit=1.5,
           measure=_companion("single", "p50"), vms=None, part="companion"),
    Budget(name="beside KubeVirt: doubled migrations", unit="", peer=None, limit=0,
           measure=_companion("crowd", "doubled"), vms=None, part="companion"),
    Budget(name="beside KubeVirt: failed migrations", unit="", peer=None, limit=0,
           measure=_companion("crowd", "failed"), vms=None, part="companion"),
    Budget(name="beside KubeVirt: migrations per NIC of the crowd", unit="", peer=1, limit=1,
           measure=lambda result: result["companion"]["crowd"]["migrations"] / result["companion"]["crowd"]["nics"],
           vms=None, part="companion"),
    Budget(name="beside KubeVirt: migrations at once in the cluster", unit="", peer=5, limit=5,
           measure=_companion("crowd", "most_at_once"), vms=None, part="companion"),
    Budget(name="beside KubeVirt: migrations at once from one node", unit="", peer=2, limit=2,
           measure=_companion("crowd", "most_outbound"), vms=None, part="companion"),
    Budget(name="beside KubeVirt: writes at rest", unit="", peer=None, limit=0,
           measure=_companion("rest_writes"), vms=None, part="companion"),
    Budget(name="beside KubeVirt: writes to what is not nicplug's", unit="", peer=None, limit=0,
           measure=_companion("foreign_writes"), vms=None, part="companion"),
)  # fmt: skip
HAND_OVER_BUDGETS: tuple[Budget, ...] = tuple(
    Budget(name=f"hand-over by {way}: NIC of that moment in the annotation", unit="s", peer=None, limit=limit,
           measure=partial(_slowest_hand_over, way), vms=None, part="hand_over")
    for way, limit in ((RELEASE, 1.0), (CRASH, 10.0))
)  # fmt: skip


def _scale(name: str, *, unit: str, limit: float, key: str) -> Budget:
    """Of the largest size of `make bench-scale`, whichever was reached."""
    return Budget(
        name=f"largest size: {name}", unit=unit, peer=None, limit=limit,
        measure=lambda result: float(result["scale"]["points"][-1][key]), vms=None, part="scale",
    )  # fmt: skip


# Start and memory are budgets for 8,000 VMIs; 300 MB are 286 MiB.
SCALE_BUDGETS: tuple[Budget, ...] = (
    _scale("start to NIC in the guest, slowest", unit="s", limit=5, key="start_guest_max_s"),
    _scale("peak RSS of the operator", unit="MiB", limit=286, key="peak_rss_mib"),
    _scale("writes at rest, Lease not counted", unit="", limit=0, key="rest_writes"),
    _scale(f"hand-over by {RELEASE}, slowest", unit="s", limit=1, key="release_max_s"),
    _scale(f"hand-over by {CRASH}, slowest", unit="s", limit=10, key="crash_max_s"),
)
BUDGETS: tuple[Budget, ...] = (
    Budget(name="idle: VM spec to pod annotation, p50", unit="ms", peer=34.6, limit=15,
           measure=_idle(Milestone.ANNOTATION, "p50"), vms=None),
    Budget(name="idle: VM spec to pod annotation, p99", unit="ms", peer=225, limit=40,
           measure=_idle(Milestone.ANNOTATION, "p99"), vms=None),
    Budget(name="idle: VM spec to status.interfaces, p50", unit="ms", peer=61, limit=30,
           measure=_idle(Milestone.IN_STATUS, "p50"), vms=None),
    Budget(name="200 NICs on 200 VMs at once, all in status", unit="s", peer=12.2, limit=2.0,
           measure=lambda result: float(result["seconds"]["burst: all in status"])),
    Budget(name="200 VMs created to Running", unit="s", peer=22.1, limit=6.0,
           measure=lambda result: float(result["seconds"]["starts: all Running"])),
    Budget(name="writes for 200 starts and 300 hot-plugs", unit="", peer=4900, limit=2000, measure=_scaled_writes,
           vms=None),
    Budget(name="writes rejected, all phases", unit="%", peer=12, limit=1,
           measure=lambda result: rejected_percent(result["writes"]), vms=None),
    Budget(name="writes at rest, Lease not counted", unit="", peer=0, limit=0,
           measure=lambda result: float(result["writes"]["rest"]["total"]), vms=None),
    Budget(name="RSS of the operator at 200 VMs", unit="MiB", peer=131, limit=110, measure=_rss),
    Budget(name="RSS of the operator at 500 VMs", unit="MiB", peer=221, limit=150, measure=_rss, vms=500),
    *MIGRATION_BUDGETS,
    *LARGE_OBJECT_BUDGETS,
    *MANY_NICS_BUDGETS,
    *SUBRESOURCE_BUDGETS,
    *HAND_OVER_BUDGETS,
    *COMPANION_BUDGETS,
    *SCALE_BUDGETS,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A budget and the figure of one run; `measured` None: this run has another number of VMs."""

    budget: Budget
    measured: float | None

    @property
    def is_met(self) -> bool | None:
        """Whether the figure is within the budget; None when there is none."""
        return None if self.measured is None else self.measured <= self.budget.limit


def judge(result: Result) -> list[Verdict]:
    """Every budget with its figure; of what a run has left out, without one."""
    return [
        Verdict(budget=budget, measured=budget.measure(result) if _is_measured(budget, result) else None)
        for budget in BUDGETS
    ]


def _is_measured(budget: Budget, result: Result) -> bool:
    part = result.get(budget.part) if budget.part else result
    if not part or not (budget.part or "shape" in part):
        return False
    return budget.vms is None or budget.vms == part["shape"]["vms"]
