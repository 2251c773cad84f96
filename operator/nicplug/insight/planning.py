"""Turns a question for a plan into the change to forecast. Pure except for the evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nicplug.insight.changes import live_instance, with_lists, with_recorded, with_requests
from nicplug.insight.evidence import Evidence
from nicplug.insight.forecast import forecast
from nicplug.insight.known import default_binding, pending_requests
from nicplug.insight.nic_names import free_name
from nicplug.insight.outcome import VmForecast
from nicplug.insight.question import PlanQuestion
from nicplug.insight.requests import refusals_in_turn
from nicplug.insight.wrong_addresses import addresses_of, with_wrong_addresses
from nicplug.model.mode import Mode
from nicplug.model.networks import Binding
from nicplug.model.requests import AddInterface, InterfaceRequest, RemoveInterface
from nicplug.model.vmi import VirtualMachineInstance

CREATE_VM = "Create a VirtualMachine with it instead: the NICs of its template may be changed"


def no_template(name: str) -> str:
    """Return why KubeVirt lets nobody change the NICs of a VMI that belongs to no VM."""
    return (
        f"{name} belongs to no VirtualMachine, and KubeVirt lets only its own accounts change the spec of a "
        "VirtualMachineInstance"
    )


class NothingToChange(Exception):
    """The object or the NIC to change does not exist.

    Attributes:
        remedy: what to ask for instead.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedChange:
    """Single changes, after the checks that `addinterface` and `removeinterface` make.

    Attributes:
        raw: the object to change; None if nothing is accepted.
        running: the VM's instance, or the VMI itself; None for a stopped VM.
        default_binding: that of the pod network that a VMI without networks gets.
    """

    raw: dict[str, Any] | None
    accepted: tuple[InterfaceRequest, ...]
    refusals: tuple[str, ...]
    running: VirtualMachineInstance | None = None
    default_binding: Binding = Binding.BRIDGE

    @property
    def names(self) -> frozenset[str]:
        """The NICs that are added and removed."""
        return frozenset(request.name for request in self.accepted)

    def change(self) -> tuple[list[dict[str, Any]], dict[str, Any]] | None:
        """Return the JSON patch of what is accepted, and the object after it; None if nothing is."""
        if self.raw is None:
            return None
        return with_requests(self.raw, self.accepted, vmi=self.running, binding=self.default_binding)

    def recorded(self, changed: dict[str, Any], *, mode: Mode = Mode.STANDALONE) -> dict[str, Any]:
        """Return the changed object as the VM controller would find it; KubeVirt's knows no requests."""
        return with_recorded(changed, self.accepted) if mode is Mode.STANDALONE else changed


def weigh(evidence: Evidence, question: PlanQuestion, *, forbidden: Mapping[str, str] | None = None) -> WeighedChange:
    """Run the checks of the subresources for each single change, in order; removals come first.

    Args:
        forbidden: networks that the caller may not use, by their references, with the reason. The answer says nothing
            else about them.

    Raises:
        NothingToChange: a NIC to remove does not exist.
    """
    check_removals(evidence, question)
    requests = _requests(evidence, question)
    try:
        raw = _object_of(evidence, question) if requests else None
    except NothingToChange as error:
        return WeighedChange(raw=None, accepted=(), refusals=(f"{error}. {error.remedy}",))
    reasons = refusals_in_turn(evidence, requests, persist=question.persist, forbidden=forbidden or {})
    accepted = tuple(request for request, why in zip(requests, reasons, strict=True) if not why)
    return WeighedChange(
        raw=raw if accepted else None,
        accepted=accepted,
        refusals=tuple(filter(None, reasons)),
        running=live_instance(evidence.parsed_vmi),
        default_binding=default_binding(evidence),
    )


def check_removals(evidence: Evidence, question: PlanQuestion) -> None:
    """Reject misspelt names, which could have no effect.

    Raises:
        NothingToChange: a NIC to remove does not exist.
    """
    known, requested = _names(evidence), {item.name for item in pending_requests(evidence.parsed_vm)}
    if unknown := [name for name in question.removals if name not in known | requested]:
        named = ", ".join(f'"{name}"' for name in unknown)
        remedy = f"It has: {', '.join(sorted(known)) or 'none'}."
        raise NothingToChange(f"VM {evidence.target.name} has no NIC {named}", remedy=remedy)


def forecast_if_refused(vm_forecast: VmForecast, refusals: Sequence[str]) -> VmForecast:
    """Return what happens anyway if the whole change is refused: none of it follows from the change."""
    nics = tuple(replace(nic, is_affected=False) for nic in vm_forecast.nics)
    return replace(vm_forecast, nics=nics, refusals=tuple(refusals))


def _object_of(evidence: Evidence, question: PlanQuestion) -> dict[str, Any]:
    """Return the object to change."""
    if (raw := evidence.vm if question.persist else evidence.vmi) is not None:
        return raw
    name = evidence.target.name
    if evidence.mode is Mode.COMPANION:
        raise NothingToChange(no_template(name), remedy=CREATE_VM)
    if question.persist:
        remedy = "Leave --persist out: the VirtualMachineInstance itself is changed"
        raise NothingToChange(f"{name} has no VirtualMachine to persist in", remedy=remedy)
    remedy = "Add --persist: that changes the template, from which the VM starts"
    raise NothingToChange(f"VM {name} is not running", remedy=remedy)


def foresee_question(
    evidence: Evidence, question: PlanQuestion, *, forbidden: Mapping[str, str], now: datetime
) -> VmForecast:
    """Answer the question without a dry run.

    Args:
        forbidden: as for `weigh`.

    Raises:
        NothingToChange: the lists belong to a template or an instance that does not exist, or a NIC to remove does not
            exist.
    """
    if question.spec is not None:
        refusals, raw = tuple(forbidden.values()), _object_of(evidence, question)
        if refusals:
            return forecast_if_refused(forecast(evidence, changed=None, now=now), refusals)
        before = addresses_of(evidence)
        vm_forecast = forecast(evidence, changed=with_lists(raw, question.spec), named=question.names, now=now)
        return with_wrong_addresses(vm_forecast, evidence, before=before)
    weighed = weigh(evidence, question, forbidden=forbidden)
    if weighed.raw is None and weighed.refusals:
        return forecast_if_refused(forecast(evidence, changed=None, now=now), weighed.refusals)
    change = weighed.change()
    changed = weighed.recorded(change[1]) if change is not None else None
    vm_forecast = forecast(evidence, changed=changed, named=weighed.names, now=now)
    return replace(vm_forecast, refusals=weighed.refusals)


def _requests(evidence: Evidence, question: PlanQuestion) -> list[InterfaceRequest]:
    taken = _names(evidence)
    requests: list[InterfaceRequest] = [RemoveInterface(name=name) for name in question.removals]
    for item in question.additions:
        name = item.name or free_name(item.network, taken=taken)
        taken.add(name)
        requests.append(AddInterface(name=name, network=item.network))
    return requests


def _names(evidence: Evidence) -> set[str]:
    """Return the names of all NICs and networks of the VM."""
    owners = [owner for owner in (evidence.parsed_vm, evidence.parsed_vmi) if owner is not None]
    interfaces = {item.name for owner in owners for item in owner.interfaces}
    return interfaces | {item.name for owner in owners for item in owner.networks}
