"""`nicplug add` and `nicplug remove`: plug and unplug NICs.

Through the subresources of the aggregated API; beside KubeVirt, which does not serve them, in the VM's template.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from nicplug.cli.completion import complete_machine, complete_network, complete_nic
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.environment import LOOKS_FOR_OPERATOR
from nicplug.cli.exits import CommandError, Exit, printable
from nicplug.cli.mac_addresses import MacAddress, add_with_mac
from nicplug.cli.nic_names import NetworkName, NicName
from nicplug.cli.plan import with_kubevirt_namespace
from nicplug.cli.wait import GONE, quietly, wait_for, with_timeout

if TYPE_CHECKING:
    from nicplug.cli.machines import Machine
    from nicplug.kube.errors import ApiError
    from nicplug.model.requests import AddInterface


@click.command(epilog=LOOKS_FOR_OPERATOR)
@click.argument("vm", shell_complete=complete_machine)
@click.option(
    "--network",
    type=NetworkName(),
    required=True,
    metavar="NAD",
    shell_complete=complete_network,
    help="Network attachment definition: NAME, or NAMESPACE/NAME.",
)
@click.option(
    "--name",
    type=NicName(),
    default=None,
    help="Name of the NIC; by default that of the network, with a number if it is taken.",
)
@click.option(
    "--mac",
    type=MacAddress(),
    default=None,
    metavar="MAC",
    help="MAC address. The subresource cannot carry one, so the spec is patched after the same checks, which needs the "
    "right to patch.",
)
@click.option("--persist", is_flag=True, help="Change the VM's template too, so that the NIC is there after a restart.")
@click.option("--wait", "waits", is_flag=True, help="Wait until the NIC is ready; progress goes to stderr.")
@with_timeout
@quietly
@with_kubevirt_namespace
@on_cluster
async def add(
    session: Session,
    *,
    vm: str,
    network: str,
    name: str | None,
    mac: str | None,
    persist: bool,
    waits: bool,
    seconds: float,
    quiet: bool,
    kubevirt_namespace: str,
) -> int | None:
    """Plug a NIC into VM, as a bridge on the network NAD.

    Beside KubeVirt the NIC is added to the VM's template, with or without --persist, and KubeVirt and nicplug plug it.
    A VirtualMachineInstance without a VM is refused: only KubeVirt's own accounts may change its spec.

    Otherwise, without --persist only the running guest gets it, until it is restarted. For a stopped VM, --persist is
    required. It starts with the NIC, so --wait does not wait; exit code 9 when the NIC would not come at the start,
    since its network attachment definition is missing or not valid.
    """
    from nicplug.cli.lacking_network import check_network
    from nicplug.cli.machines import find_machine, persisted_nics
    from nicplug.cli.operator_health import warn_without_operator
    from nicplug.insight.nic_names import free_name
    from nicplug.model.requests import AddInterface

    machine = await find_machine(session, vm, with_migrations=False)
    asked, persist = persist, persist or machine.is_companions
    plural = _target(machine, persist=persist)
    name = name or free_name(network, taken=_names(machine))
    request = AddInterface(name=name, network=network)
    is_there = _is_there(machine, request, persist=persist)
    await _request_nic(
        session, machine, request, plural=plural, mac=mac or "", persist=persist, kubevirt_namespace=kubevirt_namespace
    )
    what = f'NIC "{name}" on network {network}'
    keeps = persist or name in persisted_nics(machine.vm)
    lacking = await check_network(session, network, vm=vm, nic=name, persist=keeps)
    message = _requested(machine, what, name=name, persist=persist, can_start_with_it=lacking is None)
    is_kept = persist and not asked and machine.vmi is not None
    stays = "; the VM's template has it now, so it stays after a restart" if is_kept else ""
    click.echo(f"{what} is already there" if is_there else f"{message}{stays}")
    is_end = waits and machine.vmi is None
    if lacking is not None and not is_end:
        click.echo(printable(f"Note: {lacking.note}"), err=True)
    await warn_without_operator(session, of_nics=True)
    if lacking is not None and is_end:
        raise lacking.error(vm=vm, nic=name)
    if waits and machine.vmi is not None:
        await wait_for(
            session, machine, names=[name], seconds=seconds, quiet=quiet, kubevirt_namespace=kubevirt_namespace
        )
        click.echo(f'NIC "{name}" is ready')
    return None


async def _request_nic(
    session: Session,
    machine: "Machine",
    request: "AddInterface",
    *,
    plural: str,
    mac: str,
    persist: bool,
    kubevirt_namespace: str,
) -> None:
    """Beside KubeVirt edit the template; otherwise ask the subresource, which cannot carry a MAC address."""
    from nicplug.cli.template import add_to_template
    from nicplug.insight.evidence import Target

    if machine.is_companions:
        await add_to_template(session, machine, request, mac=mac, kubevirt_namespace=kubevirt_namespace)
    elif mac:
        target = Target(namespace=session.namespace, name=machine.name, kubevirt_namespace=kubevirt_namespace)
        await add_with_mac(session, machine, request, mac=mac, target=target, persist=persist)
    else:
        body = {"networkAttachmentDefinitionName": request.network, "name": request.name}
        await _put(session, machine, plural, "addinterface", body)


@click.command(epilog=LOOKS_FOR_OPERATOR)
@click.argument("vm", shell_complete=complete_machine)
@click.argument("nic", shell_complete=complete_nic)
@click.option("--persist", is_flag=True, help="Remove it from the VM's template too.")
@click.option("--wait", "waits", is_flag=True, help="Wait until the NIC is gone; progress goes to stderr.")
@with_timeout
@quietly
@with_kubevirt_namespace
@on_cluster
async def remove(
    session: Session,
    *,
    vm: str,
    nic: str,
    persist: bool,
    waits: bool,
    seconds: float,
    quiet: bool,
    kubevirt_namespace: str,
) -> int | None:
    """Unplug NIC from VM.

    Beside KubeVirt it is removed from the VM's template, with or without --persist, and KubeVirt unplugs it. Otherwise
    a NIC that the VM's template has needs --persist: the template would bring it back.
    """
    from nicplug.cli.machines import find_machine, requested_nics
    from nicplug.cli.operator_health import warn_without_operator
    from nicplug.cli.refused import not_added_yet
    from nicplug.cli.template import remove_from_template

    machine = await find_machine(session, vm, with_migrations=False)
    persist = persist or machine.is_companions
    plural = _target(machine, persist=persist)
    if nic not in _names(machine) and nic in requested_nics(machine.vm):
        raise await not_added_yet(session, vm=vm, nic=nic)
    if nic not in _names(machine):
        known = ", ".join(sorted(_names(machine))) or "none"
        raise CommandError(f'VM {vm} has no NIC "{nic}"', remedy=f"It has: {known}.", code=Exit.NOT_FOUND)
    if machine.is_companions:
        await remove_from_template(session, machine, nic, kubevirt_namespace=kubevirt_namespace)
    else:
        await _put(session, machine, plural, "removeinterface", {"name": nic})
    click.echo(_unplugging(machine, nic, persist=persist))
    await warn_without_operator(session, of_nics=True)
    if waits:
        await wait_for(
            session,
            machine,
            names=[nic],
            goal=GONE,
            seconds=seconds,
            quiet=quiet,
            kubevirt_namespace=kubevirt_namespace,
        )
        click.echo(f'NIC "{nic}" is gone')
    return None


def _target(machine: "Machine", *, persist: bool) -> str:
    """Return the resource whose subresource is called: the VM with --persist, otherwise the running VMI.

    Raises:
        CommandError: that object does not exist.
    """
    from nicplug.cli.subresources import VMIS, VMS
    from nicplug.cli.template import template_of

    if machine.is_companions:
        template_of(machine)
    if persist and machine.vm is None:
        remedy = "Leave --persist out: the VirtualMachineInstance itself is changed."
        raise CommandError(f"{machine.name} has no VirtualMachine to persist in", remedy=remedy, code=Exit.WRONG_USE)
    if not persist and machine.vmi is None:
        remedy = "Add --persist: that changes the template, from which the VM starts."
        raise CommandError(f"VM {machine.name} is not running", remedy=remedy, code=Exit.REFUSED)
    return VMS if persist else VMIS


def _names(machine: "Machine") -> set[str]:
    """Return all names that NICs and networks of the VM have."""
    from nicplug.cli.machines import now
    from nicplug.insight.evidence import networks_in

    owners = [raw for raw in (machine.vm, machine.vmi) if raw is not None]
    networks = {network.name for raw in owners for network in networks_in(raw)}
    return networks | {nic.name for nic in machine.describe(now=now()).nics}


def _is_there(machine: "Machine", request: "AddInterface", *, persist: bool) -> bool:
    """True if every object that the request goes to has the NIC on that network already, so nothing changes."""
    from nicplug.model.vm import parse_vm
    from nicplug.model.vmi import parse_vmi
    from nicplug.plan.nic.requested import has_nic, object_to

    vm = parse_vm(machine.vm) if machine.vm is not None and persist else None
    vmi = parse_vmi(machine.vmi) if machine.vmi is not None else None
    owners = [owner for owner in (vm, vmi) if owner is not None]
    return object_to(request, vm=vm, vmi=vmi) is None and all(has_nic(request, owner) for owner in owners)


def _requested(machine: "Machine", what: str, *, name: str, persist: bool, can_start_with_it: bool) -> str:
    if persist and machine.vmi is None:
        return f"{what} requested for {machine.name}" + ("; the VM starts with it" if can_start_with_it else "")
    if persist and name in _running(machine) and not _template_has(machine, name):
        return f"{what} requested for the template of {machine.name} too; the guest has it already"
    if persist or machine.vm is None or _template_has(machine, name):
        return f"{what} requested for {machine.name}"
    return f"{what} requested for {machine.name}; it will be gone after a restart (use --persist to keep it)"


def _unplugging(machine: "Machine", nic: str, *, persist: bool) -> str:
    if persist and machine.vmi is None:
        return f'removing NIC "{nic}" from the template of {machine.name}'
    comes_back = not persist and _template_has(machine, nic)
    then = "; it comes back at a restart, as the template has it (use --persist)" if comes_back else ""
    return f'unplugging NIC "{nic}" from {machine.name}' + (" and its template" if persist else then)


def _template_has(machine: "Machine", nic: str) -> bool:
    """True if the NIC is still there after a restart."""
    from nicplug.cli.machines import persisted_nics

    return nic in persisted_nics(machine.vm)


def _running(machine: "Machine") -> frozenset[str]:
    """Return the NICs of the running guest, and those that are being plugged."""
    from nicplug.model.networks import wanted_by_name
    from nicplug.model.vmi import parse_vmi

    return frozenset(wanted_by_name(parse_vmi(machine.vmi).interfaces)) if machine.vmi is not None else frozenset()


async def _put(session: Session, machine: "Machine", plural: str, what: str, body: Mapping[str, str]) -> None:
    from nicplug.cli import subresources
    from nicplug.kube.errors import ApiError

    try:
        await subresources.put(session, plural, machine.name, what, body)
    except ApiError as error:
        raise await _reworded(session, machine, error, nic=body["name"]) or error from error


async def _reworded(session: Session, machine: "Machine", error: "ApiError", *, nic: str) -> CommandError | None:
    """Reword an error of the aggregated API, which is written for virtctl; None if there is nothing to add."""
    from nicplug.cli.refused import refused
    from nicplug.insight.requests import GATE_OFF
    from nicplug.kube.errors import Stale
    from nicplug.plan.subresources.options import GATE_IS_OFF

    if str(error) == GATE_IS_OFF:
        return CommandError(GATE_OFF, code=Exit.REFUSED)
    if not isinstance(error, Stale):
        return None
    return await refused(session, machine, str(error), nic=nic, hints=error.causes)
