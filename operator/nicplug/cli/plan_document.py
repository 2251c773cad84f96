"""Output of `nicplug plan`, from the JSON of a forecast, which is also what `nicplug api` sends."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from nicplug.cli.output import line
from nicplug.cli.pci_slots import possible_more, slot_words
from nicplug.insight.at_restart import CHANGE
from nicplug.insight.outcome import Outcome
from nicplug.model.dynamic_controller import ControllerState
from nicplug.model.operations import OperationPath, OperationType
from nicplug.model.times import format_duration

if TYPE_CHECKING:
    from rich.console import Console

Json = Mapping[str, Any]
WORDS: Mapping[str, str] = {
    Outcome.READY: "is there already",
    Outcome.IN_PLACE: "in place, the guest keeps running where it is",
    Outcome.BY_MIGRATION: "by a live migration of the VM",
    Outcome.AT_START: "when the VM starts",
    Outcome.NEEDS_RESTART: "not before the VM is restarted",
    Outcome.STUCK: "needs action",
    Outcome.WITHDRAWN: "at once, as the running guest never had it",
}
_PATHS: Mapping[str, str] = {
    Outcome.IN_PLACE: OperationPath.DYNAMIC,
    Outcome.BY_MIGRATION: OperationPath.MIGRATION,
    Outcome.NEEDS_RESTART: OperationPath.RESTART,
}
_VERBS: Mapping[str, str] = {
    OperationType.PLUG: "plug",
    OperationType.UNPLUG: "unplug",
    OperationType.CHANGE_NETWORK: "change network of",
    OperationType.SET_LINK: "set link of",
    CHANGE: "change",
}
_MOST_NODES = 5


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """The plan for one VM.

    Attributes:
        found: result of `insight.forecast_json`.
        source: `asking.FROM_KUBECONFIG` or `FROM_API`: whose permissions it was read with.
        note: that no operator works, so that nothing planned happens now; "" if one does.
    """

    found: Json
    source: str
    note: str = ""

    @property
    def arrives(self) -> bool:
        """True if everything that the change concerns happens automatically."""
        return bool(self.found["arrives"])

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`."""
        content = {member: value for member, value in self.found.items() if member != "apiVersion"}
        return {**content, "evidenceFrom": self.source, "note": self.note or None}

    def names(self) -> Sequence[str]:
        """Return each NIC with the path that its record will have, or without a path, with its outcome."""
        return [f"{nic['name']}={_PATHS.get(nic['outcome'], nic['outcome'])}" for nic in self.found["nics"]]

    def show(self, console: "Console") -> None:
        """Print each NIC, then the VM."""
        found, target, nics = self.found, self.found["target"], self.found["nics"]
        where = f" on {found['node']}" if found["node"] else ", which is not running"
        line(console, f"{target['kind']} {target['namespace']}/{target['name']}{where}", "bold")
        for refusal in found["refusals"]:
            line(console, f"refused: {refusal}", "red")
        shared = _shared_evidence(nics)
        for nic in nics:
            line(console, "")
            style = "green" if Outcome(nic["outcome"]).arrives else "red"
            suffix = "" if nic["affected"] else " (already requested)"
            line(console, f'{_verb(nic)} NIC "{nic["name"]}"{_network(nic)}: {WORDS[nic["outcome"]]}{suffix}', style)
            _show_facts(console, _nic_facts(nic))
            if not shared and nic["evidence"] is not None:
                _show_facts(console, _evidence_facts(nic["evidence"]))
        if not nics and not found["refusals"]:
            line(console, f"nothing would change for any NIC{' of the running guest' if found['node'] else ''}")
        line(console, "")
        _show_facts(console, self._vm_facts())

    def _vm_facts(self) -> Iterator[tuple[str, str]]:
        found, slots = self.found, self.found["pciSlots"]
        if (shared := _shared_evidence(found["nics"])) is not None:
            yield from _evidence_facts(shared)
        if slots["before"] is not None or slots["after"] is not None:
            then = f"{_slots(slots['after'])}{possible_more(slots['after'])}"
            yield "PCI slots", f"{_slots(slots['before'])} now; then {then}"
        if found["migration"]:
            yield "migration", f"{found['migration']} would be made{_queue(found['migrationSlots'])}"
        if fields := found.get("restartFields"):  # an older API does not send it
            yield "restart", f"needed for {', '.join(fields)}"
        rows = [row for row in found["policy"] if row["origin"] != "the default"]
        settings = "; ".join(f"{row['name']} {row['value']} ({row['origin']})" for row in rows)
        yield "policy", settings or "the defaults"
        for problem in found["policyProblems"]:
            yield "policy", problem
        for item in found["unknown"]:
            yield "not known", f"{item['what']} ({item['why']}): {item['remedy']}"
        if self.note:
            yield "note", self.note


def _queue(slots: Json | None) -> str:
    return f"; {slots['taken']} of {slots['perCluster']} cluster migration slots in use" if slots is not None else ""


def _show_facts(console: "Console", facts: Iterator[tuple[str, str]]) -> None:
    for label, text in facts:
        line(console, f"  {label:<13}{text}", indent=15)


def _verb(nic: Json) -> str:
    operation = str(nic["operation"])
    return _VERBS.get(operation, operation)


def _network(nic: Json) -> str:
    return f" on {nic['network']} ({nic['binding']})" if nic["network"] else ""


def _nic_facts(nic: Json) -> Iterator[tuple[str, str]]:
    yield "why", f"{nic['reason']}: {nic['message']}"
    if nic.get("remedy"):  # an older API does not send it
        yield "to do", nic["remedy"]
    if (then := nic["otherwise"]) is not None:
        after = format_duration(timedelta(seconds=then["afterSeconds"]))
        yield "otherwise", f"no answer within {after}: {WORDS[then['outcome']]} ({then['reason']})"
    if nic["evidence"] is not None and (history := _history(nic["evidence"])):
        yield "so far", history


def _shared_evidence(nics: Sequence[Json]) -> Json | None:
    """Return the evidence if it is the same for all NICs, so that it is printed once; None if it differs."""
    found = [nic["evidence"] for nic in nics if nic["evidence"] is not None]
    distinct = {tuple(_evidence_facts(item)) for item in found}
    return found[0] if len(distinct) == 1 else None


def _evidence_facts(found: Json) -> Iterator[tuple[str, str]]:
    yield "controller", _controller(found["controller"], node=found["node"])
    can = found["liveMigratable"]
    yield "can migrate", "yes" if can["possible"] else f"no: {can['message']}"
    yield "could go to", _candidates(found["candidates"])


def _controller(controller: Json, *, node: str) -> str:
    description = {
        ControllerState.UNKNOWN: "not known: DaemonSets or pods cannot be read",
        ControllerState.NOT_DEPLOYED: "no trusted namespace has a dynamic networks controller",
        ControllerState.NOT_ON_NODE: f"does not run on node {node}",
        ControllerState.NOT_READY: f"not ready on node {node}",
        ControllerState.READY: f"ready on node {node}",
    }[ControllerState(controller["state"])]
    more = [f"DaemonSet {controller['daemonSet']}"] if controller["daemonSet"] else []
    more += [controller["message"]] if controller["message"] else []
    return f"{description} ({', '.join(more)})" if more else description


def _candidates(found: Json) -> str:
    if not found["known"]:
        return "not known: nodes cannot be read; the scheduler decides"
    names, message = found["nodes"], found["message"] or ""
    shown = ", ".join(names[:_MOST_NODES]) + (", ..." if found["fitting"] > _MOST_NODES else "")
    return f"{shown} ({message})" if names else message


def _history(found: Json) -> str:
    parts = []
    if found["attempts"]:
        parts.append(f"asked {found['attempts']} times in place, {found['failedAttempts']} failed")
    if found["failedMigrations"]:
        parts.append(f"{found['failedMigrations']} migrations failed")
    error = found["lastError"]
    return ", ".join(parts) + (f": {error}" if error and parts else "")


def _slots(budget: Json | None) -> str:
    if budget is None:
        return "not known"
    return f"{slot_words(budget)} (of {budget['total']})"
