"""`addinterface` and `removeinterface` with virtctl's names, flags, help, texts and exit code.

Source: KubeVirt 1.0.0-rc.0 `pkg/virtctl/network/dynamicifaces.go`: without `--persist` the request goes to the VMI,
with it to the VM.
"""

import sys
from typing import IO, TYPE_CHECKING, Any

import click

from nicplug.cli.completion import complete_machine, complete_network, complete_nic
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.exits import CommandError, printable
from nicplug.kube.errors import ApiError

if TYPE_CHECKING:
    from nicplug.cli.machines import Machine

_NETWORK = "network-attachment-definition-name"


class VirtctlError(CommandError):
    """An error that is printed without a prefix, as virtctl does, with exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the error and its remedy to stderr."""
        out = file if file is not None else sys.stderr
        click.echo(printable(self.message), file=out)
        if self.remedy:
            click.echo(self.remedy, file=out)


class VirtctlCommand(click.Command):
    """A command that fails as virtctl does: for wrong use before any request, and always with exit code 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Count the arguments as cobra does, then check for required flags.

        Raises:
            VirtctlError: wrong use.
        """
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            raise VirtctlError(error.format_message()) from error
        if ctx.resilient_parsing:
            return rest
        given = ctx.params.pop("vms")
        if len(given) != 1:
            raise VirtctlError(
                f"Number of input parameters is incorrect, {self.name} accepts 1 arg(s), received {len(given)}\n"
                "argument validation failed"
            )
        ctx.params["vm"] = given[0]
        missing = [name for name, option in _FLAGS.items() if option in ctx.params and ctx.params[option] is None]
        if missing:
            names = ", ".join(f'"{name}"' for name in sorted(missing))
            raise VirtctlError(f"required flag(s) {names} not set")
        return rest

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help, whose examples name the program that was called."""
        original = self.help
        try:
            self.help = (original or "").replace("nicplug ", f"{ctx.find_root().info_name} ")
            super().format_help_text(ctx, formatter)
        finally:
            self.help = original

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and turn its errors into virtctl's.

        Raises:
            VirtctlError: the command failed.
        """
        try:
            return super().invoke(ctx)
        except CommandError as error:
            raise _as_virtctl_prints(error) from error


def _as_virtctl_prints(error: CommandError) -> VirtctlError:
    """Put the server's message alone on the first line, as virtctl prints it, followed by our explanation."""
    from nicplug.insight.requests import LIST_GATE
    from nicplug.plan.subresources.options import GATE_IS_OFF

    cause = error.__cause__
    said = str(cause) if isinstance(cause, ApiError) and cause.status else error.message
    meaning = () if said in error.message else (error.message,)
    remedy = f"To enable it, {LIST_GATE}." if said == GATE_IS_OFF else error.remedy
    return VirtctlError(said, remedy="\n".join((*meaning, remedy)))


async def _beside_kubevirt(session: Session, vm: str) -> "Machine | None":
    """Return the VM if KubeVirt runs it, which serves neither subresource from 1.1 on; otherwise None."""
    from nicplug.cli.machines import find_machine
    from nicplug.cli.mode import mode_of
    from nicplug.model.mode import Mode

    is_beside = await mode_of(session) is Mode.COMPANION
    return await find_machine(session, vm, with_migrations=False) if is_beside else None


_FLAGS = {"name": "name", _NETWORK: "network"}
_vm = click.argument("vms", metavar="VM", nargs=-1, shell_complete=complete_machine)


@click.command(cls=VirtctlCommand)
@_vm
@click.option(
    f"--{_NETWORK}",
    "network",
    default=None,
    shell_complete=complete_network,
    help="The referenced network-attachment-definition name. Format: <networkAttachmentDefinitionName>, "
    "<ns>/<networkAttachmentDefinitionName>",
)
@click.option("--name", default=None, help="Logical name of the interface to be plugged")
@click.option(
    "--persist", is_flag=True, help="When set, the added interface will be persisted in the VM spec (if it exists)"
)
@on_cluster
async def addinterface(session: Session, *, vm: str, network: str, name: str, persist: bool) -> int | None:
    """Add a network interface to a running VM, as virtctl does.

    \b
    nicplug addinterface <vmi-name> --network-attachment-definition-name <name> --name <iface name>
    nicplug addinterface <vm-name> --network-attachment-definition-name <name> --name <iface name> --persist

    Beside KubeVirt the VM's template is changed, with or without --persist.
    """
    from nicplug.cli.subresources import VMIS, VMS, put

    if (machine := await _beside_kubevirt(session, vm)) is not None:
        from nicplug.cli.template import add_to_template
        from nicplug.model.requests import AddInterface

        await add_to_template(session, machine, AddInterface(name=name, network=network))
        return None
    body = {"networkAttachmentDefinitionName": network, "name": name}
    await put(session, VMS if persist else VMIS, vm, "addinterface", body)
    return None


@click.command(cls=VirtctlCommand)
@_vm
@click.option("--name", default=None, shell_complete=complete_nic, help="Logical name of the interface to be plugged")
@click.option("--persist", is_flag=True, help="When set, the interface will be removed from the VM spec")
@on_cluster
async def removeinterface(session: Session, *, vm: str, name: str, persist: bool) -> int | None:
    """Remove a network interface from a running VM, as virtctl does.

    \b
    nicplug removeinterface <vmi-name> --name <iface name>
    nicplug removeinterface <vm-name> --name <iface name> --persist

    Beside KubeVirt the VM's template is changed, with or without --persist.
    """
    from nicplug.cli.subresources import VMIS, VMS, put

    if (machine := await _beside_kubevirt(session, vm)) is not None:
        from nicplug.cli.template import remove_from_template

        await remove_from_template(session, machine, name)
        return None
    await put(session, VMS if persist else VMIS, vm, "removeinterface", {"name": name})
    return None
