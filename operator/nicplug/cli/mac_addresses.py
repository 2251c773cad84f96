"""`nicplug add --mac`: the format of the address, the checks, and the patch of the spec that sets it."""

from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit, printable

if TYPE_CHECKING:
    from nicplug.cli.machines import Machine
    from nicplug.insight.evidence import Evidence, Target
    from nicplug.model.requests import AddInterface
    from nicplug.model.vm import VirtualMachine


class MacAddress(click.ParamType[str]):
    """A MAC address that a NIC can have."""

    name = "mac"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address unchanged if it is valid."""
        from nicplug.model.networks import parse_interface
        from nicplug.plan.nic.spec_checks import mac_address_is_unicast

        refusal = mac_address_is_unicast(parse_interface({"macAddress": str(value)}), None)
        if refusal is not None:
            self.fail(refusal.message, param, ctx)
        return str(value)


async def add_with_mac(
    session: Session, machine: "Machine", request: "AddInterface", *, mac: str, target: "Target", persist: bool
) -> None:
    """Check the NIC as the subresource does, and add it to the spec unless its lists have changed since they were read.

    Raises:
        CommandError: the checks refuse the NIC, or the lists have changed.
        ApiError: the API server rejects the patch.
    """
    from nicplug.cli.machines import now
    from nicplug.cli.refused import refused
    from nicplug.insight.reading import read_for_request
    from nicplug.insight.requests import answer_with_mac
    from nicplug.plan.nic.requested import has_nic

    evidence = await read_for_request(
        session.api, target=target, vm=machine.vm, vmi=machine.vmi, clock=now, networks=[request.to_network()]
    )
    answer = answer_with_mac(evidence, request, mac=mac, persist=persist)
    if answer.code == 409:
        raise await refused(session, machine, answer.message, nic=request.name, hints={answer.hint})
    if answer.code >= 400:
        raise CommandError(answer.message, code=Exit.NOT_ALLOWED if answer.code == 403 else Exit.REFUSED)
    say_what_is_unknown(evidence)
    owner = evidence.parsed_vm if persist else evidence.parsed_vmi
    if owner is not None and not has_nic(request, owner):
        before = template_before(evidence) if persist else None
        await _patch(session, machine, request, mac=mac, before=before)


def say_what_is_unknown(evidence: "Evidence") -> None:
    """Print on stderr what could not be checked."""
    for item in evidence.unknown:
        if item.is_denied:
            click.echo(printable(f"Note: {item.what} cannot be read ({item.why}): {item.remedy}"), err=True)


async def _patch(
    session: Session, machine: "Machine", request: "AddInterface", *, mac: str, before: "VirtualMachine | None"
) -> None:
    from nicplug.kube.errors import Stale
    from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES

    raw = (machine.vm if before is not None else machine.vmi) or {}
    resource = VIRTUAL_MACHINES if before is not None else VIRTUAL_MACHINE_INSTANCES
    patch = added(raw, request, mac=mac, before=before)
    try:
        await session.api.patch(resource, patch, name=machine.name, namespace=session.namespace)
    except Stale as error:
        message = f"the NICs of {machine.name} have changed since they were read"
        raise CommandError(message, remedy="Try again.", code=Exit.REFUSED) from error


def template_before(evidence: "Evidence") -> "VirtualMachine | None":
    """Return the VM with every NIC that it starts with in its template, before one is added."""
    from nicplug.insight.known import default_binding
    from nicplug.model.vmi import own_vmi
    from nicplug.plan.nic.default_nic import with_default_nic

    vm = evidence.parsed_vm
    if vm is None:
        return None
    return with_default_nic(vm, vmi=own_vmi(evidence.parsed_vmi, vm_uid=vm.uid), binding=default_binding(evidence))


def added(
    raw: dict[str, Any], request: "AddInterface", *, mac: str, before: "VirtualMachine | None"
) -> list[dict[str, Any]]:
    """Return the JSON patch that adds a bridge NIC to the template of a VM, or to the spec of a VMI.

    Args:
        before: the VM with its NICs; None to patch the VMI.
    """
    from nicplug.model.frozen_json import thaw

    root = "/spec" if before is None else "/spec/template/spec"
    spec = raw["spec"] if before is None else raw["spec"]["template"]["spec"]
    devices = (spec.get("domain") or {}).get("devices") or {}
    interface = {"name": request.name, "bridge": {}, **({"macAddress": mac} if mac else {})}
    network = {"name": request.name, "multus": {"networkName": request.network}}
    implied = ((), ()) if before is None else (before.interfaces, before.networks)
    lists = (
        (f"{root}/domain/devices/interfaces", devices.get("interfaces"), interface, implied[0]),
        (f"{root}/networks", spec.get("networks"), network, implied[1]),
    )
    patch = [{"op": "test", "path": "/metadata/uid", "value": raw["metadata"]["uid"]}]
    for path, seen, entry, known in lists:
        patch.append({"op": "test", "path": path, "value": seen})
        patch.append({"op": "add", "path": path, "value": [*(seen or [thaw(item.raw) for item in known]), entry]})
    return patch
