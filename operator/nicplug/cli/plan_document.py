"""How `nicplug plan` shows a forecast."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nicplug.cli.output import line
from nicplug.insight.evidence import Evidence
from nicplug.insight.forecast import NicForecast, Outcome, VmForecast
from nicplug.insight.forecast_json import forecast_json, policy_rows
from nicplug.model.durations import format_duration
from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.pci_budget import PciBudget
from nicplug.plan.candidates import Candidates
from nicplug.plan.nic.path.evidence import PathEvidence

if TYPE_CHECKING:
    from rich.console import Console

WORDS = {
    Outcome.READY: "is there already",
    Outcome.IN_PLACE: "in place, the guest runs on where it is",
    Outcome.BY_MIGRATION: "by a live migration of the VM",
    Outcome.AT_START: "when the VM starts",
    Outcome.NEEDS_RESTART: "not before the VM is restarted",
    Outcome.STUCK: "not before somebody acts",
}
_NODES_TOLD = 5


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """One VM's plan."""

    found: VmForecast
    evidence: Evidence

    def to_json(self) -> dict[str, Any]:
        """As programs get it."""
        return forecast_json(self.found, unknown=self.evidence.unknown)

    def names(self) -> Sequence[str]:
        """Each NIC with its outcome."""
        return [f"{nic.name}={nic.outcome}" for nic in self.found.nics]

    def show(self, console: "Console") -> None:
        """For people: each NIC, then the VM."""
        found = self.found
        where = f" on {found.node}" if found.node else ", which does not run"
        line(console, f"{found.kind} {found.key}{where}", "bold")
        for refusal in found.refusals:
            line(console, f"refused: {refusal}", "red")
        shared = _shared_evidence(found.nics)
        for nic in sorted(found.nics, key=lambda nic: not nic.is_affected):
            line(console, "")
            style = "green" if nic.outcome.arrives else "red"
            anyhow = "" if nic.is_affected else " (on its way anyhow)"
            line(console, f'{_verb(nic)} NIC "{nic.name}"{_network(nic)}: {WORDS[nic.outcome]}{anyhow}', style)
            _show_facts(console, _nic_facts(nic))
            if not shared and nic.evidence is not None:
                _show_facts(console, _evidence_facts(nic.evidence))
        if not found.nics and not found.refusals:
            line(console, "nothing would change for any NIC")
        line(console, "")
        _show_facts(console, self._vm_facts())

    def _vm_facts(self) -> Iterator[tuple[str, str]]:
        found = self.found
        if (shared := _shared_evidence(found.nics)) is not None:
            yield from _evidence_facts(shared)
        if found.slots_before is not None or found.slots_after is not None:
            yield "PCI slots", f"{_slots(found.slots_before)} now; then {_slots(found.slots_after)}"
        if found.migration:
            yield "migration", f"{found.migration} would be made; {self._queue()}"
        rows = [row for row in policy_rows(found.policy) if row["origin"] != "the default"]
        yield "policy", "; ".join(f"{row['name']} {row['value']} ({row['origin']})" for row in rows) or "the defaults"
        for problem in found.policy.problems:
            yield "policy", problem
        for item in self.evidence.unknown:
            yield "not known", f"{item.what} ({item.why}): {item.remedy}"

    def _queue(self) -> str:
        caches = self.evidence.caches
        taken, limits = len(caches.slots.entries), caches.limits()
        return f"{taken} of {limits.per_cluster} slots of the cluster are taken"


def _show_facts(console: "Console", facts: Iterator[tuple[str, str]]) -> None:
    for label, text in facts:
        line(console, f"  {label:<13}{text}")


def _verb(nic: NicForecast) -> str:
    return {"Plug": "plug", "Unplug": "unplug", "ChangeNetwork": "change network of", "SetLink": "set link of"}.get(
        nic.operation, nic.operation
    )


def _network(nic: NicForecast) -> str:
    return f" on {nic.network} ({nic.binding})" if nic.network else ""


def _nic_facts(nic: NicForecast) -> Iterator[tuple[str, str]]:
    yield "why", f"{nic.reason}: {nic.message}"
    if (then := nic.otherwise) is not None:
        after = format_duration(then.after)
        yield "otherwise", f"no answer within {after}: {WORDS[then.outcome]} ({then.reason})"
    if nic.evidence is not None and (told := _history(nic.evidence)):
        yield "so far", told


def _shared_evidence(nics: Sequence[NicForecast]) -> PathEvidence | None:
    """The evidence, when it is the same for all NICs and is shown once; None when it differs."""
    found = [nic.evidence for nic in nics if nic.evidence is not None]
    told = {tuple(_evidence_facts(item)) for item in found}
    return found[0] if len(told) == 1 else None


def _evidence_facts(found: PathEvidence) -> Iterator[tuple[str, str]]:
    yield "controller", _controller(found.controller, node=found.node)
    yield "can migrate", f"no: {found.not_migratable}" if found.not_migratable else "yes"
    yield "could go to", _candidates(found.candidates)


def _controller(controller: DynamicController, *, node: str) -> str:
    told = {
        ControllerState.UNKNOWN: "not known: DaemonSets or pods cannot be read",
        ControllerState.NOT_DEPLOYED: "the cluster has no dynamic networks controller",
        ControllerState.NOT_ON_NODE: f"does not run on node {node}",
        ControllerState.NOT_READY: f"not ready on node {node}",
        ControllerState.READY: f"ready on node {node}",
    }[controller.state]
    more = [f"DaemonSet {controller.daemon_set}"] if controller.daemon_set else []
    more += [controller.message] if controller.message else []
    return f"{told} ({', '.join(more)})" if more else told


def _candidates(found: Candidates) -> str:
    if not found.is_known:
        return "not known: nodes cannot be read; the scheduler decides"
    names = sorted(found.nodes)
    shown = ", ".join(names[:_NODES_TOLD]) + (", ..." if len(names) > _NODES_TOLD else "")
    return f"{shown} ({found.message})" if names else found.message


def _history(found: PathEvidence) -> str:
    told = []
    if found.attempts:
        told.append(f"asked {found.attempts} times in place, {found.failed_attempts} failed")
    if found.failed_migrations:
        told.append(f"{found.failed_migrations} migrations failed")
    error = found.error or found.migration_error
    return ", ".join(told) + (f": {error}" if error and told else "")


def _slots(budget: PciBudget | None) -> str:
    if budget is None:
        return "not known"
    return f"{budget.used} used, {budget.reserved} reserved, {budget.free} free of {budget.total}"
