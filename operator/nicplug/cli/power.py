"""`start`, `stop`, `restart` and `migrate`, with the requests and texts of KubeVirt's virtctl."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.completion import complete_machine
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.environment import LOOKS_FOR_OPERATOR
from nicplug.cli.exits import CommandError, Exit, printable

if TYPE_CHECKING:
    from nicplug.kube.errors import ApiError

_HALTED = "RunStategy Halted"  # spelt as KubeVirt spells it
_vm = click.argument("vm", shell_complete=complete_machine)


def _with_force(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--force` and `--grace-period`, which need each other; the command gets the seconds, None without them."""

    @click.option("--force", is_flag=True, help="Do not wait for the guest; needs --grace-period.")
    @click.option(
        "--grace-period", type=click.IntRange(min=0), default=None, help="Seconds that the guest has to shut down."
    )
    @functools.wraps(command)
    def run(*, force: bool, grace_period: int | None, **options: Any) -> None:
        if force != (grace_period is not None):
            raise click.UsageError("Use --force and --grace-period together.")
        command(grace_period=grace_period, **options)

    return run


_with_dry_run = click.option("--dry-run", is_flag=True, help="Only check the request: nothing is changed.")


async def _ask(session: Session, vm: str, what: str, *, dry_run: bool, **body: int | bool | None) -> None:
    """Send the request, without the members that are None; a dry run begins with virtctl's line for it."""
    from nicplug.cli.mode import mode_of
    from nicplug.cli.operator_health import warn_without_operator
    from nicplug.cli.subresources import VMS, put
    from nicplug.kube.errors import Gone, Stale, Unavailable
    from nicplug.model.mode import Mode

    content: dict[str, Any] = {name: value for name, value in body.items() if value is not None}
    if dry_run:
        click.echo("Dry Run execution")
        content["dryRun"] = ["All"]
    try:
        await put(session, VMS, vm, what, content)
    except (Gone, Unavailable) as error:
        is_missing = error.is_not_served if isinstance(error, Gone) else error.status in (502, 503, 504)
        if is_missing and await mode_of(session) is Mode.COMPANION:
            raise _not_served(vm, what) from error
        raise
    except Stale as error:
        raise _with_remedy(error, session, vm=vm, what=what) or error from error
    click.echo(f"VM {vm} was scheduled to {what}")
    if dry_run:
        return
    if body.get("paused"):
        note = f"the guest is paused when it has started. `nicplug restart {vm}` starts it again without --paused."
        click.echo(f"Note: {note}", err=True)
    await warn_without_operator(session)


def _not_served(vm: str, what: str) -> CommandError:
    """Return the error that KubeVirt's part is missing: beside it, nicplug serves no such requests."""
    message = f"VM {vm} cannot be asked to {what}: KubeVirt's virt-api, which serves this, does not answer"
    return CommandError(message, remedy="See whether virt-api runs in KubeVirt's namespace.", code=Exit.NOT_INSTALLED)


def _with_remedy(error: "ApiError", session: Session, *, vm: str, what: str) -> CommandError | None:
    """Return KubeVirt's error with a remedy; None if the error is not about the state of the VM."""
    from nicplug.plan.subresources.power import ALREADY_RUNNING, NOT_RUNNING

    if what == "restart" and (NOT_RUNNING in str(error) or _HALTED in str(error)):
        instead = "Start it with"
    elif what == "start" and ALREADY_RUNNING in str(error):
        instead = "To restart the guest, for example one that was started paused"
    else:
        return None
    command = "restart" if what == "start" else "start"
    remedy = f"{instead}: nicplug {command} {vm} --namespace {session.namespace}"
    return CommandError(str(error), remedy=remedy, code=Exit.REFUSED)


@click.command(epilog=LOOKS_FOR_OPERATOR)
@_vm
@click.option("--paused", is_flag=True, default=None, help="Start it paused.")
@_with_dry_run
@on_cluster
async def start(session: Session, *, vm: str, paused: bool | None, dry_run: bool) -> None:
    """Start a stopped VM."""
    await _ask(session, vm, "start", dry_run=dry_run, paused=paused)


@click.command(epilog=LOOKS_FOR_OPERATOR)
@_vm
@_with_force
@_with_dry_run
@on_cluster
async def stop(session: Session, *, vm: str, grace_period: int | None, dry_run: bool) -> None:
    """Stop a running VM."""
    await _ask(session, vm, "stop", dry_run=dry_run, gracePeriod=grace_period)


@click.command(epilog=LOOKS_FOR_OPERATOR)
@_vm
@_with_force
@_with_dry_run
@on_cluster
async def restart(session: Session, *, vm: str, grace_period: int | None, dry_run: bool) -> None:
    """Restart a running VM, with the NICs that need it.

    NICs that the running guest has and the VM's template lacks are gone afterwards; they are named on stderr, and so is
    what would keep the VM from starting again.
    """
    await _note_costs(session, vm)
    await _ask(session, vm, "restart", dry_run=dry_run, gracePeriodSeconds=grace_period)


@click.command(epilog=LOOKS_FOR_OPERATOR)
@_vm
@_with_dry_run
@on_cluster
async def migrate(session: Session, *, vm: str, dry_run: bool) -> None:
    """Migrate a running VM, with the NICs that wait for it."""
    await _ask(session, vm, "migrate", dry_run=dry_run)


def _to_keep(session: Session, vm: str, nic: str, network: str) -> str:
    """Return how to keep a NIC of the guest in the VM's template."""
    if network in ("", "pod"):
        return "Add it to spec.template of the VM to keep it."
    command = f"nicplug add {vm} --network {network} --name {nic} --persist --namespace {session.namespace}"
    return f"To keep it, add it to the template too: {command}"


async def _note_costs(session: Session, vm: str) -> None:
    """Print what the restart removes and what may prevent the next start; nothing if the user cannot read the VM."""
    from nicplug.cli.machines import find_machine, now
    from nicplug.insight.reading import read_nodes
    from nicplug.insight.restart_risks import restart_risks
    from nicplug.kube.errors import ApiError
    from nicplug.model.vmi import parse_vmi

    try:
        machine = await find_machine(session, vm, with_migrations=False)
    except (ApiError, CommandError):
        return
    described = machine.describe(now=now())
    pluggable = {nic.name: nic.network for nic in described.nics if nic.binding == "bridge"}
    for name in described.restart_effects:
        note = f'NIC "{name}" is not in the template of VM {vm}: it is gone after the restart'
        click.echo(printable(f"Note: {note}. {_to_keep(session, vm, name, pluggable.get(name, ''))}"), err=True)
    try:
        nodes = await read_nodes(session.api, clock=now)
    except ApiError:
        nodes = None
    vmi = parse_vmi(machine.vmi) if machine.vmi is not None else None
    for risk in restart_risks(vmi, nodes=nodes, now=now()):
        note = f"VM {vm} may not start again: {risk}"
        click.echo(printable(f"Note: {note}. `nicplug status {vm}` shows what it waits for."), err=True)
