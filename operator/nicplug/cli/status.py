"""`nicplug status VM`: where each NIC is, by which path, and why."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.completion import complete_machine
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.environment import LOOKS_FOR_OPERATOR
from nicplug.cli.held_requests import HotplugSwitch
from nicplug.cli.output import age, line, print_table, with_output, write
from nicplug.cli.pci_slots import possible_more, slot_words
from nicplug.cli.plan import with_kubevirt_namespace

if TYPE_CHECKING:
    from rich.console import Console

    from nicplug.insight.nic_rows import NicRow
    from nicplug.insight.nics import RequestRow, VmNics
    from nicplug.plan.views import Refusal

# Widths of the labels below the table, which are names of NICs of up to 63 characters.
SHORTEST_COLUMN, LONGEST_LABEL = 11, 22


@click.command(epilog=LOOKS_FOR_OPERATOR)
@click.argument("vm", required=False, shell_complete=complete_machine)
@click.option("-A", "--all-namespaces", is_flag=True, help="Without VM: the VMs of every namespace.")
@click.option("-w", "--watch", is_flag=True, help="Keep watching and print every change, until Ctrl-C; needs VM.")
@with_kubevirt_namespace
@with_output
@on_cluster
async def status(
    session: Session, *, vm: str | None, all_namespaces: bool, watch: bool, kubevirt_namespace: str, output: str
) -> int | None:
    """Show the NICs of VM: where each is, by which path, and why.

    The PCI budget, and the requests and migrations in flight, are shown below the table. VM is the name of a
    VirtualMachine, or of a VirtualMachineInstance that belongs to none. Without VM: one row for each VM of the
    namespace, with the NICs that are ready of all, and the first reason why one is not.
    """
    if vm is None:
        if watch:
            raise click.UsageError("--watch needs the name of a VM.")
        from nicplug.cli.overview import read_overview

        namespace = None if all_namespaces else session.namespace
        write(await read_overview(session, namespace=namespace, kubevirt_namespace=kubevirt_namespace), output)
        return None
    if all_namespaces:
        raise click.UsageError("Give the name of a VM, or --all-namespaces.")
    from nicplug.cli.machines import find_machine, now, persisted_nics
    from nicplug.cli.operator_health import why_stale
    from nicplug.cli.suggestions import with_remedies

    machine = await find_machine(session, vm)
    described = machine.describe(now=now())
    note = await why_stale(session, described, mode=machine.mode)
    displayed = await with_remedies(session, described, persisted=persisted_nics(machine.vm))
    switch = HotplugSwitch(session=session, vm=vm, kubevirt_namespace=kubevirt_namespace)
    held_by = await switch.refusal() if displayed.requests else None
    write(StatusDocument(displayed, now=now(), note=note, held_by=held_by), output)
    if watch:
        await _follow(session, machine, described, output)
    return None


async def _follow(session: Session, machine: Any, described: "VmNics", output: str) -> None:
    """Print a line or a document for each change."""
    from nicplug.cli.machines import follow, now
    from nicplug.cli.output import console

    async with aclosing(follow(session, machine)) as changes:
        async for changed in changes:
            fresh = changed.describe(now=now())
            if output == "table":
                for moment in moments(described, fresh, now=now()):
                    line(console(), moment)
            elif fresh != described:
                write(StatusDocument(fresh, now=now()), output)
            described = fresh


def moments(before: "VmNics", after: "VmNics", *, now: datetime) -> list[str]:
    """Describe the changes, one per line, with the time of day."""
    known = {nic.name: nic for nic in before.nics}
    stamp = now.astimezone().strftime("%H:%M:%S.%f")[:-3]
    lines = []
    if (before.phase, before.node) != (after.phase, after.node):
        lines.append(f"VM {after.phase}" + (f" on {after.node}" if after.node else ""))
    # The request appears in the VM, its NIC in the instance. Whichever comes first, the line of the NIC says more.
    requests = [item for item in after.requests if item not in before.requests and not _is_answered(item, before)]
    lines += [f"requested: {item}" for item in requests]
    for nic in after.nics:
        old = known.pop(nic.name, None)
        if old is None or (old.phase, old.reason, old.path) != (nic.phase, nic.reason, nic.path):
            lines.append(_moment(nic))
    lines += [f"{name}  gone" for name in known]
    if after.failure and after.failure != before.failure:
        lines.append(f"request failed: {after.failure}")
    return [f"{stamp}  {text}" for text in lines]


def _is_answered(request: "RequestRow", found: "VmNics") -> bool:
    return request.is_add and any(nic.name == request.nic for nic in found.nics)


def _moment(nic: "NicRow") -> str:
    if nic.has_left:  # its phase would look like a step back
        return f"{nic.name}  {nic.message}"
    how = " ".join(part for part in (nic.operation, nic.path, nic.phase) if part)
    why = ": ".join(part for part in (nic.reason, nic.message) if part)
    return f"{nic.name}  {how}" + (f"  {why}" if why else "")


def print_facts(out: "Console", facts: Sequence[tuple[str, str]]) -> None:
    """Print labels and texts in two columns; a text whose label is too long begins below it."""
    fitting = [len(label) for label, _ in facts if len(label) <= LONGEST_LABEL]
    width = max(SHORTEST_COLUMN, max(fitting, default=0) + 2)
    for label, text in facts:
        is_long = len(label) > LONGEST_LABEL
        if is_long:
            line(out, label)
        line(out, f"{'' if is_long else label:<{width}}{text}", indent=width)


def without_quotes(message: str, quoted: Sequence[str]) -> str:
    """Return the message without quoted messages of migrations, which are shown separately."""
    for item in quoted:
        message = message.replace(f" ({item})", "")
    return message


@dataclass(frozen=True, slots=True)
class StatusDocument:
    """The NICs of one VM.

    Attributes:
        note: why the status may be stale; "" if it is current.
        held_by: why no request for a NIC is processed; None if an operator does so.
    """

    found: "VmNics"
    now: datetime
    note: str = ""
    held_by: "Refusal | None" = None

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`."""
        found = self.found
        return {
            "kind": "NicStatus",
            "target": {"kind": found.kind, "namespace": found.namespace, "name": found.name},
            "phase": found.phase,
            "node": found.node or None,
            "interfacesReady": found.ready or None,
            "nics": [nic.to_json() for nic in found.nics],
            "pciBudget": dict(found.budget) if found.budget is not None else None,
            "inFlight": {
                "requests": [*found.power_requests, *map(str, found.requests)],
                "requestsWaitFor": self.held_by.sentence if self.held_by is not None else None,
                "migrations": list(found.migrations),
            },
            "failure": found.failure or None,
            "eviction": found.eviction or None,
            "startProblem": found.start_problem.sentence if found.start_problem is not None else None,
            "outdatedAttachments": found.outdated or None,
            "policyProblem": found.policy_problem or None,
            "restartRequired": found.restart_required or None,
            "lostAtRestart": list(found.restart_effects),
            "note": self.note or None,
        }

    def names(self) -> Sequence[str]:
        """Return the names of the NICs."""
        return [nic.name for nic in self.found.nics]

    def show(self, console: "Console") -> None:
        """Print the table, the PCI budget, requests and migrations in flight, and why NICs are not ready."""
        found = self.found
        where = f" on {found.node}" if found.node else ""
        line(console, f"{found.kind} {found.namespace}/{found.name}: {found.phase}{where}", "bold")
        headings = ("NIC", "NETWORK", "BINDING", "PATH", "PHASE", "SINCE", "SLOT", "REASON")
        if found.nics:
            print_table(console, headings, [self._row(nic) for nic in found.nics])
        if facts := self._facts():
            line(console, "")
            print_facts(console, facts)

    def _row(self, nic: "NicRow") -> tuple[str, ...]:
        since = age(nic.since, now=self.now)
        reason = nic.reason or ("at start" if nic.is_ready else "Requested" if nic.message else "")
        return (nic.name, nic.network, nic.binding, nic.path, nic.phase, since, nic.pci_slot, reason)

    def _why(self, nic: "NicRow") -> list[tuple[str, str]]:
        """Return message, remedy and next attempt; only the first line has the NIC's name."""
        texts = [without_quotes(nic.message, self.found.quoted), nic.remedy and f"To do: {nic.remedy}"]
        if (moment := nic.next_attempt) is not None and moment > self.now:
            texts.append(f"Next attempt: in {max(1, round((moment - self.now).total_seconds()))}s")
        lines = [item for item in texts if item]
        return list(zip([nic.name, *[""] * len(lines)], lines, strict=False))

    def _facts(self) -> list[tuple[str, str]]:
        found, budget = self.found, self.found.budget or {}
        facts = []
        if budget:
            facts.append(("PCI slots", f"{budget['total']} for NICs: {slot_words(budget)}{possible_more(budget)}"))
        if (problem := found.start_problem) is not None and problem.message != found.failure:
            facts += [("start", problem.sentence), ("", f"To do: {problem.remedy}")]
        facts += [("requested", str(item)) for item in (*found.power_requests, *found.requests)]
        if self.held_by is not None:
            facts += [("", self.held_by.message), ("", f"To do: {self.held_by.remedy}")]
        facts += [("migration", item) for item in found.migrations]
        facts += [("eviction", found.eviction)] if found.eviction else []
        for nic in found.nics:
            facts += self._why(nic) if not nic.is_ready or nic.remedy else []
        facts += [("outdated", found.outdated)] if found.outdated else []
        facts += [("failed", found.failure)] if found.failure else []
        facts += [("policy", found.policy_problem)] if found.policy_problem else []
        facts += [("restart", f"RestartRequired: {found.restart_required}")] if found.restart_required else []
        if lost := ", ".join(found.restart_effects):
            facts.append(("restart", f"the next one removes NICs that the template does not have: {lost}"))
        facts += [("note", self.note)] if self.note else []
        return facts
