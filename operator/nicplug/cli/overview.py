"""`nicplug status` without a name: one row for each VM of a namespace, or of all namespaces."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nicplug.cli.connection import Session
from nicplug.cli.output import line, print_table
from nicplug.model.conditions import INVALID_HOTPLUG_POLICY, RESTART_REQUIRED
from nicplug.model.mode import Mode

if TYPE_CHECKING:
    from rich.console import Console

    from nicplug.insight.nic_rows import NicRow
    from nicplug.insight.nics import VmNics
    from nicplug.plan.views import Refusal

REQUESTED = "Requested"
"""Shown as reason until the operator has written one."""


async def read_overview(session: Session, *, namespace: str | None, kubevirt_namespace: str) -> "OverviewDocument":
    """Read VMs and VMIs, and if requests for NICs wait, whether hot-plug is enabled.

    Args:
        namespace: None for all namespaces.
        kubevirt_namespace: namespace of the KubeVirt CR.

    Raises:
        ApiError: they cannot be read.
        CommandError: the namespace does not exist.
    """
    from nicplug.cli.machines import now
    from nicplug.cli.mode import mode_of
    from nicplug.cli.suggestions import is_missing, no_namespace
    from nicplug.insight.nics import describe
    from nicplug.insight.queue import read_all
    from nicplug.insight.reports import overlay
    from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES
    from nicplug.model.vm import parse_vm
    from nicplug.model.vmi import parse_vmi

    found = await asyncio.gather(
        *(read_all(session.api, kind, namespace) for kind in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES))
    )
    vms, vmis = ({_key(item): dict(item) for item in items} for items in found)
    if await mode_of(session) is Mode.COMPANION:
        vmis = await overlay(session.api, vmis, namespace=namespace)
    at, rows = now(), []
    for place, name in sorted({*vms, *vmis}):
        vm, vmi = vms.get((place, name)), vmis.get((place, name))
        rows.append(
            describe(
                namespace=place,
                name=name,
                vm=parse_vm(vm) if vm is not None else None,
                vmi=parse_vmi(vmi) if vmi is not None else None,
                now=at,
            )
        )
    if not rows and namespace is not None and await is_missing(session):
        raise no_namespace(namespace)
    held_by = await _held_by(session, rows, kubevirt_namespace=kubevirt_namespace)
    return OverviewDocument(tuple(rows), namespace, await _note(session) if rows else "", held_by)


async def _held_by(session: Session, rows: "Sequence[VmNics]", *, kubevirt_namespace: str) -> "Refusal | None":
    """Return why requests for NICs wait; the answer for the first VM that has one holds for all."""
    from nicplug.cli.held_requests import HotplugSwitch

    asking = next((item for item in rows if item.requests), None)
    if asking is None:
        return None
    of_vm = replace(session, namespace=asking.namespace)
    return await HotplugSwitch(session=of_vm, vm=asking.name, kubevirt_namespace=kubevirt_namespace).refusal()


async def _note(session: Session) -> str:
    """Return the note that no operator works, even if nothing waits for one; one GET."""
    from nicplug.cli.operator_health import note_without_operator

    return await note_without_operator(session)


def _key(raw: Mapping[str, Any]) -> tuple[str, str]:
    return (str(raw["metadata"].get("namespace") or ""), str(raw["metadata"]["name"]))


def first_reason(found: "VmNics", *, held_by: "Refusal | None" = None) -> tuple[str, str]:
    """Return reason and message of a start problem, otherwise of a NIC that is not ready, otherwise of the VM.

    NICs that need action come before others.

    Args:
        held_by: why requests for NICs wait; None if an operator processes them.
    """
    from nicplug.insight.nics import STOPPED

    if (problem := found.start_problem) is not None and found.phase != STOPPED:
        return problem.reason, problem.message
    if (nic := _first_waiting(found)) is not None:
        return nic.reason or REQUESTED, f'NIC "{nic.name}": {nic.message}' if nic.message else ""
    if found.failure:
        return "Failure", found.failure
    if found.requests and held_by is not None:
        return held_by.reason, f"{found.requests[0]}: {held_by.message}"
    if requests := (*found.power_requests, *found.requests):
        return REQUESTED, str(requests[0])
    if found.policy_problem:
        return INVALID_HOTPLUG_POLICY, found.policy_problem
    return (RESTART_REQUIRED, found.restart_required) if found.restart_required else ("", "")


def _first_waiting(found: "VmNics") -> "NicRow | None":
    waiting = [nic for nic in found.nics if not nic.is_ready and (nic.reason or nic.message)]
    return min(waiting, key=lambda nic: not nic.needs_action, default=None)


@dataclass(frozen=True, slots=True)
class OverviewDocument:
    """The VMs of one or all namespaces.

    Attributes:
        namespace: the namespace that was asked for; None for all.
        note: that no operator works; "" if one does.
        held_by: why requests for NICs wait; None if an operator processes them, or if there are none.
    """

    found: Sequence["VmNics"]
    namespace: str | None
    note: str = ""
    held_by: "Refusal | None" = None

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`."""
        items = [_item(item, held_by=self.held_by) for item in self.found]
        return {"kind": "NicStatusList", "items": items, "note": self.note or None}

    def names(self) -> Sequence[str]:
        """Return the names of the VMs, with their namespace if all namespaces were asked for."""
        return [item.name if self.namespace is not None else f"{item.namespace}/{item.name}" for item in self.found]

    def show(self, console: "Console") -> None:
        """Print the table and the note."""
        if not self.found:
            where = f"in namespace {self.namespace}" if self.namespace is not None else "in any namespace"
            line(console, f"no VirtualMachine and no VirtualMachineInstance {where}")
            return
        first = 1 if self.namespace is not None else 0
        headings = ("NAMESPACE", "NAME", "PHASE", "NODE", "NICS", "REASON")
        print_table(console, headings[first:], [_row(item, held_by=self.held_by)[first:] for item in self.found])
        if self.note:
            line(console, f"note: {self.note}", "yellow")


def _ready(found: "VmNics") -> int:
    return sum(nic.is_ready for nic in found.nics)


def _row(found: "VmNics", *, held_by: "Refusal | None") -> tuple[str, ...]:
    ready = f"{_ready(found)}/{len(found.nics)}"
    return (found.namespace, found.name, found.phase, found.node, ready, first_reason(found, held_by=held_by)[0])


def _item(found: "VmNics", *, held_by: "Refusal | None") -> dict[str, Any]:
    reason, message = first_reason(found, held_by=held_by)
    return {
        "target": {"kind": found.kind, "namespace": found.namespace, "name": found.name},
        "phase": found.phase,
        "node": found.node or None,
        "nicsReady": _ready(found),
        "nicsTotal": len(found.nics),
        "reason": reason or None,
        "message": message or None,
        "remedy": _remedy(found, held_by=held_by) or None,
    }


def _remedy(found: "VmNics", *, held_by: "Refusal | None") -> str:
    """Return the remedy for what `first_reason` returns."""
    if (problem := found.start_problem) is not None:
        return problem.remedy
    if (waiting := _first_waiting(found)) is not None:
        return waiting.remedy
    return held_by.remedy if held_by is not None and found.requests and not found.failure else ""
