"""`start`, `stop`, `restart` and `migrate`: the requests and the words of KubeVirt's virtctl."""

from typing import Any

import click

from nicplug.cli.completion import complete_machine
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.exits import CommandError, printable

_vm = click.argument("vm", shell_complete=complete_machine)
_force = click.option("--force", is_flag=True, help="Do not wait for the guest; needs --grace-period.")
_grace = click.option(
    "--grace-period", type=click.IntRange(min=0), default=None, help="Seconds that the guest has to shut down."
)


async def _ask(session: Session, vm: str, what: str, body: dict[str, Any]) -> None:
    from nicplug.cli.operator_health import warn_without_operator
    from nicplug.cli.subresources import VMS, put

    await put(session, VMS, vm, what, body)
    click.echo(f"VM {vm} was scheduled to {what}")
    await warn_without_operator(session)


def _check_force(force: bool, grace_period: int | None) -> None:
    if force != (grace_period is not None):
        raise click.UsageError("Use --force and --grace-period together.")


@click.command()
@_vm
@click.option("--paused", is_flag=True, help="Start it paused.")
@on_cluster
async def start(session: Session, *, vm: str, paused: bool) -> int | None:
    """Start a stopped VM."""
    await _ask(session, vm, "start", {"paused": True} if paused else {})
    return None


@click.command()
@_vm
@_force
@_grace
@on_cluster
async def stop(session: Session, *, vm: str, force: bool, grace_period: int | None) -> int | None:
    """Stop a running VM."""
    _check_force(force, grace_period)
    await _ask(session, vm, "stop", {"gracePeriod": grace_period} if force else {})
    return None


async def _note_lost_nics(session: Session, vm: str) -> None:
    """Say which NICs the restart removes; who may not read the VM can restart it all the same."""
    from nicplug.cli.machines import find_machine, now
    from nicplug.kube.errors import ApiError

    try:
        machine = await find_machine(session, vm, with_migrations=False)
    except (ApiError, CommandError):
        return
    for name in machine.describe(now=now()).restart_effects:
        told = f'NIC "{name}" is not in the template of VM {vm}: it is gone after the restart'
        click.echo(printable(f"Note: {told}. Add it to the template to keep it."), err=True)


@click.command()
@_vm
@_force
@_grace
@on_cluster
async def restart(session: Session, *, vm: str, force: bool, grace_period: int | None) -> int | None:
    """Restart a running VM, with the NICs that need it.

    NICs that the running guest has and the VM's template lacks are gone afterwards; they are named on stderr.
    """
    _check_force(force, grace_period)
    await _note_lost_nics(session, vm)
    await _ask(session, vm, "restart", {"gracePeriodSeconds": grace_period} if force else {})
    return None


@click.command()
@_vm
@on_cluster
async def migrate(session: Session, *, vm: str) -> int | None:
    """Migrate a running VM, with the NICs that wait for it."""
    await _ask(session, vm, "migrate", {})
    return None
