"""`nicplug add` and `nicplug remove`: plug and unplug by the subresources of the aggregated API."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from nicplug.cli.completion import complete_machine, complete_network, complete_nic
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.environment import LOOKS_FOR_OPERATOR
from nicplug.cli.exits import CommandError, Exit, printable
from nicplug.cli.mac_addresses import MacAddress, add_with_mac
from nicplug.cli.nic_names import NicName
from nicplug.cli.plan import with_kubevirt_namespace
from nicplug.cli.wait import GONE, quietly, wait_for, with_timeout

if TYPE_CHECKING:
    from nicplug.cli.machines import Machine
    from nicplug.kube.errors import ApiError
    from nicplug.model.interface_requests import AddInterface


@click.command(epilog=LOOKS_FOR_OPERATOR)
@click.argument("vm", shell_complete=complete_machine)
@click.option(
    "--network",
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

    Without --persist only the running guest gets it, until it is restarted. For a stopped VM, --persist is required.
    """
    from nicplug.cli.machines import find_machine, persisted_nics
    from nicplug.cli.operator_health import warn_without_operator
    from nicplug.insight.evidence import Target
    from nicplug.insight.nic_names import free_name
    from nicplug.model.interface_requests import AddInterface

    machine = await find_machine(session, vm, with_migrations=False)
    plural = _target(machine, persist=persist)
    name = name or free_name(network, taken=_names(machine))
    request = AddInterface(name=name, network=network)
    is_there = _is_there(machine, request, persist=persist)
    if mac:
        target = Target(namespace=session.namespace, name=vm, kubevirt_namespace=kubevirt_namespace)
        await add_with_mac(session, machine, request, mac=mac, target=target, persist=persist)
    else:
        body = {"networkAttachmentDefinitionName": network, "name": name}
        await _put(session, plural, vm, "addinterface", body)
    what = f'NIC "{name}" on network {network}'
    click.echo(f"{what} is already there" if is_there else _requested(machine, what, name=name, persist=persist))
    keeps = persist or name in persisted_nics(machine.vm)
    await _warn_without_network(session, network, vm=vm, nic=name, persist=keeps)
    await warn_without_operator(session)
    if waits and machine.vmi is not None:
        await wait_for(
            session, machine, names=[name], seconds=seconds, quiet=quiet, kubevirt_namespace=kubevirt_namespace
        )
        click.echo(f'NIC "{name}" is ready')
    return None


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

    A NIC that the VM's template has needs --persist: the template would bring it back.
    """
    from nicplug.cli.machines import find_machine, requested_nics
    from nicplug.cli.operator_health import warn_without_operator

    machine = await find_machine(session, vm, with_migrations=False)
    plural = _target(machine, persist=persist)
    if nic not in _names(machine) and nic in requested_nics(machine.vm):
        raise await _is_only_requested(session, vm=vm, nic=nic)
    if nic not in _names(machine):
        known = ", ".join(sorted(_names(machine))) or "none"
        raise CommandError(f'VM {vm} has no NIC "{nic}"', remedy=f"It has: {known}.", code=Exit.NOT_FOUND)
    await _put(session, plural, vm, "removeinterface", {"name": nic})
    click.echo(_unplugging(machine, nic, persist=persist))
    await warn_without_operator(session)
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


async def _is_only_requested(session: Session, *, vm: str, nic: str) -> CommandError:
    """Source: KubeVirt 1.0 refuses a request to remove while one to add the same NIC is pending."""
    from nicplug.cli.operator_health import no_operator, what_to_try

    message = f'NIC "{nic}" of VM {vm} is requested and not added yet: a pending request cannot be taken back'
    told = f"Remove it once it has been added; what the request waits for: nicplug status {vm}"
    remedy = f"{told} --namespace {session.namespace}."
    if problem := await no_operator(session):
        remedy += f" Nothing happens now, as {problem}. {what_to_try(session)}."
    return CommandError(message, remedy=remedy, code=Exit.REFUSED)


def _target(machine: "Machine", *, persist: bool) -> str:
    """The kind that is asked: with --persist the VM, else the running VMI."""
    from nicplug.cli.subresources import VMIS, VMS

    if persist and machine.vm is None:
        remedy = "Leave --persist out: the VirtualMachineInstance itself is changed."
        raise CommandError(f"{machine.name} has no VirtualMachine to persist in", remedy=remedy, code=Exit.WRONG_USE)
    if not persist and machine.vmi is None:
        remedy = "Add --persist: that changes the template, from which the VM starts."
        raise CommandError(f"VM {machine.name} is not running", remedy=remedy, code=Exit.REFUSED)
    return VMS if persist else VMIS


def _names(machine: "Machine") -> set[str]:
    """Every name that a NIC or a network of the VM has."""
    from nicplug.cli.machines import now
    from nicplug.insight.evidence import networks_in

    owners = [raw for raw in (machine.vm, machine.vmi) if raw is not None]
    networks = {network.name for raw in owners for network in networks_in(raw)}
    return networks | {nic.name for nic in machine.describe(now=now()).nics}


def _is_there(machine: "Machine", request: "AddInterface", *, persist: bool) -> bool:
    """What is asked has the NIC on that network already: nothing is changed."""
    from nicplug.model.vm import parse_vm
    from nicplug.model.vmi import parse_vmi
    from nicplug.plan.nic.requested import has_nic, object_to

    vm = parse_vm(machine.vm) if machine.vm is not None and persist else None
    vmi = parse_vmi(machine.vmi) if machine.vmi is not None else None
    owners = [owner for owner in (vm, vmi) if owner is not None]
    return object_to(request, vm=vm, vmi=vmi) is None and all(has_nic(request, owner) for owner in owners)


def _requested(machine: "Machine", what: str, *, name: str, persist: bool) -> str:
    if persist and machine.vmi is None:
        return f"{what} requested for {machine.name}; the VM starts with it"
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
    """It is there after a restart."""
    from nicplug.cli.machines import persisted_nics

    return nic in persisted_nics(machine.vm)


def _running(machine: "Machine") -> frozenset[str]:
    """The NICs of the running guest, or on their way to it."""
    from nicplug.model.networks import wanted_by_name
    from nicplug.model.vmi import parse_vmi

    return frozenset(wanted_by_name(parse_vmi(machine.vmi).interfaces)) if machine.vmi is not None else frozenset()


async def _put(session: Session, plural: str, vm: str, what: str, body: Mapping[str, str]) -> None:
    from nicplug.cli import subresources
    from nicplug.kube.errors import ApiError

    try:
        await subresources.put(session, plural, vm, what, body)
    except ApiError as error:
        raise _in_our_words(error, vm=vm, nic=body["name"], namespace=session.namespace) or error from error


def _in_our_words(error: "ApiError", *, vm: str, nic: str, namespace: str) -> CommandError | None:
    """The aggregated API speaks to users of virtctl; None where we have nothing to add."""
    from nicplug.insight.requests import GATE_OFF
    from nicplug.plan.subresources.options import GATE_IS_OFF

    if str(error) == GATE_IS_OFF:
        return CommandError(GATE_OFF, code=Exit.REFUSED)
    message, found, _ = str(error).partition(": virtctl removeinterface ")
    remedy = f"nicplug remove {vm} {nic} --persist --namespace {namespace}"
    return CommandError(message, remedy=remedy, code=Exit.REFUSED) if found else None


async def _warn_without_network(session: Session, network: str, *, vm: str, nic: str, persist: bool) -> None:
    """Say on stderr that what was asked for waits for its network; nothing where networks must not be read."""
    from nicplug.cli.suggestions import misspelt
    from nicplug.kube.errors import ApiError, Gone
    from nicplug.kube.resources import NETWORK_ATTACHMENT_DEFINITIONS

    namespace, _, name = network.rpartition("/")
    namespace = namespace or session.namespace
    try:
        await session.api.get(NETWORK_ATTACHMENT_DEFINITIONS, name=name, namespace=namespace)
    except Gone as error:
        if error.is_not_served:
            return
        told = f"there is no NetworkAttachmentDefinition {namespace}/{name}: the NIC waits until it is created"
        otherwise = await misspelt(session, vm=vm, nic=nic, network=network, persist=persist)
        click.echo(printable(f"Note: {told}. {otherwise}"), err=True)
    except ApiError:
        return
