"""`nicplug uninstall`: removes nicplug and keeps its virtual machines; with `--purge` removes everything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.output import line, with_output, write

if TYPE_CHECKING:
    from rich.console import Console

    from nicplug.cli.uninstall.parts import Part

_SHOWN = 5


@click.command()
@click.option("--purge", is_flag=True, help="Delete the CRDs as well, so that nothing of nicplug remains.")
@click.option("--delete-vms", is_flag=True, help="With --purge: delete every virtual machine of the cluster first.")
@click.option("--yes", is_flag=True, help="Delete the objects. Without it, only list them.")
@click.option(
    "--timeout",
    "seconds",
    type=click.IntRange(min=1),
    default=120,
    show_default=True,
    help="Seconds that one step may wait.",
)
@with_output
@on_cluster
async def uninstall(
    session: Session, *, purge: bool, delete_vms: bool, yes: bool, seconds: int, output: str
) -> int | None:
    """Remove nicplug from the cluster; virtual machines, their guests and the CRDs stay.

    Deletes operator, API, policies and RBAC; the next installation adopts the virtual machines. In the meantime guests
    keep running, but are not restarted or migrated, and NICs are not plugged. With --purge the CRDs are deleted as
    well, once no virtual machine is left. Without --yes nothing is changed.
    """
    from nicplug.cli.uninstall.parts import installed, of_users, with_definitions

    if delete_vms and not purge:
        raise click.UsageError("--delete-vms needs --purge.")
    parts = await installed(session.api, purge=purge)
    machines = await of_users(session.api)
    _refuse_helm(parts)
    _refuse_machines(machines, purge=purge, delete_vms=delete_vms)
    plan = Uninstallation(
        installed=parts,
        machines=machines if delete_vms else [],
        definitions=await with_definitions(session.api) if purge else [],
        kept=0 if delete_vms else len(machines),
        is_done=False,
    )
    if not yes:
        write(plan, output)
        return None
    write(await _carry_out(session, plan, seconds=seconds), output)
    return None


async def _carry_out(session: Session, plan: "Uninstallation", *, seconds: float) -> "Uninstallation":
    """Delete VMs while the operator can still stop their guests, and CRDs last, when nothing creates their objects."""
    from nicplug.cli.uninstall.parts import GUARD
    from nicplug.cli.uninstall.steps import StillThere, Uninstaller

    steps = Uninstaller(api=session.api, report=lambda text: click.echo(text, err=True), seconds=seconds)
    guards = [part for part in plan.installed if part.name == GUARD]
    try:
        machines = await steps.remove_machines() if plan.machines else []
        removed = await steps.remove(part for part in plan.installed if part.name != GUARD)
        gone = await steps.remove_definitions() if plan.definitions else []
        removed += await steps.remove(guards)
    except StillThere as error:
        raise CommandError(
            str(error), remedy="Run the command again: it continues where it stopped.", code=Exit.TIMED_OUT
        ) from error
    return Uninstallation(installed=removed, machines=machines, definitions=gone, kept=plan.kept, is_done=True)


def _refuse_helm(parts: "Sequence[Part]") -> None:
    if release := next((part for part in parts if part.helm_release), None):
        raise CommandError(
            f"this installation is the Helm release {release.helm_release}",
            remedy=f"helm uninstall {release.helm_release} --namespace {release.helm_namespace}; "
            "virtual machines and CRDs stay. To delete these as well, then run nicplug uninstall --purge.",
            code=Exit.REFUSED,
        )


def _refuse_machines(machines: "Sequence[Part]", *, purge: bool, delete_vms: bool) -> None:
    if not purge or delete_vms or not machines:
        return
    shown = ", ".join(map(str, machines[:_SHOWN])) + (", ..." if len(machines) > _SHOWN else "")
    raise CommandError(
        f"{len(machines)} objects of virtual machines are left, which would be deleted with the CRDs: {shown}",
        remedy="Delete them, or add --delete-vms. Without --purge they stay.",
        code=Exit.REFUSED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninstallation:
    """The objects that are or would be deleted.

    Attributes:
        definitions: CRDs, and the cluster admin's objects of them, which are deleted last.
        kept: number of VMs, VMIs and migrations that stay.
    """

    installed: "Sequence[Part]"
    machines: "Sequence[Part]"
    definitions: "Sequence[Part]"
    kept: int
    is_done: bool

    def to_json(self) -> dict[str, Any]:
        """The document of `-o json` and `-o yaml`."""
        return {
            "kind": "Uninstallation",
            "done": self.is_done,
            "removed": [_row(part) for part in (*self.machines, *self.installed, *self.definitions)],
            "virtualMachineObjectsKept": self.kept,
        }

    def names(self) -> Sequence[str]:
        """Return the deleted objects with their kinds."""
        return [str(part) for part in (*self.machines, *self.installed, *self.definitions)]

    def show(self, console: "Console") -> None:
        """Print the objects and a summary."""
        verb = "Deleted" if self.is_done else "Would delete"
        for name in self.names():
            line(console, f"{verb.lower()} {name}" if not self.is_done else name)
        line(console, f"{verb} {len(self.names())} objects; {self.kept} objects of virtual machines stay.", "bold")
        if not self.is_done:
            line(console, "Nothing has been changed: add --yes to delete them.")


def _row(part: "Part") -> dict[str, str | None]:
    return {"kind": part.resource.kind, "namespace": part.namespace or None, "name": part.name}
