"""The budgets of the project beside what was measured. A budget that is not met is said to be so.

Peer: virt-controller of KubeVirt 1.9 on the same work, on two cores with the control plane beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.perf.milestones import Milestone

Result = dict[str, Any]
STARTS, HOTPLUGS = 200, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One line: nicplug must not exceed `limit`.

    Attributes:
        measure: takes the figure out of a result.
        vms: the figure means something only for runs of that many VMs; None for any.
    """

    name: str
    unit: str
    peer: float
    limit: float
    measure: Callable[[Result], float]
    vms: int | None = 200


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


def _rejected_percent(result: Result) -> float:
    phases = [result["writes"][name] for name in ("starts", "idle", "burst")]
    rejected, total = (sum(phase[name] for phase in phases) for name in ("rejected", "total"))
    return round(100.0 * float(rejected) / float(total), 2)


def _rss(result: Result) -> float:
    return float(result["usage"]["rest"]["operator"]["rss_mib"])


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
    Budget(name="writes rejected", unit="%", peer=12, limit=1, measure=_rejected_percent, vms=None),
    Budget(name="writes at rest, Lease not counted", unit="", peer=0, limit=0,
           measure=lambda result: float(result["writes"]["rest"]["total"]), vms=None),
    Budget(name="RSS of the operator at 200 VMs", unit="MiB", peer=131, limit=110, measure=_rss),
    Budget(name="RSS of the operator at 500 VMs", unit="MiB", peer=221, limit=150, measure=_rss, vms=500),
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
    """Every budget with its figure."""
    vms = result["shape"]["vms"]
    return [
        Verdict(budget=budget, measured=budget.measure(result) if budget.vms in (None, vms) else None)
        for budget in BUDGETS
    ]
