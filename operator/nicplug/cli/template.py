"""Adds and removes NICs beside KubeVirt, by a patch of the VM's template: 1.1 and later serve no subresource."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.mac_addresses import added, say_what_is_unknown, template_before

if TYPE_CHECKING:
    from nicplug.cli.machines import Machine
    from nicplug.insight.evidence import Evidence
    from nicplug.model.requests import AddInterface, InterfaceRequest

Json = dict[str, Any]


async def add_to_template(
    session: Session,
    machine: "Machine",
    request: "AddInterface",
    *,
    mac: str = "",
    kubevirt_namespace: str = "kubevirt",
) -> None:
    """Check the NIC, and add it to the template unless that has it.

    Raises:
        CommandError: the checks refuse the NIC, or the template has changed since it was read.
        ApiError: the API server rejects the patch.
    """
    from nicplug.plan.nic.requested import has_nic

    vm = template_of(machine)
    evidence = await _check(session, machine, request, mac=mac, kubevirt_namespace=kubevirt_namespace)
    if evidence.parsed_vm is None or not has_nic(request, evidence.parsed_vm):
        await _patch(session, machine, added(vm, request, mac=mac, before=template_before(evidence)))


async def remove_from_template(
    session: Session, machine: "Machine", nic: str, *, kubevirt_namespace: str = "kubevirt"
) -> None:
    """Make the NIC absent in the template, or delete its entries if no guest can have it.

    Raises:
        CommandError: the NIC cannot be removed, or the template has changed since it was read.
        ApiError: the API server rejects the patch.
    """
    from nicplug.model.requests import RemoveInterface

    vm, request = template_of(machine), RemoveInterface(name=nic)
    evidence = await _check(session, machine, request, kubevirt_namespace=kubevirt_namespace)
    listed = {item.name for item in evidence.parsed_vm.interfaces} if evidence.parsed_vm is not None else set()
    if nic not in listed:
        message = f'the template of {machine.name} does not have NIC "{nic}", and KubeVirt removes no other'
        raise CommandError(message, remedy="It is gone after a restart of the VM.", code=Exit.REFUSED)
    await _patch(session, machine, removed(vm, request))


def template_of(machine: "Machine") -> Json:
    """Return the VM.

    Raises:
        CommandError: there is none, and nobody but KubeVirt changes a VMI.
    """
    from nicplug.insight.planning import CREATE_VM, no_template

    if machine.vm is None:
        raise CommandError(no_template(machine.name), remedy=f"{CREATE_VM}.", code=Exit.REFUSED)
    return machine.vm


def removed(raw: Json, request: "InterfaceRequest") -> list[Json]:
    """Return the JSON patch that carries out a removal, if the lists are still those that were read."""
    from nicplug.insight.changes import with_requests
    from nicplug.model.networks import Binding

    found: list[Json] = []
    for operation in with_requests(raw, [request], vmi=None, binding=Binding.BRIDGE)[0]:
        if operation["op"] != "test":
            found.append({"op": "test", "path": operation["path"], "value": _value(raw, operation["path"])})
        found.append(operation)
    return found


def _value(raw: Mapping[str, Any], path: str) -> Any:
    value: Any = raw
    for member in path.split("/")[1:]:
        value = (value or {}).get(member)
    return value


async def _check(
    session: Session, machine: "Machine", request: "InterfaceRequest", *, mac: str = "", kubevirt_namespace: str
) -> "Evidence":
    from nicplug.cli.machines import now
    from nicplug.cli.refused import refused
    from nicplug.insight.evidence import Target
    from nicplug.insight.reading import read_for_request
    from nicplug.insight.requests import answer_to_edit
    from nicplug.model.mode import Mode
    from nicplug.model.requests import AddInterface

    target = Target(namespace=session.namespace, name=machine.name, kubevirt_namespace=kubevirt_namespace)
    networks = [request.to_network()] if isinstance(request, AddInterface) else []
    evidence = await read_for_request(
        session.api,
        target=target,
        vm=machine.vm,
        vmi=machine.reported_vmi,
        clock=now,
        networks=networks,
        mode=Mode.COMPANION,
    )
    answer = answer_to_edit(evidence, request, mac=mac)
    if answer.code == 409:
        raise await refused(session, machine, answer.message, nic=request.name, hints={answer.hint})
    if answer.code >= 400:
        raise CommandError(answer.message, code=Exit.NOT_ALLOWED if answer.code == 403 else Exit.REFUSED)
    say_what_is_unknown(evidence)
    return evidence


async def _patch(session: Session, machine: "Machine", patch: Sequence[Json]) -> None:
    from nicplug.kube.errors import Stale
    from nicplug.kube.resources import VIRTUAL_MACHINES

    try:
        await session.api.patch(VIRTUAL_MACHINES, patch, name=machine.name, namespace=session.namespace)
    except Stale as error:
        message = f"the NICs of {machine.name} have changed since they were read"
        raise CommandError(message, remedy="Try again.", code=Exit.REFUSED) from error
